storage "inmem" {}
listener "tcp" {
  tls_disable = true
}
seal "shamir" {
  shares = 5
}
