//! What the host answers, before it is bytes: Vault's envelope, bare documents, statuses without a body, errors.

use std::net::IpAddr;

use serde::Serialize;
use serde_json::{Map, Value};
use zeroize::Zeroizing;

use super::call::Token;
use super::stream::Stream;
use crate::auth::Caller;
use crate::engine::listed::List;
use crate::engine::request::Codes;
use crate::error::{Error, Kind};
use crate::sources::EventRefusal;

/// An answer to one call.
pub enum Answer {
    /// 200 with Vault's envelope.
    Logical(Box<Envelope>),
    /// A JSON document without envelope.
    Bare {
        /// The status.
        status: u16,
        /// The document; wiped when sent, since `init` answers with key shares.
        document: Zeroizing<Vec<u8>>,
    },
    /// A text without envelope.
    Text {
        /// The status.
        status: u16,
        /// Its media type.
        media: &'static str,
        /// The text, which holds no secret.
        text: String,
    },
    /// 200 with bytes that are made while they are sent. They hold no code.
    Stream {
        /// Their media type.
        media: &'static str,
        /// The bytes.
        stream: Stream,
    },
    /// A status without a body.
    Empty {
        /// The status.
        status: u16,
    },
    /// An error in Vault's shape.
    Refused(Refusal),
    /// An error in the shape of RFC 8935.
    EventRefused(EventRefusal),
}

impl Answer {
    /// `document` as it stands, with `status`. `room` is how many bytes it will take at most, so that the buffer does not move
    /// and leave a copy behind.
    pub fn bare(status: u16, document: &impl Serialize, room: usize) -> Answer {
        let mut bytes = Zeroizing::new(Vec::with_capacity(room));
        match serde_json::to_writer(&mut *bytes, document) {
            Ok(()) => {
                bytes.push(b'\n');
                Answer::Bare { status, document: bytes }
            }
            Err(error) => Answer::Refused(Refusal::from(Error::internal(error))),
        }
    }
}

impl Answer {
    /// The sentence of a refusal.
    pub fn refusal(&self) -> Option<&str> {
        match self {
            Answer::Refused(refusal) => Some(refusal.sentence()),
            Answer::EventRefused(refusal) => Some(&refusal.description),
            Answer::Logical(_)
            | Answer::Bare { .. }
            | Answer::Text { .. }
            | Answer::Stream { .. }
            | Answer::Empty { .. } => None,
        }
    }
    /// The status it is sent with.
    pub fn status(&self) -> u16 {
        match self {
            Answer::Logical(_) | Answer::Stream { .. } => 200,
            Answer::Bare { status, .. } | Answer::Text { status, .. } | Answer::Empty { status } => *status,
            Answer::Refused(refusal) => refusal.status,
            Answer::EventRefused(_) => 400,
        }
    }
}

impl From<Refusal> for Answer {
    fn from(refusal: Refusal) -> Self {
        Answer::Refused(refusal)
    }
}

/// Vault's envelope.
pub struct Envelope {
    /// The request's id; empty where the answer is a wrapping.
    pub request_id: String,
    /// What is told.
    pub data: Data,
    /// The wrapping that stands for the answer.
    pub wrap_info: Option<WrapInfo>,
    /// Vault's warnings.
    pub warnings: Vec<String>,
    /// A token that was made or renewed.
    pub auth: Option<Auth>,
    /// Whether the keys of `data` also stand beside it, as on Vault's oldest paths.
    pub flattened: bool,
}

impl Envelope {
    /// An envelope around `data`. The pipeline puts the request id in.
    pub fn data(data: Map<String, Value>) -> Envelope {
        Envelope::around(Data::Fields(data))
    }
    /// An envelope around `auth`.
    pub fn auth(auth: Auth) -> Envelope {
        Envelope { auth: Some(auth), ..Envelope::around(Data::Null) }
    }
    /// An envelope that carries `wrap_info` in place of an answer.
    pub fn wrapped(wrap_info: WrapInfo) -> Envelope {
        Envelope { wrap_info: Some(wrap_info), ..Envelope::around(Data::Null) }
    }
    /// An envelope around what the engine or a wrapping holds.
    pub fn around(data: Data) -> Envelope {
        Envelope {
            request_id: String::new(),
            data,
            wrap_info: None,
            warnings: Vec::new(),
            auth: None,
            flattened: false,
        }
    }
}

