//! Many accounts, one after the other: look at all of them first, ask once, send, and keep the journal.

use std::path::{Path, PathBuf};

use serde_json::Value;
use zeroize::Zeroizing;

use super::codes::Reader;
use super::journal::{Earlier, Journal};
use super::report::{self, Became, Row};
use super::show::{accounts_named, codes_named};
use super::task::Task;
use super::{Args, body, made_up_key, sending};
use crate::cli::client::{Client, Failure, path, printable};
use crate::cli::console::Console;
use crate::random::Random;

/// So many answers 403 in a row say that it is not about one account.
const MOST_FORBIDDEN: usize = 3;

/// Imports `tasks`; `from` is the mapping file or the folder.
pub(super) fn import(
    args: &Args,
    tasks: Vec<Task>,
    from: &Path,
    environment: &dyn Fn(&str) -> Option<String>,
    console: &mut Console,
    random: &dyn Random,
) -> Result<(), Failure> {
    let client = if args.dry_run { None } else { Some(sending(args, environment)?) };
    // A question in the middle of many would be answered without looking: what is unclear is a mistake, with its line.
    let mut rows = look(tasks, from)?;
    let Some((client, jwt)) = client else {
        for row in &rows {
            speak(args, console, &row.said());
        }
        speak(args, console, &format!("{}. Nothing was sent (--dry-run).", accounts_named(rows.len())));
        if args.json {
            console.say(&report::json(&rows, None));
        }
        return Ok(());
    };
    confirm(args, &rows, &client, console)?;
    let place = args.journal.clone().unwrap_or_else(|| beside(from));
    let journal = Journal::open(&place, client.settings().address(), args.mount.trim_matches('/'))?;
    let stopped = Sending { args, environment, random, client, jwt, journal, forbidden: 0 }.all(&mut rows, console);
    if args.json {
        console.say(&report::json(&rows, Some(&place)));
    } else {
        console.tell(&report::summary(&rows, &place, &args.mount));
    }
    stopped?;
    match rows.iter().filter(|row| matches!(row.became, Became::Refused(_))).count() {
        0 => Ok(()),
        1 => Err(Failure::refused("1 account was refused")),
        refused => Err(Failure::refused(format!("{refused} accounts were refused"))),
    }
}

/// Reads every file and understands its codes, or tells all mistakes.
fn look(tasks: Vec<Task>, from: &Path) -> Result<Vec<Row>, Failure> {
    let mut reader = Reader::default();
    let mut nobody = Console::new(Box::new(std::io::sink()), Box::new(std::io::sink()), None);
    let mut rows = Vec::with_capacity(tasks.len());
    let mut wrong = Vec::new();
    for task in tasks {
        match reader.read(&task, &mut nobody) {
            Ok(found) => {
                let (count, used) = (found.file.codes.len(), found.file.used.len());
                rows.push(Row { task, count, used, became: Became::Understood, warnings: Vec::new() });
            }
            Err(failure) => wrong.push(match task.line {
                Some(line) => format!("{}, line {line}: {failure}", from.display()),
                None => failure.to_string(),
            }),
        }
    }
    if wrong.is_empty() { Ok(rows) } else { Err(Failure::local(report::listed(&wrong))) }
}

fn confirm(args: &Args, rows: &[Row], client: &Client, console: &mut Console) -> Result<(), Failure> {
    if args.yes {
        return Ok(());
    }
    if !console.can_ask() {
        return Err(Failure::local("nobody can be asked here: look with --dry-run, then say --yes. Nothing was sent"));
    }
    let codes: usize = rows.iter().map(|row| row.count).sum();
    let question = format!(
        "Store {} of {} at {} ({})? [y/N] ",
        codes_named(codes),
        accounts_named(rows.len()),
        client.settings().address(),
        args.mount
    );
    match console.ask(&question).as_deref() {
        Some("y" | "Y" | "yes") => Ok(()),
        _ => Err(Failure::local("stopped; nothing was sent")),
    }
}

struct Sending<'a> {
    args: &'a Args,
    environment: &'a dyn Fn(&str) -> Option<String>,
    random: &'a dyn Random,
    client: Client,
    jwt: Option<Zeroizing<String>>,
    journal: Journal,
    forbidden: usize,
}

impl Sending<'_> {
    /// Sends what is not stored yet, until something says that it is no use to go on.
    fn all(mut self, rows: &mut [Row], console: &mut Console) -> Result<(), Failure> {
        let mut reader = Reader::default();
        for row in &mut *rows {
            row.became = Became::NotSent;
        }
        let total = rows.len();
        for (place, row) in rows.iter_mut().enumerate() {
            let went_on = self.one(row, &mut reader);
            console.complain(&format!("[{}/{total}] {}", place + 1, row.said()));
            went_on?;
        }
        Ok(())
    }

    fn one(&mut self, row: &mut Row, reader: &mut Reader) -> Result<(), Failure> {
        let key = match self.journal.earlier(&row.task) {
            Earlier::Stored(generation) => {
                row.became = Became::StoredBefore(generation);
                return Ok(());
            }
            Earlier::Sent(key) => key,
            Earlier::Nothing => made_up_key(self.random),
        };
        let mut nobody = Console::new(Box::new(std::io::sink()), Box::new(std::io::sink()), None);
        let found = reader.read(&row.task, &mut nobody)?;
        // It is read anew each time: an import of an hour outlives a JWT, and there may be a fresh one.
        if self.args.assertion.jwt_file.is_some() && self.args.assertion.may_change() {
            self.jwt = self.args.assertion.read(self.environment)?;
        }
        let target = path(&[&self.args.mount, "sets", row.task.account.as_str()])?;
        let body = body::body(self.args, &row.task, &found.file, self.jwt.as_ref(), &key)?;
        self.journal.sending(&row.task, &key)?;
        let reply = match self.client.put(&target, body) {
            Ok(reply) => reply,
            Err(failure) => {
                if failure.outcome_unknown() {
                    row.became = Became::Unknown("the answer did not arrive".to_owned());
                }
                return Err(Failure::local(format!("{failure}. Stopped; run the same command again to go on")));
            }
        };
        let status = reply.status();
        self.forbidden = if status == 403 { self.forbidden + 1 } else { 0 };
        match reply.success(self.client.settings()) {
            Ok(reply) => {
                let generation = reply.data().get("generation").and_then(Value::as_u64).unwrap_or_default();
                row.warnings = reply.warnings().iter().map(|warning| printable(warning)).collect();
                row.became = Became::Stored(generation);
                self.journal.stored(&row.task, &key, generation)
            }
            Err(failure) if status == 429 || status >= 500 => {
                Err(Failure::local(format!("{failure}. Stopped; run the same command again to go on")))
            }
            Err(failure) => {
                row.became = Became::Refused(failure.to_string());
                if self.forbidden >= MOST_FORBIDDEN {
                    return Err(Failure::refused(format!(
                        "{MOST_FORBIDDEN} accounts in a row were refused with 403. Stopped; mend role or JWT, and run the same command again"
                    )));
                }
                Ok(())
            }
        }
    }
}

/// Prose goes where it does not disturb a report in JSON.
fn speak(args: &Args, console: &mut Console, line: &str) {
    if args.json { console.complain(line) } else { console.tell(line) }
}

/// `team.csv.journal` beside `team.csv`.
fn beside(from: &Path) -> PathBuf {
    let mut name = from.components().as_path().as_os_str().to_owned();
    name.push(".journal");
    PathBuf::from(name)
}
