//! What became of each account, for a person and as JSON. No code is in it.

use std::path::Path;

use serde_json::{Value, json};

use super::show::{accounts_named, codes_named, source_named};
use super::task::Task;

/// How many lines of one kind a person is shown.
const SHOWN: usize = 50;

/// What became of an account.
pub(super) enum Became {
    /// Its codes were understood, nothing was sent.
    Understood,
    /// Its set is stored now.
    Stored(u64),
    /// An earlier run stored it.
    StoredBefore(u64),
    /// The server said no, and why.
    Refused(String),
    /// It is not known, and why.
    Unknown(String),
    /// Not sent, because the import was stopped before.
    NotSent,
}

/// A line of the report.
pub(super) struct Row {
    /// The account.
    pub task: Task,
    /// How many codes it has.
    pub count: usize,
    /// How many of them are used up.
    pub used: usize,
    /// What became of it.
    pub became: Became,
    /// What the server warned of.
    pub warnings: Vec<String>,
}

impl Row {
    /// In a few words, as progress shows it.
    pub fn said(&self) -> String {
        let count = codes_named(self.count);
        let became = match &self.became {
            Became::Understood if self.used > 0 => format!("{count}, {} of them used", self.used),
            Became::Understood => count,
            Became::Stored(generation) => format!("stored as generation {generation}, {count}"),
            Became::StoredBefore(generation) => format!("stored before, as generation {generation}"),
            Became::Refused(why) => format!("refused: {}", why.strip_prefix("refused: ").unwrap_or(why)),
            Became::Unknown(why) => format!("not known: {why}"),
            Became::NotSent => "not sent".to_owned(),
        };
        format!("{}: {became}", self.task.account)
    }

    fn json(&self) -> Value {
        let (result, generation, error) = match &self.became {
            Became::Understood => ("understood", None, None),
            Became::Stored(generation) => ("stored", Some(generation), None),
            Became::StoredBefore(generation) => ("stored-before", Some(generation), None),
            Became::Refused(why) => ("refused", None, Some(why)),
            Became::Unknown(why) => ("unknown", None, Some(why)),
            Became::NotSent => ("not-sent", None, None),
        };
        json!({
            "account": self.task.account.as_str(), "file": source_named(&self.task.file), "item": self.task.item,
            "line": self.task.line, "codes": self.count, "used": self.used, "result": result, "generation": generation,
            "warnings": self.warnings, "error": error,
        })
    }
}

/// The report as JSON.
pub(super) fn json(rows: &[Row], journal: Option<&Path>) -> String {
    let of = |which: fn(&Became) -> bool| rows.iter().filter(|row| which(&row.became)).count();
    let report = json!({
        "accounts": rows.iter().map(Row::json).collect::<Vec<_>>(),
        "total": rows.len(),
        "stored": of(|became| matches!(became, Became::Stored(_))),
        "stored_before": of(|became| matches!(became, Became::StoredBefore(_))),
        "refused": of(|became| matches!(became, Became::Refused(_))),
        "unknown": of(|became| matches!(became, Became::Unknown(_))),
        "not_sent": of(|became| matches!(became, Became::NotSent | Became::Understood)),
        "journal": journal.map(|journal| journal.display().to_string()),
    });
    format!("{report:#}")
}

/// The report for a person.
pub(super) fn summary(rows: &[Row], journal: &Path, mount: &str) -> String {
    let of = |which: fn(&Became) -> bool| rows.iter().filter(|row| which(&row.became)).count();
    let mut counts = vec![format!("{} stored", of(|became| matches!(became, Became::Stored(_))))];
    let others: [(usize, &str); 4] = [
        (of(|became| matches!(became, Became::StoredBefore(_))), "stored before"),
        (of(|became| matches!(became, Became::Refused(_))), "refused"),
        (of(|became| matches!(became, Became::Unknown(_))), "not known"),
        (of(|became| matches!(became, Became::NotSent)), "not sent"),
    ];
    counts.extend(others.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}")));
    let mut said = vec![format!("Of {}: {}.", accounts_named(rows.len()), counts.join(", "))];
    let open: Vec<&Row> =
        rows.iter().filter(|row| matches!(row.became, Became::Refused(_) | Became::Unknown(_))).collect();
    for row in open.iter().take(SHOWN) {
        let line = row.task.line.map(|line| format!("line {line}, ")).unwrap_or_default();
        said.push(format!("  {line}{}", row.said()));
    }
    if open.len() > SHOWN {
        said.push(format!("  … and {} more (--json has them all)", open.len() - SHOWN));
    }
    // The same warning for many is said once.
    let mut warned: Vec<(String, Vec<&str>)> = Vec::new();
    for row in rows.iter().filter(|row| !row.warnings.is_empty()) {
        let (said, account) = (row.warnings.join("; "), row.task.account.as_str());
        match warned.iter_mut().find(|(same, _)| *same == said) {
            Some((_, accounts)) => accounts.push(account),
            None => warned.push((said, vec![account])),
        }
    }
    for (warning, accounts) in warned.iter().take(SHOWN) {
        said.push(match accounts.as_slice() {
            [account] => format!("  Warning, {account}: {warning}"),
            several => format!("  Warning, {}: {warning}", accounts_named(several.len())),
        });
    }
    if warned.len() > SHOWN {
        said.push(format!("  … and {} other warnings (--json has them all)", warned.len() - SHOWN));
    }
    let finished = rows.iter().all(|row| matches!(row.became, Became::Stored(_) | Became::StoredBefore(_)));
    said.push(if finished {
        format!(
            "Next: see them with  bao list {}/accounts\n      The files still hold the codes: delete them, and {} when you no longer need it.",
            mount.trim_matches('/'),
            journal.display()
        )
    } else {
        let first = if open.is_empty() { "run" } else { "mend what is said above and run" };
        format!(
            "Next: {first} the same command again. What {} says is stored is not sent twice.",
            journal.display()
        )
    });
    said.join("\n")
}

/// Several mistakes at once.
pub(super) fn listed(wrong: &[String]) -> String {
    let mut said = vec![match wrong.len() {
        1 => "1 mistake. Nothing was sent.".to_owned(),
        count => format!("{count} mistakes. Nothing was sent."),
    }];
    said.extend(wrong.iter().take(SHOWN).map(|why| format!("  {}", why.replace('\n', "\n    "))));
    if wrong.len() > SHOWN {
        said.push(format!("  … and {} more", wrong.len() - SHOWN));
    }
    said.join("\n")
}
