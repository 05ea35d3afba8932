//! `sparekey transfer`: accounts go from the store of a stopped server into a mounted engine, or into another server.
//!
//! Each account is marked here first (no code of it leaves here any more), then sent, and ended here once the other end has said that
//! it holds it. Wherever this is cut off, running it again goes on: the other end knows what it has taken in.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use zeroize::Zeroizing;

use crate::cli::assertion;
use crate::cli::client::{Client, Connection, Failure, Reply, Settings, path};
use crate::cli::console::Console;
use crate::cli::offline::told;
use crate::domain::moving::Head;
use crate::domain::name::AccountName;
use crate::engine::transfer::{Cover, Leave, Parcel};
use crate::process;
use crate::random::{self, OsRandom};
use report::{Came, Report};
use source::Source;

mod report;
mod source;

const EXAMPLES: &str = "Examples:
  Look first, send nothing and change nothing:
    sparekey transfer --config /etc/sparekey.hcl --all --dry-run
  Everything into a vault's mount, with a JWT that the role \"mover\" of the mount accepts:
    sparekey transfer --config /etc/sparekey.hcl --all --address https://vault:8200 --role mover --jwt-file token.jwt
  One account and one folder, with unseal keys from a file (a server under Shamir), one a line:
    sparekey transfer --config /etc/sparekey.hcl github/acme-owner okta/ --role mover --jwt-command 'get-jwt' < keys.txt

Exit codes:
  0  everything that was asked for is at the other end
  1  cut off (no answer, wrong usage, the store does not open): run it again
  2  the other end refused, or some accounts cannot move; the lines say why";

/// Move accounts from a stopped server's store into a mounted engine.
///
/// Counters, enrollment marks, fingerprints and what was used go along; codes are opened in memory only. Here each account is left
/// ended. Stop the server first.
#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Accounts, and folders such as okta/
    #[arg(required_unless_present = "all", conflicts_with = "all")]
    pub accounts: Vec<String>,
    /// Every account, deleted ones included: what stays of them recognises their codes
    #[arg(long)]
    pub all: bool,
    /// Configuration file of the stopped server
    #[arg(long, value_name = "FILE")]
    pub config: PathBuf,
    /// Where the engine is mounted at the other end
    #[arg(long, value_name = "PATH", default_value = "backup-codes")]
    pub mount: String,
    /// The assertion
    #[command(flatten)]
    pub assertion: assertion::Flags,
    /// Why; stays in the history at the other end
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
    /// The ticket this belongs to
    #[arg(long, value_name = "ID")]
    pub ticket: Option<String>,
    /// Send nothing and change nothing: open each account and say what would go
    #[arg(long)]
    pub dry_run: bool,
    /// Stop after so many accounts were sent
    #[arg(long, value_name = "N")]
    pub at_most: Option<u64>,
    /// Let accounts be here again that are on their way, if the other end says that it does not have them
    #[arg(long, conflicts_with_all = ["dry_run", "at_most"])]
    pub take_back: bool,
    /// One JSON object a line: each account, then the sums
    #[arg(long)]
    pub json: bool,
    /// How to reach the other end
    #[command(flatten)]
    pub connection: Connection,
}

/// Longest wait that the other end may ask for when it is busy.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long a JWT that was read is used before it is looked for anew.
const FRESH: Duration = Duration::from_secs(30);
/// How often one account is sent while it is.
const TRIES: usize = 5;

/// Runs the subcommand on this process's console and environment.
pub fn run(args: Args) -> ExitCode {
    // Codes are in memory here.
    process::harden();
    let mut console = Console::standard();
    match transfer(&args, &|name| std::env::var(name).ok(), &mut console) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(2),
        Err(failure) => {
            console.complain(&format!("sparekey transfer: {failure}"));
            ExitCode::from(failure.exit_code())
        }
    }
}

