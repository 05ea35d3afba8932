# Everything that has a word.
api_addr     = "https://sparekey.example.com:8200/"
mount_path   = "spare/codes"
cluster_name = "north $${literal}"
shutdown_delay = "3s"
log_level    = "debug"
log_format   = "json"
disable_mlock = true
ui            = false

listener "tcp" {
  address                            = "0.0.0.0:8200"
  tls_cert_file                      = "/etc/sparekey/cert.pem"
  tls_key_file                       = "/etc/sparekey/key.pem"
  tls_client_ca_file                 = "/etc/sparekey/clients.pem"
  tls_require_and_verify_client_cert = "true"
  tls_min_version                    = "tls13"
  max_request_size                   = 65536
  http_idle_timeout                  = "2m"
  http_read_header_timeout           = 5
  http_read_timeout                  = "1m30s"
  http_write_timeout                 = "20s"
  telemetry {
    unauthenticated_metrics_access = true
  }
}

listener "tcp" {
  address     = "[::1]:8300"
  tls_disable = 1
}

storage "redb" { path = "/var/lib/sparekey" }

seal "static" {
  current_key_id  = "2026-01"
  current_key     = "env://SPAREKEY_SEAL_KEY"
  previous_key_id = "2025-07"
  previous_key    = "file:///run/secrets/former"
}

audit "file" "main" {
  options = {
    file_path = "/var/log/sparekey/audit.log"
    mode      = "0640"
  }
}

audit "socket" "siem" {
  address       = "siem.example.com:9090"
  write_timeout = "3s"
}

audit "stdout" "console" {}

telemetry {
  prometheus_retention_time = "30s"
  disable_hostname          = true
}
