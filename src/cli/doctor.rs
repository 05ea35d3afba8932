//! `sparekey doctor`: everything in a store is read, opened and computed anew; what is wrong is named, nothing is changed.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use crate::cli::client::{Client, Connection, Failure, Settings, printable};
use crate::cli::console::Console;
use crate::cli::offline::{self, Opened};
use crate::cli::progress::{Progress, mebibytes, rate, rest};
use crate::clock::{Clock, SystemClock};
use crate::host::doctor::Examination;
use crate::process;

const EXAMPLES: &str = "\
Examples:
  A running server's store, with a token that may administer (BAO_ADDR, BAO_TOKEN):
    sparekey doctor
  A stopped server's, with unseal keys on the terminal, or from a file, one a line:
    sparekey doctor --config /etc/sparekey.hcl < keys.txt
  For a job: one JSON object
    sparekey doctor --json > findings.json

It opens every record, every wrapped key and every code at its place (and shows none), compares verifiers and codes with their
fingerprints, and computes every ledger anew from its first entry. It reads all of the store once, and changes nothing.

Exit codes:
  0  nothing is wrong
  1  not examined: wrong usage, no answer, the store does not open
  2  the server refused
  3  something is wrong: each finding says what, and what to do";

/// Examine everything that is stored, and change nothing.
#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Configuration file of a stopped server: opens its store here [default: ask the running server]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Print the result as JSON
    #[arg(long)]
    pub json: bool,
    /// Do not tell how far it has come
    #[arg(long)]
    pub quiet: bool,
    /// How to reach the running server
    #[command(flatten)]
    pub connection: Connection,
}

/// The longest line of a server's answer: a report with the most findings that are kept.
const MAX_LINE: usize = 16 << 20;

/// Runs the subcommand on this process's console and environment.
pub fn run(args: Args) -> ExitCode {
    process::harden();
    let mut console = Console::standard();
    match doctor(&args, &|name| std::env::var(name).ok(), &mut console) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(3),
        Err(failure) => {
            console.complain(&format!("sparekey doctor: {failure}"));
            ExitCode::from(failure.exit_code())
        }
    }
}

/// Examines what `args` name; whether nothing is wrong with it.
pub fn doctor(
    args: &Args,
    environment: &dyn Fn(&str) -> Option<String>,
    console: &mut Console,
) -> Result<bool, Failure> {
    let mut progress = Progress::new(args.quiet);
    let report = match &args.config {
        Some(config) => examine(config, console, &mut progress)?,
        None => ask(&Client::new(Settings::resolve(&args.connection, environment)?)?, &mut progress)?,
    };
    progress.end();
    match args.json {
        true => console.say(&report.to_string()),
        false => print(&report, progress.elapsed(), console),
    }
    Ok(report["sound"] == true)
}

/// Examines the store of a stopped server.
fn examine(config: &Path, console: &mut Console, progress: &mut Progress) -> Result<Value, Failure> {
    let config = offline::config(config)?;
    offline::runtime()?.block_on(async {
        let Opened { raw, root, .. } = Opened::open(&config, console).await?;
        let begun = Examination::begin(raw, Arc::new(root), SystemClock.now()).await;
        let mut examination = begun.map_err(|error| Failure::local(error.to_string()))?;
        while let Some(at) = examination.step().await.map_err(|error| Failure::local(error.to_string()))? {
            progress.tell(|time| words(at.done, at.total, at.broken, time));
        }
        serde_json::to_value(examination.report()).map_err(|error| Failure::local(error.to_string()))
    })
}

/// Lets a running server examine its store.
fn ask(client: &Client, progress: &mut Progress) -> Result<Value, Failure> {
    let mut line = Vec::new();
    let mut report = None;
    let mut failed = None;
    client.download("sys/storage/doctor", &mut |piece| {
        for byte in piece {
            if *byte != b'\n' {
                line.push(*byte);
                if line.len() > MAX_LINE {
                    return Err(Failure::local(
                        "the server answered with a line that is too long: is it a Sparekey server?",
                    ));
                }
                continue;
            }
            let mut told: Value = serde_json::from_slice(&line).unwrap_or_default();
            line.clear();
            if let Some(at) = told.get("progress") {
                let number = |name: &str| at[name].as_u64();
                let (done, broken) = (number("done").unwrap_or(0), number("broken").unwrap_or(0));
                progress.tell(|time| words(done, number("total"), broken, time));
            }
            report = report.take().or_else(|| told.get_mut("report").map(Value::take));
            failed = failed.take().or_else(|| told["error"].as_str().map(printable));
        }
        Ok(())
    })?;
    match (report, failed) {
        (Some(report), _) => Ok(report),
        (None, Some(why)) => Err(Failure::local(why)),
        (None, None) => Err(Failure::local("the server gave no result: is it a Sparekey server?")),
    }
}

fn words(done: u64, total: Option<u64>, broken: u64, time: Duration) -> String {
    let mut text = format!("{done} records, {} a second", rate(done, time));
    if let Some(total) = total.filter(|total| *total > 0) {
        text = format!("{} of {text}", format_args!("{}%", (done.min(total) * 100) / total));
        if let Some(left) = rest(done, total, time) {
            text.push_str(&format!(", about {} s left", left.as_secs()));
        }
    }
    if broken > 0 {
        text.push_str(&format!(", {broken} findings"));
    }
    text
}

fn print(report: &Value, time: Duration, console: &mut Console) {
    let number = |name: &str| report[name].as_u64().unwrap_or(0);
    let (broken, notices) = (number("broken"), number("notices"));
    let findings: Vec<&Value> = report["findings"].as_array().into_iter().flatten().collect();
    for finding in &findings {
        let text = |name: &str| printable(finding[name].as_str().unwrap_or_default());
        let mark = if finding["broken"] == true { "WRONG " } else { "notice" };
        console.say(&format!("{mark} {}: {}", text("key"), text("what")));
        console.say(&format!("       → {}", text("next")));
    }
    let more = (broken + notices).saturating_sub(findings.len() as u64);
    if more > 0 {
        console.say(&format!("… and {more} more"));
    }
    console.say(&format!(
        "{}: {broken} wrong, {notices} notices in {} records ({}), {:.1} s",
        if broken == 0 { "OK, nothing is wrong" } else { "SOMETHING IS WRONG" },
        number("records"),
        mebibytes(number("bytes")),
        time.as_secs_f64(),
    ));
    console.say(&format!(
        "Opened: {} accounts, {} deleted ones, {} sets, {} keys, {} codes, {} verifiers, {} ledger entries",
        number("accounts"),
        number("tombstones"),
        number("sets"),
        number("keys"),
        number("codes"),
        number("verifiers"),
        number("ledger_entries"),
    ));
}
