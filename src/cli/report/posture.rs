//! The posture in sentences: what is amiss and what that means.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::Collect;
use super::sheet::{Column, Grade, Kind, Row, Sheet, Table, Worst};
use super::text::{clean, counted, day, distance, of, span, when};
use crate::cli::client::Failure;
use crate::domain::time::Timestamp;
use crate::engine::report::posture::WARNINGS;

/// Warnings that want somebody to act at once.
const NOW: [&str; 7] = ["no-fallback", "refused", "overdue", "circular", "held", "quarantined", "locked"];

const ACCOUNTS: &[Column] = &[
    Column::new("STATE", Kind::Head),
    Column::new("ACCOUNT", Kind::Head),
    Column::new("LEFT", Kind::Number),
    Column::new("WHAT IS AMISS", Kind::Said),
    Column::new("OWNER", Kind::Aside),
];
const KINDS: &[Column] =
    &[Column::new("KIND", Kind::Head), Column::new("ACCOUNTS", Kind::Number), Column::new("WHAT TO DO", Kind::Said)];

/// Collects the worst accounts and how many there are of which kind.
pub struct Postures {
    fail_on: Vec<String>,
    alarm: bool,
    looked_at: u64,
    grades: [u64; 3],
    words: BTreeMap<usize, u64>,
    worst: Worst<(Grade, usize, usize, String)>,
    at: String,
    now: Option<Timestamp>,
}

impl Postures {
    /// Keeps `rows` accounts; alarms where one has what `fail_on` names.
    pub fn new(fail_on: &[String], rows: usize) -> Result<Self, Failure> {
        let known = |word: &String| matches!(word.as_str(), "any" | "now") || WARNINGS.contains(&word.as_str());
        if let Some(odd) = fail_on.iter().find(|word| !known(word)) {
            return Err(Failure::local(format!("--fail-on: {odd:?} is none of any, now, {}", WARNINGS.join(", "))));
        }
        Ok(Postures {
            fail_on: fail_on.to_vec(),
            alarm: false,
            looked_at: 0,
            grades: [0; 3],
            words: BTreeMap::new(),
            worst: Worst::new(rows),
            at: String::new(),
            now: None,
        })
    }
}

impl Collect for Postures {
    fn page(&mut self, data: &Map<String, Value>) {
        self.looked_at += data.get("looked_at").and_then(Value::as_u64).unwrap_or(0);
        self.at = data.get("at").map(when).unwrap_or_default();
        self.now = data.get("at").and_then(Value::as_str).and_then(Timestamp::parse);
    }

