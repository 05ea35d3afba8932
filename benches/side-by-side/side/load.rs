//! The load program: sends requests that were prepared beforehand, as fast as they are answered or at a fixed rate, and counts.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use hdrhistogram::Histogram;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::wire::Wire;

/// No list of requests takes longer than this, or the run is void.
const PATIENCE: Duration = Duration::from_secs(300);
/// The longest time that is told apart, in microseconds.
const LONGEST: u64 = 600_000_000;

/// Whether somebody asked this program to stop.
pub static STOPPED: AtomicBool = AtomicBool::new(false);

/// When requests go out.
#[derive(Clone, Copy, PartialEq)]
pub enum Pace {
    /// Each connection sends when its last answer is there.
    Closed,
    /// So many a second over all connections, whatever the answers do. What waits for a free connection waits on the clock.
    Open(f64),
}

/// What an answer must be.
#[derive(Clone, Copy)]
pub struct Proof {
    /// Its status.
    pub status: u16,
    /// What its body holds.
    pub text: &'static str,
}

/// Answers that any body satisfies.
pub const OK: Proof = Proof { status: 200, text: "" };

/// A list of requests and how to send it.
pub struct Load {
    pub address: SocketAddr,
    pub connections: usize,
    pub pace: Pace,
    pub proof: Proof,
    /// Whether bodies are wanted afterwards.
    pub keep: bool,
    pub requests: Vec<Bytes>,
}

/// What came back.
pub struct Drawn {
    /// Microseconds from when a request was to go out until its answer was there.
    pub times: Histogram<u64>,
    pub elapsed: Duration,
    pub statuses: BTreeMap<u16, u64>,
    /// Bodies with the place of their request, if they were wanted.
    pub bodies: Vec<(usize, Bytes)>,
    wrong: Option<String>,
}

impl Default for Drawn {
    fn default() -> Self {
        let times = Histogram::new_with_bounds(1, LONGEST, 3).expect("bounds of a histogram");
        let (statuses, bodies) = Default::default();
        Drawn { times, elapsed: Duration::ZERO, statuses, bodies, wrong: None }
    }
}

impl Drawn {
    /// Takes another's answers over.
    pub fn add(&mut self, other: Drawn) {
        self.times.add(&other.times).expect("the same bounds");
        other.statuses.into_iter().for_each(|(status, count)| *self.statuses.entry(status).or_default() += count);
        self.bodies.extend(other.bodies);
        self.wrong = self.wrong.take().or(other.wrong);
    }
    fn record(&mut self, since: Instant) {
        let micros = u64::try_from(since.elapsed().as_micros()).unwrap_or(LONGEST);
        self.times.saturating_record(micros.max(1));
    }
}

struct Shared {
    load: Load,
    next: AtomicUsize,
    began: OnceLock<Instant>,
    /// Requests whose time has come, where there is a rate.
    due: Semaphore,
}

impl Shared {
    /// When the request at this place is to go out.
    fn due(&self, index: usize, rate: f64) -> Instant {
        *self.began.get_or_init(Instant::now) + Duration::from_secs_f64(index as f64 / rate)
    }
}

/// Sends everything.
///
/// # Errors
/// In words, if any answer was not as it must be, a connection broke or time was up.
pub fn drive(load: Load) -> Result<Drawn, String> {
    let lanes = thread::available_parallelism().map_or(1, usize::from).min(load.connections);
    let shared = Arc::new(Shared { load, next: AtomicUsize::new(0), began: OnceLock::new(), due: Semaphore::new(0) });
    let barrier = Barrier::new(lanes);
    let (mut drawn, mut last) = (Drawn::default(), None);
    thread::scope(|scope| {
        if let Pace::Open(rate) = shared.load.pace {
            let shared = Arc::clone(&shared);
            scope.spawn(move || release(&shared, rate));
        }
        let (shared, barrier) = (&shared, &barrier);
        let begin = |lane| scope.spawn(move || run(shared, lane, lanes, barrier));
        let threads: Vec<_> = (0..lanes).map(begin).collect();
        for thread in threads {
            let (part, ended) = thread.join().expect("a sender does not panic");
            drawn.add(part);
            last = last.max(Some(ended));
        }
    });
    drawn.elapsed = match (last, shared.began.get()) {
        (Some(last), Some(began)) => last.saturating_duration_since(*began),
        _ => Duration::ZERO,
    };
    let wanted = shared.load.requests.len() as u64;
    match drawn.wrong.take() {
        Some(wrong) => Err(wrong),
        None if STOPPED.load(Ordering::Relaxed) => Err("stopped".into()),
        None if drawn.times.len() != wanted => Err(format!("{} of {wanted} requests were answered", drawn.times.len())),
        None => Ok(drawn),
    }
}

