storage "redb" {
  path = "data"
}
listener "tcp" {
  tls_disable = true
}