/// Moves what `args` name; whether all of it is at the other end.
pub fn transfer(
    args: &Args,
    environment: &dyn Fn(&str) -> Option<String>,
    console: &mut Console,
) -> Result<bool, Failure> {
    if args.assertion.takes_standard_input() {
        console.stop_asking();
    }
    let settings = Settings::resolve(&args.connection, environment)?;
    let to = format!("{}/{}", settings.address(), path(&[&args.mount])?);
    let client = Client::new(settings)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::local(format!("the runtime does not start: {error}")))?;
    let jwt = if args.dry_run || args.take_back { None } else { args.assertion.read(environment)? };
    let source = runtime.block_on(Source::open(&args.config, console))?;
    let run = format!("transfer-{}", hex::encode(random::bytes::<8>(&OsRandom)));
    let mut mover =
        Mover { args, environment, to, client, runtime: &runtime, source: &source, run, jwt, read_at: Instant::now() };
    let mut report = Report::new(args.json, args.dry_run);
    let mut names = source.names(&args.accounts);
    let outcome = loop {
        if args.at_most.is_some_and(|most| report.sent() >= most) {
            break Ok(());
        }
        match runtime.block_on(names.next()) {
            Ok(None) => break Ok(()),
            Ok(Some(name)) => match mover.bring(&name) {
                Ok(came) => report.add(&name, &came, console),
                Err(failure) => break Err(failure),
            },
            Err(failure) => break Err(failure),
        }
    };
    report.sums(&mover.to, console);
    outcome.map(|()| report.is_whole())
}

struct Mover<'a> {
    args: &'a Args,
    environment: &'a dyn Fn(&str) -> Option<String>,
    to: String,
    client: Client,
    runtime: &'a tokio::runtime::Runtime,
    source: &'a Source,
    run: String,
    jwt: Option<Zeroizing<String>>,
    read_at: Instant,
}

