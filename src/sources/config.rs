//! `sources/:name`: who may tell us of enrollments, and which accounts their subjects are.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::Subject;
use super::template::Template;
use crate::domain::fields::{Fields, Given};
use crate::domain::name::{AccountName, record_name};
use crate::error::{Error, Result};

/// The configuration of one source, checked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Map<String, Value>", into = "Map<String, Value>")]
pub struct Source {
    issuer: String,
    bound_audiences: Vec<String>,
    skew: Duration,
    subjects: BTreeMap<Subject, Vec<AccountName>>,
    account_template: Option<Template>,
    critical_subject_members: Vec<String>,
}

const TYPE: &str = "caep";
const DEFAULT_SKEW: Duration = Duration::from_secs(30);
const MAX_SKEW: Duration = Duration::from_secs(3600);
const MAX_SUBJECTS: usize = 10_000;
const MAX_ACCOUNTS: usize = 64;
const MAX_LIST: usize = 64;

impl Source {
    /// The source that a write of `fields` makes of `old`: fields given replace, absent ones stay, `null` goes back to the
    /// default. Refuses a field it does not know, so take any other field out before.
    pub fn update(old: Option<&Source>, fields: &mut Fields) -> Result<Source> {
        match fields.string("type")? {
            Given::Value(kind) => check_type(&kind)?,
            Given::Absent if old.is_some() => {}
            Given::Absent | Given::Reset => return Err(Error::field("type", "say what kind of source it is: caep")),
        }
        let issuer = match (fields.string("issuer")?, old) {
            (Given::Value(name), _) => record_name("issuer", &name)?,
            (Given::Absent, Some(old)) => old.issuer.clone(),
            _ => return Err(Error::field("issuer", "name the record under issuers/ whose keys sign the events")),
        };
        let bound_audiences = match (fields.list("bound_audiences")?, old) {
            (Given::Value(list), _) => texts("bound_audiences", list)?,
            (Given::Absent, Some(old)) => old.bound_audiences.clone(),
            _ => Vec::new(),
        };
        if bound_audiences.is_empty() {
            return Err(Error::field("bound_audiences", "at least one audience that the events are made for"));
        }
        let skew = fields.duration("skew")?.over(old.map_or(DEFAULT_SKEW, |old| old.skew), DEFAULT_SKEW);
        if skew > MAX_SKEW || skew.subsec_nanos() != 0 {
            return Err(Error::field("skew", "whole seconds, at most 1h"));
        }
        let subjects = match fields.object("subjects")? {
            Given::Value(map) => read_subjects(&map)?,
            Given::Reset => BTreeMap::new(),
            Given::Absent => old.map(|old| old.subjects.clone()).unwrap_or_default(),
        };
        let account_template = match fields.exact_string("account_template")? {
            Given::Value(text) if text.is_empty() => None,
            Given::Value(text) => Some(Template::parse(&text)?),
            Given::Reset => None,
            Given::Absent => old.and_then(|old| old.account_template.clone()),
        };
        let critical_subject_members = match fields.list("critical_subject_members")? {
            Given::Value(list) => texts("critical_subject_members", list)?,
            Given::Reset => Vec::new(),
            Given::Absent => old.map(|old| old.critical_subject_members.clone()).unwrap_or_default(),
        };
        fields.refuse_unknown()?;
        Ok(Source { issuer, bound_audiences, skew, subjects, account_template, critical_subject_members })
    }
    /// The canonical form that a read answers; writing it back changes nothing. `skew` in seconds, `subjects` with lists.
    pub fn wire(&self) -> Map<String, Value> {
        let subjects: Map<String, Value> =
            self.subjects.iter().map(|(subject, list)| (subject.to_string(), names(list))).collect();
        let template = self.account_template.as_ref().map_or("", Template::as_str);
        Map::from_iter([
            ("type".to_owned(), TYPE.into()),
            ("issuer".to_owned(), self.issuer.as_str().into()),
            ("bound_audiences".to_owned(), self.bound_audiences.clone().into()),
            ("skew".to_owned(), self.skew.as_secs().into()),
            ("subjects".to_owned(), subjects.into()),
            ("account_template".to_owned(), template.into()),
            ("critical_subject_members".to_owned(), self.critical_subject_members.clone().into()),
        ])
    }
    /// The accounts that any of `subjects` is, sorted, each once: those of the map and the one of the template together, so
    /// that an entry in the map never shields an account from its events.
    pub fn accounts(&self, subjects: &[Subject]) -> Vec<AccountName> {
        let mut accounts = BTreeSet::new();
        for subject in subjects {
            accounts.extend(self.subjects.get(subject).into_iter().flatten().cloned());
            accounts.extend(self.account_template.as_ref().and_then(|template| template.account(subject)));
        }
        accounts.into_iter().collect()
    }
    /// Name of the record under `issuers/` whose keys sign the events.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }
    /// The audiences of which an event must name one exactly.
    pub fn bound_audiences(&self) -> &[String] {
        &self.bound_audiences
    }
    /// How far the clocks of issuer and importer may be apart.
    pub fn skew(&self) -> Duration {
        self.skew
    }
    /// Members of complex subjects that the transmitter's metadata declares critical (SSF 1.0 `critical_subject_members`).
    pub fn critical_subject_members(&self) -> &[String] {
        &self.critical_subject_members
    }
}

