storage "inmem" {}
listener "tcp" {
  tls_disable = true
  tls_require_and_verify_client_cert = true
}
