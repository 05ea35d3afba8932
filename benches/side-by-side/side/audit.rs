//! How fast the record is verified, beside `sha256sum` of the same bytes.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use super::load::{Load, Pace, drive};
use super::results::Outcome;
use super::stage::Stage;
use crate::support::server::{BINARY, MOUNT};

/// Entries of the ledger that is verified: as many as one answer holds.
const ENTRIES: usize = 1_000;
/// How often it is read for one figure: a single one takes a millisecond or two.
const READS: usize = 20;
/// Retrievals at a time while the file grows.
const SHARE: usize = 10_000;

pub fn work(stage: &Stage) -> Result<Outcome, String> {
    let (sparekey, plan) = (stage.sparekey(), stage.plan);
    let (file, mut lane) = (sparekey.server.audit(), sparekey.engine.retrieve());
    let length = || fs::metadata(&file).map_or(0, |meta| meta.len());
    while length() < plan.audit {
        let requests = (lane.prepare)(SHARE.min(plan.extent.acts.1))?;
        let (address, proof) = (lane.address, lane.proof);
        drive(Load { address, connections: plan.connections, pace: Pace::Closed, proof, keep: false, requests })?;
    }
    // A copy that nobody appends to.
    let copy = sparekey.server.dir().join("audit-copy.log");
    fs::copy(&file, &copy).map_err(|error| error.to_string())?;
    let bytes = fs::metadata(&copy).map_or(0, |meta| meta.len());
    let (mut verified, mut summed) = (Vec::new(), Vec::new());
    for _ in 0..plan.extent.rounds {
        summed.push(speed(bytes, Command::new("sha256sum").arg(&copy))?);
        verified.push(speed(bytes, Command::new(BINARY).args(["audit", "verify"]).arg(&copy))?);
    }
    fs::remove_file(&copy).map_err(|error| error.to_string())?;
    let mut outcome = Outcome::default();
    outcome.note("bytes", "bytes of the audit file", "MB", vec![bytes as f64 / 1e6]);
    outcome.note("verify", "`sparekey audit verify`", "MB/s", verified);
    outcome.note("sum", "`sha256sum`", "MB/s", summed);
    history(stage, &mut outcome)?;
    Ok(outcome)
}

fn speed(bytes: u64, command: &mut Command) -> Result<f64, String> {
    let begun = Instant::now();
    let output = command.output().map_err(|error| format!("{}: {error}", command.get_program().display()))?;
    if !output.status.success() {
        return Err(format!("{:?}: {}", command, String::from_utf8_lossy(&output.stdout)));
    }
    Ok(bytes as f64 / 1e6 / begun.elapsed().as_secs_f64())
}

/// A ledger as long as an answer, verified and told, beside the sum of the bytes that are told.
fn history(stage: &Stage, outcome: &mut Outcome) -> Result<(), String> {
    let sparekey = stage.sparekey();
    let account = sparekey.engine.filled(1)?.start;
    let entries = if stage.plan.full { ENTRIES } else { ENTRIES.min(stage.plan.extent.acts.1 * 10) };
    sparekey.engine.many_enrollments(account, entries)?;
    let path = |limit| format!("{MOUNT}/history/a/{account}?verify=true&limit={limit}");
    let place = sparekey.server.dir().join("history.json");
    let (mut verified, mut untold, mut summed) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..stage.plan.extent.rounds.max(3) {
        let answer = sparekey.server.root().read(&path(ENTRIES)).expect(200);
        let bytes = answer.body.len() as f64;
        for (limit, speeds) in [(ENTRIES, &mut verified), (1, &mut untold)] {
            let begun = Instant::now();
            for _ in 0..READS {
                sparekey.server.root().read(&path(limit)).expect(200);
            }
            speeds.push(bytes * READS as f64 / 1e6 / begun.elapsed().as_secs_f64());
        }
        let data = answer.data();
        if data["verified"] != true {
            return Err(format!("a ledger does not verify: {}", data["head"]));
        }
        fs::write(&place, &answer.body).map_err(|error| error.to_string())?;
        summed.push(sum_of_many(&place, answer.body.len() as u64)?);
    }
    outcome.note("history", "`history/:account?verify=true`, a ledger of a thousand entries", "MB/s", verified);
    outcome.note("history-untold", "the same bytes when all are verified and one entry is told", "MB/s", untold);
    outcome.note("history-sum", "`sha256sum` of that answer, without its start", "MB/s", summed);
    Ok(())
}

/// The same file over and over, so that the start of the program does not count.
fn sum_of_many(place: &Path, bytes: u64) -> Result<f64, String> {
    const TIMES: u64 = 100;
    speed(bytes * TIMES, Command::new("sha256sum").args((0..TIMES).map(|_| place)))
}
