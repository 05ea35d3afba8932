//! Codes that are verified by argon2id: beside the bare hash on as many threads, and what it does to others meanwhile.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use argon2::{Algorithm, Argon2, Params, Version};

use super::lane::{Extent, compare};
use super::load::{Load, OK, Pace, drive};
use super::results::Outcome;
use super::stage::Stage;

/// As many computations at a time as the server makes on a large machine.
const MOST_AT_WORK: usize = 4;
/// The pool takes no more than about sixty at once.
const CONNECTIONS: usize = 32;
/// Reads a second beside it, over so many connections.
const READS: (f64, usize) = (400.0, 8);

pub fn work(stage: &Stage) -> Result<Outcome, String> {
    let (engine, plan) = (&stage.sparekey().engine, stage.plan);
    let connections = CONNECTIONS.min(plan.connections);
    // Making a set costs as many hashes as it has codes: rounds are small.
    let most = if plan.full { 400 } else { plan.extent.acts.1.min(80) };
    let extent = Extent { acts: (connections.min(most), most), ..plan.extent };
    let mut outcome = Outcome::default();
    let mut bare = Vec::new();
    for _ in 0..plan.extent.rounds {
        bare.push(hashes(Duration::from_secs_f64(plan.extent.seconds.min(2.0))));
        outcome.series.extend(compare(
            &mut [engine.verify("stretched")?],
            &[connections],
            false,
            Extent { rounds: 1, ..extent },
        )?);
    }
    // The rounds were run one by one, in turn with the bare hash; they are one series.
    let mut parts = std::mem::take(&mut outcome.series).into_iter();
    if let Some(mut first) = parts.next() {
        first.rounds.extend(parts.flat_map(|part| part.rounds));
        outcome.series.push(first);
    }
    outcome.note("bare", "argon2id alone, 19 MiB, t = 2, as many threads as the server's pool", "1/s", bare);
    let (alone, meanwhile) = reads(stage, most)?;
    outcome.note("reads-alone", "p99 of 400 metadata reads a second, nothing else", "ms", alone);
    outcome.note("reads-meanwhile", "the same while codes are verified as fast as the pool goes", "ms", meanwhile);
    Ok(outcome)
}

/// Hashes a second.
fn hashes(span: Duration) -> f64 {
    let threads = thread::available_parallelism().map_or(1, usize::from).min(MOST_AT_WORK);
    let (done, begun) = (AtomicU64::new(0), Instant::now());
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                let argon2 = Argon2::new(
                    Algorithm::Argon2id,
                    Version::V0x13,
                    Params::new(19 * 1024, 2, 1, Some(32)).expect("params"),
                );
                let mut blocks = vec![argon2::Block::default(); 19 * 1024];
                let mut out = [0; 32];
                while begun.elapsed() < span {
                    argon2
                        .hash_password_into_with_memory(b"ABCDEFGH12345678", &[7; 16], &mut out, &mut blocks)
                        .expect("hashed");
                    done.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    });
    done.load(Ordering::Relaxed) as f64 / begun.elapsed().as_secs_f64()
}

/// The p99 of metadata reads at a fixed rate, alone and beside verifications, round by round.
fn reads(stage: &Stage, most: usize) -> Result<(Vec<f64>, Vec<f64>), String> {
    let engine = &stage.sparekey().engine;
    let (mut read, mut verify) = (engine.metadata()?, engine.verify("stretched")?);
    let count = (READS.0 * stage.plan.extent.seconds.clamp(0.2, 3.0)) as usize;
    let (mut alone, mut meanwhile) = (Vec::new(), Vec::new());
    for _ in 0..stage.plan.extent.rounds {
        let reading = |requests| Load {
            address: engine.address,
            connections: READS.1,
            pace: Pace::Open(READS.0),
            proof: OK,
            keep: false,
            requests,
        };
        alone.push(drive(reading((read.prepare)(count)?))?.times.value_at_quantile(0.99) as f64 / 1000.0);
        let (requests, codes) = ((read.prepare)(count)?, (verify.prepare)(most)?);
        let proof = verify.proof;
        let done = AtomicBool::new(false);
        let drawn = thread::scope(|scope| {
            let (address, connections) = (engine.address, CONNECTIONS.min(stage.plan.connections));
            let done = &done;
            let verifying = scope.spawn(move || {
                let drawn =
                    drive(Load { address, connections, pace: Pace::Closed, proof, keep: false, requests: codes });
                done.store(true, Ordering::Relaxed);
                drawn
            });
            thread::sleep(Duration::from_millis(50));
            let drawn = drive(reading(requests));
            let covered = !done.load(Ordering::Relaxed);
            verifying.join().expect("no panic")?;
            drawn.map(|drawn| (drawn, covered))
        })?;
        // Where the codes ran out before the reads did, those reads say too little.
        if !drawn.1 {
            eprintln!("  the verifications ended before the reads did");
        }
        meanwhile.push(drawn.0.times.value_at_quantile(0.99) as f64 / 1000.0);
    }
    Ok((alone, meanwhile))
}
