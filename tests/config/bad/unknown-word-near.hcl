storage "inmem" {}
listener "tcp" {
  adress      = "127.0.0.1:1"
  tls_disable = true
}
