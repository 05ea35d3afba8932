//! `sparekey import`: files of recovery codes become the sets of accounts.

use std::path::PathBuf;
use std::process::ExitCode;

use serde_json::Value;
use zeroize::Zeroizing;

use crate::cli::assertion;
use crate::cli::client::{Client, Connection, Failure, Settings, path};
use crate::cli::console::Console;
use crate::random::{self, OsRandom, Random};
use codes::Reader;
use report::{Became, Row};
use task::Task;

mod body;
mod codes;
mod folder;
mod journal;
mod many;
mod map;
mod report;
mod show;
mod source;
mod task;

const EXAMPLES: &str = "Examples:
  Look first, send nothing:
    sparekey import github/acme-owner github-recovery-codes.txt --dry-run
  The first set of an account, with a JWT that the role \"import\" accepts:
    sparekey import github/acme-owner github-recovery-codes.txt --role import --jwt-file token.jwt --cas 0
  Codes 1 and 3 are spent already; delete the file afterwards:
    sparekey import okta/jane@example.com codes.txt --used 1,3 --remove-source
  From a job, without questions, after an enrollment that has number 4:
    fetch-codes | sparekey import github/acme-owner - --yes --enrollment 4 --idempotency-key \"$RUN_ID\"
  An item of a password manager's export:
    sparekey import github/acme-owner bitwarden.json --item \"GitHub (owner)\" --field \"Recovery codes\"
  Many accounts; if it stops, the same command goes on:
    sparekey import --map team.csv --jwt-file token.jwt --dry-run
    sparekey import --map team.csv --jwt-file token.jwt --yes --json > report.json
  A folder whose files are named for their accounts (codes/github/acme-owner.txt):
    sparekey import --folder codes --jwt-file token.jwt --cas 0

Files:
  lists of codes (text); exports of Bitwarden and 1Password (JSON, CSV), of Microsoft Edge (CSV of passwords), a Temporary
  Access Pass (JSON of Microsoft Graph). Without --item the only item, or the only one with a field called recovery or backup
  codes; without --field such fields, else the notes.

Mapping file (CSV with a header; lines that begin with # are comments; files stand beside it):
  account,file,item,cas,used
  github/acme-owner,github.txt,,0,
  okta/jane@example.com,vault.json,Okta,,\"1,3\"
  Columns: account, file, and as wanted item, field, profile, cas, used, bound_at, enrollment, custody. An empty cell
  says what the command line says. All files are read before anything is sent; a mistake is told with its line.";

/// Store sets of recovery codes from files.
///
/// Reads one code a line, numbered or bulleted lists, several columns, with text around, and the exports of password managers. Shows
/// what it understood, never a code, and asks before it sends. What can be read in two ways is a question on a terminal, and an
/// error elsewhere. Exit codes: 0 stored (or shown), 1 nothing sent or stopped, 2 refused by the server.
#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Account whose codes these are, such as github/acme-owner
    #[arg(required_unless_present_any = ["map", "folder"], conflicts_with_all = ["map", "folder"])]
    pub account: Option<String>,
    /// File with the codes, or - for standard input
    #[arg(required_unless_present_any = ["map", "folder"], conflicts_with_all = ["map", "folder"])]
    pub file: Option<PathBuf>,
    /// Many accounts: a mapping file that says which file holds whose codes (see below)
    #[arg(long, value_name = "FILE", conflicts_with_all = ["folder", "item", "field", "used", "enrollment", "idempotency_key", "remove_source"])]
    pub map: Option<PathBuf>,
    /// Many accounts: a folder whose files are named for their accounts
    #[arg(long, value_name = "FOLDER", conflicts_with_all = ["item", "field", "used", "enrollment", "idempotency_key", "remove_source"])]
    pub folder: Option<PathBuf>,
    /// Many accounts: where what was sent is written down, without codes [default: beside the mapping file or folder]
    #[arg(long, value_name = "FILE", conflicts_with_all = ["account", "file"])]
    pub journal: Option<PathBuf>,
    /// Item of an export: its name, FOLDER/NAME or its id
    #[arg(long, value_name = "NAME")]
    pub item: Option<String>,
    /// Field of that item
    #[arg(long, value_name = "NAME")]
    pub field: Option<String>,
    /// Where the engine is mounted
    #[arg(long, value_name = "PATH", default_value = "backup-codes")]
    pub mount: String,
    /// The assertion
    #[command(flatten)]
    pub assertion: assertion::Flags,
    /// Store only if this is the highest generation so far; 0 for an account without sets
    #[arg(long, value_name = "N")]
    pub cas: Option<u64>,
    /// Profile of the account, where it is new
    #[arg(long, value_name = "NAME")]
    pub profile: Option<String>,
    /// Numbers of the codes that are used up, such as 1,3; "none" if ticked boxes in the file mean nothing
    #[arg(long, value_name = "LIST")]
    pub used: Option<String>,
    /// When the provider's codes were known to be these, such as 2026-07-01T12:00:00Z
    #[arg(long, value_name = "TIME")]
    pub bound_at: Option<String>,
    /// Number of the enrollment after which the codes were made
    #[arg(long, value_name = "N")]
    pub enrollment: Option<u64>,
    /// Who else has seen the codes
    #[arg(long, value_name = "TEXT")]
    pub custody: Option<String>,
    /// Key that makes a repeat of this import harmless; made up and shown if absent
    #[arg(long, value_name = "KEY")]
    pub idempotency_key: Option<String>,
    /// Ask nothing; what is unclear is an error
    #[arg(long)]
    pub yes: bool,
    /// Show what would be sent, and send nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Report as JSON on standard output; everything else goes to standard error
    #[arg(long)]
    pub json: bool,
    /// Delete the file once the set is stored (a list of codes, not an export)
    #[arg(long)]
    pub remove_source: bool,
    /// How to reach the server
    #[command(flatten)]
    pub connection: Connection,
}

