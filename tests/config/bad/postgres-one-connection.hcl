storage "postgres" {
  connection_url = "postgres://sparekey@db.example.com/sparekey"
  max_parallel   = 1
}
listener "tcp" {
  tls_disable = true
}
