storage "inmem" {}
listener "tcp" {
  tls_disable = true
}
cluster_name = <<EOT
north
EOT
