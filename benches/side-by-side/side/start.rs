//! From a started process over a full store to its first answer; and how large the programs are.

use std::fs;
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

use super::openbao::OpenBao;
use super::results::Outcome;
use super::stage::{Sparekey, Stage};
use crate::support::http::Client;
use crate::support::provision;
use crate::support::server::{BINARY, MOUNT};
use crate::support::vault::Vault;

/// Accounts made at a time.
const SHARE: usize = 50_000;
const PATIENCE: Duration = Duration::from_secs(120);

/// Sizes of the programs.
pub fn size(_: &Stage) -> Result<Outcome, String> {
    let mut outcome = Outcome::default();
    let megabytes = |path: &std::path::Path| {
        fs::metadata(path).map(|meta| meta.len() as f64 / 1e6).map_err(|error| format!("{}: {error}", path.display()))
    };
    outcome.note("sparekey", "Sparekey's binary", "MB", vec![megabytes(BINARY.as_ref())?]);
    outcome.note("openbao", "OpenBao's binary", "MB", vec![megabytes(&provision::bao())?]);
    Ok(outcome)
}

/// Both stop in good order and start again: process, unseal with the one key, first read that succeeds.
pub fn work(stage: &Stage) -> Result<Outcome, String> {
    let plan = stage.plan;
    let mut sparekey = Sparekey::new(None);
    let mut openbao = OpenBao::new(Vault::quiet(None), plan.stored);
    {
        let mut left = plan.stored;
        while left > 0 {
            let share = left.min(SHARE);
            // A set for each: what is prepared for ten retrievals is one account.
            sparekey.engine.filled(share * super::engine::CODES)?;
            openbao.store(share)?;
            left -= share;
            eprintln!("  {} of {} accounts and secrets are there", plan.stored - left, plan.stored);
        }
    }
    let (mut mine, mut its) = (Vec::new(), Vec::new());
    for _ in 0..plan.extent.rounds {
        sparekey.server.terminate();
        let token = sparekey.server.root_token().to_owned();
        let begun = Instant::now();
        sparekey.server.boot();
        let client = sparekey.server.client();
        for key in sparekey.server.unseal_keys() {
            client.write("sys/unseal", &json!({"key": key})).expect(200);
        }
        mine.push(answered(&client.token(&token), &format!("{MOUNT}/accounts/a/0"), begun)?);

        let vault = &mut openbao.vault;
        stop(vault)?;
        let token = vault.root_token().to_owned();
        let begun = Instant::now();
        vault.boot();
        let client = vault.client();
        vault.open();
        its.push(answered(&client.token(&token), "kv/metadata/a/0", begun)?);
    }
    let mut outcome = Outcome::default();
    outcome.note("stored", "accounts of ten codes, and secrets", "", vec![plan.stored as f64]);
    outcome.note("sparekey", "Sparekey: process, unseal, first answer", "ms", mine);
    outcome.note("openbao", "OpenBao: process, unseal, first answer", "ms", its);
    Ok(outcome)
}

/// Milliseconds until this can be read.
fn answered(client: &Client, path: &str, begun: Instant) -> Result<f64, String> {
    while !client.try_send("GET", path, None).is_ok_and(|answer| answer.status == 200) {
        if begun.elapsed() > PATIENCE {
            return Err(format!("{path} cannot be read within {PATIENCE:?} of a start"));
        }
        sleep(Duration::from_millis(1));
    }
    Ok(begun.elapsed().as_secs_f64() * 1000.0)
}

/// Asks it to end and waits until it has.
fn stop(vault: &mut Vault) -> Result<(), String> {
    let pid = vault.pid().and_then(|pid| Pid::from_raw(i32::try_from(pid).ok()?)).ok_or("it does not run")?;
    kill_process(pid, Signal::TERM).map_err(|error| error.to_string())?;
    let begun = Instant::now();
    // Ended and not yet waited for, it is a zombie.
    let runs = || {
        let stat = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).unwrap_or_default();
        !matches!(stat.rsplit(')').next().unwrap_or_default().trim().chars().next(), None | Some('Z'))
    };
    while runs() {
        if begun.elapsed() > PATIENCE {
            return Err("OpenBao does not end when asked".into());
        }
        sleep(Duration::from_millis(20));
    }
    vault.kill();
    Ok(())
}
