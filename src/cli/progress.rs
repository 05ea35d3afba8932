//! How far long work has come, on standard error: in place on a terminal, a line now and then elsewhere.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

/// Tells of work that takes a while. The first words come after two seconds: short work says nothing.
pub struct Progress {
    since: Instant,
    last: Duration,
    shown: bool,
    terminal: bool,
    quiet: bool,
}

impl Progress {
    /// Work that begins now; `quiet`: nothing is told.
    pub fn new(quiet: bool) -> Self {
        let terminal = io::stderr().is_terminal();
        Progress { since: Instant::now(), last: Duration::ZERO, shown: false, terminal, quiet }
    }
    /// How long it has taken so far.
    pub fn elapsed(&self) -> Duration {
        self.since.elapsed()
    }
    /// Tells what `words` say, if it is time.
    pub fn tell(&mut self, words: impl FnOnce(Duration) -> String) {
        let now = self.since.elapsed();
        let every = Duration::from_secs(if self.terminal { 1 } else { 10 });
        if self.quiet || now < Duration::from_secs(2) || now - self.last < every {
            return;
        }
        (self.last, self.shown) = (now, true);
        let (before, after) = if self.terminal { ("\r\x1b[K", "") } else { ("", "\n") };
        let _ = write!(io::stderr(), "{before}{}{after}", words(now));
    }
    /// Ends the line that stands on a terminal.
    pub fn end(&mut self) {
        if std::mem::take(&mut self.shown) && self.terminal {
            let _ = writeln!(io::stderr());
        }
    }
}

/// `bytes` for people.
pub fn mebibytes(bytes: u64) -> String {
    match bytes {
        0..1_048_576 => format!("{} KiB", bytes.div_ceil(1024)),
        _ => format!("{:.1} MiB", bytes as f64 / f64::from(1u32 << 20)),
    }
}

/// How much came in a second.
pub fn rate(amount: u64, time: Duration) -> u64 {
    (amount as f64 / time.as_secs_f64().max(0.001)) as u64
}

/// About how long the rest takes, if so much of all was done in that time.
pub fn rest(done: u64, all: u64, time: Duration) -> Option<Duration> {
    let left = all.checked_sub(done).filter(|_| done > 0)?;
    Some(time.mul_f64(left as f64 / done as f64))
}
