mount_path = "backup-codes/"
api_addr = "http://127.0.0.1:8200"
listener "tcp" {
  address = "127.0.0.1:8200"
  tls_disable = true
}
storage "inmem" {}
audit "file" "main" {
  options = { file_path = "/var/log/sparekey/audit.log" }
}
