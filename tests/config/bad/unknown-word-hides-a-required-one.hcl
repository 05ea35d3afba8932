storage "inmem" {}
listener "tcp" {
  tls_disabel = true
}
