//! Which accounts a role covers: globs in which `*` stands for any run of characters, `/` included, and `{{claim}}` for the
//! value of a claim, which may widen nothing.

use serde_json::{Map, Value};

use crate::domain::name::AccountName;
use crate::error::{Error, Result};

/// The claims that templates are filled from.
#[derive(Debug, Clone, Copy)]
pub struct Claims<'a> {
    /// All claims of the assertion.
    pub map: &'a Map<String, Value>,
    /// The issuer vouches for its e-mail claims without `email_verified`.
    pub trust_email: bool,
}

impl<'a> Claims<'a> {
    /// The claim of that name; a name that begins with `/` is a JSON pointer (RFC 6901) into nested claims.
    pub fn get(&self, name: &str) -> Option<&'a Value> {
        claim(self.map, name)
    }
    /// What `{{name}}` stands for, or nothing if the claim is missing, is no string or whole number, could widen a pattern
    /// (`*`, `/`, control characters), or is an e-mail address that nobody verified.
    fn fill(&self, name: &str) -> Option<String> {
        let text = match self.get(name)? {
            Value::String(text) => text.clone(),
            Value::Number(number) if !number.is_f64() => number.to_string(),
            _ => return None,
        };
        let verified = || self.trust_email || self.map.get("email_verified") == Some(&Value::Bool(true));
        let widens = text.is_empty() || text.chars().any(|c| matches!(c, '*' | '/') || c.is_control());
        (!widens && (!matches!(name, "email" | "/email") || verified())).then_some(text)
    }
}

/// The claim of that name in `map`; a name that begins with `/` is a JSON pointer (RFC 6901).
pub fn claim<'a>(map: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    if !name.starts_with('/') {
        return map.get(name);
    }
    let mut steps = name[1..].split('/').map(|step| step.replace("~1", "/").replace("~0", "~"));
    let first = map.get(&steps.next()?)?;
    steps.try_fold(first, |value, step| match value {
        Value::Object(map) => map.get(&step),
        Value::Array(items) => step.parse::<usize>().ok().and_then(|at| items.get(at)),
        _ => None,
    })
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Any,
    Claim(String),
}

/// One pattern of `accounts`, parsed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Glob(Vec<Part>);

impl Glob {
    /// Longest pattern in bytes.
    pub const MAX: usize = 512;

    /// Parses `text`, or says what is wrong with it. Text that no account name may hold is refused: it could never match.
    pub fn parse(field: &str, text: &str) -> Result<Self> {
        if text.is_empty() || text.len() > Self::MAX {
            return Err(Error::field(field, format_args!("patterns of 1 to {} bytes", Self::MAX)));
        }
        let mut parts = Vec::new();
        let mut rest = text;
        while !rest.is_empty() {
            if let Some(after) = rest.strip_prefix('*') {
                if parts.last() != Some(&Part::Any) {
                    parts.push(Part::Any);
                }
                rest = after;
            } else if let Some(after) = rest.strip_prefix("{{") {
                let end =
                    after.find("}}").ok_or_else(|| Error::field(field, format_args!("{text:?}: {{{{ without }}}}")))?;
                let name = after[..end].trim();
                if name.is_empty() || name.contains(['{', '}', '*']) || name.chars().any(char::is_control) {
                    return Err(Error::field(field, format_args!("{text:?}: a claim's name between {{{{ and }}}}")));
                }
                parts.push(Part::Claim(name.to_owned()));
                rest = &after[end + 2..];
            } else {
                let end = rest.find(['*', '{']).unwrap_or(rest.len()).max(1);
                let (plain, after) = rest.split_at(end);
                if let Some(wrong) =
                    plain.chars().find(|c| !matches!(c, 'a'..='z' | '0'..='9' | '.' | '_' | '@' | '-' | '/'))
                {
                    return Err(Error::field(
                        field,
                        format_args!(
                            "{text:?}: {wrong:?} stands in no account name; a-z 0-9 . _ @ - / and *, {{{{claim}}}}"
                        ),
                    ));
                }
                parts.push(Part::Text(plain.to_owned()));
                rest = after;
            }
        }
        Ok(Glob(parts))
    }