/// Runs the subcommand on this process's console and environment. Exit codes: 0 stored (or shown), 1 nothing sent, stopped or no
/// answer, 2 refused by the server.
pub fn run(args: Args) -> ExitCode {
    let mut console = Console::standard();
    match import(&args, &|name| std::env::var(name).ok(), &mut console, &OsRandom) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            console.complain(&format!("sparekey import: {failure}"));
            ExitCode::from(failure.exit_code())
        }
    }
}

/// Imports as `args` say; `environment` gives the variables, `random` keys for repeats.
pub fn import(
    args: &Args,
    environment: &dyn Fn(&str) -> Option<String>,
    console: &mut Console,
    random: &dyn Random,
) -> Result<(), Failure> {
    let (tasks, from) = match (&args.map, &args.folder, &args.account, &args.file) {
        (Some(from), ..) => (map::read(args, from)?, from),
        (_, Some(from), ..) => (folder::read(args, from)?, from),
        (_, _, Some(account), Some(file)) => {
            return one(args, Task::new(args, account, file.clone())?, environment, console, random);
        }
        _ => return Err(Failure::local("say an account and its file, or --map, or --folder")),
    };
    if args.yes || args.assertion.takes_standard_input() {
        console.stop_asking();
    }
    many::import(args, tasks, from, environment, console, random)
}

fn one(
    args: &Args,
    task: Task,
    environment: &dyn Fn(&str) -> Option<String>,
    console: &mut Console,
    random: &dyn Random,
) -> Result<(), Failure> {
    let target = path(&[&args.mount, "sets", task.account.as_str()])?;
    source::check(args, &task.file)?;
    if args.yes || source::takes_standard_input(args, &task.file) {
        console.stop_asking();
    }
    let sending = if args.dry_run { None } else { Some(sending(args, environment)?) };

    let mut reader = Reader::default();
    let found = reader.read(&task, console)?;
    if args.remove_source && reader.list().is_none() {
        return Err(Failure::local(format!(
            "{} is an export and may hold more than these codes: --remove-source deletes lists of codes only. Nothing was sent",
            task.file.display()
        )));
    }
    let (count, used) = (found.file.codes.len(), found.file.used.len());
    let mut row = Row { task: task.clone(), count, used, became: Became::Understood, warnings: Vec::new() };
    let say = |console: &mut Console, line: &str| if args.json { console.complain(line) } else { console.tell(line) };
    say(console, &show::understood(&found.file, &found.place));
    let Some((client, jwt)) = sending else {
        say(console, "Nothing was sent (--dry-run).");
        if args.json {
            console.say(&report::json(&[row], None));
        }
        return Ok(());
    };
    confirm(args, &task, count, client.settings(), console)?;
    let key = args.idempotency_key.clone().unwrap_or_else(|| made_up_key(random));
    say(console, &format!("Sending. To repeat exactly this import, add --idempotency-key {key}"));
    let body = body::body(args, &task, &found.file, jwt.as_ref(), &key)?;
    let reply = client.put(&target, body).and_then(|reply| reply.success(client.settings()));
    let reply =
        reply.map_err(|failure| if failure.outcome_unknown() { show::unknown(&failure, &key) } else { failure })?;
    let stored = show::stored(&reply, args, &task);
    let (first, rest) = stored.split_once('\n').unwrap_or((&stored, ""));
    let first = if args.json { first.to_owned() } else { console.paint().bold(first) };
    say(console, &format!("{first}\n{rest}"));
    if args.json {
        row.became = Became::Stored(reply.data().get("generation").and_then(Value::as_u64).unwrap_or_default());
        row.warnings = reply.warnings().iter().map(|warning| crate::cli::client::printable(warning)).collect();
        console.say(&report::json(&[row], None));
    }
    if let (true, Some(bytes)) = (args.remove_source, reader.list()) {
        source::remove(&task.file, bytes)?;
        say(console, &show::removed(&task.file));
    }
    Ok(())
}

/// A key under which a repeat of one import is known.
fn made_up_key(random: &dyn Random) -> String {
    format!("import-{}", hex::encode(random::bytes::<16>(random)))
}

/// What it takes to send: a client, and a JWT unless a token stands in. Had before anybody is asked anything.
fn sending(
    args: &Args,
    environment: &dyn Fn(&str) -> Option<String>,
) -> Result<(Client, Option<Zeroizing<String>>), Failure> {
    let client = Client::new(Settings::resolve(&args.connection, environment)?)?;
    let jwt = args.assertion.read(environment)?;
    if jwt.is_none() && client.settings().token().is_none() {
        return Err(Failure::local(
            "storing needs a JWT that satisfies a role: give --jwt-file (or SPAREKEY_JWT), or log in and set BAO_TOKEN",
        ));
    }
    Ok((client, jwt))
}

fn confirm(args: &Args, task: &Task, count: usize, settings: &Settings, console: &mut Console) -> Result<(), Failure> {
    if args.yes {
        return Ok(());
    }
    if !console.can_ask() {
        return Err(Failure::local("nobody can be asked here: look with --dry-run, then say --yes. Nothing was sent"));
    }
    let question = format!(
        "Store {} as the codes of {} at {} ({})? [y/N] ",
        show::codes_named(count),
        task.account,
        settings.address(),
        args.mount
    );
    match console.ask(&question).as_deref() {
        Some("y" | "Y" | "yes") => Ok(()),
        _ => Err(Failure::local("stopped; nothing was sent")),
    }
}
