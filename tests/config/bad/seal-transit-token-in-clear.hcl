storage "inmem" {}
listener "tcp" {
  tls_disable = true
}
seal "transit" {
  address = "https://vault.example.com:8200"
  token = "s.abcdefgh"
  key_name = "sparekey"
}
