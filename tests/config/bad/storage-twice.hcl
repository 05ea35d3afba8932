storage "inmem" {}
listener "tcp" {
  tls_disable = true
}
storage "redb" {
  path = "b"
}
