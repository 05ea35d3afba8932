storage "inmem" {}
listener "tcp" {
  tls_disable = true
  http_read_header_timeout = 0
}
