# A scheduled job that brings new sets: reads the generation and the enrollment that it must name, stores, confirms that the provider
# has let go of the old set, and tells of an enrollment that it carried out itself. No code of an
# imported set comes back to it; of a profile that issues codes it sees those that it has made, once.
#
#   bao policy write backup-codes-rotator plugin-manifest/policies/rotator.hcl
#
# Written for a mount at backup-codes/; elsewhere: sed 's#backup-codes/#PATH/#' rotator.hcl | bao policy write NAME -

path "backup-codes/sets/*" {
  capabilities = ["update"]
}

path "backup-codes/enroll/*" {
  capabilities = ["update"]
}

path "backup-codes/accounts/*" {
  capabilities = ["read", "list"]
}

path "backup-codes/confirm/*" {
  capabilities = ["update"]
}
