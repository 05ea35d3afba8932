//! What can be seen of a device from outside: counters, and whether it hangs.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// What can be seen of a device from outside.
pub struct Gauge {
    born: Instant,
    /// Milliseconds after `born` at which the batch in hand began, plus one; 0 when idle.
    busy_since: AtomicU64,
    /// The last attempt failed.
    pub failed: AtomicBool,
    /// Lines that the device could not take since it last said so.
    pub missed: AtomicU64,
    /// Lines written.
    pub lines: AtomicU64,
    /// Appends made.
    pub groups: AtomicU64,
    /// Fsyncs made.
    pub syncs: AtomicU64,
}

impl Gauge {
    /// A gauge at rest.
    pub fn new() -> Self {
        let zero = AtomicU64::default;
        Gauge {
            born: Instant::now(),
            busy_since: zero(),
            failed: AtomicBool::new(false),
            missed: zero(),
            lines: zero(),
            groups: zero(),
            syncs: zero(),
        }
    }
    fn now(&self) -> u64 {
        u64::try_from(self.born.elapsed().as_millis()).unwrap_or(u64::MAX - 1) + 1
    }
    /// Notes that a batch begins, or that the device is idle again.
    pub fn busy(&self, busy: bool) {
        self.busy_since.store(if busy { self.now() } else { 0 }, Ordering::Relaxed);
    }
    /// Whether the device has been busy with one batch for longer than `span`.
    pub fn stalled(&self, span: Duration) -> bool {
        let since = self.busy_since.load(Ordering::Relaxed);
        since != 0 && u128::from(self.now().saturating_sub(since)) > span.as_millis()
    }
}
