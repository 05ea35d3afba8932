storage "inmem" {}
listener "tcp" {
  tls_disable = true
}
audit "file" "main" {
  options = {
    file_path = "audit.log"
    file_mode = "0600"
  }
}
