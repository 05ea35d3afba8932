//! Who may tell us that MFA was enrolled again, and what they say. Every source yields the same [`Event`] and the engine
//! decides: nothing in here changes an account.
//!
//! Signature, algorithm, `typ` and issuer of a Security Event Token are checked before [`interpret`] sees its claims.

use crate::domain::time::Timestamp;

mod caep;
mod config;
mod set;
mod subject;
mod template;

pub use caep::interpret;
pub use config::Source;
pub use subject::Subject;

/// What an event does to the sets that were bound before it (and, within the skew, around it).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Effect {
    /// It is written down and shown; no set is touched.
    Notify,
    /// Sets are blocked until somebody releases them: what happened is not understood well enough to end them.
    Quarantine,
    /// Sets end, as the account's profile says (`on_enrollment`).
    End,
}

impl Effect {
    /// The word for it in ledger entries.
    pub const fn word(self) -> &'static str {
        match self {
            Effect::Notify => "notify",
            Effect::Quarantine => "quarantine",
            Effect::End => "end",
        }
    }
}

/// One change of a credential at an issuer. Every text is bounded and free of control characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// What a redelivery repeats: `iss` and `jti` as the JSON text `["iss","jti"]`, so that no two pairs read alike.
    pub id: String,
    /// The `iss` claim.
    pub issuer: String,
    /// Whose credential changed, in every spelling the event gives. Empty or unmappable subjects meet no account.
    pub subjects: Vec<Subject>,
    /// The kind of credential, such as `app` or `fido2-platform`; open-ended.
    pub credential_type: String,
    /// What happened to it, such as `create` or `delete`; open-ended.
    pub change_type: String,
    /// When it happened, as the issuer says; may lie in the future (it then counts as received now).
    pub at: Timestamp,
    /// The event names no usable time of its own: `at` is the token's `iat`.
    pub time_inferred: bool,
    /// Who set it off: `admin`, `user`, `policy` or `system`.
    pub initiating_entity: Option<String>,
    /// What it does.
    pub effect: Effect,
}

/// What a Security Event Token turned out to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Received {
    /// A credential changed.
    Enrollment(Event),
    /// The transmitter proves that the stream is alive (SSF 1.0 "Verification").
    Verification {
        /// What we asked it to echo, if anything.
        state: Option<String>,
    },
    /// The transmitter changed the state of the stream (SSF 1.0 "Stream Updated Event"): silence from here on is not safety.
    StreamUpdated {
        /// `enabled`, `paused`, `disabled`, or what it says instead.
        status: String,
        /// Why, in the transmitter's words.
        reason: Option<String>,
    },
    /// A well-formed event that means nothing to us; accepted, without effect.
    Ignored {
        /// Which event it was and why it is ignored.
        why: String,
    },
}

/// Why a Security Event Token is refused: 400 with this body (RFC 8935 section 2.3). The sender stops retrying, so this is
/// for tokens that will never be right, not for our own failures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventRefusal {
    /// The code of RFC 8935 section 2.4: `invalid_request`, `invalid_key`, `invalid_issuer`, `invalid_audience`,
    /// `authentication_failed` or `access_denied`.
    pub err: &'static str,
    /// A sentence for the transmitter's operator.
    pub description: String,
}

impl EventRefusal {
    /// The token or its event is not of the required form.
    pub fn invalid_request(description: impl Into<String>) -> Self {
        EventRefusal { err: "invalid_request", description: description.into() }
    }
    /// The issuer is not the one of this source.
    pub fn invalid_issuer(description: impl Into<String>) -> Self {
        EventRefusal { err: "invalid_issuer", description: description.into() }
    }
    /// None of the audiences is ours.
    pub fn invalid_audience(description: impl Into<String>) -> Self {
        EventRefusal { err: "invalid_audience", description: description.into() }
    }
    /// The key is unknown, unfit or withdrawn.
    pub fn invalid_key(description: impl Into<String>) -> Self {
        EventRefusal { err: "invalid_key", description: description.into() }
    }
    /// The signature does not verify.
    pub fn authentication_failed(description: impl Into<String>) -> Self {
        EventRefusal { err: "authentication_failed", description: description.into() }
    }
    /// The transmitter may not use this source.
    pub fn access_denied(description: impl Into<String>) -> Self {
        EventRefusal { err: "access_denied", description: description.into() }
    }
}
