# Tells of enrollments. Signed events (`events/`) need no token at all, and `sparekey relay` has none; this is for a sender whose
# network lets nobody through without one, and for one that has no signed events and says it with a JWT of its own (`enroll/`,
# under a role that allows it).
#
#   bao policy write backup-codes-event-sender plugin-manifest/policies/event-sender.hcl
#
# Written for a mount at backup-codes/; elsewhere: sed 's#backup-codes/#PATH/#' event-sender.hcl | bao policy write NAME -

path "backup-codes/events/+" {
  capabilities = ["update"]
}

path "backup-codes/enroll/*" {
  capabilities = ["update"]
}
