variable "mount" {
  description = "Where the engine is mounted."
  default     = "backup-codes"
}

variable "issuer" {
  description = "The identity provider's iss."
  default     = "https://idp.example.com/"
}

variable "jwks_url" {
  description = "Where its keys are."
  default     = "https://idp.example.com/keys"
}

variable "audience" {
  description = "What the provider's tokens for this engine are made out to."
  default     = "backup-codes"
}

variable "roles" {
  description = "Who may do what with which accounts."
  default = {
    on-call = {
      bound_claims = { groups = ["on-call"] }
      accounts     = ["github/*", "okta/*"]
      operations   = ["retrieve", "outcome", "check"]
    }
    rotator = {
      bound_claims = { sub = ["rotator"] }
      accounts     = ["github/*", "okta/*"]
      operations   = ["store", "confirm"]
    }
  }
}

variable "accounts" {
  description = "Accounts, and who answers for them."
  default = {
    "github/acme-owner" = {
      owner      = "platform@example.com"
      login_name = "acme-owner"
      login_url  = "https://github.com/login"
    }
    "okta/jane@example.com" = {
      owner      = "jane@example.com"
      login_name = "jane@example.com"
      login_url  = "https://example.okta.com"
    }
  }
}
