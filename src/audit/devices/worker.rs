//! One device at work: a bounded queue, and a thread that takes all waiting lines at once, links them into the chain and writes
//! them with one append and at most one fsync. The thread may block on its disk or peer for as long as it likes; whoever
//! waits for it does so with a deadline of his own.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::sync::{mpsc, oneshot, watch};

use super::gauge::Gauge;
use super::{Sink, Standing};
use crate::audit::chain::Head;
use crate::audit::checkpoint;
use crate::audit::shape;
use crate::audit::start::{Cause, Opening};
use crate::clock::Clock;
use crate::crypto::signing::SigningKey;

/// How many waiting jobs one batch takes …
const BATCH: usize = 1024;
/// … and how many bytes one append writes.
const GROUP_BYTES: usize = 1 << 20;

/// Something for a device to do.
pub enum Job {
    /// Append a line with this body.
    Line {
        /// The line after its chain member.
        body: Vec<u8>,
        /// Whether it must survive a power cut before it is acknowledged.
        durable: bool,
        /// Where the outcome goes.
        ack: oneshot::Sender<Outcome>,
    },
    /// Open anew what the configuration names.
    Reopen(oneshot::Sender<Outcome>),
    /// Seal lines that have waited long enough.
    Tick,
    /// Seal everything and end.
    Close,
}

/// What became of a job.
pub type Outcome = Result<(), Fault>;

/// Why a device did not take a line.
#[derive(Debug, Clone)]
pub struct Fault(Arc<str>);

impl Fault {
    /// A fault that says this.
    pub fn new(what: impl fmt::Display) -> Self {
        Fault(what.to_string().into())
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Fault {}

/// The last checkpoint of a device, and whether it closed the device in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Anchor {
    /// The checkpoint line.
    pub head: Head,
    /// Nothing follows it.
    pub clean: bool,
}

/// What a worker is born with.
pub struct Birth {
    /// The device's name.
    pub name: String,
    /// `file`, `stdout` or `socket`.
    pub kind: &'static str,
    /// What it writes into.
    pub sink: Box<dyn Sink>,
    /// The last checkpoint that the store knows, and whether the last run closed the device in order.
    pub anchor: Anchor,
    /// A checkpoint at least after so many lines.
    pub checkpoint_lines: u64,
    /// How many jobs may wait.
    pub queue: usize,
    /// What signs checkpoints.
    pub signing: Arc<SigningKey>,
    /// What dates them.
    pub clock: Arc<dyn Clock>,
}

/// The handles to a running worker.
pub struct Running {
    /// Where jobs go.
    pub queue: mpsc::Sender<Job>,
    /// What can be seen of it.
    pub gauge: Arc<Gauge>,
    /// Its checkpoints, the latest first and only; closed when the worker has ended.
    pub anchors: watch::Receiver<Anchor>,
    /// Whether it could be opened.
    pub opened: oneshot::Receiver<Outcome>,
}

/// Starts a device's thread, which opens the device first. It ends after [`Job::Close`] or when nobody holds its queue any more.
pub fn start(birth: Birth) -> io::Result<Running> {
    let (queue, jobs) = mpsc::channel(birth.queue.max(1));
    let (post, anchors) = watch::channel(Anchor { clean: false, ..birth.anchor });
    let (tell, opened) = oneshot::channel();
    let gauge = Arc::new(Gauge::new());
    let thread = format!("audit-{}", birth.name);
    let worker = Worker {
        name: birth.name,
        kind: birth.kind,
        sink: birth.sink,
        head: birth.anchor.head,
        unsealed: 0,
        settled: birth.anchor.clean,
        pending: None,
        untold: None,
        checkpoint_lines: birth.checkpoint_lines.max(1),
        signing: birth.signing,
        clock: birth.clock,
        gauge: Arc::clone(&gauge),
        post,
    };
    std::thread::Builder::new().name(thread).spawn(move || worker.run(jobs, tell))?;
    Ok(Running { queue, gauge, anchors, opened })
}

struct Worker {
    name: String,
    kind: &'static str,
    sink: Box<dyn Sink>,
    head: Head,
    /// Lines after the last checkpoint.
    unsealed: u64,
    /// Nothing unknown follows `head` in the device.
    settled: bool,
    /// A start line that has to be written before anything else.
    pending: Option<Opening>,
    /// Acknowledged lines are gone, and no request was refused for it yet.
    untold: Option<Cause>,
    checkpoint_lines: u64,
    signing: Arc<SigningKey>,
    clock: Arc<dyn Clock>,
    gauge: Arc<Gauge>,
    post: watch::Sender<Anchor>,
}

struct Waiting {
    body: Vec<u8>,
    durable: bool,
    ack: oneshot::Sender<Outcome>,
}

impl Worker {
    fn run(mut self, mut jobs: mpsc::Receiver<Job>, tell: oneshot::Sender<Outcome>) {
        self.busy(true);
        let opened = self.write(&[], true);
        self.busy(false);
        drop(tell.send(opened));
        let mut batch = Vec::with_capacity(BATCH);
        loop {
            if jobs.blocking_recv_many(&mut batch, BATCH) == 0 {
                break;
            }
            self.busy(true);
            let go_on = self.work(&mut batch);
            self.busy(false);
            if !go_on {
                break;
            }
        }
        self.close();
    }

