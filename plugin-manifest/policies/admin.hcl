# Sets the engine up: whom it trusts, which roles there are, which accounts; takes accounts over from another mount; ends sets and releases quarantined ones. No code comes
# out by it: who says who may have codes does not have them by that.
#
#   bao policy write backup-codes-admin plugin-manifest/policies/admin.hcl
#
# Written for a mount at backup-codes/; elsewhere: sed 's#backup-codes/#PATH/#' admin.hcl | bao policy write NAME -

path "backup-codes/config" {
  capabilities = ["read", "update"]
}

path "backup-codes/config/history" {
  capabilities = ["read"]
}

path "backup-codes/config/keys" {
  capabilities = ["read"]
}

path "backup-codes/config/keys/rotate" {
  capabilities = ["update"]
}

path "backup-codes/config/keys/rewrap" {
  capabilities = ["read", "update"]
}

path "backup-codes/config/restore" {
  capabilities = ["read", "update"]
}

path "backup-codes/issuers/*" {
  capabilities = ["create", "read", "update", "delete", "list"]
}

path "backup-codes/profiles/*" {
  capabilities = ["create", "read", "update", "delete", "list"]
}

path "backup-codes/roles/*" {
  capabilities = ["create", "read", "update", "delete", "list"]
}

path "backup-codes/sources/*" {
  capabilities = ["create", "read", "update", "delete", "list"]
}

path "backup-codes/accounts/*" {
  capabilities = ["create", "read", "update", "delete", "list"]
}

path "backup-codes/history/*" {
  capabilities = ["read"]
}

path "backup-codes/transfer/*" {
  capabilities = ["update"]
}

path "backup-codes/revoke/*" {
  capabilities = ["update"]
}

path "backup-codes/release/*" {
  capabilities = ["update"]
}

path "backup-codes/confirm/*" {
  capabilities = ["update"]
}

# Whether a code that turned up somewhere is one of ours.
path "backup-codes/check/*" {
  capabilities = ["update"]
}
