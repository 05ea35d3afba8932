//! `sparekey audit verify`: replays audit files offline.

use std::fs::File;
use std::io::{self, BufRead, BufReader, IsTerminal, Read, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use crate::audit::{Head, MAX_LINE, Replay, Report};
use crate::cli::client::{Client, Connection, Failure, Settings, printable};
use crate::cli::console::Console;
use crate::cli::paint::Paint;

mod ledger;
mod source;

use ledger::Matched;
use source::{Running, Stopped};

/// Bytes read at once.
const BLOCK: usize = 1 << 20;
/// From this size on, progress is shown.
const BIG: u64 = 256 << 20;

/// Work on audit files.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Check that no line of an audit device was altered, dropped, reordered or repeated
    #[command(after_help = "Examples:
  sparekey audit verify /var/log/sparekey/audit.log
  sparekey audit verify audit.log.2 audit.log.1 audit.log --public-key 3b6a…
  zcat audit.log.9.gz | sparekey audit verify - --json
  sparekey audit verify node-1/audit.log --also node-2/audit.log.1,node-2/audit.log --ledger
  sparekey audit verify audit.log --ledger --config /etc/sparekey.hcl < keys.txt

The last one opens the store of a stopped server, or of a backup that was restored somewhere else.

With --ledger every act in the server's ledgers must have its line in some file, and every line its act. Requests that were
recorded and carried out, and whose answer nobody saw, are listed apart.

Exit codes: 0 nothing is wrong, 1 the files or the ledgers could not be read, 2 something is wrong with them.")]
    Verify(Verify),
}

