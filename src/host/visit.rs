//! One request on its way through the pipeline: who brings it, and what its handler gives back.

use std::net::IpAddr;
use std::time::Duration;

use serde_json::{Map, Value};

use super::answer::{Answer, Data, Envelope, Refusal};
use super::call::{Token, Verb};
use super::tokens::Held;
use super::wrapping::Waiting;
use super::{Host, Unsealed};
use crate::auth::Caller;
use crate::domain::fields::Fields;
use crate::domain::role::Capability;
use crate::engine::config_ledger::By;
use crate::engine::request::{Disclosure, Face, Operation, Request};
use crate::error::{Kind, Result};

/// What the token of a request turned out to be.
pub(super) enum Bearer {
    /// None was sent.
    None,
    /// The path does not look at tokens.
    Ignored,
    /// A token that lives.
    Held(Held),
    /// A wrapping token that has not been used.
    Wrapping(Waiting),
    /// Neither: unknown, expired, revoked.
    Unknown,
}

impl Bearer {
    /// The caller it makes of who sends it.
    pub(super) fn caller(&self) -> Caller {
        match self {
            Bearer::Held(held) => held.record.caller(),
            Bearer::None | Bearer::Ignored | Bearer::Wrapping(_) | Bearer::Unknown => Caller::Anonymous,
        }
    }
}

/// One request, as its handler sees it.
pub(super) struct Visit<'a> {
    pub host: &'a Host,
    pub open: &'a Unsealed,
    /// The request's id.
    pub id: &'a str,
    pub verb: Verb,
    /// The whole path below `/v1/`.
    pub path: &'a str,
    /// The token as it was sent.
    pub token: Option<&'a Token>,
    pub bearer: &'a Bearer,
    pub caller: &'a Caller,
    pub wrap_ttl: Option<Duration>,
    /// Whether metrics are wanted as text.
    pub text_metrics: bool,
    pub remote: Option<IpAddr>,
}

impl Visit<'_> {
    /// The living token of a request that was admitted with one.
    pub(super) fn held(&self) -> Result<&Held, Refusal> {
        match self.bearer {
            Bearer::Held(held) => Ok(held),
            _ => Err(Refusal::no_token()),
        }
    }
    /// Who stands in the configuration's ledger for what the request changes.
    pub(super) fn by(&self) -> By {
        By::request(&Request {
            id: self.id.to_owned(),
            operation: Operation::Update,
            path: self.path.to_owned(),
            data: Map::new(),
            caller: self.caller.clone(),
            remote: self.remote,
            face: Face::Http,
            wrap: None,
        })
    }
    /// Refuses a caller that may not administer.
    pub(super) async fn administers(&self) -> Result<(), Refusal> {
        administers(self.open, self.caller, self.remote).await
    }
}

/// Refuses a caller that may not administer.
pub(super) async fn administers(open: &Unsealed, caller: &Caller, remote: Option<IpAddr>) -> Result<(), Refusal> {
    match open.engine.may(caller, Capability::Administer, None, remote).await {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == Kind::Denied => Err(Refusal::forbidden()),
        Err(error) => Err(Refusal::of(error, caller)),
    }
}

/// What a handler gives back.
pub(super) struct Acted {
    /// The answer, without what is disclosed.
    pub answer: Answer,
    /// What audit says of the act.
    pub note: Map<String, Value>,
    /// Codes that leave with the answer.
    pub disclosure: Option<Disclosure>,
}

impl Acted {
    /// 204.
    pub(super) fn nothing() -> Acted {
        Answer::Empty { status: 204 }.into()
    }
    /// 200 with `data` and a warning of fields that nothing asked for.
    pub(super) fn data(data: Map<String, Value>, fields: &Fields) -> Acted {
        Envelope { warnings: ignored(fields), ..Envelope::around(Data::Fields(data)) }.into()
    }
}

impl From<Answer> for Acted {
    fn from(answer: Answer) -> Self {
        Acted { answer, note: Map::new(), disclosure: None }
    }
}

impl From<Envelope> for Acted {
    fn from(envelope: Envelope) -> Self {
        Answer::Logical(Box::new(envelope)).into()
    }
}

/// Vault's warning of fields that nothing asked for.
pub(super) fn ignored(fields: &Fields) -> Vec<String> {
    let unknown = fields.unknown();
    if unknown.is_empty() {
        return Vec::new();
    }
    vec![format!("Endpoint ignored these unrecognized parameters: [{}]", unknown.join(" "))]
}
