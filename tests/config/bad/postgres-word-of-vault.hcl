storage "postgres" {
  connection_url = "postgres://sparekey@db.example.com/sparekey"
  ha_enabled     = "true"
}
listener "tcp" {
  tls_disable = true
}
