storage "inmem" {}
listener "tcp" {
  tls_disable = true
}
seal "static" {
  current_key_id = "a"
  current_key = "env://A"
  previous_key_id = "a"
  previous_key = "env://B"
}
