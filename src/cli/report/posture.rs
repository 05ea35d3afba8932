//! The posture in sentences: what is amiss and what that means.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::Collect;
use super::sheet::{Grade, Row, Sheet, Table, Worst};
use super::text::{clean, counted, day, of, span, when};
use crate::cli::client::Failure;
use crate::engine::report::posture::WARNINGS;

/// Warnings that want somebody to act at once.
const NOW: [&str; 7] = ["no-fallback", "refused", "overdue", "circular", "held", "quarantined", "locked"];

/// Collects the worst accounts and how many there are of which kind.
pub struct Postures {
    fail_on: Vec<String>,
    alarm: bool,
    looked_at: u64,
    grades: [u64; 3],
    words: BTreeMap<usize, u64>,
    worst: Worst<(Grade, usize, usize, String)>,
    at: String,
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
        })
    }
}

impl Collect for Postures {
    fn page(&mut self, data: &Map<String, Value>) {
        self.looked_at += data.get("looked_at").and_then(Value::as_u64).unwrap_or(0);
        self.at = data.get("at").map(when).unwrap_or_default();
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
        let what = words.iter().filter_map(|word| sentence(word, row, &words)).collect();
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
        let mut kinds: Vec<_> = self.words.iter().collect();
        kinds.sort();
        let kinds: Vec<_> = kinds
            .into_iter()
            .map(|(rank, count)| {
                format!("{} {count}", clean(WARNINGS.get(*rank).copied().unwrap_or("other")).replace('-', " "))
            })
            .collect();
        let (rows, left_out) = self.worst.done();
        let verb = |count, one: &str, more: &str| if count == 1 { one.to_owned() } else { more.to_owned() };
        let mut notes = Vec::new();
        if !kinds.is_empty() {
            notes.push(format!("By kind: {}.", kinds.join(" · ")));
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
            tables: vec![Table {
                heading: String::new(),
                columns: &["STATE", "ACCOUNT", "#LEFT", "WHAT IS AMISS", "OWNER"],
                rows,
                left_out,
                none: "Nothing is amiss.",
            }],
            notes,
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
fn sentence(word: &str, row: &Value, words: &[&str]) -> Option<String> {
    let has = |word: &str| words.contains(&word);
    Some(match word {
        "no-fallback" if has("quarantined") => return None,
        "no-fallback" => match (of(&row["status"]["is"]).as_str(), of(&row["status"]["cause"]).as_str()) {
            ("", _) => "no fallback: no set was ever stored".to_owned(),
            (is, "") => format!("no fallback: the set is {is}"),
            (is, cause) => format!("no fallback: the set is {is} ({})", cause.replace('-', " ")),
        },
        "refused" => "a code was refused: somebody may have used it before".to_owned(),
        "overdue" => format!("a new set is overdue since {}", when(&row["owes"]["by"])),
        "owes" if has("overdue") => return None,
        "owes" => format!("used: a new set is owed by {}", when(&row["owes"]["by"])),
        "circular" => "circular: the way to its codes needs this account".to_owned(),
        "held" => format!("held: the store was put back and acts were lost ({})", of(&row["setback"]["reason"])),
        "quarantined" if has("held") => return None,
        "quarantined" => "quarantined: release the set or store a new one".to_owned(),
        "locked" => "locked after wrong codes".to_owned(),
        "low" => match row["remaining"].as_u64().unwrap_or(0) {
            0 => "no code is left".to_owned(),
            left => format!("only {} left", counted(left, "code")),
        },
        "expires-soon" => format!("the set expires on {}", day(&row["expires_at"])),
        "unconfirmed" => {
            let old = &row["unconfirmed"];
            let numbers: Vec<_> = old["generations"].as_array().into_iter().flatten().map(Value::to_string).collect();
            let long = span(old["seconds"].as_u64().unwrap_or(0));
            format!("provider may still take generation {} ({long})", numbers.join(", "))
        }
        "stale-review" => format!("a review was due on {}", day(&row["review_by"])),
        "no-profile" => format!("its profile {} does not exist any more", of(&row["profile"])),
        other => clean(other).replace('-', " "),
    })
}
