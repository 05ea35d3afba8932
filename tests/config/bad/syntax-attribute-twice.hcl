storage "inmem" {}
log_level = "info"
log_level = "warn"
listener "tcp" {
  tls_disable = true
}
