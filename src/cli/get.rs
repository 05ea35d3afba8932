//! `sparekey get`: one code now, for a tired person. What is needed is asked for; what was asked once is not lost.

use std::process::ExitCode;
use std::time::Duration;

use zeroize::Zeroizing;

use crate::cli::act::{self, Act, Place};
use crate::cli::assertion;
use crate::cli::client::{Client, Failure, path, printable};
use crate::cli::console::Console;
use crate::cli::lines;
use crate::cli::paint::Paint;
use crate::clock::{Clock, SystemClock};
use crate::domain::name::AccountName;
use crate::domain::time::Timestamp;
use crate::process;
use crate::random::{self, OsRandom, Random};
use asked::Asked;
use pending::{Memory, Pending};

mod asked;
mod near;
pub mod pending;
pub mod show;

const EXAMPLES: &str = "Examples:
  It asks for what it needs (the JWT is not shown):
    sparekey get github/acme-owner
  With everything said:
    sparekey get github/acme-owner --role on-call --jwt-file token.jwt --reason 'phone lost'
  The assertion from a command; the answer for a program:
    sparekey get github/acme-owner --jwt-command 'get-jwt' --reason 'phone lost' --json
  No answer came? The same command again shows the same code, and costs no other one.

Address and token are found as bao finds them: BAO_ADDR or VAULT_ADDR; BAO_TOKEN, VAULT_TOKEN or ~/.vault-token.

Exit codes:
  0  the code was shown
  1  nothing was sent (wrong usage, no connection, a file of this machine)
  2  refused, or the code was shown before and is not shown again; the line says why
  3  there is no such account; near names are listed
  4  no answer: it is not known whether a code left. Ask again: it is the same one";

/// The longest time for which a profile lets a code be shown again.
const LONGEST_WINDOW: Duration = Duration::from_secs(24 * 3600);

/// Get one backup code.
///
/// Shows it large, with where it is typed, what is left and what is owed. Until `sparekey outcome` says what came of it, asking again
/// shows the same code for as long as the server allows.
#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Account whose code is needed, such as github/acme-owner
    pub account: String,
    /// The code of this slot, where the provider asks for a certain one
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub slot: Option<u32>,
    /// Why; stays in the history
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
    /// Show no code but a token that gives it once, for so long (such as 60s)
    #[arg(long, value_name = "TTL")]
    pub wrap: Option<String>,
    /// Another code than the one that was asked for before
    #[arg(long)]
    pub another: bool,
    /// Key that makes asking again show the same code, instead of the one that is kept in a file
    #[arg(long, value_name = "KEY", conflicts_with = "another")]
    pub idempotency_key: Option<String>,
    /// Where, on whose word, for which ticket
    #[command(flatten)]
    pub act: Act,
}

/// Why no code is shown, and the exit code that says so.
#[derive(Debug)]
pub struct Ended {
    /// A sentence, or a few lines.
    pub told: String,
    /// As the help has it.
    pub code: u8,
}

impl From<Failure> for Ended {
    fn from(failure: Failure) -> Self {
        Ended { code: failure.exit_code(), told: failure.to_string() }
    }
}

/// Runs the subcommand on this process's console and environment.
pub fn run(args: Args) -> ExitCode {
    process::harden();
    let mut console = Console::standard();
    let environment = |name: &str| std::env::var(name).ok();
    match get(&args, &Tools::standard(&environment), &mut console) {
        Ok(()) => ExitCode::SUCCESS,
        Err(ended) => {
            console.complain(&format!("sparekey get: {}", ended.told));
            ExitCode::from(ended.code)
        }
    }
}

/// What the command uses of the process around it.
pub struct Tools<'a> {
    /// Its variables.
    pub environment: &'a dyn Fn(&str) -> Option<String>,
    /// Where keys come from.
    pub random: &'a dyn Random,
    /// The time.
    pub now: Timestamp,
    /// Colours.
    pub paint: Paint,
    /// Columns that what is said may take.
    pub columns: usize,
}

/// Columns that are used at most: longer lines are hard to read.
const MOST_COLUMNS: usize = 100;

impl<'a> Tools<'a> {
    /// Those of this process.
    pub fn standard(environment: &'a dyn Fn(&str) -> Option<String>) -> Self {
        let columns = lines::of_output().unwrap_or(MOST_COLUMNS).min(MOST_COLUMNS);
        Tools { environment, random: &OsRandom, now: SystemClock.now(), paint: Paint::of_output(environment), columns }
    }
}

