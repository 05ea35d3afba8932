//! The record of what one subject took under one role, from all accounts together. It goes down before all that the retrieval
//! writes: a crash in between may cost a share, and never gives one more.

use minicbor::bytes::ByteArray;

use crate::auth::Grant;
use crate::crypto::keyring::HashPurpose;
use crate::domain::refusal::Refusal;
use crate::domain::role::Scope;
use crate::domain::share::{Limit, Shares};
use crate::engine::attempt::Attempt;
use crate::engine::{keys, record};
use crate::error::Result;
use crate::storage::{Expect, Write};

/// The limit that counts across accounts, where the role has one; what it stands in is read by then, and so is the claim on the
/// assertion: one that is used up must not take a share.
pub fn across(attempt: &mut Attempt<'_>, grant: &Grant) -> Result<Option<Limit>> {
    let Some(limit) = grant.limit().filter(|limit| limit.scope == Scope::Role) else { return Ok(None) };
    let shares = attempt.record_at(&key(attempt, grant)).map(drop);
    let claim = grant.single_use().map(|replay| attempt.record_at(&keys::claim(replay)).map(drop));
    shares.and(claim.unwrap_or(Ok(())))?;
    Ok(Some(limit))
}

/// Takes a share of `limit` for `act`, which takes the code of `slot`. The same act that goes on after a crash has its share.
pub fn take(
    attempt: &mut Attempt<'_>,
    grant: &Grant,
    limit: &Limit,
    act: &ByteArray<32>,
    (generation, slot): (u32, u32),
) -> Result<()> {
    let set = attempt.record.account.set(generation).ok_or(Refusal::NoGeneration(generation.into()))?;
    // A key may be used again once nothing remembers it: what it gets then is another slot, and another share.
    let act = attempt.keyring.keyed_hash(HashPurpose::Claim, &[b"share", &act[..], &set.id[..], &slot.to_be_bytes()]);
    let key = key(attempt, grant);
    let (mut shares, expect) = match attempt.record_at(&key)? {
        Some((revision, bytes)) => (record::decode::<Shares>(&key, &bytes)?, Expect::At(revision)),
        None => (Shares::default(), Expect::Absent),
    };
    if shares.take(act, limit, attempt.now)? {
        let write = Write::put(key, expect, record::encode(&shares), attempt.random);
        attempt.before.insert(0, write);
    }
    Ok(())
}

fn key(attempt: &Attempt<'_>, grant: &Grant) -> String {
    let who = [grant.iss(), grant.subject(), grant.role()];
    keys::limit(&attempt.keyring.keyed_hash(HashPurpose::Subject, &who.map(str::as_bytes)))
}
