storage "raft" {
  path = "/data"
}
listener "tcp" {
  tls_disable = true
}