    /// The claims that this pattern needs.
    pub fn claims(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|part| match part {
            Part::Claim(name) => Some(name.as_str()),
            _ => None,
        })
    }

    /// Whether the pattern, filled from `claims`, matches `account`.
    pub fn matches(&self, account: &AccountName, claims: Claims<'_>) -> bool {
        self.fill(claims).is_some_and(|filled| matches(&filled, account.as_str().as_bytes()))
    }

    /// Whether the pattern could match `account` with some claims or other: a claim may be any run of characters without `/`.
    pub fn could_match(&self, account: &AccountName) -> bool {
        let name = account.as_str().as_bytes();
        // Where in the name the parts so far may end: one pass a part, whatever the pattern.
        let mut ends = vec![false; name.len() + 1];
        ends[0] = true;
        for part in &self.0 {
            let mut next = vec![false; name.len() + 1];
            let mut open = false;
            for (at, reached) in ends.iter().enumerate() {
                open |= reached;
                match part {
                    Part::Any => next[at] = open,
                    Part::Text(text) if *reached && name[at..].starts_with(text.as_bytes()) => {
                        next[at + text.len()] = true;
                    }
                    Part::Text(_) => {}
                    Part::Claim(_) if at < name.len() => {
                        open &= name[at] != b'/';
                        next[at + 1] = open;
                    }
                    Part::Claim(_) => {}
                }
            }
            ends = next;
        }
        ends[name.len()]
    }

    /// Whether some account whose name begins with `prefix` could match: for listing folder by folder.
    pub fn reaches(&self, prefix: &str, claims: Claims<'_>) -> bool {
        self.fill(claims).is_some_and(|filled| reaches(&filled, prefix.as_bytes()))
    }

    /// What the next segment of a name must begin with so that the pattern could match the name or something behind it, where the name
    /// begins with `folder` (empty, or with `/` at its end); `None` if nothing there matches.
    pub fn begins(&self, folder: &str, claims: Claims<'_>) -> Option<String> {
        let filled = self.fill(claims)?;
        let first = match filled.first()? {
            None => return Some(String::new()),
            Some(first) => std::str::from_utf8(first).ok()?,
        };
        match first.strip_prefix(folder) {
            Some(rest) => {
                let segment = rest.split('/').next().unwrap_or_default();
                segment.bytes().all(AccountName::may_hold).then(|| segment.to_owned())
            }
            None => (filled.len() > 1 && folder.starts_with(first)).then(String::new),
        }
    }

    fn fill(&self, claims: Claims<'_>) -> Option<Vec<Option<Vec<u8>>>> {
        let mut filled: Vec<Option<Vec<u8>>> = Vec::with_capacity(self.0.len());
        for part in &self.0 {
            let text = match part {
                Part::Any => {
                    filled.push(None);
                    continue;
                }
                Part::Text(text) => text.clone(),
                Part::Claim(name) => claims.fill(name)?,
            };
            match filled.last_mut() {
                Some(Some(before)) => before.extend_from_slice(text.as_bytes()),
                _ => filled.push(Some(text.into_bytes())),
            }
        }
        Some(filled)
    }
}

/// Leftmost match of each text in turn is enough: `*` takes any run, so an earlier match never costs a later one.
fn matches(parts: &[Option<Vec<u8>>], name: &[u8]) -> bool {
    let (first, last) = match parts {
        [] => return name.is_empty(),
        [Some(only)] => return only == name,
        [first, .., last] => (first.as_deref().unwrap_or_default(), last.as_deref().unwrap_or_default()),
        [None] => return true,
    };
    let Some(rest) = name.strip_prefix(first).and_then(|rest| rest.strip_suffix(last)) else {
        return false;
    };
    let inner = &parts[1..parts.len() - 1];
    inner.iter().flatten().try_fold(rest, |rest, text| find(rest, text).map(|at| &rest[at + text.len()..])).is_some()
}

fn reaches(parts: &[Option<Vec<u8>>], prefix: &[u8]) -> bool {
    match parts {
        [Some(first)] => first.starts_with(prefix),
        [Some(first), ..] => first.starts_with(prefix) || prefix.starts_with(first),
        [None, ..] => true,
        [] => false,
    }
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    if needle.is_empty() {
        return Some(0);
    }
    haystack.windows(needle.len()).position(|window| window == needle)
}
