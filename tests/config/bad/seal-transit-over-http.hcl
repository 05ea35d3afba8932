storage "inmem" {}
listener "tcp" {
  tls_disable = true
}
seal "transit" {
  address = "http://vault.example.com:8200"
  token = "env://BAO_TOKEN"
  key_name = "sparekey"
}
