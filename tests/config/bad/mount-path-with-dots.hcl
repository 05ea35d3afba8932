storage "inmem" {}
listener "tcp" {
  tls_disable = true
}
mount_path = "a/../b"
