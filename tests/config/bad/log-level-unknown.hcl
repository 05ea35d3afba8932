storage "inmem" {}
listener "tcp" {
  tls_disable = true
}
log_level = "loud"
