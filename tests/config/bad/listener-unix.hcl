storage "inmem" {}
listener "unix" {
}
