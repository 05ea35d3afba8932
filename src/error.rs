//! One error for everything a caller may see: a kind that decides the status, a public sentence, a private cause.

use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

/// What went wrong, as far as a caller needs to know. [`Kind::status`] is the only place that turns it into a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The request cannot be carried out as written (also every business refusal: `cas`, exhausted, ended, …).
    Invalid,
    /// No valid token, or an assertion or role that does not allow the act.
    Denied,
    /// Nothing there.
    NotFound,
    /// The path exists, the operation on it does not.
    Unsupported,
    /// The body is larger than the server reads.
    TooLarge,
    /// The media type is not one the path reads.
    MediaType,
    /// Too many attempts or a full pool.
    TooMany,
    /// Audit or storage failed in a way that the caller cannot mend.
    Internal,
    /// Sealed, no durable audit device, or a conflict beyond retries.
    Unavailable,
}

impl Kind {
    /// The HTTP status of this kind.
    pub const fn status(self) -> u16 {
        match self {
            Kind::Invalid => 400,
            Kind::Denied => 403,
            Kind::NotFound => 404,
            Kind::Unsupported => 405,
            Kind::TooLarge => 413,
            Kind::MediaType => 415,
            Kind::TooMany => 429,
            Kind::Internal => 500,
            Kind::Unavailable => 503,
        }
    }
}

/// An error with a public sentence (safe to send, names no secret) and an optional private cause (for the operator's log).
pub struct Error {
    kind: Kind,
    public: String,
    retry_after: Option<Duration>,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl Error {
    /// Longest sentence in bytes: one that repeats what the caller sent does not grow with it.
    pub const MAX_PUBLIC: usize = 4096;

    /// An error of `kind` that tells the caller `public`.
    pub fn new(kind: Kind, public: impl Into<String>) -> Self {
        let mut public = public.into();
        if public.len() > Self::MAX_PUBLIC {
            public.truncate(public.floor_char_boundary(Self::MAX_PUBLIC - '…'.len_utf8()));
            public.push('…');
        }
        Error { kind, public, retry_after: None, source: None }
    }
    /// 400 with this sentence.
    pub fn invalid(public: impl Into<String>) -> Self {
        Self::new(Kind::Invalid, public)
    }
    /// 400 that names the field and says what would be right.
    pub fn field(field: &str, what: impl fmt::Display) -> Self {
        Self::new(Kind::Invalid, format!("{field}: {what}"))
    }
    /// 403 with this sentence.
    pub fn denied(public: impl Into<String>) -> Self {
        Self::new(Kind::Denied, public)
    }
    /// 404, which carries no sentence in Vault's shape unless one is given.
    pub fn not_found() -> Self {
        Self::new(Kind::NotFound, "")
    }
    /// 500: the caller learns "internal error", the operator the cause.
    pub fn internal(source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self::new(Kind::Internal, "internal error").with_source(source)
    }
    /// 503 with this sentence.
    pub fn unavailable(public: impl Into<String>) -> Self {
        Self::new(Kind::Unavailable, public)
    }
    /// Adds the private cause.
    pub fn with_source(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }
    /// Adds how long the caller should wait before it tries again.
    pub fn with_retry_after(mut self, after: Duration) -> Self {
        self.retry_after = Some(after);
        self
    }
    /// Adds the request's id to the public sentence, so that a person can ask about it.
    pub fn with_request(mut self, id: &str) -> Self {
        self.public = format!("{} (request {id})", self.public);
        self
    }
    /// The kind, which decides the status.
    pub fn kind(&self) -> Kind {
        self.kind
    }
    /// The sentence for the caller; empty for a bare 404.
    pub fn public(&self) -> &str {
        &self.public
    }
    /// How long to wait before trying again, where that is known.
    pub fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.kind, self.public)?;
        if let Some(source) = &self.source {
            write!(f, " (cause: {source})")?;
        }
        Ok(())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.public)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_deref().map(|source| source as &(dyn StdError + 'static))
    }
}

/// The result of anything a caller asked for.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error and what caused it, in one line. What the outer one has said already is not said again.
pub fn chain(error: &dyn StdError) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        let cause = inner.to_string();
        if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
        source = inner.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sentence_does_not_grow_with_what_it_repeats() {
        let whole = Error::field("profile", "x".repeat(Error::MAX_PUBLIC - 9));
        assert!(whole.public().ends_with('x'));
        let cut = Error::invalid("ä".repeat(Error::MAX_PUBLIC));
        assert!(cut.public().len() <= Error::MAX_PUBLIC && cut.public().ends_with("ä…"), "{}", cut.public().len());
    }
}
