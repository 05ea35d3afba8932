//! `sparekey outcome`: what became of a code that was handed out, and what to do now.

use std::process::ExitCode;

use serde::Serialize;
use serde_json::Value;
use zeroize::Zeroizing;

use crate::cli::act::{self, Act, Place};
use crate::cli::assertion;
use crate::cli::client::{Failure, printable};
use crate::cli::console::Console;
use crate::cli::get::Tools;
use crate::cli::get::pending::{Memory, Pending};
use crate::cli::get::show::{clock, span};
use crate::cli::lines::hanging;
use crate::domain::name::AccountName;
use crate::domain::time::Timestamp;
use crate::process;

const EXAMPLES: &str = "Examples:
  After sparekey get, which remembered which code it was:
    sparekey outcome github/acme-owner worked
  A code that somebody else got, or on another machine:
    sparekey outcome github/acme-owner refused --slot 3 --jwt-file token.jwt --note 'already used, says the provider'

Exit codes:
  0  noted
  1  nothing was sent, or no answer came: run it again
  2  refused; the line says why";

/// Say what became of a code.
///
/// `refused` raises an alarm: somebody else may have used the code.
#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Account whose code it was
    pub account: String,
    /// What became of it
    pub outcome: What,
    /// Which code; the one that sparekey get showed last if absent
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub slot: Option<u32>,
    /// Which set; the latest if absent
    #[arg(long, value_name = "N", requires = "slot")]
    pub generation: Option<u32>,
    /// What there is to say about it; no code in it
    #[arg(long, value_name = "TEXT")]
    pub note: Option<String>,
    /// Where, on whose word, for which ticket
    #[command(flatten)]
    pub act: Act,
}

/// What became of a code.
#[derive(clap::ValueEnum, Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum What {
    /// The provider took it
    Worked,
    /// The provider did not take it: somebody else may have used it
    Refused,
    /// It was not tried
    Unused,
}

/// Runs the subcommand on this process's console and environment.
pub fn run(args: Args) -> ExitCode {
    process::harden();
    let mut console = Console::standard();
    let environment = |name: &str| std::env::var(name).ok();
    match outcome(&args, &Tools::standard(&environment), &mut console) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            console.complain(&format!("sparekey outcome: {failure}"));
            ExitCode::from(failure.exit_code())
        }
    }
}

#[derive(Serialize)]
struct Body<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    jwt: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    generation: Option<u64>,
    slot: u64,
    outcome: What,
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ticket: Option<&'a str>,
}

/// Reports the outcome that `args` say.
pub fn outcome(args: &Args, tools: &Tools<'_>, console: &mut Console) -> Result<(), Failure> {
    let account = act::account(&args.account)?;
    if args.act.assertion.takes_standard_input() {
        console.stop_asking();
    }
    let Place { client, target, at } = args.act.place("outcome", &account, tools.environment)?;
    let memory = Memory::of(tools.environment);
    let pending = memory.as_ref().map(|memory| memory.find(&at, account.as_str())).transpose()?.flatten();
    let (generation, slot) = which(args, pending.as_ref(), &account)?;
    let role = args.act.assertion.role.as_deref().or(pending.as_ref().and_then(|pending| pending.role.as_deref()));
    let send = |jwt: Option<&str>| {
        let body = Body {
            role,
            jwt,
            generation,
            slot,
            outcome: args.outcome,
            note: args.note.as_deref(),
            ticket: args.act.ticket.as_deref(),
        };
        let mut text = Zeroizing::new(Vec::with_capacity(jwt.map_or(0, str::len) + 16 * 1024));
        serde_json::to_writer(&mut *text, &body).map_err(|error| Failure::local(error.to_string()))?;
        client.put(&target, text)
    };
    let mut given = args.act.assertion.read(tools.environment)?;
    if given.is_none() && client.settings().token().is_none() {
        given = asked(console)?;
    }
    let mut reply = send(given.as_ref().map(|jwt| jwt.as_str()))?;
    // A login's token may be enough. If it is not, somebody may have an assertion at hand.
    if reply.status() == 403
        && given.is_none()
        && let Some(typed) = asked(console)?
    {
        reply = send(Some(&typed))?;
    }
    let reply = reply.success(client.settings())?;
    if let (Some(memory), Some(pending)) = (&memory, &pending)
        && pending.left.is_some_and(|(_, left)| left == slot)
    {
        memory.forget(&at, account.as_str());
    }
    let data = reply.data();
    if args.act.json {
        console.say(&Value::Object(data).to_string());
        return Ok(());
    }
    let paint = tools.paint;
    let noted = match args.outcome {
        What::Worked => paint.bold(format!("Noted: code {slot} of {account} worked.")),
        What::Unused => paint.bold(format!("Noted: code {slot} of {account} was not tried.")),
        What::Refused => paint.alarm(format!("ALARM: the provider refused code {slot} of {account}.")),
    };
    let next = data.get("next").and_then(Value::as_str).map(printable).unwrap_or_default();
    console.say(&format!("{noted}\n\nNow: {}", steps(&with_times(&next, tools.now), args.outcome, tools.columns)));
    for warning in reply.warnings() {
        console.tell(&format!("Note: {}", printable(warning)));
    }
    Ok(())
}

/// What to do, one step below the other where there is an alarm.
fn steps(next: &str, what: What, columns: usize) -> String {
    let (why, list) = match next.split_once(": ") {
        Some(parts) if what == What::Refused => parts,
        _ => return hanging(next, columns.saturating_sub(5), 5),
    };
    let step = |(at, step): (usize, &str)| {
        let step = step.strip_prefix("then ").unwrap_or(step);
        format!("\n  {}. {}", at + 1, hanging(step, columns.saturating_sub(5), 5))
    };
    format!("{why}:{}", list.split(", ").enumerate().map(step).collect::<String>())
}

/// `text` with times as people read them, and how far they are.
fn with_times(text: &str, now: Timestamp) -> String {
    let word = |word: &str| match word.strip_prefix("20").and_then(|_| Timestamp::parse(word)) {
        Some(at) if at > now => format!("{} (in {})", clock(at), span(at.since(now))),
        Some(at) => format!("{} (over)", clock(at)),
        None => word.to_owned(),
    };
    text.split(' ').map(word).collect::<Vec<_>>().join(" ")
}

/// Which code is meant.
fn which(args: &Args, pending: Option<&Pending>, account: &AccountName) -> Result<(Option<u64>, u64), Failure> {
    if let Some(slot) = args.slot {
        return Ok((args.generation.map(u64::from), slot.into()));
    }
    match pending.map(|pending| pending.left) {
        Some(Some((generation, slot))) => Ok((Some(generation), slot)),
        Some(None) => Err(Failure::local(format!(
            "which code it was is not known here: ask again (sparekey get {account}), or say it with --slot"
        ))),
        None => Err(Failure::local(format!(
            "no code of {account} is open on this machine: say which one it was with --slot (the history has it: bao read {}/history/{account})",
            args.act.mount()
        ))),
    }
}

/// The assertion, where somebody can be asked.
fn asked(console: &mut Console) -> Result<Option<Zeroizing<String>>, Failure> {
    let typed = console.ask_hidden("Your assertion, a JWT (paste it; it is not shown)\n> ");
    typed.filter(|typed| !typed.is_empty()).map(|typed| assertion::checked(&typed, "what you typed")).transpose()
}
