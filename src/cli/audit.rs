//! `sparekey audit verify`: replays audit files offline.

use std::fs::File;
use std::io::{self, BufRead, BufReader, IsTerminal, Read, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use crate::audit::{Head, MAX_LINE, Replay, Report};
use crate::cli::paint::Paint;

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

Exit codes: 0 nothing is wrong, 1 the files could not be read, 2 something is wrong with them.")]
    Verify(Verify),
}

#[derive(Debug, clap::Args)]
struct Verify {
    /// Files of one device, oldest first; - for standard input
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
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
    let checked = check(&verify).and_then(|report| {
        let mut out = io::stdout().lock();
        if verify.json {
            serde_json::to_writer_pretty(&mut out, &report)?;
            writeln!(out)?;
        } else {
            print(&report, verify.public_key.is_some(), &mut out)?;
        }
        out.flush()?;
        // A file without a line proves nothing.
        Ok(report.intact && report.lines > 0)
    });
    match checked {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(2),
        // Whoever reads us has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::from(1),
        Err(error) => {
            let _ = writeln!(io::stderr(), "sparekey audit verify: {error}");
            ExitCode::from(1)
        }
    }
}

fn check(verify: &Verify) -> io::Result<Report> {
    let mut replay = Replay::new(verify.public_key, verify.anchor);
    let total = verify.files.iter().filter_map(|path| path.metadata().ok()).map(|found| found.len()).sum();
    let mut progress = Progress::new(total);
    for path in &verify.files {
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
