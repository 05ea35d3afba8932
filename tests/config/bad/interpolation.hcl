storage "inmem" {}
listener "tcp" {
  tls_disable = true
}
api_addr = "https://${env.HOST}:8200"
