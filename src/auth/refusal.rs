//! Why an assertion or a role says no: one variant a reason, and the two voices in which it is said. An act is refused with 403
//! and the layer named; a login is refused with 400 and the text that Vault's clients know.

use std::time::Duration;

use crate::domain::role::Capability;
use crate::error::{Error, Kind};

/// Why an assertion does not stand, or does not satisfy a role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// Longer than is read.
    TooLarge,
    /// Not three parts joined by dots.
    Parts,
    /// A part is not canonical unpadded base64url.
    Encoding,
    /// Header or payload is not one JSON object.
    Json,
    /// Header or payload nests too deep.
    Deep,
    /// A name stands twice in header or payload.
    Repeated(String),
    /// A header parameter is missing or of the wrong type.
    Header(&'static str),
    /// The header demands extensions (`crit`).
    Critical,
    /// The `typ` is not one that is taken here.
    Type(String),
    /// `none`, HMAC or an unknown algorithm.
    Algorithm {
        /// What the header says.
        alg: String,
        /// Whether the issuer's keys are pinned as PEM (Vault words it differently then).
        pinned: bool,
    },
    /// An algorithm that this issuer may not sign with.
    AlgorithmNotAllowed(String),
    /// No key of the issuer could verify that algorithm, or none has that `kid`.
    NoKey {
        /// Whether the issuer's keys are pinned as PEM.
        pinned: bool,
    },
    /// The issuer's keys are to be fetched and cannot be.
    KeysUnavailable,
    /// The signature is not that of a key of the issuer.
    Signature {
        /// Whether the issuer's keys are pinned as PEM.
        pinned: bool,
    },
    /// A claim is spelt like a registered one but for capitals.
    Ambiguous {
        /// The claim as it stands there.
        claim: String,
        /// The registered one.
        registered: &'static str,
    },
    /// A required claim is missing.
    ClaimMissing(&'static str),
    /// A registered claim is of the wrong JSON type or out of range.
    ClaimType {
        /// Which claim.
        claim: &'static str,
        /// What it is instead.
        found: &'static str,
    },
    /// The issuer is not one that the role trusts.
    Issuer,
    /// Past `exp`.
    Expired,
    /// Before `nbf`.
    NotYet,
    /// `iat` lies in the future.
    IssuedInFuture,
    /// `aud` holds none of the role's audiences.
    Audience,
    /// `sub` is not the role's.
    Subject,
    /// A claim that the role binds is missing.
    BoundClaimMissing(String),
    /// A claim that the role binds has another value.
    BoundClaim(String),
    /// A claim that the role binds is an object or null.
    BoundClaimType(String),
    /// The claim that names the user is missing.
    UserClaimMissing(String),
    /// The claim that names the user is not a plain text.
    UserClaimType(String),
    /// The role does not allow the operation.
    Operation(Capability),
    /// The role does not cover the account.
    Account,
    /// The assertion is older than the role takes.
    TooOld(Duration),
    /// The person must sign in again, or better (RFC 9470).
    StepUp {
        /// Any of these will do; empty if it is not about `acr`.
        acr: Vec<String>,
        /// All of these are needed; empty if it is not about `amr`.
        amr: Vec<String>,
        /// How long ago the sign-in may be.
        max_age: Option<Duration>,
    },
    /// The session was opened by a method that the role refuses, or does not say by which.
    RefusedMethod,
    /// The address is in none of the role's networks.
    Network,
    /// The assertion must be in the request.
    NotInRequest,
    /// The answer must be wrapped.
    Unwrapped,
    /// A reason is missing.
    Reason,
    /// The ticket is missing or not of the role's form.
    Ticket,
    /// The role's issuers are of type `host`, and no vault mounts us.
    HostOnly,
    /// The role's issuers are of both types.
    MixedIssuers,
    /// A JWT was sent where the vault's own word is asked for.
    TakesNoJwt,
    /// The vault's token belongs to no entity, or to a disabled one.
    NoEntity,
    /// The entity has no alias at an auth method that the role trusts.
    NoAlias,
    /// The entity has an alias at an auth method that the role does not trust.
    OtherAlias,
}

const VALIDATING: &str = "error validating token: ";
const SIGNATURE: &str = "error validating token: error verifying token signature: ";
const UNVERIFIED: &str = "failed to verify id token signature";
const NO_KNOWN_KEY: &str = "no known key successfully validated the token signature";
const KNOWN: &str = r#"["RS256" "RS384" "RS512" "ES256" "ES384" "ES512" "PS256" "PS384" "PS512" "EdDSA"]"#;

impl Refusal {
    /// The answer to an act: 403, with the layer that refused as first word.
    pub fn for_act(&self) -> Error {
        let (layer, what) = self.said();
        Error::denied(format!("{layer}: {what}"))
    }

    /// The layer and what is wrong, without a word from the assertion that is longer than a name.
    fn said(&self) -> (&'static str, String) {
        let assertion = |what: &str| ("assertion", what.to_owned());
        let role = |what: &str| ("role", what.to_owned());
        match self {
            Refusal::TooLarge => assertion("the JWT is longer than 16 KiB"),
            Refusal::Parts => assertion("not a JWT: three parts joined by dots"),
            Refusal::Encoding => assertion("not a JWT: each part is unpadded base64url, with nothing around it"),
            Refusal::Json => assertion("not a JWT: header and payload are JSON objects"),
            Refusal::Deep => assertion("header or payload nests too deep"),
            Refusal::Repeated(name) => ("assertion", format!("{} stands twice", short(name))),
            Refusal::Header(name) => ("assertion", format!("header parameter {name} is missing or of the wrong type")),
            Refusal::Critical => assertion("header parameter crit demands extensions; none are supported"),
            Refusal::Type(typ) => ("assertion", format!("typ {} is not taken here", short(typ))),
            Refusal::Algorithm { alg, .. } => ("assertion", format!("algorithm {} is never accepted", short(alg))),
            Refusal::AlgorithmNotAllowed(alg) => {
                ("assertion", format!("this issuer does not sign with algorithm {}", short(alg)))
            }
            Refusal::NoKey { .. } => assertion("the issuer has no key that fits the header's kid and alg"),
            Refusal::KeysUnavailable => assertion(
                "the issuer's keys cannot be fetched at present; try again, or use an issuer with pinned keys",
            ),
            Refusal::Signature { .. } => assertion("the signature is not the issuer's"),
            Refusal::Ambiguous { claim, registered } => {
                ("assertion", format!("claim {} could be taken for {registered}", short(claim)))
            }
            Refusal::ClaimMissing(claim) => ("assertion", format!("claim {claim} is missing")),
            Refusal::ClaimType { claim, found } => ("assertion", format!("claim {claim} must not be {found}")),
            Refusal::Issuer => assertion("its issuer is not one that the role trusts"),
            Refusal::Expired => assertion("expired; get a new one"),
            Refusal::NotYet => assertion("not valid yet (nbf)"),
            Refusal::IssuedInFuture => assertion("issued in the future (iat); compare the clocks"),
            Refusal::Audience => assertion("meant for another audience (aud)"),
            Refusal::Subject => role("this subject is not the one that the role names"),
            Refusal::BoundClaimMissing(claim) => ("role", format!("claim {} is wanted and missing", short(claim))),
            Refusal::BoundClaim(claim) | Refusal::BoundClaimType(claim) => {
                ("role", format!("claim {} is not what the role wants", short(claim)))
            }
            Refusal::UserClaimMissing(claim) => {
                ("role", format!("claim {}, which names the user, is missing", short(claim)))
            }
            Refusal::UserClaimType(claim) => {
                ("role", format!("claim {}, which names the user, must be a short text", short(claim)))
            }
            Refusal::Operation(capability) => ("role", format!("it does not allow {capability}")),
            Refusal::Account => role("it does not cover this account"),
            Refusal::TooOld(most) => {
                ("role", format!("the assertion is older than {} seconds; get a new one", most.as_secs()))
            }
            Refusal::StepUp { acr, amr, max_age } => ("role", step_up(acr, amr, *max_age)),
            Refusal::RefusedMethod => {
                role("insufficient_user_authentication: the session was opened by a method that the role refuses (amr)")
            }
            Refusal::Network => role("it may not be used from this address"),
            Refusal::NotInRequest => role("this act needs the JWT in the request itself (field jwt), not only a login"),
            Refusal::Unwrapped => role("the answer must be wrapped: ask for a wrap TTL (X-Vault-Wrap-TTL, -wrap-ttl)"),
            Refusal::Reason => role("a reason is required (field reason)"),
            Refusal::Ticket => role("a ticket of the form that the role names is required (field ticket)"),
            Refusal::HostOnly => role("its issuers are of type host, which works only when mounted"),
            Refusal::MixedIssuers => role("its issuers are of type host and of type jwt, which do not mix"),
            Refusal::TakesNoJwt => role("its issuers are of type host: the vault vouches for you; send no jwt"),
            Refusal::NoEntity => {
                assertion("the vault knows no entity behind this token; log in by an auth method that the role trusts")
            }
            Refusal::NoAlias => {
                assertion("the entity of this token has no alias at an auth method that the role trusts")
            }
            Refusal::OtherAlias => assertion(
                "the entity of this token has an alias at an auth method that the role does not trust, and the vault does not \
                 tell by which one this token came; send a JWT under a role with issuers of type jwt",
            ),
        }
    }

    /// The answer to a login: 400 with Vault's text; 403 where the address is the matter, as Vault has it.
    pub fn for_login(&self) -> Error {
        let text = match self {
            Refusal::Network => return Error::new(Kind::Denied, "permission denied"),
            Refusal::Parts => {
                format!("{SIGNATURE}oidc: malformed jwt: go-jose/go-jose: compact JWS format must have three parts")
            }
            Refusal::TooLarge
            | Refusal::Encoding
            | Refusal::Json
            | Refusal::Deep
            | Refusal::Repeated(_)
            | Refusal::Header(_)
            | Refusal::Critical => format!("{SIGNATURE}oidc: malformed jwt: {}", self.said().1),
            Refusal::Algorithm { pinned: false, alg } => {
                format!(
                    "{SIGNATURE}oidc: malformed jwt: unexpected signature algorithm {}; expected {KNOWN}",
                    short(alg)
                )
            }
            Refusal::NoKey { pinned: false } | Refusal::Signature { pinned: false } => {
                format!("{SIGNATURE}{UNVERIFIED}")
            }
            Refusal::Algorithm { pinned: true, .. }
            | Refusal::NoKey { pinned: true }
            | Refusal::Signature { pinned: true } => format!("{SIGNATURE}{NO_KNOWN_KEY}"),
            Refusal::KeysUnavailable => format!("{SIGNATURE}fetching keys: {}", self.said().1),
            Refusal::AlgorithmNotAllowed(_) => {
                format!("{VALIDATING}invalid algorithm (alg) header parameter: token signed with unexpected algorithm")
            }
            Refusal::Type(_) => format!("{VALIDATING}invalid type (typ) header parameter: {}", self.said().1),
            Refusal::Ambiguous { claim, registered } => format!(
                "{VALIDATING}ambiguous claim: key {} collides with registered claim \"{registered}\" under case folding",
                short(claim)
            ),
            Refusal::Issuer | Refusal::ClaimMissing("iss") => format!("{VALIDATING}invalid issuer (iss) claim"),
            Refusal::Subject | Refusal::ClaimMissing("sub") => format!("{VALIDATING}invalid subject (sub) claim"),
            Refusal::Audience | Refusal::ClaimMissing("aud") => {
                format!("{VALIDATING}invalid audience (aud) claim: audience claim does not match any expected audience")
            }
            Refusal::ClaimMissing("exp") => format!("{VALIDATING}no expiration time (exp) claim in token"),
            Refusal::ClaimMissing("iat") => format!("{VALIDATING}no issued at (iat) claim in token"),
            Refusal::ClaimMissing(claim) => format!("{VALIDATING}claim \"{claim}\" is missing"),
            Refusal::ClaimType { claim: "exp" | "nbf" | "iat", .. } => {
                format!("{VALIDATING}go-jose/go-jose/jwt: expected number value to unmarshal NumericDate")
            }
            Refusal::ClaimType { claim, found } => format!(
                "{VALIDATING}json: cannot unmarshal {} into Go struct field Claims.{claim} of type string",
                found.rsplit(' ').next().unwrap_or_default()
            ),
            Refusal::NotYet => format!("{VALIDATING}invalid not before (nbf) claim: token not yet valid"),
            Refusal::Expired => format!("{VALIDATING}invalid expiration time (exp) claim: token is expired"),
            Refusal::IssuedInFuture => {
                format!("{VALIDATING}invalid issued at (iat) claim: token issued in the future")
            }
            Refusal::TooOld(_) => format!("{VALIDATING}invalid issued at (iat) claim: {}", self.said().1),
            Refusal::UserClaimMissing(claim) => format!("claim {} not found in token", short(claim)),
            Refusal::UserClaimType(claim) => format!("claim {} could not be converted to string", short(claim)),
            Refusal::BoundClaimMissing(claim) => format!("error validating claims: claim {} is missing", short(claim)),
            Refusal::BoundClaim(claim) => {
                format!(
                    "error validating claims: claim {} does not match any associated bound claim values",
                    short(claim)
                )
            }
            Refusal::BoundClaimType(claim) => {
                format!("error validating claims: received claim is not a string, bool, int or list: {}", short(claim))
            }
            Refusal::Operation(_)
            | Refusal::Account
            | Refusal::StepUp { .. }
            | Refusal::RefusedMethod
            | Refusal::NotInRequest
            | Refusal::Unwrapped
            | Refusal::Reason
            | Refusal::Ticket
            | Refusal::HostOnly
            | Refusal::MixedIssuers
            | Refusal::TakesNoJwt
            | Refusal::NoEntity
            | Refusal::NoAlias
            | Refusal::OtherAlias => format!("error validating claims: {}", self.said().1),
        };
        Error::invalid(text)
    }
}

/// RFC 9470 section 3 in one sentence: what to ask the identity provider for.
fn step_up(acr: &[String], amr: &[String], max_age: Option<Duration>) -> String {
    let mut wanted = Vec::new();
    if !acr.is_empty() {
        wanted.push(format!("acr_values=\"{}\"", acr.join(" ")));
    }
    if !amr.is_empty() {
        wanted.push(format!("amr \"{}\"", amr.join(" ")));
    }
    if let Some(age) = max_age {
        wanted.push(format!("max_age={}", age.as_secs()));
    }
    format!("insufficient_user_authentication: sign in again with {}", wanted.join(", "))
}

/// A stranger's word, quoted and cut: it goes into messages and logs.
fn short(text: &str) -> String {
    let mut cut: String = text.chars().take(64).collect();
    if cut.len() < text.len() {
        cut.push('…');
    }
    format!("{cut:?}")
}
