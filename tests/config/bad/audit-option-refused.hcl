storage "inmem" {}
listener "tcp" {
  tls_disable = true
}
audit "file" "main" {
  file_path = "audit.log"
  log_raw = true
}