fn check_type(kind: &str) -> Result<()> {
    match kind {
        TYPE => Ok(()),
        "okta" | "keycloak" | "entra" | "github" | "google" | "webhook" | "poll" => {
            Err(Error::field("type", format_args!("{kind} is not built yet; caep is")))
        }
        _ => Err(Error::field("type", "unknown kind of source; caep is the one that is built")),
    }
}

/// A list of distinct texts without control characters, in the order given.
fn texts(field: &str, list: Vec<String>) -> Result<Vec<String>> {
    if list.len() > MAX_LIST {
        return Err(Error::field(field, format_args!("at most {MAX_LIST} entries")));
    }
    let mut out: Vec<String> = Vec::new();
    for text in list {
        if text.is_empty() || text.len() > 1024 || text.chars().any(char::is_control) {
            return Err(Error::field(field, "each entry has 1 to 1024 bytes and no control characters"));
        }
        if !out.contains(&text) {
            out.push(text);
        }
    }
    Ok(out)
}

fn read_subjects(map: &Map<String, Value>) -> Result<BTreeMap<Subject, Vec<AccountName>>> {
    if map.len() > MAX_SUBJECTS {
        return Err(Error::field(
            "subjects",
            format_args!("at most {MAX_SUBJECTS} entries; account_template takes more"),
        ));
    }
    let mut subjects = BTreeMap::new();
    for (key, value) in map {
        let names: Option<Vec<&str>> = match value {
            Value::String(name) => Some(vec![name]),
            Value::Array(list) => list.iter().map(Value::as_str).collect(),
            _ => None,
        };
        let Some(names) = names.filter(|names| (1..=MAX_ACCOUNTS).contains(&names.len())) else {
            let what = format_args!("{key} must be an account or a list of 1 to {MAX_ACCOUNTS} accounts").to_string();
            return Err(Error::field("subjects", what));
        };
        let mut accounts = BTreeSet::new();
        for name in names {
            accounts.insert(
                AccountName::parse(name)
                    .map_err(|e| Error::field("subjects", format_args!("{key}: {}", e.public())))?,
            );
        }
        if subjects.insert(Subject::parse(key)?, accounts.into_iter().collect()).is_some() {
            return Err(Error::field(
                "subjects",
                format_args!("{key} is there twice (e-mail is compared in lower case)"),
            ));
        }
    }
    Ok(subjects)
}

fn names(accounts: &[AccountName]) -> Value {
    accounts.iter().map(AccountName::as_str).collect::<Vec<_>>().into()
}

/// In storage a source stands in its canonical form, and is read with the checks of a write. An unknown field is a newer
/// format: an error, never passed over.
impl From<Source> for Map<String, Value> {
    fn from(source: Source) -> Self {
        source.wire()
    }
}

impl TryFrom<Map<String, Value>> for Source {
    type Error = Error;

    fn try_from(stored: Map<String, Value>) -> Result<Self> {
        Source::update(None, &mut Fields::new(stored))
    }
}