    fn busy(&self, busy: bool) {
        self.gauge.busy(busy);
    }

    /// Works off a batch; false when it held the order to close.
    fn work(&mut self, batch: &mut Vec<Job>) -> bool {
        let mut group = Vec::new();
        let mut bytes = 0;
        let mut go_on = true;
        for job in batch.drain(..) {
            match job {
                Job::Line { body, durable, ack } => {
                    bytes += body.len();
                    group.push(Waiting { body, durable, ack });
                    if bytes >= GROUP_BYTES {
                        self.group(&mut group);
                        bytes = 0;
                    }
                }
                Job::Reopen(ack) => {
                    self.group(&mut group);
                    drop(ack.send(self.reopen()));
                }
                Job::Tick => {
                    self.group(&mut group);
                    if self.unsealed > 0 || self.gauge.missed.load(Ordering::Relaxed) > 0 {
                        drop(self.write(&[], true));
                    }
                }
                Job::Close => go_on = false,
            }
        }
        self.group(&mut group);
        go_on
    }

    /// Writes a group and tells everybody who waits for one of its lines.
    fn group(&mut self, group: &mut Vec<Waiting>) {
        if group.is_empty() {
            return;
        }
        self.busy(true);
        let outcome = self.write(group, false);
        if outcome.is_err() {
            self.gauge.missed.fetch_add(group.len() as u64, Ordering::Relaxed);
        }
        for waiting in group.drain(..) {
            drop(waiting.ack.send(outcome.clone()));
        }
    }

    fn reopen(&mut self) -> Outcome {
        self.untold = None;
        match self.sink.standing() {
            Ok(Standing::Ready) => return Ok(()),
            Ok(Standing::Left(Cause::Moved)) => self.sink.leave(Cause::Rotated),
            Ok(Standing::Left(cause)) => self.sink.leave(cause),
            Ok(Standing::Closed) | Err(_) => {}
        }
        self.write(&[], true)
    }

    fn close(mut self) {
        let sealed = self.unsealed == 0 || self.write(&[], true).is_ok();
        if sealed && self.settled {
            self.post.send_modify(|anchor| anchor.clean = true);
        }
    }

    /// Writes a group; a device that moved or lost its peer gets a second chance at once.
    ///
    /// Where acknowledged lines were destroyed, the request that finds it out is refused, whoever else may have seen it
    /// first: a deleted record must not pass in silence. The next one begins a new part, which says what happened.
    fn write(&mut self, group: &[Waiting], seal: bool) -> Outcome {
        let mut outcome = self.attempt(group, seal);
        if outcome.is_err() && self.untold.is_none() {
            outcome = self.attempt(group, seal);
        }
        if !group.is_empty() {
            self.untold = None;
        }
        let failed = self.gauge.failed.swap(outcome.is_err(), Ordering::Relaxed);
        match &outcome {
            Err(error) if !failed => {
                tracing::error!(device = self.name, %error, "audit device failed; it is tried again with every entry");
            }
            Ok(()) if failed => tracing::info!(device = self.name, "audit device takes lines again"),
            _ => {}
        }
        outcome.map_err(|error| Fault::new(format_args!("audit device {}: {error}", self.name)))
    }