#[derive(Debug, clap::Args)]
struct Verify {
    /// Files of one device, oldest first; - for standard input
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Files of one more device, of this node or another, oldest first, with commas between; may be given often
    #[arg(long, value_name = "FILE,…", value_parser = device)]
    also: Vec<Device>,
    /// Compare with the ledgers of the running server; the token must be allowed to read histories and reports
    #[arg(long)]
    ledger: bool,
    /// Configuration file of a stopped server: with --ledger, its store is opened here [default: ask the running server]
    #[arg(long, value_name = "FILE", requires = "ledger")]
    config: Option<PathBuf>,
    /// Where the engine is mounted
    #[arg(long, value_name = "PATH", default_value = "backup-codes", requires = "ledger")]
    mount: String,
    /// How to reach the server
    #[command(flatten)]
    connection: Connection,
    /// The server's public key for checkpoints; without it, any key that signed consistently is taken and shown
    #[arg(long, value_name = "HEX", value_parser = digest)]
    public_key: Option<[u8; 32]>,
    /// A line that must be there, from the server or an earlier check: a file that was cut short before it is found out
    #[arg(long, value_name = "NUMBER:HASH", value_parser = anchor)]
    anchor: Option<Head>,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

/// Runs `sparekey audit …`.
pub fn run(args: Args) -> ExitCode {
    let Command::Verify(verify) = args.command;
    let checked = check_all(&verify).and_then(|(reports, matched)| {
        let mut out = io::stdout().lock();
        if verify.json {
            json(&reports, matched.as_ref(), &mut out)?;
        } else {
            for report in &reports {
                print(report, verify.public_key.is_some(), &mut out)?;
            }
            if let Some(matched) = &matched {
                print_matched(matched, &mut out)?;
            }
        }
        out.flush()?;
        // A file without a line proves nothing.
        let intact = reports.iter().all(|report| report.intact && report.lines > 0);
        Ok(intact && matched.is_none_or(|matched| matched.agrees()))
    });
    match checked {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(2),
        // Whoever reads us has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::from(1),
        Err(error) => {
            let _ = writeln!(io::stderr(), "Error: {error}");
            ExitCode::from(1)
        }
    }
}

/// One report a device, and the comparison with the ledgers if it is wanted.
fn check_all(verify: &Verify) -> io::Result<(Vec<Report>, Option<Matched>)> {
    let also = verify.also.iter().map(|device| &device.0);
    let devices: Vec<&Vec<PathBuf>> = std::iter::once(&verify.files).chain(also).collect();
    let mut reports = Vec::with_capacity(devices.len());
    for (index, files) in devices.iter().enumerate() {
        // A named line belongs to the first device.
        reports.push(check(files, verify.public_key, verify.anchor.filter(|_| index == 0))?);
    }
    if !verify.ledger {
        return Ok((reports, None));
    }
    let files: Vec<PathBuf> = devices.into_iter().flatten().cloned().collect();
    if files.iter().any(|file| file.as_os_str() == "-") {
        return Err(io::Error::other("--ledger reads files more than once: name them instead of -"));
    }
    let matched = compare(verify, &files).map_err(|failure| io::Error::other(failure.to_string()))?;
    Ok((reports, Some(matched)))
}

fn compare(verify: &Verify, files: &[PathBuf]) -> Result<Matched, Failure> {
    if let Some(config) = &verify.config {
        return ledger::compare(files, &Stopped::open(config, &mut Console::standard())?);
    }
    let client = Client::new(Settings::resolve(&verify.connection, &|name| std::env::var(name).ok())?)?;
    ledger::compare(files, &Running { client: &client, mount: &verify.mount })
}

/// One device without ledgers as it always was; else an object of both.
fn json(reports: &[Report], matched: Option<&Matched>, out: &mut impl Write) -> io::Result<()> {
    match (reports, matched) {
        ([report], None) => serde_json::to_writer_pretty(&mut *out, report)?,
        _ => serde_json::to_writer_pretty(&mut *out, &serde_json::json!({"devices": reports, "ledger": matched}))?,
    }
    writeln!(out)
}

fn check(files: &[PathBuf], public_key: Option<[u8; 32]>, anchor: Option<Head>) -> io::Result<Report> {
    let mut replay = Replay::new(public_key, anchor);
    let total = files.iter().filter_map(|path| path.metadata().ok()).map(|found| found.len()).sum();
    let mut progress = Progress::new(total);
    for path in files {
        let named = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
        let input: Box<dyn Read> = match path.as_os_str().to_str() {
            Some("-") => Box::new(io::stdin().lock()),
            _ => Box::new(File::open(path).map_err(named)?),
        };
        replay.file(&path.display().to_string());
        read(input, &mut replay, &mut progress).map_err(named)?;
    }
    progress.end();
    Ok(replay.finish())
}

fn print_matched(matched: &Matched, out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "{}", if matched.agrees() { "OK: ledgers and lines agree" } else { "LEDGERS AND LINES DISAGREE" })?;
    let Matched { ledgers, entries, recorded, own, outside, taken_back, .. } = matched;
    writeln!(
        out,
        "Ledgers        {ledgers} with {entries} acts: {recorded} have their line, {own} are the engine's own"
    )?;
    writeln!(
        out,
        "Not compared   {outside} acts from before or after these files; {taken_back} announced and taken back"
    )?;
    let groups = [
        (
            "Acts lost      ",
            "lines whose act no ledger has: it was lost, or the line is made up",
            matched.lost_total,
            &matched.lost,
        ),
        (
            "Acts unrecorded",
            "acts without any line: a file is missing, or lines were taken out",
            matched.silent_total,
            &matched.silent,
        ),
        (
            "Unanswered     ",
            "acts whose answer nobody saw: the server was stopped in between",
            matched.unanswered_total,
            &matched.unanswered,
        ),
    ];
    for (title, what, total, kept) in groups.into_iter().filter(|(_, _, total, _)| *total > 0) {
        writeln!(out, "{title} {total} {what}")?;
        for act in kept {
            let name = act.account.as_deref().map_or_else(|| "the configuration".to_owned(), printable);
            let of = |text: &Option<String>| {
                text.as_deref().map(|text| format!(", {}", printable(text))).unwrap_or_default()
            };
            writeln!(out, "  {name}: entry {}{}{}{}", act.seq, of(&act.act), of(&act.at), of(&act.request_id))?;
        }
    }
    Ok(())
}

/// Feeds every line. One that is longer than any we write comes in pieces, none of which passes for a line.
fn read(input: Box<dyn Read>, replay: &mut Replay, progress: &mut Progress) -> io::Result<()> {
    let mut input = BufReader::with_capacity(BLOCK, input);
    let mut spill = Vec::new();
    loop {
        let block = input.fill_buf()?;
        if block.is_empty() {
            break;
        }
        let mut used = 0;
        // Whole lines are taken from the block as they lie there; only one that crosses its end is copied.
        while let Some(at) = memchr::memchr(b'\n', &block[used..]) {
            let line = &block[used..used + at];
            if spill.is_empty() {
                replay.line(line, true);
            } else {
                spill.extend_from_slice(line);
                replay.line(&spill, true);
                spill.clear();
            }
            used += at + 1;
        }
        spill.extend_from_slice(&block[used..]);
        if spill.len() > 2 * MAX_LINE {
            replay.line(&spill, true);
            spill.clear();
        }
        let read = block.len();
        input.consume(read);
        progress.add(read);
    }
    if !spill.is_empty() {
        replay.line(&spill, false);
    }
    Ok(())
}

