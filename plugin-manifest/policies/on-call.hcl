# Gets one code out at night: sees which accounts there are and what is left, and may ask; ends a set that has leaked. Whether a code comes out is the
# role's decision, by the JWT in the request; narrow `retrieve/*` to a folder where people of one team shall not even ask for
# another's.
#
#   bao policy write backup-codes-on-call plugin-manifest/policies/on-call.hcl
#
# Written for a mount at backup-codes/; elsewhere: sed 's#backup-codes/#PATH/#' on-call.hcl | bao policy write NAME -

path "backup-codes/retrieve/*" {
  capabilities = ["update"]
}

# What became of the code: whether it worked, and what to do now if it did not.
path "backup-codes/outcome/*" {
  capabilities = ["update"]
}

# Whether a code that turned up somewhere is one of ours.
path "backup-codes/check/*" {
  capabilities = ["update"]
}

path "backup-codes/revoke/*" {
  capabilities = ["update"]
}

path "backup-codes/accounts/*" {
  capabilities = ["read", "list"]
}

path "backup-codes/history/*" {
  capabilities = ["read"]
}

# The vault's own identity token as the assertion, where a role takes it (docs/mounting.md).
path "identity/oidc/token/backup-codes" {
  capabilities = ["read"]
}
