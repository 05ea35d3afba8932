storage "inmem" {}
listener "tcp" {
  tls_cert_file = "cert.pem"
  tls_key_file = "key.pem"
  tls_require_and_verify_client_cert = true
}
