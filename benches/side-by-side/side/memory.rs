//! Resident memory over many acts, on servers that did nothing before.

use super::lane::Lane;
use super::load::{Load, Pace, drive};
use super::meter::Used;
use super::openbao::OpenBao;
use super::results::Outcome;
use super::stage::{Sparekey, Stage};
use crate::support::vault::Vault;

/// How often it is looked at.
pub const STEPS: usize = 10;

pub fn work(stage: &Stage) -> Result<Outcome, String> {
    let plan = stage.plan;
    let sparekey = Sparekey::new(None);
    let openbao = OpenBao::new(Vault::quiet(None), plan.secrets);
    let mut lanes = [sparekey.engine.retrieve(), openbao.cas()];
    let mut seen = lanes.each_ref().map(|lane| vec![resident(lane)]);
    for step in 1..=STEPS {
        for (lane, seen) in lanes.iter_mut().zip(&mut seen) {
            let requests = (lane.prepare)(plan.acts / STEPS)?;
            let (address, proof) = (lane.address, lane.proof);
            drive(Load { address, connections: plan.connections, pace: Pace::Closed, proof, keep: false, requests })
                .map_err(|wrong| format!("{}: {wrong}", lane.name))?;
            seen.push(resident(lane));
        }
        let [mine, its] = [&seen[0], &seen[1]].map(|seen| seen.last().copied().unwrap_or_default());
        eprintln!("  after {} acts: Sparekey {mine:.0} MB, OpenBao {its:.0} MB", plan.acts / STEPS * step);
    }
    let [mine, its] = seen;
    let mut outcome = Outcome::default();
    outcome.note("acts", "acts of each", "", vec![(plan.acts / STEPS * STEPS) as f64]);
    // Grown by, over the second half of the run.
    let growth = mine[STEPS] / mine[STEPS / 2].max(1.0);
    outcome.note("growth", "Sparekey's memory at the end beside that in the middle of the run", "", vec![growth]);
    for (name, words, seen) in [("sparekey", "Sparekey, retrieve", &mine), ("openbao", "OpenBao, KV v2 write", &its)] {
        outcome.note(name, &format!("{words}: resident at the end"), "MB", vec![seen[STEPS]]);
        outcome.note(
            &format!("{name}-over-time"),
            &format!("{words}: resident, from the start to the end"),
            "MB",
            seen.clone(),
        );
    }
    Ok(outcome)
}

fn resident(lane: &Lane<'_>) -> f64 {
    Used::of(&lane.pids).resident_kb as f64 / 1024.0
}
