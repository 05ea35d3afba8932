//! What a measurement stood on: machine and versions.

use std::fs;
use std::path::Path;
use std::process::Command;

use sha2::{Digest as _, Sha256};

use crate::support::server::BINARY;
use crate::support::{postgres, provision};

/// SHA-256 of the program that is measured.
pub fn build() -> String {
    hex::encode(Sha256::digest(fs::read(BINARY).unwrap_or_default()))
}

/// Rows of a table: what, and which.
pub fn rows() -> Vec<(&'static str, String)> {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let after = |text: &str, name: &str| {
        let line = text.lines().find(|line| line.starts_with(name)).unwrap_or_default();
        line.split_once(':').map(|(_, value)| value.trim().to_owned()).unwrap_or_default()
    };
    let memory = after(&read("/proc/meminfo"), "MemTotal");
    let memory = memory.split(' ').next().and_then(|kb| kb.parse::<u64>().ok()).unwrap_or(0) / (1 << 20);
    let processors = std::thread::available_parallelism().map_or(0, usize::from);
    let bao = said(&provision::bao(), &["version"]);
    let revision = said(Path::new("git"), &["describe", "--always", "--dirty"]);
    vec![
        ("processors", format!("{processors} × {}", after(&read("/proc/cpuinfo"), "model name"))),
        ("memory", format!("{memory} GB")),
        ("file system of the stores", file_system()),
        ("system", read("/proc/version").split_whitespace().take(3).collect::<Vec<_>>().join(" ")),
        ("Sparekey", format!("{} ({revision})", said(Path::new(BINARY), &["--version"]))),
        ("OpenBao", bao),
        ("PostgreSQL", said(&postgres::binaries().join("postgres"), &["--version"])),
        ("Rust", said(Path::new("rustc"), &["--version"])),
    ]
}

/// A day, of seconds since 1970.
pub fn date(seconds: u64) -> String {
    let at = i64::try_from(seconds).ok().and_then(|at| time::OffsetDateTime::from_unix_timestamp(at).ok());
    at.map(|at| at.date().to_string()).unwrap_or_default()
}

fn said(program: &Path, args: &[&str]) -> String {
    let output = Command::new(program).args(args).output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).unwrap_or_default();
    text.lines().next().unwrap_or("unknown").to_owned()
}

/// Of the place where temporary folders are made.
fn file_system() -> String {
    let place = std::env::temp_dir();
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let parse = |line: &str| {
        let mut fields = line.split(' ').skip(1);
        Some((fields.next()?.to_owned(), fields.next()?.to_owned()))
    };
    let under = |(point, _): &(String, String)| place.starts_with(point);
    let best = mounts.lines().filter_map(parse).filter(under).max_by_key(|(point, _)| point.len());
    best.map(|(_, kind)| kind).unwrap_or_default()
}
