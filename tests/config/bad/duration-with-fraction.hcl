storage "inmem" {}
listener "tcp" {
  tls_disable = true
  http_idle_timeout = "1.5h"
}
