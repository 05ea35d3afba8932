storage "inmem" {}
listener "tcp" {
  tls_disable = true
  max_request_size = 99999999999
}