fn print(report: &Report, key_given: bool, out: &mut impl Write) -> io::Result<()> {
    let paint = Paint::of_output(&|name| std::env::var(name).ok());
    let verdict = if report.intact { paint.good("OK: nothing is wrong") } else { paint.alarm("BROKEN") };
    writeln!(out, "{verdict}")?;
    for finding in &report.findings {
        writeln!(out, "  {}:{}: {}", finding.file, finding.line, finding.what)?;
    }
    if report.findings_total > report.findings.len() as u64 {
        writeln!(out, "  … and {} more", report.findings_total - report.findings.len() as u64)?;
    }
    writeln!(out, "Lines          {} (numbers {} to {})", report.lines, report.first_seq, report.last_seq)?;
    writeln!(out, "Head           {}", report.head)?;
    let types: Vec<String> = report.types.iter().map(|(kind, count)| format!("{kind} {count}")).collect();
    writeln!(out, "Types          {}", types.join(", "))?;
    match &report.key {
        Some(key) if key_given => writeln!(out, "Signed by      {key} (the given key)")?,
        Some(key) => {
            writeln!(out, "Signed by      {key}\n               (compare it with the server's, or give --public-key)")?
        }
        None => writeln!(out, "Signed by      nobody: there is no good checkpoint")?,
    }
    writeln!(out, "Unsealed tail  {} lines after the last checkpoint", report.unsealed_tail)?;
    let taken_back = report.voids.len();
    writeln!(out, "Disclosures    {} announced, {taken_back} taken back", report.disclosures)?;
    for void in &report.voids {
        writeln!(
            out,
            "  {}: request {} disclosed nothing: {} {}",
            void.place, void.request, void.reason, void.disclosure
        )?;
    }
    if let Some(first) = &report.first_unanswered {
        writeln!(out, "Unanswered     {} requests without a response line, the first at {first}", report.unanswered)?;
    }
    if report.missed > 0 {
        writeln!(
            out,
            "Missed         {} lines that this device could not take; look into the other devices",
            report.missed
        )?;
    }
    for start in report.starts.iter().filter(|start| start.cause != "opened" || start.cut_bytes.is_some()) {
        write!(out, "Start          {}: {}, after number {}", start.place, start.cause, start.after)?;
        match start.cut_bytes {
            Some(bytes) => writeln!(out, "; {bytes} bytes of an unfinished line were cut off")?,
            None => writeln!(out)?,
        }
    }
    Ok(())
}

/// Says on standard error how far a long check has come.
struct Progress {
    total: u64,
    done: u64,
    since: Instant,
    last: Duration,
    shown: bool,
    terminal: bool,
}

impl Progress {
    fn new(total: u64) -> Self {
        let terminal = io::stderr().is_terminal();
        Progress { total, done: 0, since: Instant::now(), last: Duration::ZERO, shown: false, terminal }
    }

    fn add(&mut self, bytes: usize) {
        self.done += bytes as u64;
        let now = self.since.elapsed();
        let every = Duration::from_millis(if self.terminal { 500 } else { 10_000 });
        if self.total.max(self.done) >= BIG && now - self.last >= every {
            self.last = now;
            self.shown = true;
            let (done, total) = (self.done >> 20, self.total >> 20);
            let (before, after) = if self.terminal { ("\r", "") } else { ("", "\n") };
            let _ = write!(io::stderr(), "{before}verified {done} of {total} MiB{after}");
        }
    }

    fn end(&self) {
        if self.shown && self.terminal {
            let _ = writeln!(io::stderr());
        }
    }
}

/// The files of a device.
#[derive(Debug, Clone)]
struct Device(Vec<PathBuf>);

fn device(text: &str) -> Result<Device, String> {
    let files: Vec<PathBuf> = text.split(',').filter(|file| !file.is_empty()).map(PathBuf::from).collect();
    if files.is_empty() { Err("a file, or several with commas between".to_owned()) } else { Ok(Device(files)) }
}

fn digest(text: &str) -> Result<[u8; 32], String> {
    let mut out = [0; 32];
    hex::decode_to_slice(text, &mut out).map_err(|_| "64 hex digits".to_owned())?;
    Ok(out)
}

fn anchor(text: &str) -> Result<Head, String> {
    let wanted = || "a number, a colon and 64 hex digits".to_owned();
    let (seq, hash) = text.split_once(':').ok_or_else(wanted)?;
    Ok(Head { seq: seq.parse().map_err(|_| wanted())?, hash: digest(hash)? })
}