impl Envelope {
    /// The object in `data`, if there is one.
    pub fn fields(&self) -> Option<&Map<String, Value>> {
        match &self.data {
            Data::Fields(fields) | Data::Listed(fields, _) | Data::Disclosed(fields, ..) => Some(fields),
            Data::Null | Data::Unwrapped(_) => None,
        }
    }
    /// The list among it, if there is one.
    pub fn list(&self) -> Option<&List> {
        match &self.data {
            Data::Listed(_, list) => Some(list),
            Data::Fields(_) | Data::Disclosed(..) | Data::Null | Data::Unwrapped(_) => None,
        }
    }
    /// Whether there is anything to wrap.
    pub fn carries_something(&self) -> bool {
        self.wrap_info.is_none() && (self.auth.is_some() || !matches!(self.data, Data::Null))
    }
    /// Puts opened codes among the fields.
    pub fn disclose(&mut self, field: &'static str, codes: Codes) {
        let fields = match std::mem::replace(&mut self.data, Data::Null) {
            Data::Fields(fields) | Data::Disclosed(fields, ..) => fields,
            Data::Listed(fields, list) => list.among(fields),
            Data::Null | Data::Unwrapped(_) => Map::new(),
        };
        self.data = Data::Disclosed(fields, field, codes);
    }
}

/// The `data` of an envelope.
pub enum Data {
    /// `null`.
    Null,
    /// An object.
    Fields(Map<String, Value>),
    /// An object with a list among its fields.
    Listed(Map<String, Value>, List),
    /// An object into which codes go when the bytes are written, and no earlier.
    Disclosed(Map<String, Value>, &'static str, Codes),
    /// The bytes of an unwrapped envelope after its request id, which stand for the whole rest of this one.
    Unwrapped(Zeroizing<Vec<u8>>),
}

/// The `auth` of an envelope.
pub struct Auth {
    /// The token.
    pub client_token: Token,
    /// Its accessor.
    pub accessor: String,
    /// Its policies, sorted.
    pub policies: Vec<String>,
    /// What the login says of itself; `null` if `None`.
    pub metadata: Option<Map<String, Value>>,
    /// Seconds it lives from now.
    pub lease_duration: u64,
    /// Whether it can be renewed.
    pub renewable: bool,
}

impl Auth {
    /// What the login says of itself under `name`; empty if nothing.
    pub fn told(&self, name: &str) -> &str {
        self.metadata.as_ref().and_then(|metadata| metadata.get(name)).and_then(Value::as_str).unwrap_or_default()
    }
}

/// The `wrap_info` of an envelope.
pub struct WrapInfo {
    /// The wrapping token.
    pub token: Token,
    /// Its accessor.
    pub accessor: String,
    /// Seconds it lives.
    pub ttl: u64,
    /// When it was made, RFC 3339.
    pub creation_time: String,
    /// The path whose answer it holds.
    pub creation_path: String,
    /// The accessor of the token inside, if it holds one.
    pub wrapped_accessor: Option<String>,
}

/// An error as it leaves: a status, sentences, and when to try again.
#[derive(Debug)]
pub struct Refusal {
    /// The status.
    pub status: u16,
    /// `errors` of the body; empty for Vault's bare 404 and 405.
    pub errors: Vec<String>,
    /// Seconds for `Retry-After`.
    pub retry_after: Option<u64>,
    /// What only the operator's log and audit may see.
    pub cause: Option<Error>,
}

impl Refusal {
    /// `status` with one sentence.
    pub fn new(status: u16, sentence: impl Into<String>) -> Refusal {
        Refusal { status, errors: vec![sentence.into()], retry_after: None, cause: None }
    }
    /// `status` with `{"errors":[]}`.
    pub fn silent(status: u16) -> Refusal {
        Refusal { status, errors: Vec::new(), retry_after: None, cause: None }
    }
    /// 403 found before the router: no token, or none that lives.
    pub fn no_token() -> Refusal {
        Refusal::new(403, "permission denied")
    }
    /// 403 for a living token without the right.
    pub fn forbidden() -> Refusal {
        Refusal::new(403, wrapped("permission denied"))
    }
    /// 404 for a path that a known mount does not have.
    pub fn unsupported_path() -> Refusal {
        Refusal::new(404, wrapped("unsupported path"))
    }
    /// 405 for a path that knows other operations.
    pub fn unsupported_operation() -> Refusal {
        Refusal::new(405, wrapped("unsupported operation"))
    }
    /// 503 while the root key is not in memory.
    pub fn sealed() -> Refusal {
        Refusal { retry_after: Some(SEALED_RETRY), ..Refusal::new(503, "Vault is sealed") }
    }

