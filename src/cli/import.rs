//! `sparekey import`: a file of recovery codes becomes the set of an account.

use std::path::PathBuf;
use std::process::ExitCode;

use zeroize::Zeroizing;

use crate::cli::client::{Client, Connection, Failure, Settings, path};
use crate::cli::codefile::{About, Answers, Choice, CodeFile, Outcome, parse};
use crate::cli::console::Console;
use crate::domain::name::AccountName;
use crate::domain::time::Timestamp;
use crate::random::{self, OsRandom, Random};

mod body;
mod show;
mod source;

const EXAMPLES: &str = "Examples:
  Look first, send nothing:
    sparekey import github/acme-owner github-recovery-codes.txt --dry-run
  The first set of an account, with a JWT that the role \"import\" accepts:
    sparekey import github/acme-owner github-recovery-codes.txt --role import --jwt-file token.jwt --cas 0
  Codes 1 and 3 are spent already; delete the file afterwards:
    sparekey import okta/jane@example.com codes.txt --used 1,3 --remove-source
  From a job, without questions, after an enrollment that has number 4:
    fetch-codes | sparekey import github/acme-owner - --yes --enrollment 4 --idempotency-key \"$RUN_ID\"";

/// Store a set of recovery codes from a file.
///
/// Reads one code a line, numbered or bulleted lists, several columns, with text around. Shows what it understood, never a code, and
/// asks before it sends. What can be read in two ways is a question on a terminal, and an error elsewhere.
#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Account whose codes these are, such as github/acme-owner
    pub account: String,
    /// File with the codes, or - for standard input
    pub file: PathBuf,
    /// Where the engine is mounted
    #[arg(long, value_name = "PATH", default_value = "backup-codes")]
    pub mount: String,
    /// Role that allows to store; the token's or the default role if absent
    #[arg(long, value_name = "NAME")]
    pub role: Option<String>,
    /// File with the JWT that satisfies the role, or - for standard input [env: SPAREKEY_JWT holds the JWT itself]
    #[arg(long, value_name = "FILE")]
    pub jwt_file: Option<PathBuf>,
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
    /// Delete the file once the set is stored
    #[arg(long)]
    pub remove_source: bool,
    /// How to reach the server
    #[command(flatten)]
    pub connection: Connection,
}

/// Runs the subcommand on this process's console and environment. Exit codes: 0 stored (or shown), 1 nothing sent or no answer,
/// 2 refused by the server.
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

/// Imports as `args` say; `environment` gives the variables, `random` a key for repeats.
pub fn import(
    args: &Args,
    environment: &dyn Fn(&str) -> Option<String>,
    console: &mut Console,
    random: &dyn Random,
) -> Result<(), Failure> {
    let account = AccountName::parse(&args.account).map_err(|error| Failure::local(error.public()))?;
    let target = path(&[&args.mount, "sets", account.as_str()])?;
    let bound_at = args.bound_at.as_deref().map(bound_at).transpose()?;
    let used = args.used.as_deref().map(used).transpose()?;
    source::check(args)?;
    if args.yes || source::takes_standard_input(args) {
        console.stop_asking();
    }

    let sending = if args.dry_run { None } else { Some(sending(args, environment)?) };

    let bytes = source::read(&args.file)?;
    let mut file = understand(&bytes, used.is_some(), &args.file, console)?;
    if let Some(slots) = used {
        add_used(&mut file, &slots)?;
    }
    console.say(&show::understood(&file, &args.file));
    let Some((client, jwt)) = sending else {
        console.say("Nothing was sent (--dry-run).");
        return Ok(());
    };
    confirm(args, &file, client.settings(), console)?;
    let key =
        args.idempotency_key.clone().unwrap_or_else(|| format!("import-{}", hex::encode(random::bytes::<16>(random))));
    console.say(&format!("Sending. To repeat exactly this import, add --idempotency-key {key}"));
    let body = body::body(args, &file, jwt.as_ref(), bound_at, &key)?;
    let reply = client.put(&target, body).and_then(|reply| reply.success(client.settings()));
    let reply =
        reply.map_err(|failure| if failure.outcome_unknown() { show::unknown(&failure, &key) } else { failure })?;
    console.say(&show::stored(&reply, args, &account));
    if args.remove_source {
        source::remove(&args.file, &bytes)?;
        console.say(&show::removed(&args.file));
    }
    Ok(())
}