impl Mover<'_> {
    /// Brings one account over, or says why not. A failure ends the whole run.
    fn bring(&mut self, name: &AccountName) -> Result<Came, Failure> {
        if self.args.take_back {
            return self.take_back(name);
        }
        let mark = !self.args.dry_run;
        // A long move outlives a JWT.
        if mark && self.args.assertion.may_change() && self.read_at.elapsed() > FRESH {
            self.jwt = self.args.assertion.read(self.environment)?;
            self.read_at = Instant::now();
        }
        let depart = self.source.engine.depart(name, &self.to, mark, &self.run);
        let parcel = match self.runtime.block_on(depart).map_err(|error| told(&error))? {
            Leave::Nothing => return Ok(Came::Refused("there is no such account in this store".to_owned())),
            Leave::Gone { to } => return Ok(Came::Before { to }),
            Leave::Elsewhere { to } => {
                return Ok(Came::Refused(format!(
                    "it is on its way to {to}: name that address and mount, or take it back first (--take-back with that address)"
                )));
            }
            Leave::Issued { generation } => {
                return Ok(Came::Refused(format!(
                    "the codes of generation {generation} were issued here, and what is kept of them is good in this mount only: \
                     issue new ones at the other end and hand them out, then revoke these here"
                )));
            }
            Leave::Parcel(parcel) => parcel,
        };
        if self.args.dry_run {
            return Ok(Came::Would(report::Sent::of(&parcel)));
        }
        self.send(name, &parcel)
    }

    fn send(&mut self, name: &AccountName, parcel: &Parcel) -> Result<Came, Failure> {
        let reply = match self.asked(name, parcel) {
            Ok(reply) => reply,
            Err(failure) if failure.outcome_unknown() => return Err(unknown(&failure)),
            Err(failure) => return Err(self.not_sent(name, parcel, failure)?),
        };
        let status = reply.status();
        match reply.success(self.client.settings()) {
            Ok(reply) => {
                let head = arrived(&reply, parcel)?;
                let departed = self.source.engine.departed(name, &self.to, &head, &self.run);
                self.runtime.block_on(departed).map_err(|error| told(&error))?;
                Ok(Came::Now(report::Sent::of(parcel)))
            }
            // The other end may have taken it in and failed to say so.
            Err(failure) if status >= 500 || status == 408 => Err(unknown(&failure)),
            // This account is in the way of itself; the others may still go.
            Err(failure) if matches!(status, 400 | 413) => {
                let failure = self.not_sent(name, parcel, failure)?;
                Ok(Came::Refused(failure.to_string()))
            }
            Err(failure) => Err(self.not_sent(name, parcel, failure)?),
        }
    }
    /// Sends it; waits where the other end is busy.
    fn asked(&self, name: &AccountName, parcel: &Parcel) -> Result<Reply, Failure> {
        let target = path(&[&self.args.mount, "transfer", name.as_str()])?;
        for _ in 1..TRIES {
            let reply = self.client.put(&target, self.body(parcel)?)?;
            if reply.status() != 429 {
                return Ok(reply);
            }
            std::thread::sleep(reply.retry_after().unwrap_or(Duration::from_secs(1)).min(PATIENCE));
        }
        self.client.put(&target, self.body(parcel)?)
    }
    fn body(&self, parcel: &Parcel) -> Result<Zeroizing<Vec<u8>>, Failure> {
        let cover = Cover {
            role: self.args.assertion.role.as_deref(),
            jwt: self.jwt.as_ref().map(|jwt| jwt.as_str()),
            reason: self.args.reason.as_deref(),
            ticket: self.args.ticket.as_deref(),
        };
        parcel.body(&cover).map_err(|error| told(&error))
    }
    /// It is certainly not at the other end by what was sent now: if it was marked only now it is here again as before.
    fn not_sent(&self, name: &AccountName, parcel: &Parcel, failure: Failure) -> Result<Failure, Failure> {
        if parcel.is_fresh() {
            let stay = self.source.engine.stay(name, "the other end did not take it in", &self.run);
            self.runtime.block_on(stay).map_err(|error| told(&error))?;
        }
        Ok(failure)
    }
    fn take_back(&self, name: &AccountName) -> Result<Came, Failure> {
        let engine = &self.source.engine;
        let leaving = self.runtime.block_on(engine.leaving_to(name)).map_err(|error| told(&error))?;
        match leaving {
            None => return Ok(Came::NotLeaving),
            Some(to) if to != self.to => {
                return Ok(Came::Refused(format!(
                    "it is on its way to {to}: only that one can say that it does not have it"
                )));
            }
            Some(_) => {}
        }
        let reply = self.client.get(&path(&[&self.args.mount, "accounts", name.as_str()])?)?;
        // A path that is not there at all answers 404 too, with a sentence of the host's.
        if reply.status() == 404 && reply.errors().is_empty() {
            let stay = engine.stay(name, "taken back: the other end does not have it", &self.run);
            self.runtime.block_on(stay).map_err(|error| told(&error))?;
            return Ok(Came::Back);
        }
        reply.success(self.client.settings())?;
        Ok(Came::Refused("the other end has it: run the transfer again, which ends it here".to_owned()))
    }
}

/// What the other end says must be what was sent.
fn arrived(reply: &Reply, parcel: &Parcel) -> Result<Head, Failure> {
    let data = reply.data();
    let number = |name: &str| data.get(name).and_then(serde_json::Value::as_u64);
    let mut hash = [0; 32];
    let head = data.get("head").and_then(serde_json::Value::as_str).unwrap_or_default();
    let same = data.get("unchanged").and_then(serde_json::Value::as_bool) == Some(true)
        || number("remaining") == Some(parcel.codes() as u64);
    match (hex::decode_to_slice(head, &mut hash), number("seq")) {
        (Ok(()), Some(seq)) if same && number("generation").is_some_and(|n| n >= parcel.generation().into()) => {
            Ok(Head { seq, hash: hash.into() })
        }
        _ => Err(Failure::local(
            "the other end's answer does not say that it holds what was sent. Nothing was ended here; look at the account there, \
             then run this again",
        )),
    }
}

fn unknown(failure: &Failure) -> Failure {
    Failure::local(format!(
        "{failure}. It is not known whether the account is there; no code of it leaves here meanwhile. Run the same command again: \
         it goes on where this stopped"
    ))
}
