storage "inmem" {}
listener "tcp" {
  tls_disable = true
}
seal "static" {
  current_key_id = "a"
  current_key = "q6urq6urq6urq6urq6urq6urq6urq6urq6urq6urq6s="
}
