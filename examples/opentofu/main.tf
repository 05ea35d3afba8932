# A mount of Sparekey as configuration: whom it trusts, how sets live, who may do what, who tells of enrollments, which accounts there are.
# No code is in it, and none may ever be: what is written here is in the state file in clear.

terraform {
  required_providers {
    vault = {
      source  = "hashicorp/vault"
      version = ">= 4.0"
    }
  }
}

resource "vault_mount" "backup_codes" {
  path = var.mount
  type = "sparekey"
}

# The policies that come with Sparekey (for a mount at backup-codes/).
resource "vault_policy" "backup_codes" {
  for_each = toset(["admin", "on-call", "rotator", "verifier", "reviewer", "event-sender"])

  name   = "backup-codes-${each.key}"
  policy = file("${path.module}/../../plugin-manifest/policies/${each.key}.hcl")
}

resource "vault_generic_endpoint" "issuer" {
  path                 = "${vault_mount.backup_codes.path}/issuers/idp"
  ignore_absent_fields = true
  data_json = jsonencode({
    bound_issuer = var.issuer
    jwks_url     = var.jwks_url
  })
}

resource "vault_generic_endpoint" "profile" {
  path                 = "${vault_mount.backup_codes.path}/profiles/critical"
  ignore_absent_fields = true
  data_json = jsonencode({
    kind              = "escrowed"
    low_watermark     = 4
    regenerate_within = 14400 # durations in seconds, as they are answered
    on_lapse          = "revoke"
    reveal_window     = 120
  })
}

resource "vault_generic_endpoint" "role" {
  for_each   = var.roles
  depends_on = [vault_generic_endpoint.issuer]

  path                 = "${vault_mount.backup_codes.path}/roles/${each.key}"
  ignore_absent_fields = true
  data_json = jsonencode({
    issuers           = ["idp"]
    bound_audiences   = [var.audience]
    bound_claims      = each.value.bound_claims
    accounts          = each.value.accounts
    operations        = each.value.operations
    max_assertion_age = 300
  })
}

resource "vault_generic_endpoint" "source" {
  depends_on = [vault_generic_endpoint.issuer]

  path                 = "${vault_mount.backup_codes.path}/sources/idp"
  ignore_absent_fields = true
  data_json = jsonencode({
    type             = "caep"
    issuer           = "idp"
    bound_audiences  = [var.audience]
    account_template = "okta/{{email}}"
  })
}

# Always there: it has no delete.
resource "vault_generic_endpoint" "config" {
  depends_on = [vault_generic_endpoint.role, vault_generic_endpoint.profile]

  path                 = "${vault_mount.backup_codes.path}/config"
  ignore_absent_fields = true
  disable_delete       = true
  data_json = jsonencode({
    default_role    = "on-call"
    default_profile = "critical"
  })
}

# What is said about an account. Its sets come and go without this; while one is alive a destroy is refused.
resource "vault_generic_endpoint" "account" {
  for_each   = var.accounts
  depends_on = [vault_generic_endpoint.profile]

  path                 = "${vault_mount.backup_codes.path}/accounts/${each.key}"
  ignore_absent_fields = true
  data_json = jsonencode({
    profile    = "critical"
    owner      = each.value.owner
    login_name = each.value.login_name
    login_url  = each.value.login_url
    labels     = { managed-by = "opentofu" }
  })
}
