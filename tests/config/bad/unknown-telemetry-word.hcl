storage "inmem" {}
listener "tcp" {
  tls_disable = true
}
telemetry {
  statsd_address = "127.0.0.1:8125"
}
