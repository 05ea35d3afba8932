storage "inmem" {}
listener "tcp" {
  tls_disable = true
}
seal "static" {
  current_key = "env://KEY"
}
