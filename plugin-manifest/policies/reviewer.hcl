# Judges it: reads everything that can be read (no code can), changes nothing.
#
#   bao policy write backup-codes-reviewer plugin-manifest/policies/reviewer.hcl
#
# Written for a mount at backup-codes/; elsewhere: sed 's#backup-codes/#PATH/#' reviewer.hcl | bao policy write NAME -

path "backup-codes/config" {
  capabilities = ["read"]
}

path "backup-codes/config/history" {
  capabilities = ["read"]
}

path "backup-codes/config/keys" {
  capabilities = ["read"]
}

path "backup-codes/config/keys/rewrap" {
  capabilities = ["read"]
}

path "backup-codes/config/restore" {
  capabilities = ["read"]
}

path "backup-codes/issuers/*" {
  capabilities = ["read", "list"]
}

path "backup-codes/profiles/*" {
  capabilities = ["read", "list"]
}

path "backup-codes/roles/*" {
  capabilities = ["read", "list"]
}

path "backup-codes/sources/*" {
  capabilities = ["read", "list"]
}

path "backup-codes/accounts/*" {
  capabilities = ["read", "list"]
}

path "backup-codes/history/*" {
  capabilities = ["read"]
}

path "backup-codes/report/*" {
  capabilities = ["read"]
}
