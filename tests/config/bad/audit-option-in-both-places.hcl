storage "inmem" {}
listener "tcp" {
  tls_disable = true
}
audit "file" "main" {
  file_path = "audit.log"
  options = {
    file_path = "audit.log"
  }
}
