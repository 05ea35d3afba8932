# A login page, a PAM module: has presented codes judged, each once. It sees neither what accounts there are nor what is left; `verify/*` may
# be narrowed to the folder of one service.
#
#   bao policy write backup-codes-verifier plugin-manifest/policies/verifier.hcl
#
# Written for a mount at backup-codes/; elsewhere: sed 's#backup-codes/#PATH/#' verifier.hcl | bao policy write NAME -

path "backup-codes/verify/*" {
  capabilities = ["update"]
}
