storage "inmem" {}
listener "tcp" {
  tls_disable = true
}
audit "file" {
  file_path = "audit.log"
}
