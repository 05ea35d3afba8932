storage "inmem" {}
listener "tcp" {
  tls_disable = true
}
seal "transit" {
  address = "https://vault.example.com:8200"
  token = "env://BAO_TOKEN"
  mount_path = "tran sit/../x"
  key_name = "sparekey"
}
