storage "postgres" {
  connection_url = "postgres://sparekey@db.example.com/sparekey"
  table          = "Sparekey;"
}
listener "tcp" {
  tls_disable = true
}
