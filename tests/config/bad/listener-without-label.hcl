storage "inmem" {}
listener {
  tls_disable = true
}
