storage "inmem" {}
listener "tcp" {
  tls_cert_file = "cert.pem"
  tls_key_file = "key.pem"
  tls_min_version = "tls10"
}