    /// Its first sentence; empty for a bare 404 or 405.
    pub fn sentence(&self) -> &str {
        self.errors.first().map_or("", String::as_str)
    }

    /// The error of an act for `caller`: the sentences of Vault's router come in its wrapping where the router would have
    /// raised them, every other sentence bare.
    pub fn of(error: Error, caller: &Caller) -> Refusal {
        let status = error.kind().status();
        let anonymous = matches!(caller, Caller::Anonymous);
        let errors = match (error.kind(), error.public()) {
            (Kind::NotFound, "") => Vec::new(),
            (Kind::NotFound, "unsupported path") => vec![wrapped("unsupported path")],
            (Kind::Unsupported, "" | "unsupported operation") => vec![wrapped("unsupported operation")],
            (Kind::Denied, "" | "permission denied") if anonymous => vec!["permission denied".to_owned()],
            (Kind::Denied, "" | "permission denied") => vec![wrapped("permission denied")],
            (_, "") => Vec::new(),
            (_, sentence) => vec![sentence.to_owned()],
        };
        let retry_after = match error.kind() {
            Kind::TooMany | Kind::Unavailable => {
                let given = error.retry_after().map(|after| after.as_secs() + u64::from(after.subsec_nanos() > 0));
                Some(given.unwrap_or(1).max(1))
            }
            _ => None,
        };
        Refusal { status, errors, retry_after, cause: Some(error) }
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Refusal::of(error, &Caller::Anonymous)
    }
}

/// A sentence as Vault's router lists it.
pub fn wrapped(sentence: &str) -> String {
    format!("1 error occurred:\n\t* {sentence}\n\n")
}

/// The address without its port, as rules on networks want it: an IPv4 address mapped into IPv6 is the IPv4 one.
pub fn canonical(address: IpAddr) -> IpAddr {
    address.to_canonical()
}

const SEALED_RETRY: u64 = 5;

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const ROOT: fn() -> Caller = || Caller::Root { accessor: "acc".into() };

    #[test]
    fn the_routers_sentences_come_in_its_wrapping_and_others_bare() {
        let said = |kind: Kind, sentence: &str, caller: &Caller| {
            let refusal = Refusal::of(Error::new(kind, sentence), caller);
            (refusal.status, refusal.errors)
        };
        let anonymous = Caller::Anonymous;
        for (kind, sentence, caller, status, expected) in [
            (Kind::Denied, "permission denied", &anonymous, 403, vec!["permission denied".to_owned()]),
            (Kind::Denied, "permission denied", &ROOT(), 403, vec![wrapped("permission denied")]),
            (Kind::Denied, "role: no", &ROOT(), 403, vec!["role: no".to_owned()]),
            (Kind::NotFound, "", &ROOT(), 404, vec![]),
            (Kind::NotFound, "unsupported path", &anonymous, 404, vec![wrapped("unsupported path")]),
            (Kind::Unsupported, "unsupported operation", &ROOT(), 405, vec![wrapped("unsupported operation")]),
            (Kind::Invalid, "slot: a number", &ROOT(), 400, vec!["slot: a number".to_owned()]),
        ] {
            assert_eq!(said(kind, sentence, caller), (status, expected), "{kind:?} {sentence}");
        }
    }

    #[test]
    fn only_what_passes_by_itself_says_when_to_try_again() {
        let after = |error: Error| Refusal::from(error).retry_after;
        assert_eq!(after(Error::new(Kind::TooMany, "x").with_retry_after(Duration::from_millis(1500))), Some(2));
        assert_eq!(after(Error::unavailable("x")), Some(1));
        assert_eq!(after(Error::unavailable("x").with_retry_after(Duration::ZERO)), Some(1));
        assert_eq!(after(Error::invalid("x").with_retry_after(Duration::from_secs(9))), None);
        assert!(Refusal::sealed().retry_after.is_some());
    }

    #[test]
    fn an_ipv4_address_in_ipv6_is_the_ipv4_one() {
        let mapped: IpAddr = "::ffff:192.0.2.1".parse().unwrap();
        assert_eq!(canonical(mapped).to_string(), "192.0.2.1");
    }
}