    fn attempt(&mut self, group: &[Waiting], seal: bool) -> io::Result<()> {
        self.make_ready()?;
        let now = self.clock.now();
        let mut head = self.head;
        let mut out = Vec::with_capacity(512 + group.iter().map(|line| line.body.len() + 128).sum::<usize>());
        let mut lines = group.len() as u64;
        if let Some(opening) = &self.pending {
            head = opening.base(self.head);
            head.link(&opening.body(&self.name, self.kind, &self.head, &self.signing.public(), now), &mut out);
            lines += 1;
        }
        let missed = self.gauge.missed.load(Ordering::Relaxed);
        if missed > 0 {
            head.link(&shape::missed(&self.name, missed, now), &mut out);
            lines += 1;
        }
        for line in group {
            head.link(&line.body, &mut out);
        }
        let seal = seal || self.pending.is_some() || self.unsealed + lines >= self.checkpoint_lines;
        if seal {
            head.link(&checkpoint::body(&self.name, &head, now, &self.signing), &mut out);
            lines += 1;
        }
        let sync = seal || group.iter().any(|line| line.durable);
        self.settled = false;
        self.sink.append(&out, sync)?;
        match self.sink.confirm()? {
            Standing::Ready => {}
            Standing::Closed => return Err(io::Error::other("closed while it was written")),
            Standing::Left(cause) => return Err(self.lose(cause)),
        }
        self.head = head;
        self.pending = None;
        self.settled = true;
        self.unsealed = if seal { 0 } else { self.unsealed + lines };
        self.gauge.missed.fetch_sub(missed, Ordering::Relaxed);
        self.gauge.lines.fetch_add(lines, Ordering::Relaxed);
        self.gauge.groups.fetch_add(1, Ordering::Relaxed);
        self.gauge.syncs.store(self.sink.syncs(), Ordering::Relaxed);
        if seal {
            self.post.send_replace(Anchor { head, clean: false });
        }
        Ok(())
    }

    /// Lets go of what is open, and says why.
    fn lose(&mut self, cause: Cause) -> io::Error {
        self.sink.leave(cause);
        self.untold = cause.alarming().then_some(cause);
        io::Error::other(format!("the file or connection was {}", cause.word()))
    }

    /// Opens the sink if it is not open, and notes the start line that is due then.
    fn make_ready(&mut self) -> io::Result<()> {
        if let Some(cause) = self.untold {
            return Err(io::Error::other(format!("the file was {} under the running server", cause.word())));
        }
        match self.sink.standing()? {
            Standing::Ready => return Ok(()),
            Standing::Closed => {}
            Standing::Left(cause) => {
                let lost = self.lose(cause);
                if self.untold.is_some() {
                    return Err(lost);
                }
            }
        }
        let mut opening = self.sink.open(&self.head)?;
        if let Some(cut) = opening.cut {
            tracing::warn!(device = self.name, bytes = cut.bytes, "cut off an unfinished last audit line");
        }
        match opening.found {
            _ if opening.cause.alarming() => tracing::error!(
                device = self.name,
                cause = opening.cause.word(),
                expected = self.head.seq,
                found = opening.found.map(|found| found.seq),
                "audit lines that were acknowledged are missing or altered; a new part of the chain begins and says so"
            ),
            Some(found) => {
                // What follows the last checkpoint hangs together with it.
                self.head = found;
                opening.found = None;
            }
            None => {}
        }
        // A break that could not be written down yet stays one.
        if let Some(earlier) = self.pending.filter(|earlier| earlier.cause.alarming() && !opening.cause.alarming()) {
            opening.cause = earlier.cause;
        }
        self.pending = Some(opening);
        Ok(())
    }
}
