storage "inmem" {}
listener "tcp" {
  tls_disable = true
}
audit "stdout" "main" {
}
audit "file" "main" {
  file_path = "audit.log"
}
