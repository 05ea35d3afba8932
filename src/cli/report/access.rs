//! Who could have a code and who had one, in sentences.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::Collect;
use super::sheet::{Column, Grade, Kind, Row, Sheet, Table, Worst};
use super::text::{clean, counted, day, of, when};

/// Most roles that are explained.
const MOST_ROLES: usize = 1000;
/// Most people named in a row.
const MOST_PEOPLE: usize = 8;

const WAYS: &[Column] = &[
    Column::new("ACCOUNT", Kind::Head),
    Column::new("ROLES THAT COULD", Kind::Listed),
    Column::new("WHO DID", Kind::Listed),
    Column::new("REVIEW", Kind::Listed),
    Column::new("OWNER", Kind::Aside),
];
const ROLES: &[Column] = &[
    Column::new("ROLE", Kind::Head),
    Column::new("WHO", Kind::Listed),
    Column::new("ISSUERS", Kind::Aside),
    Column::new("ACCOUNTS", Kind::Listed),
];

/// Collects the accounts whose review is due first, then those with most visits.
pub struct Ways {
    accounts: u64,
    lapsed: u64,
    never: u64,
    visited: u64,
    roles: BTreeMap<String, Row>,
    worst: Worst<(Grade, Reverse<u64>, String)>,
    at: String,
}

impl Ways {
    /// Shows `rows` accounts.
    pub fn new(rows: usize) -> Self {
        Ways {
            accounts: 0,
            lapsed: 0,
            never: 0,
            visited: 0,
            roles: BTreeMap::new(),
            worst: Worst::new(rows),
            at: String::new(),
        }
    }
}

impl Collect for Ways {
    fn page(&mut self, data: &Map<String, Value>) {
        self.at = data.get("at").map(when).unwrap_or_default();
        for (name, role) in data.get("roles").and_then(Value::as_object).into_iter().flatten() {
            if self.roles.len() < MOST_ROLES {
                let cells =
                    vec![vec![clean(name)], who(role), vec![list(&role["issuers"])], vec![list(&role["accounts"])]];
                self.roles.insert(name.clone(), Row { grade: Grade::Fine, cells });
            }
        }
    }

    fn row(&mut self, row: &Value) {
        self.accounts += 1;
        let people: Vec<&Value> = row["did"].as_array().into_iter().flatten().collect();
        let visits: u64 = people.iter().filter_map(|did| did["count"].as_u64()).sum();
        self.visited += u64::from(visits > 0);
        let mut did: Vec<String> = people.iter().take(MOST_PEOPLE).map(|did| visit(did)).collect();
        if people.len() > MOST_PEOPLE || row["complete"] == false {
            did.push("and others: see its history".to_owned());
        }
        if did.is_empty() {
            did.push("nobody".to_owned());
        }
        let could = match (row["retrieval"].as_str(), list(&row["could"]).as_str()) {
            (Some("issued"), _) => "nobody: codes are only verified".to_owned(),
            (Some("forbidden"), _) => "nobody: its profile forbids it".to_owned(),
            (_, "") => "nobody: no role reaches it".to_owned(),
            (_, roles) => roles.to_owned(),
        };
        let (grade, review) = review(&row["review"]);
        match grade {
            Grade::Now => self.lapsed += 1,
            Grade::Soon => self.never += 1,
            Grade::Fine => {}
        }
        let account = of(&row["account"]);
        let cells = vec![vec![account.clone()], vec![could], did, review, vec![of(&row["owner"])]];
        self.worst.push((grade, Reverse(visits), account), Row { grade, cells });
    }

    fn sheet(self: Box<Self>) -> Sheet {
        let (rows, left_out) = self.worst.done();
        Sheet {
            title: "Access",
            place: String::new(),
            at: self.at,
            counts: vec![
                (Grade::Now, self.lapsed, "past the day of review".to_owned()),
                (Grade::Soon, self.never, "never reviewed".to_owned()),
                (Grade::Fine, self.visited, format!("gave out codes, of {}", counted(self.accounts, "account"))),
            ],
            tables: vec![
                Table {
                    heading: "Who could, who did".to_owned(),
                    columns: WAYS,
                    rows,
                    left_out,
                    none: "There is no account.",
                },
                Table {
                    heading: "Whom these roles let in".to_owned(),
                    columns: ROLES,
                    rows: self.roles.into_values().collect(),
                    left_out: 0,
                    none: "No role may retrieve a code.",
                },
            ],
            notes: Vec::new(),
        }
    }
}

fn visit(did: &Value) -> String {
    let (role, count) = (of(&did["role"]), did["count"].as_u64().unwrap_or(0));
    format!("{} as {role}, {}, last {}", of(&did["subject"]), counted(count, "code"), when(&did["last"]))
}

fn review(review: &Value) -> (Grade, Vec<String>) {
    let mut said = Vec::new();
    let grade = match (review["lapsed"].as_bool(), day(&review["by"]).as_str()) {
        (Some(true), by) => {
            said.push(format!("was due on {by}"));
            Grade::Now
        }
        (_, "") => {
            said.push("never".to_owned());
            Grade::Soon
        }
        (_, by) => {
            said.push(format!("due on {by}"));
            Grade::Fine
        }
    };
    let at = day(&review["at"]);
    if !at.is_empty() {
        said.push(format!("last {at} by {}", of(&review["who"])));
    }
    (grade, said)
}

/// Whom a role lets in, as far as its claims say.
fn who(role: &Value) -> Vec<String> {
    let subject = of(&role["bound_subject"]);
    let mut said: Vec<String> = if subject.is_empty() { Vec::new() } else { vec![format!("subject {subject}")] };
    for (claim, values) in role["bound_claims"].as_object().into_iter().flatten() {
        said.push(format!("{} = {}", clean(claim), list(values)));
    }
    said
}

/// The items of a list, or the one value.
fn list(value: &Value) -> String {
    match value {
        Value::Array(items) => items.iter().map(list).collect::<Vec<_>>().join(", "),
        Value::String(text) => clean(text),
        Value::Null => String::new(),
        other => clean(&other.to_string()),
    }
}
