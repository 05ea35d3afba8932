storage "postgres" {
  conection_url = "postgres://sparekey@db.example.com/sparekey"
}
listener "tcp" {
  tls_disable = true
}
