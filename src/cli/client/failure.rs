//! What went wrong between the command line and the server, in sentences that say what to do next.

use std::error::Error as StdError;
use std::fmt;
use std::io;

use rustls::{AlertDescription, CertificateError};

use super::{Reply, Settings};

/// A command that did not succeed.
#[derive(Debug)]
pub struct Failure {
    sentence: String,
    kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Before anything was sent.
    Local,
    /// Sent perhaps, and not answered.
    Unanswered,
    /// Sent perhaps, not answered, and it may have changed something.
    Unknown,
    /// Answered by the server.
    Refused,
}

impl Failure {
    /// Nothing was sent, and this is why.
    pub fn local(sentence: impl Into<String>) -> Self {
        Failure { sentence: sentence.into(), kind: Kind::Local }
    }
    /// The request may have arrived, the answer did not; `changes` says that it was one that changes something.
    pub(super) fn lost(sentence: impl Into<String>, changes: bool) -> Self {
        Failure { sentence: sentence.into(), kind: if changes { Kind::Unknown } else { Kind::Unanswered } }
    }
    /// The server answered and refused.
    pub fn refused(sentence: impl Into<String>) -> Self {
        Failure { sentence: sentence.into(), kind: Kind::Refused }
    }
    /// Where the request may have arrived, remembers whether it would have changed something.
    pub(super) fn or_lost(self, changes: bool) -> Self {
        match self.kind {
            Kind::Unanswered => Self::lost(self.sentence, changes),
            _ => self,
        }
    }
    /// Whether the server may have done what was asked although no answer came.
    pub fn outcome_unknown(&self) -> bool {
        self.kind == Kind::Unknown
    }
    /// Whether the server answered and refused.
    pub fn is_refusal(&self) -> bool {
        self.kind == Kind::Refused
    }
    /// The exit code, as `bao` has it: 2 if the server refused, else 1.
    pub fn exit_code(&self) -> u8 {
        if self.is_refusal() { 2 } else { 1 }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.sentence)
    }
}

impl StdError for Failure {}

/// A request that got no answer.
pub(super) fn of_request(settings: &Settings, error: &hyper_util::client::legacy::Error) -> Failure {
    let at = settings.address();
    if let Some(tls) = find::<rustls::Error>(error) {
        return Failure::local(of_tls(settings, tls));
    }
    let sentence = match io_kind(error) {
        Some(io::ErrorKind::ConnectionRefused) => format!(
            "nothing listens at {at} (connection refused). Start the server, or say where it is with --address or BAO_ADDR"
        ),
        Some(io::ErrorKind::TimedOut | io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable) => {
            format!("{at} cannot be reached. Check the address and the network between here and there")
        }
        _ if error.is_connect() => {
            format!("no connection to {at}: {}. Check --address or BAO_ADDR", innermost(error))
        }
        _ => return Failure::lost(format!("the connection to {at} broke off: {}", innermost(error)), false),
    };
    Failure::local(sentence)
}

fn of_tls(settings: &Settings, error: &rustls::Error) -> String {
    let at = settings.address();
    match error {
        rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer | CertificateError::BadSignature) => {
            match settings.ca_cert() {
                None => format!(
                    "the certificate of {at} is signed by an authority that this machine does not know. Name its file with --ca-cert or BAO_CACERT"
                ),
                Some(file) => format!(
                    "the certificate of {at} is not signed by an authority in {}. Is it the right file, or the right server?",
                    file.display()
                ),
            }
        }
        rustls::Error::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        ) => format!(
            "the certificate of {at} is for another name. Use the name it carries as address, or say it with --tls-server-name"
        ),
        rustls::Error::InvalidCertificate(CertificateError::Expired | CertificateError::ExpiredContext { .. }) => {
            format!("the certificate of {at} has expired. Renew it on the server; check this machine's clock too")
        }
        rustls::Error::InvalidCertificate(
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. },
        ) => format!("the certificate of {at} is not valid yet. Check this machine's clock"),
        rustls::Error::InvalidCertificate(reason) => {
            format!("the certificate of {at} is not accepted: {reason:?}. Check it on the server")
        }
        rustls::Error::InvalidMessage(_) => {
            format!(
                "{at} does not speak TLS. If it runs without TLS on this machine, write http:// in --address or BAO_ADDR"
            )
        }
        rustls::Error::AlertReceived(
            AlertDescription::CertificateRequired | AlertDescription::BadCertificate | AlertDescription::UnknownCA,
        ) => format!("{at} wants a client certificate that it knows. Give one with --client-cert and --client-key"),
        other => format!("no TLS connection to {at}: {other}"),
    }
}

