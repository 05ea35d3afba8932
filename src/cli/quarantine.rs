//! `sparekey restore status` and `sparekey restore accept`: a store that was put back to an earlier state, and the operator's word.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use serde_json::{Map, Value, json};
use zeroize::Zeroizing;

use crate::cli::client::{Client, Connection, Failure, Settings, printable};
use crate::cli::console::Console;
use crate::cli::paint::Paint;
use crate::cli::progress::{Progress, rate};
use crate::engine::restore::compare::Sighting;
use crate::host::anchors::{anchor::MAX_BYTES, tail, unknown::PIECE};
use crate::process;

/// Acts in one request.
const BATCH: usize = 500;
/// Names that are shown.
const SHOWN: usize = 50;

/// What to do about a store that was put back.
#[derive(clap::Subcommand, Debug)]
pub enum Command {
    /// Tell whether a store that was put back waits to be accepted
    #[command(after_help = "Exit codes:
  0  nothing waits
  1  wrong usage, or no answer
  2  a restore waits to be accepted, or the server said no")]
    Status {
        /// The server's answer as JSON, for programs
        #[arg(long)]
        json: bool,
        /// How to reach the server
        #[command(flatten)]
        connection: Box<Connection>,
    },
    /// Accept it: hold every account that went back, list what is missing, and let codes leave again
    #[command(after_help = "Examples:
  sparekey restore accept --reason 'disk of node 1 lost, backup of 02:00'
  sparekey restore accept --reason '…' --audit node-2/audit.log.1 --audit node-2/audit.log --anchor node-2/anchor
  A backup, put back where nothing else is left: hold every account with a live set.
    sparekey restore accept --reason 'server lost, backup of 02:00' --hold all

Root, or a token whose role has administer. The server compares its own audit files and anchors; give it those of
the other nodes, the rotated ones too. It may be said again if it stops in the middle.

Exit codes:
  0  accepted
  1  wrong usage, a file that cannot be read, or no answer: say it again
  2  the server said no")]
    Accept(Box<Accept>),
}

/// What is accepted, and why.
#[derive(clap::Args, Debug)]
pub struct Accept {
    /// Why; it stays in the history of every account that is held
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// An audit file of another node, or a rotated one; may be given often
    #[arg(long, value_name = "FILE")]
    audit: Vec<PathBuf>,
    /// An anchor of another node; may be given often
    #[arg(long, value_name = "FILE")]
    anchor: Vec<PathBuf>,
    /// After a backup was restored: hold only the accounts that went back as far as files and anchors know, because all of them
    /// from the backup to the end are here (known); or every account with a live set, because they are not (all)
    #[arg(long, value_enum)]
    hold: Option<Hold>,
    /// The server's answer as JSON, for programs
    #[arg(long)]
    json: bool,
    /// How to reach the server
    #[command(flatten)]
    connection: Connection,
}

/// Which accounts are held.
#[derive(clap::ValueEnum, Debug, Clone, Copy, PartialEq, Eq)]
enum Hold {
    /// Those that are known to have gone back.
    Known,
    /// Every one with a live set.
    All,
}

/// Runs the subcommand on this process's console and environment.
pub fn run(command: Command) -> ExitCode {
    process::harden();
    let mut console = Console::standard();
    let environment = |name: &str| std::env::var(name).ok();
    let paint = Paint::of_output(&environment);
    let client = |connection: &Connection| Client::new(Settings::resolve(connection, &environment)?);
    let done = match &command {
        Command::Status { json, connection } => {
            client(connection).and_then(|client| status(&client, *json, paint, &mut console))
        }
        Command::Accept(wanted) => {
            client(&wanted.connection).and_then(|client| accept(&client, wanted, paint, &mut console))
        }
    };
    match done {
        Ok(code) => code,
        Err(failure) => {
            console.complain(&format!("sparekey restore: {failure}"));
            ExitCode::from(failure.exit_code())
        }
    }
}

