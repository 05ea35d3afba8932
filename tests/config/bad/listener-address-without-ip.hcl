storage "inmem" {}
listener "tcp" {
  tls_disable = true
  address = ":8200"
}
