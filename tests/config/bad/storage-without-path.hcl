storage "redb" {
}
listener "tcp" {
  tls_disable = true
}