/// Gets and shows one code.
pub fn get(args: &Args, tools: &Tools<'_>, console: &mut Console) -> Result<(), Ended> {
    let account = act::account(&args.account)?;
    if args.act.assertion.takes_standard_input() {
        console.stop_asking();
    }
    let Place { client, target, at } = args.act.place("retrieve", &account, tools.environment)?;
    let memory = Memory::of(tools.environment);
    if let Some(memory) = memory.as_ref().filter(|_| args.another) {
        memory.forget(&at, account.as_str());
    }
    let open = match &memory {
        Some(memory) if args.idempotency_key.is_none() => memory.find(&at, account.as_str())?,
        _ => None,
    };
    // No server shows a code again after a day: what is older is not gone on with.
    let open = open.filter(|open| open.since().plus(LONGEST_WINDOW) > tools.now);
    if open.is_none() && client.settings().token().is_some() {
        look_for(&client, args, &account)?;
    }
    let asked_before = open.is_some();
    let mut pending = match open {
        Some(open) => go_on(args, open, console)?,
        None => begin(args, tools, &account, at, console)?,
    };
    let jwt = jwt(args, tools, console)?;
    match (&memory, &args.idempotency_key) {
        (_, Some(_)) => {}
        (Some(memory), None) => memory.keep(&pending)?,
        (None, None) => {
            return Err(Failure::local(
                "neither HOME nor XDG_STATE_HOME says where to keep the key that makes asking again safe: make one up, write it \
                 down, and give --idempotency-key",
            )
            .into());
        }
    }
    let mut asked =
        Asked { args, tools, client: &client, memory: memory.as_ref(), pending: &mut pending, asked_before };
    let reply = asked.send(&target, jwt.as_ref().map(|jwt| jwt.as_str()))?;
    asked.show(reply, console)
}

/// An account that is not there is said at once, before anybody is asked anything.
fn look_for(client: &Client, args: &Args, account: &AccountName) -> Result<(), Ended> {
    let Ok(reply) = client.get(&path(&[&args.act.mount, "accounts", account.as_str()])?) else { return Ok(()) };
    // Another 404 is the host's: the mount is not there, and the request itself will say so better.
    if reply.status() != 404 || !reply.errors().is_empty() {
        return Ok(());
    }
    let near = near::names(client, &args.act.mount, account.as_str());
    let mut told = format!("there is no account {account}. Nothing was asked for.");
    if near.is_empty() {
        told.push_str(&format!("\nSee what there is with\n  bao list {}/accounts", args.act.mount()));
    } else {
        told.push_str("\nDid you mean:");
        near.iter().for_each(|name| told.push_str(&format!("\n  sparekey get {}", printable(name))));
    }
    Err(Ended { told, code: 3 })
}

/// The request that is not settled, as it was: what is said now must not say otherwise.
fn go_on(args: &Args, open: Pending, console: &mut Console) -> Result<Pending, Ended> {
    let differs = |given: bool, same: bool| given && !same;
    let other = differs(args.reason.is_some(), args.reason == open.reason)
        || differs(args.act.ticket.is_some(), args.act.ticket == open.ticket)
        || differs(args.slot.is_some(), args.slot == open.slot)
        || differs(args.wrap.is_some(), args.wrap == open.wrap)
        || differs(args.act.assertion.role.is_some(), args.act.assertion.role == open.role);
    let reason = open.reason.as_deref().map(|reason| format!(" ({})", printable(reason))).unwrap_or_default();
    let since = show::clock(open.since());
    if other {
        return Err(Failure::local(format!(
            "you asked for a code of {} at {since}{reason}, and it is not settled. Ask again without flags to see that code, or say \
             what came of it (sparekey outcome), or take --another",
            open.account
        ))
        .into());
    }
    console.complain(&format!("Going on with your request of {since}{reason}: the same code, if one left."));
    Ok(open)
}

fn begin(
    args: &Args,
    tools: &Tools<'_>,
    account: &AccountName,
    at: String,
    console: &mut Console,
) -> Result<Pending, Ended> {
    let reason = match &args.reason {
        Some(reason) => Some(reason.clone()),
        None if console.can_ask() => console
            .ask(&format!("A code of {account}.\nWhy is it needed? (It stays in the history; put no code in it.)\n> ")),
        None => None,
    };
    let key = args.idempotency_key.clone();
    Ok(Pending {
        at,
        account: account.as_str().to_owned(),
        since: tools.now.millis(),
        key: key.unwrap_or_else(|| format!("get-{}", hex::encode(random::bytes::<16>(tools.random)))),
        role: args.act.assertion.role.clone(),
        reason: reason.filter(|reason| !reason.is_empty()),
        ticket: args.act.ticket.clone(),
        slot: args.slot,
        wrap: args.wrap.clone(),
        left: None,
    })
}

fn jwt(args: &Args, tools: &Tools<'_>, console: &mut Console) -> Result<Option<Zeroizing<String>>, Ended> {
    if let Some(jwt) = args.act.assertion.read(tools.environment)? {
        return Ok(Some(jwt));
    }
    if !console.can_ask() {
        return Ok(None);
    }
    let typed = console.ask_hidden("Your assertion, a JWT (paste it; it is not shown. Enter alone: none)\n> ");
    match typed.filter(|typed| !typed.is_empty()) {
        Some(typed) => Ok(Some(assertion::checked(&typed, "what you typed")?)),
        None => Ok(None),
    }
}
