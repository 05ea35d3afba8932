//! What processes have used so far, as Linux tells it.

use std::fs;
use std::time::Duration;

/// Of all the processes together.
#[derive(Clone, Copy, Default)]
pub struct Used {
    /// Processor time, user and system.
    pub busy: Duration,
    /// Bytes that went to the file system to be stored.
    pub written: u64,
    /// Resident memory, in kilobytes.
    pub resident_kb: u64,
}

impl Used {
    /// Of these processes; one that has gone counts nothing.
    pub fn of(pids: &[u32]) -> Self {
        let mut used = Used::default();
        for pid in pids {
            let read = |file: &str| fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap_or_default();
            let stat = read("stat");
            // After the program's name in brackets come state, then 10 more fields, then user and system time.
            let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
            let ticks: u64 = [11, 12].iter().filter_map(|&index| fields.get(index)?.parse::<u64>().ok()).sum();
            // A tick is 10 ms on every Linux that Rust builds for.
            used.busy += Duration::from_millis(ticks * 10);
            used.written += field(&read("io"), "write_bytes:");
            used.resident_kb += field(&read("status"), "VmRSS:");
        }
        used
    }
    /// Of this program.
    pub fn own() -> Self {
        Self::of(&[std::process::id()])
    }
    /// What was used since; memory as it is now.
    pub fn since(&self, before: &Used) -> Used {
        Used {
            busy: self.busy.saturating_sub(before.busy),
            written: self.written.saturating_sub(before.written),
            resident_kb: self.resident_kb,
        }
    }
}

fn field(text: &str, name: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}
