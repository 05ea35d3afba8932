//! The pattern that turns a subject into an account's name: `okta/{{email}}`.

use super::Subject;
use crate::domain::name::AccountName;
use crate::error::{Error, Result};

/// A checked `account_template`.
///
/// Placeholders are `{{email}}` (of an e-mail subject), `{{sub}}` and `{{iss_host}}` (of an `iss_sub` subject; the host of
/// its `iss`, without port), and `{{id}}` (of an opaque subject). A subject that lacks one of them, or whose value is more
/// than one segment or no account name as it stands, meets no account: nothing is folded or escaped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Template {
    text: String,
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Literal(String),
    Claim(Claim),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Claim {
    Email,
    Sub,
    IssHost,
    Id,
}

impl Template {
    /// Reads `text` or says what is wrong with it.
    pub fn parse(text: &str) -> Result<Self> {
        let wrong = |what: &str| Err(Error::field("account_template", what));
        if text.len() > AccountName::MAX {
            return wrong("at most 512 bytes");
        }
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((literal, after)) = rest.split_once("{{") {
            let Some((name, after)) = after.split_once("}}") else {
                return wrong("a {{ is not closed by }}");
            };
            parts.push(Part::Literal(literal.to_owned()));
            parts.push(Part::Claim(match name.trim() {
                "email" => Claim::Email,
                "sub" => Claim::Sub,
                "iss_host" => Claim::IssHost,
                "id" => Claim::Id,
                _ => return wrong("takes {{email}}, {{sub}}, {{iss_host}} and {{id}}"),
            }));
            rest = after;
        }
        if parts.is_empty() {
            return wrong("needs a placeholder such as {{email}}: without one every subject would be the same account");
        }
        parts.push(Part::Literal(rest.to_owned()));
        let template = Template { text: text.to_owned(), parts };
        match template.fill(|_| Some("x".to_owned())) {
            Some(name) if AccountName::parse(&name).is_ok() => Ok(template),
            _ => wrong("must make an account name such as okta/{{email}}: a-z 0-9 . _ @ - and single slashes"),
        }
    }
    /// The text it was read from.
    pub fn as_str(&self) -> &str {
        &self.text
    }
    /// The account of `subject`, if there is one.
    pub fn account(&self, subject: &Subject) -> Option<AccountName> {
        AccountName::parse(&self.fill(|claim| value(claim, subject))?).ok()
    }
    fn fill(&self, value: impl Fn(Claim) -> Option<String>) -> Option<String> {
        let mut name = String::new();
        for part in &self.parts {
            match part {
                Part::Literal(text) => name.push_str(text),
                Part::Claim(claim) => name.push_str(&value(*claim).filter(|value| !value.contains('/'))?),
            }
        }
        Some(name)
    }
}

fn value(claim: Claim, subject: &Subject) -> Option<String> {
    match (claim, subject) {
        (Claim::Email, Subject::Email(address)) => Some(address.clone()),
        (Claim::Sub, Subject::IssSub { sub, .. }) => Some(sub.clone()),
        (Claim::IssHost, Subject::IssSub { iss, .. }) => {
            Some(iss.parse::<hyper::Uri>().ok()?.host()?.to_ascii_lowercase())
        }
        (Claim::Id, Subject::Opaque(id)) => Some(id.clone()),
        _ => None,
    }
}