/// Lets requests go when their time has come. A thread's sleep is finer than a runtime's timer.
fn release(shared: &Shared, rate: f64) {
    let total = shared.load.requests.len();
    while shared.began.get().is_none() && !STOPPED.load(Ordering::Relaxed) {
        thread::sleep(Duration::from_micros(100));
    }
    let mut released = 0;
    while released < total && !STOPPED.load(Ordering::Relaxed) {
        let now = Instant::now();
        let mut count = 0;
        while released + count < total && shared.due(released + count, rate) <= now {
            count += 1;
        }
        shared.due.add_permits(count);
        released += count;
        if released < total {
            thread::sleep(shared.due(released, rate).saturating_duration_since(Instant::now()));
        }
    }
    // Senders that find no more work end.
    shared.due.add_permits(shared.load.connections);
}

fn run(shared: &Arc<Shared>, lane: usize, lanes: usize, barrier: &Barrier) -> (Drawn, Instant) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let mut drawn = Drawn::default();
    let mut wires = Vec::new();
    for _ in (lane..shared.load.connections).step_by(lanes) {
        match runtime.block_on(Wire::open(shared.load.address)) {
            Ok(wire) => wires.push(wire),
            Err(error) => drawn.wrong = Some(format!("no connection: {error}")),
        }
    }
    barrier.wait();
    let _ = shared.began.get_or_init(Instant::now);
    runtime.block_on(async {
        let mut senders = JoinSet::new();
        for wire in wires {
            senders.spawn(send(Arc::clone(shared), wire));
        }
        let all = async {
            while let Some(part) = senders.join_next().await {
                drawn.add(part.expect("a sender does not panic"));
            }
        };
        if tokio::time::timeout(PATIENCE, all).await.is_err() {
            drawn.wrong = Some(format!("not done within {PATIENCE:?}"));
        }
    });
    (drawn, Instant::now())
}

async fn send(shared: Arc<Shared>, mut wire: Wire) -> Drawn {
    let (load, mut drawn) = (&shared.load, Drawn::default());
    while !STOPPED.load(Ordering::Relaxed) {
        if let Pace::Open(_) = load.pace {
            shared.due.acquire().await.expect("nobody closes it").forget();
        }
        let index = shared.next.fetch_add(1, Ordering::Relaxed);
        let Some(request) = load.requests.get(index) else { break };
        let since = match load.pace {
            Pace::Closed => Instant::now(),
            Pace::Open(rate) => shared.due(index, rate),
        };
        match wire.ask(request).await {
            Ok((status, body)) => {
                drawn.record(since);
                *drawn.statuses.entry(status).or_default() += 1;
                let found = || memchr::memmem::find(&body, load.proof.text.as_bytes()).is_some();
                if status != load.proof.status || !(load.proof.text.is_empty() || found()) {
                    let text = String::from_utf8_lossy(&body[..body.len().min(400)]).trim().to_owned();
                    drawn.wrong.get_or_insert(format!("{status} {text}"));
                }
                if load.keep {
                    drawn.bodies.push((index, body));
                }
            }
            Err(error) => {
                drawn.wrong.get_or_insert(format!("a broken connection: {error}"));
                break;
            }
        }
    }
    drawn
}