/// What it takes to send: a client, and a JWT unless a token stands in. Had before anybody is asked anything.
fn sending(
    args: &Args,
    environment: &dyn Fn(&str) -> Option<String>,
) -> Result<(Client, Option<Zeroizing<String>>), Failure> {
    let client = Client::new(Settings::resolve(&args.connection, environment)?)?;
    let jwt = source::jwt(args, environment)?;
    if jwt.is_none() && client.settings().token().is_none() {
        return Err(Failure::local(
            "storing needs a JWT that satisfies a role: give --jwt-file (or SPAREKEY_JWT), or log in and set BAO_TOKEN",
        ));
    }
    Ok((client, jwt))
}

/// Reads the file, asking where somebody can answer.
fn understand(
    bytes: &[u8],
    used_given: bool,
    name: &std::path::Path,
    console: &mut Console,
) -> Result<CodeFile, Failure> {
    let mut answers = Answers::new();
    if used_given {
        answers.insert(About::Ticked, Choice::Unused);
    }
    loop {
        let outcome = parse(bytes, &answers);
        match outcome.map_err(|refusal| Failure::local(format!("{}: {refusal}", show::source_named(name))))? {
            Outcome::Understood(file) => return Ok(file),
            Outcome::Unclear(questions) if console.can_ask() => {
                for question in questions {
                    let choice =
                        show::ask(&question, console).ok_or_else(|| Failure::local("stopped; nothing was sent"))?;
                    answers.insert(question.about, choice);
                }
            }
            Outcome::Unclear(questions) => return Err(Failure::local(show::unclear(&questions, name))),
        }
    }
}

fn bound_at(text: &str) -> Result<Timestamp, Failure> {
    Timestamp::parse(text)
        .ok_or_else(|| Failure::local("--bound-at must be a time such as 2026-07-01T12:00:00Z, or Unix seconds"))
}

/// `1,3` or `none`.
fn used(text: &str) -> Result<Vec<usize>, Failure> {
    if text.trim() == "none" {
        return Ok(Vec::new());
    }
    let slots: Option<Vec<usize>> =
        text.split(',').map(|slot| slot.trim().parse().ok().filter(|slot| *slot > 0)).collect();
    slots.ok_or_else(|| Failure::local("--used must be numbers of codes, such as 1,3, or \"none\""))
}

/// Adds to what the file itself says.
fn add_used(file: &mut CodeFile, slots: &[usize]) -> Result<(), Failure> {
    if let Some(slot) = slots.iter().find(|slot| **slot > file.codes.len()) {
        return Err(Failure::local(format!("--used names code {slot}, but the file has {} codes", file.codes.len())));
    }
    file.used.extend(slots);
    file.used.sort_unstable();
    file.used.dedup();
    Ok(())
}

fn confirm(args: &Args, file: &CodeFile, settings: &Settings, console: &mut Console) -> Result<(), Failure> {
    if args.yes {
        return Ok(());
    }
    if !console.can_ask() {
        return Err(Failure::local("nobody can be asked here: look with --dry-run, then say --yes. Nothing was sent"));
    }
    let question = format!(
        "Store {} as the codes of {} at {} ({})? [y/N] ",
        show::codes_named(file.codes.len()),
        args.account,
        settings.address(),
        args.mount
    );
    match console.ask(&question).as_deref() {
        Some("y" | "Y" | "yes") => Ok(()),
        _ => Err(Failure::local("stopped; nothing was sent")),
    }
}
