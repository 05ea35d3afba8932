storage "inmem" {}
listener "tcp" {
  tls_disable = true
}
api_addr = "sparekey.example.com:8200"
