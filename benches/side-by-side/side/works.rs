//! What is measured: each work is one act of Sparekey beside what comes nearest to it elsewhere.

use super::floor::Kind;
use super::lane::compare;
use super::results::Outcome;
use super::stage::Stage;
use super::{audit, memory, start, stretching};

/// A work's name and how it is done.
pub type Work = (&'static str, fn(&Stage) -> Result<Outcome, String>);

/// All, in the order in which they run: what leaves much behind in memory comes late.
pub const ALL: &[Work] = &[
    ("retrieve", retrieve),
    ("retrieve-login", retrieve_login),
    ("metadata", metadata),
    ("verify-hmac", verify),
    ("import", import),
    ("event", event),
    ("verify-argon2id", stretching::work),
    ("wrap", wrap),
    ("login", login),
    ("audit", audit::work),
    ("size", start::size),
    ("postgres", postgres),
    ("mounted", mounted),
    ("memory", memory::work),
    ("start", start::work),
];

fn outcome(series: Vec<super::results::Series>) -> Outcome {
    Outcome { series, ..Outcome::default() }
}

fn retrieve(stage: &Stage) -> Result<Outcome, String> {
    let (sparekey, plan) = (&stage.sparekey().engine, stage.plan);
    let connections: &[usize] = if plan.full { &[plan.connections, 1, 8] } else { &[plan.connections, 1] };
    let mut lanes = [sparekey.retrieve(), stage.openbao().cas(), stage.floor(Kind::Floor)];
    compare(&mut lanes, connections, true, plan.extent).map(outcome)
}

fn retrieve_login(stage: &Stage) -> Result<Outcome, String> {
    let plan = stage.plan;
    let mut lanes = [stage.sparekey().engine.retrieve_by_login(), stage.openbao().cas(), stage.floor(Kind::Commit)];
    compare(&mut lanes, &[plan.connections], false, plan.extent).map(outcome)
}

fn metadata(stage: &Stage) -> Result<Outcome, String> {
    let plan = stage.plan;
    let mut lanes = [stage.sparekey().engine.metadata()?, stage.openbao().metadata(), stage.floor(Kind::Hyper)];
    compare(&mut lanes, &[plan.connections], true, plan.extent).map(outcome)
}

fn verify(stage: &Stage) -> Result<Outcome, String> {
    let plan = stage.plan;
    let mut lanes = [stage.sparekey().engine.verify("hashed")?, stage.openbao().totp()];
    compare(&mut lanes, &[plan.connections], true, plan.extent).map(outcome)
}

fn import(stage: &Stage) -> Result<Outcome, String> {
    let plan = stage.plan;
    let mut lanes = [stage.sparekey().engine.store(), stage.openbao().cas()];
    compare(&mut lanes, &[plan.connections], true, plan.extent).map(outcome)
}

fn event(stage: &Stage) -> Result<Outcome, String> {
    let (sparekey, plan) = (&stage.sparekey().engine, stage.plan);
    let mut lanes = [sparekey.event(), stage.openbao().cas()];
    let series = compare(&mut lanes, &[plan.connections], true, plan.extent)?;
    drop(lanes);
    sparekey.event_ended()?;
    Ok(outcome(series))
}

fn wrap(stage: &Stage) -> Result<Outcome, String> {
    let plan = stage.plan;
    let mut lanes = [stage.sparekey().engine.wrap(), stage.openbao().wrap()];
    compare(&mut lanes, &[plan.connections], false, plan.extent).map(outcome)
}

fn login(stage: &Stage) -> Result<Outcome, String> {
    let (bao, plan) = (stage.openbao(), stage.plan);
    let mut lanes =
        [stage.sparekey().engine.login(), bao.login("service"), bao.login("batch"), stage.floor(Kind::Floor)];
    compare(&mut lanes, &[plan.connections], false, plan.extent).map(outcome)
}

fn postgres(stage: &Stage) -> Result<Outcome, String> {
    let (plan, place) = (stage.plan, stage.postgres());
    let mut lanes = [place.sparekey.engine.retrieve(), place.openbao.cas()];
    compare(&mut lanes, &[plan.connections], true, plan.extent).map(outcome)
}

fn mounted(stage: &Stage) -> Result<Outcome, String> {
    let (plan, place) = (stage.plan, stage.mounted());
    let mut lanes = [place.engine.retrieve_by_host(), place.openbao.cas()];
    let mut series = compare(&mut lanes, &[plan.connections], false, plan.extent)?;
    let (mut mine, mut its) = (place.engine.metadata()?, place.openbao.metadata());
    (mine.name, its.name) = ("sparekey-metadata", "openbao-metadata");
    series.extend(compare(&mut [mine, its], &[plan.connections], false, plan.extent)?);
    Ok(outcome(series))
}
