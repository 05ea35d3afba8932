storage "postgres" {
  connection_url = "postgres://sparekey:hunter2@db.example.com/sparekey"
}
listener "tcp" {
  tls_disable = true
}