fn status(client: &Client, json: bool, paint: Paint, console: &mut Console) -> Result<ExitCode, Failure> {
    let data = client.get("sys/restore")?.success(client.settings())?.data();
    let waits = data.get("quarantine") == Some(&Value::Bool(true));
    let text = |name: &str| data.get(name).and_then(Value::as_str).map(printable).unwrap_or_default();
    if json {
        console.say(&Value::Object(data.clone()).to_string());
    } else if waits {
        console.say(&paint.alarm("A store that was put back waits to be accepted: no code leaves."));
        console.say(&format!("Noticed  {} by {}", text("since"), text("node")));
        console.say(&format!("Because  {}", text("why")));
        now(&data, console);
    } else {
        console.say(&format!("Nothing waits. Epoch {} of {}.", data["epoch"], text("epoch_at")));
        if data.get("anchors") == Some(&Value::Bool(false)) {
            console.say(&paint.warn("This server keeps no anchors: a store that is put back goes unnoticed."));
        }
    }
    Ok(if waits { ExitCode::from(2) } else { ExitCode::SUCCESS })
}

fn accept(client: &Client, wanted: &Accept, paint: Paint, console: &mut Console) -> Result<ExitCode, Failure> {
    let mut found = Found::default();
    for path in &wanted.audit {
        audit(client, path, &wanted.reason, &mut found)?;
    }
    for path in &wanted.anchor {
        let text = std::fs::read(path).map_err(|error| unreadable(path, &error))?;
        if text.len() > MAX_BYTES {
            return Err(Failure::local(format!("{}: larger than an anchor", path.display())));
        }
        let body = json!({"reason": wanted.reason, "anchor": String::from_utf8_lossy(&text)});
        found.take(&send(client, "sys/restore/evidence", &body)?);
    }
    if wanted.hold == Some(Hold::All) {
        hold_all(client, &wanted.reason, &mut found)?;
    }
    let hold = wanted.hold.map(|hold| if hold == Hold::All { "all" } else { "known" });
    let data = send(client, "sys/restore/accept", &json!({"reason": wanted.reason, "hold": hold}))?;
    found.take(&data);
    found.unknown += data.get("unknown_total").and_then(Value::as_u64).unwrap_or(0);
    if wanted.json {
        let mut all = data;
        all.insert("accounts".to_owned(), Value::Array(found.accounts.into_values().collect()));
        all.insert("missing".to_owned(), json!(found.missing));
        all.insert("configuration".to_owned(), json!(found.configuration));
        all.insert("unknown_total".to_owned(), json!(found.unknown));
        console.say(&Value::Object(all).to_string());
        return Ok(ExitCode::SUCCESS);
    }
    console.say(&paint.bold(format!("Accepted. The store goes on with epoch {}.", data["epoch"])));
    let held = found.accounts.len();
    if held > 0 {
        console.say(
            &paint.warn(format!("\n{held} accounts went back and are held until they are released or get a new set:")),
        );
        for account in found.accounts.values().take(SHOWN) {
            console.say(&format!(
                "  {}: history ends at {}, known was {}",
                account["account"].as_str().map(printable).unwrap_or_default(),
                account["seq"],
                account["known_seq"]
            ));
        }
        more(held, console);
    }
    if found.unknown > 0 {
        console.say(&paint.warn(format!(
            "\n{} accounts more are held because nobody knows what was acknowledged of them after the backup.",
            found.unknown
        )));
    }
    if !found.missing.is_empty() {
        console.say(&paint.warn(format!("\n{} accounts are missing altogether:", found.missing.len())));
        found.missing.iter().take(SHOWN).for_each(|name| console.say(&format!("  {}", printable(name))));
        more(found.missing.len(), console);
    }
    if let Some(lost) = &found.configuration {
        console.say(&paint.warn(format!(
            "\nThe configuration went back to entry {} of {}: roles and issuers that were withdrawn may be back. Look at config/history.",
            lost["seq"], lost["known_seq"]
        )));
    }
    console.say(&format!(
        "\nCompared {} ledgers; ended {} tokens and {} wrappings.\nNow: sparekey report posture --only held",
        data["compared"], data["tokens_ended"], data["wrappings_ended"]
    ));
    Ok(ExitCode::SUCCESS)
}

/// What the server said of all that was sent.
#[derive(Default)]
struct Found {
    accounts: std::collections::BTreeMap<String, Value>,
    missing: std::collections::BTreeSet<String>,
    configuration: Option<Value>,
    unknown: u64,
}