/// An answer that is no success.
pub(super) fn of_reply(settings: &Settings, reply: &Reply) -> Failure {
    let at = settings.address();
    let errors = super::printable(&reply.errors().join("; "));
    let told = if errors.is_empty() { format!("status {}", reply.status()) } else { errors };
    // The id is for whoever looks into the audit log: it stands behind what the reader is to do.
    let (told, request) = match told.strip_suffix(')').and_then(|told| told.rsplit_once(" (request ")) {
        Some((told, id)) if !id.contains(' ') => (told.to_owned(), format!(" (request {id})")),
        _ => (told, String::new()),
    };
    let sentence = match reply.status() {
        300..=399 => match &reply.location {
            Some(place) => {
                format!("{at} points to {}. Use that server's address with --address", super::printable(place))
            }
            None => format!("{at} answered with a redirect to nowhere (status {}). Check --address", reply.status()),
        },
        401 | 403 => format!("refused: {told}. {}", way_in(settings, &told)),
        404 if told == "status 404" => {
            format!("{at} has no such path. Check the mount (--mount) and the address")
        }
        404 => format!("not found: {told}. Check the mount (--mount) and the address"),
        413 => format!("refused: {told}. The request is larger than the server takes"),
        429 => match &reply.retry_after {
            Some(after) => format!("too many requests: {told}. Wait {after} seconds and repeat the command"),
            None => format!("too many requests: {told}. Wait a little and repeat the command"),
        },
        503 if told.to_ascii_lowercase().contains("sealed") => {
            format!("{at} is sealed. Unseal it first: bao operator unseal")
        }
        503 => format!("{at} cannot do this now: {told}. Repeat the command in a moment"),
        500..=599 => format!("{at} failed: {told}. The server's log has the cause"),
        400 if told.contains("HTTP request to an HTTPS server") => {
            format!("{at} speaks TLS. Write https:// in --address or BAO_ADDR")
        }
        _ => format!("refused: {told}"),
    };
    Failure::refused(format!("{sentence}{request}"))
}

/// What somebody who is not let in should look at: the first word says which layer refused.
fn way_in(settings: &Settings, told: &str) -> String {
    let layer = told.split(": ").next().unwrap_or_default();
    match (layer, settings.token_origin()) {
        ("role", _) if told.ends_with("(field reason)") => "Say why with --reason".to_owned(),
        ("role", _) if told.ends_with("(field ticket)") => "Name it with --ticket".to_owned(),
        ("role", _) => "Is it the right role (--role), and the JWT of the right person?".to_owned(),
        ("assertion", _) => "Get a fresh JWT for this role, and say where it is (--jwt-file)".to_owned(),
        (_, Some(origin)) => format!(
            "Check role and JWT; a token from {origin} was sent along: if it is an old one, unset it or log in again"
        ),
        (_, None) => {
            "Check role and JWT; no token was sent: a vault that mounts the engine wants one (BAO_TOKEN)".to_owned()
        }
    }
}

/// The first error of type `T` among `error` and its causes. An I/O error hides the one it carries from `source`.
fn find<'a, T: StdError + 'static>(error: &'a (dyn StdError + 'static)) -> Option<&'a T> {
    if let Some(found) = error.downcast_ref::<T>() {
        return Some(found);
    }
    let carried = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
    carried.and_then(|inner| find(inner)).or_else(|| find(error.source()?))
}

fn io_kind(error: &(dyn StdError + 'static)) -> Option<io::ErrorKind> {
    find::<io::Error>(error).map(io::Error::kind)
}

fn innermost(error: &(dyn StdError + 'static)) -> String {
    let mut error = error;
    while let Some(cause) = error.source() {
        error = cause;
    }
    error.to_string()
}