    fn row(&mut self, row: &Value) {
        let words: Vec<&str> = row["warnings"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let grade = grade(row, &words);
        self.grades[grade as usize] += 1;
        let ranks = words.iter().map(|word| WARNINGS.iter().position(|known| known == word).unwrap_or(WARNINGS.len()));
        let worst = ranks.clone().min().unwrap_or(usize::MAX);
        ranks.for_each(|rank| *self.words.entry(rank).or_default() += 1);
        self.alarm |= self.fail_on.iter().any(|wanted| match wanted.as_str() {
            "any" => grade != Grade::Fine,
            "now" => grade == Grade::Now,
            word => words.contains(&word),
        });
        if grade == Grade::Fine {
            return;
        }
        let what = words.iter().filter_map(|word| sentence(word, row, &words, self.now)).collect();
        let state = if grade == Grade::Now { "ACT NOW" } else { "soon" };
        let left = match row["fallback"].as_bool() {
            Some(true) => row["remaining"].to_string(),
            _ => "–".to_owned(),
        };
        let account = of(&row["account"]);
        let cells = vec![vec![state.to_owned()], vec![account.clone()], vec![left], what, vec![of(&row["owner"])]];
        self.worst.push((grade, worst, usize::MAX - words.len(), account), Row { grade, cells });
    }

    fn sheet(self: Box<Self>) -> Sheet {
        let [now, soon, _] = self.grades;
        let fine = self.looked_at.saturating_sub(now + soon);
        let kinds = self.words.iter().map(|(rank, count)| {
            let word = WARNINGS.get(*rank).copied().unwrap_or("other");
            let cells =
                vec![vec![clean(word).replace('-', " ")], vec![count.to_string()], vec![to_do(word).to_owned()]];
            Row { grade: Grade::Fine, cells }
        });
        let kinds: Vec<Row> = kinds.collect();
        let (rows, left_out) = self.worst.done();
        let verb = |count, one: &str, more: &str| if count == 1 { one.to_owned() } else { more.to_owned() };
        let mut tables =
            vec![Table { heading: String::new(), columns: ACCOUNTS, rows, left_out, none: "Nothing is amiss." }];
        if !kinds.is_empty() {
            let heading = "What to do".to_owned();
            tables.push(Table { heading, columns: KINDS, rows: kinds, left_out: 0, none: "" });
        }
        Sheet {
            title: "Posture",
            place: String::new(),
            at: self.at,
            counts: vec![
                (Grade::Now, now, format!("{} action now", verb(now, "needs", "need"))),
                (Grade::Soon, soon, format!("{} action soon", verb(soon, "needs", "need"))),
                (Grade::Fine, fine, format!("fine of {}", counted(self.looked_at, "account"))),
            ],
            tables,
            notes: Vec::new(),
        }
    }

    fn alarm(&self) -> bool {
        self.alarm
    }
}

/// How urgent an account is.
fn grade(row: &Value, words: &[&str]) -> Grade {
    let empty = words.contains(&"low") && row["remaining"] == 0;
    match words {
        [] => Grade::Fine,
        _ if empty || words.iter().any(|word| NOW.contains(word)) => Grade::Now,
        _ => Grade::Soon,
    }
}

/// A warning as a sentence; nothing where another one says it already.
fn sentence(word: &str, row: &Value, words: &[&str], now: Option<Timestamp>) -> Option<String> {
    let away = |value: &Value| match distance(value, now) {
        words if words.is_empty() => words,
        words => format!(" ({words})"),
    };
    let has = |word: &str| words.contains(&word);
    Some(match word {
        "no-fallback" if has("quarantined") => return None,
        "no-fallback" => match (of(&row["status"]["is"]).as_str(), of(&row["status"]["cause"]).as_str()) {
            ("", _) => "no fallback: no set was ever stored".to_owned(),
            (is, "") => format!("no fallback: the set is {is}"),
            (is, cause) => format!("no fallback: the set is {is} ({})", cause.replace('-', " ")),
        },
        "refused" => "refused: somebody else may have used a code".to_owned(),
        "overdue" => format!("overdue: a new set by {}{}", when(&row["owes"]["by"]), away(&row["owes"]["by"])),
        "owes" if has("overdue") => return None,
        "owes" => format!("owes a new set by {}{}", when(&row["owes"]["by"]), away(&row["owes"]["by"])),
        "circular" => "circular: the way to its codes needs this account".to_owned(),
        "held" => "held: the store was put back, and acts on it were lost".to_owned(),
        "quarantined" if has("held") => return None,
        "quarantined" => "quarantined since MFA was enrolled again".to_owned(),
        "locked" => "locked: wrong codes, somebody may be guessing".to_owned(),
        "low" => match row["remaining"].as_u64().unwrap_or(0) {
            0 => "low: no code is left".to_owned(),
            left => format!("low: only {} left", counted(left, "code")),
        },
        "expires-soon" => format!("expires soon: on {}{}", day(&row["expires_at"]), away(&row["expires_at"])),
        "unconfirmed" => {
            let old = &row["unconfirmed"];
            let numbers: Vec<_> = old["generations"].as_array().into_iter().flatten().map(Value::to_string).collect();
            let long = span(old["seconds"].as_u64().unwrap_or(0));
            let set = if numbers.len() == 1 { "set" } else { "sets" };
            format!("unconfirmed: the provider may still take {set} {}, over for {long}", numbers.join(", "))
        }
        "stale-review" => format!("stale review: was due on {}{}", day(&row["review_by"]), away(&row["review_by"])),
        "no-profile" => format!("no profile: {} does not exist any more", of(&row["profile"])),
        other => clean(other).replace('-', " "),
    })
}

/// What to do about a warning.
fn to_do(word: &str) -> &'static str {
    match word {
        "no-fallback" => "let the provider make codes and store them: sparekey import ACCOUNT FILE",
        "refused" => "look at its sign-ins, end its sessions, revoke the set, enroll MFA anew, store new codes",
        "overdue" => "store new codes at once, or say why not: the used set should be gone",
        "circular" => "let a role retrieve whose issuer does not hang on the account",
        "quarantined" => "ask who enrolled: if it was the owner, release the set, else store new codes",
        "locked" => "look into its history; if it was the owner, release the account",
        "low" => "store new codes before the last one is gone",
        "owes" => "store new codes from the provider by the time that is named",
        "expires-soon" => "store new codes before the set is refused",
        "unconfirmed" => "see at the provider that the old codes are dead, then confirm it",
        "stale-review" => "decide whether the account should have backup codes, and move review_by",
        "no-profile" => "write the profile again, or give the account another one",
        _ => "look at the account",
    }
}