impl Found {
    fn take(&mut self, data: &Map<String, Value>) {
        let list = |name: &str| data.get(name).and_then(Value::as_array).cloned().unwrap_or_default();
        for account in list("accounts") {
            if let Some(name) = account["account"].as_str() {
                self.accounts.insert(name.to_owned(), account.clone());
            }
        }
        // Another node's file may know more of the configuration than the server does.
        if let Some(lost) = data.get("configuration").filter(|lost| lost.is_object()) {
            let known = |lost: &Value| lost["known_seq"].as_u64();
            if self.configuration.as_ref().is_none_or(|before| known(before) < known(lost)) {
                self.configuration = Some(lost.clone());
            }
        }
        self.missing.extend(list("missing").iter().filter_map(Value::as_str).map(str::to_owned));
    }
}

/// Says what is to be done about a store that waits.
fn now(data: &Map<String, Value>, console: &mut Console) {
    let Some(of) = data.get("backup_of").and_then(Value::as_str).map(printable) else {
        console.say("Now      compare with the audit files of all nodes, then  sparekey restore accept --reason '…' --audit FILE…");
        return;
    };
    console.say(&format!(
        "Now      are the audit files of every node here, from {of} to the end? This server compares its own."
    ));
    console.say(
        "   yes   sparekey restore accept --reason '…' --hold known --audit FILE…    holds the accounts that they name",
    );
    console.say("   no    sparekey restore accept --reason '…' --hold all                     holds every account with a live set");
}

/// Holds every account with a live set, some hundred at a time.
fn hold_all(client: &Client, reason: &str, found: &mut Found) -> Result<(), Failure> {
    let mut progress = Progress::new(false);
    let (mut after, mut pieces) = (String::new(), 0u64);
    loop {
        let data = send(client, "sys/restore/hold", &json!({"reason": reason, "after": after}))?;
        found.unknown += data.get("unknown").and_then(Value::as_array).map_or(0, |held| held.len() as u64);
        pieces += 1;
        let looked = pieces * PIECE as u64;
        progress.tell(|time| format!("{} held, {} accounts looked at a second", found.unknown, rate(looked, time)));
        match data.get("next").and_then(Value::as_str) {
            Some(next) => next.clone_into(&mut after),
            None => break,
        }
    }
    progress.end();
    Ok(())
}

/// Sends the acts that an audit file acknowledges.
fn audit(client: &Client, path: &Path, reason: &str, found: &mut Found) -> Result<(), Failure> {
    if let Err(error) = std::fs::metadata(path) {
        return Err(unreadable(path, &error));
    }
    // What was announced and did not come about is known at the end of the file only.
    let taken_back = tail::read(&tail::whole(path), |_| true).map_err(|error| unreadable(path, &error))?;
    let stands = |sighting: &Sighting| {
        sighting.account.as_ref().is_none_or(|account| !taken_back.contains(&(account.clone(), sighting.seq)))
    };
    let mut failure = None;
    let read = tail::read(&tail::whole(path), |sightings| {
        let sightings: Vec<Sighting> = sightings.into_iter().filter(stands).collect();
        for batch in sightings.chunks(BATCH) {
            let heads: Vec<Value> = batch.iter().map(head).collect();
            match send(client, "sys/restore/evidence", &json!({"reason": reason, "heads": heads})) {
                Ok(data) => found.take(&data),
                Err(error) => failure = Some(error),
            }
        }
        failure.is_none()
    });
    read.map_err(|error| unreadable(path, &error))?;
    failure.map_or(Ok(()), Err)
}

fn head(sighting: &Sighting) -> Value {
    json!({
        "account": sighting.account, "seq": sighting.seq, "head": hex::encode(sighting.head),
        "generation": sighting.generation, "at": sighting.at.to_string(),
    })
}

fn send(client: &Client, path: &str, body: &Value) -> Result<Map<String, Value>, Failure> {
    let text = Zeroizing::new(body.to_string().into_bytes());
    Ok(client.put(path, text)?.success(client.settings())?.data())
}

fn unreadable(path: &Path, error: &std::io::Error) -> Failure {
    Failure::local(format!("{}: {error}", path.display()))
}

fn more(total: usize, console: &mut Console) {
    if total > SHOWN {
        console.say(&format!("  … and {} more; --json has them", total - SHOWN));
    }
}
