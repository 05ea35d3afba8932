//! The mount that an account leaves. Whoever calls this holds the seal key and has the store to himself: it is for the command
//! line beside a stopped server, and no path leads here.

use serde_json::json;

use super::parcel::Parcel;
use super::state::{
    EndState, EnrollmentState, FailuresState, GenerationPrints, OutcomeState, OwesState, PrintsState, SetState,
    SlotState, SourceState, State,
};
use super::wire::{Hexed, Moment};
use crate::crypto::secret::{CodeText, Key};
use crate::domain::account::Account;
use crate::domain::fingerprints::Fingerprints;
use crate::domain::moving::{Departure, Head};
use crate::domain::name::AccountName;
use crate::domain::set::{Kind, Provider, Set, Slot, Status};
use crate::domain::time::Timestamp;
use crate::engine::attempt::{Attempt, Decision};
use crate::engine::transact::Plan;
use crate::engine::{Engine, retrieve};
use crate::error::{Error, Result};
use crate::ledger::entry::Actor;

/// Most archived sets that go along: those whose codes are still remembered, latest first.
const MOST_ARCHIVED: usize = 64;
/// Who the ledger says it was.
const SUBJECT: &str = "sparekey transfer";

/// What there is to send of an account.
pub enum Leave {
    /// Nothing is known of it.
    Nothing,
    /// It has left already.
    Gone {
        /// Where to.
        to: String,
    },
    /// It is on its way to another place than the one that was named.
    Elsewhere {
        /// Where to.
        to: String,
    },
    /// Its live set was issued here: what is kept of its codes is good in this mount only.
    Issued {
        /// Which.
        generation: u32,
    },
    /// This.
    Parcel(Box<Parcel>),
}

impl Engine {
    /// Takes an account out to send it to `to`. With `mark` it is marked first: from then on no code of it leaves here, until it
    /// is ended ([`Engine::departed`]) or taken back ([`Engine::stay`]). Again, it is the same parcel.
    pub async fn depart(&self, name: &AccountName, to: &str, mark: bool, run: &str) -> Result<Leave> {
        let plan = Plan { account: name, also: Vec::new() };
        self.change(plan, |attempt| depart(attempt, to, mark, run)).await
    }
    /// The account is at `to`, whose ledger of it stands at `there`: it is ended here, and what its codes could be opened by goes.
    pub async fn departed(&self, name: &AccountName, to: &str, there: &Head, run: &str) -> Result<()> {
        let plan = Plan { account: name, also: Vec::new() };
        self.change(plan, |attempt| {
            if attempt.record.account.leaving().is_none() {
                return Ok(Decision::Keep(()));
            }
            let retention = attempt.ending_profile().fingerprint_retention;
            let generation = attempt.record.account.leave(to.to_owned(), retention, attempt.now);
            let mut entry = attempt.entry("transfer", actor(), run, None);
            entry.generation = generation;
            let there = json!({"seq": there.seq, "head": hex::encode(*there.hash)});
            entry.detail = Some(json!({"left": to, "there": there}).to_string());
            attempt.log(entry);
            Ok(Decision::Write(()))
        })
        .await
    }
    /// The account did not get there and never will by what was sent: it is here again as before. `why` goes into its ledger.
    pub async fn stay(&self, name: &AccountName, why: &str, run: &str) -> Result<()> {
        let plan = Plan { account: name, also: Vec::new() };
        self.change(plan, |attempt| {
            if attempt.record.account.leaving().is_none() {
                return Ok(Decision::Keep(()));
            }
            if let Some(moving) = &mut attempt.record.account.moving {
                moving.departure = None;
            }
            let mut entry = attempt.entry("transfer", actor(), run, None);
            entry.detail = Some(json!({"stays": why}).to_string());
            attempt.log(entry);
            Ok(Decision::Write(()))
        })
        .await
    }
    /// Whether the account is on its way, and where to.
    pub async fn leaving_to(&self, name: &AccountName) -> Result<Option<String>> {
        let plan = Plan { account: name, also: Vec::new() };
        self.change(plan, |attempt| Ok(Decision::Keep(attempt.record.account.leaving().map(|(to, _)| to.to_owned()))))
            .await
    }
}

fn actor() -> Actor {
    Actor { subject: SUBJECT.to_owned(), face: "command".to_owned(), ..Actor::default() }
}

fn depart(attempt: &mut Attempt<'_>, to: &str, mark: bool, run: &str) -> Result<Decision<Leave>> {
    if !attempt.is_known() {
        return Ok(Decision::Keep(Leave::Nothing));
    }
    let account = &attempt.record.account;
    if let Some(to) = account.gone_to() {
        return Ok(Decision::Keep(Leave::Gone { to: to.to_owned() }));
    }
    if let Some(live) = account.live().filter(|set| set.kind == Kind::Issued) {
        return Ok(Decision::Keep(Leave::Issued { generation: live.generation }));
    }
    let marked = match account.leaving() {
        Some((other, _)) if other != to => return Ok(Decision::Keep(Leave::Elsewhere { to: other.to_owned() })),
        // Had anything been written since (an event, say), what went out before would not have it.
        Some((_, head)) => head.seq == attempt.record.ledger.seq,
        None => false,
    };
    let was_leaving = account.leaving().is_some();
    let archived = archived(attempt)?;
    if mark && !marked {
        let mut entry = attempt.entry("transfer", actor(), run, None);
        entry.generation = attempt.record.account.live().map(|set| set.generation);
        entry.detail = Some(json!({"leaves": to}).to_string());
        attempt.log(entry);
        let head = head(attempt);
        attempt.record.account.moving.get_or_insert_default().departure =
            Some(Departure::Leaving { to: to.to_owned(), head });
    }
    let fresh = mark && !marked && !was_leaving;
    let leave = Leave::Parcel(Box::new(Parcel { fresh, ..pack(attempt, &archived)? }));
    Ok(if mark && !marked { Decision::Write(leave) } else { Decision::Keep(leave) })
}

fn head(attempt: &Attempt<'_>) -> Head {
    Head { seq: attempt.record.ledger.seq, hash: attempt.record.ledger.head }
}

/// The archived sets whose codes are still remembered, oldest first.
fn archived(attempt: &mut Attempt<'_>) -> Result<Vec<Set>> {
    let account = &attempt.record.account;
    let own = account.fingerprints.escrowed().map(|(generation, ..)| generation);
    let inherited = account.inherited().iter().flat_map(|one| one.prints.escrowed().map(|(generation, ..)| generation));
    let mut wanted: Vec<u32> = own.chain(inherited).filter(|number| account.set(*number).is_none()).collect();
    wanted.sort_unstable();
    wanted.dedup();
    let wanted = wanted.split_off(wanted.len().saturating_sub(MOST_ARCHIVED));
    let mut found = Vec::new();
    let mut lacking = None;
    for generation in wanted {
        match attempt.archived(generation) {
            Ok(set) => found.extend(set.map(|(_, set)| set.settle(attempt.now))),
            // All that lack are asked for at once.
            Err(error) => lacking = Some(error),
        }
    }
    match lacking {
        Some(error) => Err(error),
        None => Ok(found),
    }
}

fn pack(attempt: &Attempt<'_>, archived: &[Set]) -> Result<Parcel> {
    let account = &attempt.record.account;
    let mut codes: Vec<CodeText> = Vec::new();
    if let Some(set) = account.live() {
        for (slot, number) in set.slots.iter().zip(1u32..) {
            if let Slot::Held(sealed) = slot {
                codes.push(retrieve::open(attempt, set.generation, number, sealed)?);
            }
        }
    }
    let mount_id = *attempt.keyring.mount_id();
    let mut keys: Vec<Key> = Vec::new();
    let mut fingerprints = Vec::new();
    if account.fingerprints.escrowed().next().is_some() {
        keys.push(attempt.keyring.fingerprint_key());
        fingerprints.push(prints(&mount_id, &account.id, &account.fingerprints));
    }
    for one in account.inherited() {
        keys.push(attempt.keyring.inherited(&account.id, &one.origin, &one.key).map_err(Error::internal)?);
        fingerprints.push(prints(&one.origin.mount_id, &one.origin.account_id, &one.prints));
    }
    let head = account.leaving().map_or_else(|| head(attempt), |(_, head)| *head);
    let source = SourceState {
        mount_id: Hexed(mount_id),
        account_id: Hexed(*account.id),
        seq: head.seq,
        head: Hexed(*head.hash),
    };
    let sets = archived.iter().chain(&account.sets).map(|set| set_state(set, attempt.now)).collect();
    let state = state(account, sets, fingerprints);
    Ok(Parcel { source, state, fresh: false, notes: notes(account), codes, keys })
}

/// What does not go along.
fn notes(account: &Account) -> Vec<String> {
    let mut notes = Vec::new();
    let wrapped =
        account.live().map_or(0, |set| set.slots.iter().filter(|slot| matches!(slot, Slot::Wrapped(..))).count());
    if wrapped > 0 {
        notes.push(format!("{wrapped} of its codes left into a wrapping that nobody can open any more: void"));
    }
    if account.sets.iter().any(|set| set.kind == Kind::Issued) {
        notes.push("codes that were issued here before are not recognised there".to_owned());
    }
    notes
}

fn state(account: &Account, sets: Vec<SetState>, fingerprints: Vec<PrintsState>) -> State {
    let (about, enrollment) = (account.about.clone(), &account.enrollment);
    let moment = |at: Option<Timestamp>| at.map(Moment);
    State {
        profile: account.profile.clone(),
        owner: about.owner,
        login_name: about.login_name,
        login_url: about.login_url,
        protects: about.protects,
        labels: about.labels,
        created_at: Moment(account.created_at),
        deleted_at: moment(account.deleted_at),
        generation: account.generation,
        bound_at: moment(account.latest_bound_at),
        enrollment: EnrollmentState {
            number: enrollment.number,
            ended_before: moment(enrollment.ended_before),
            doubtful_before: moment(enrollment.doubtful_before),
            latest: moment(enrollment.latest),
            source: enrollment.source.clone(),
            released_through: moment(enrollment.released_through),
        },
        owes: account.obligation.map(|owed| OwesState {
            since: Moment(owed.since),
            by: Moment(owed.by),
            generation: owed.generation,
        }),
        failures: account.failures.map(|failures| FailuresState {
            in_a_row: failures.in_a_row,
            latest: moment(failures.latest),
            locked_until: moment(failures.locked_until),
        }),
        sets,
        fingerprints,
    }
}

fn set_state(set: &Set, now: Timestamp) -> SetState {
    let ended = match set.status {
        Status::Live => None,
        Status::Ended(end) => Some(EndState { at: Moment(end.at), cause: end.cause.word().to_owned() }),
    };
    let confirmed_at = match set.provider {
        Provider::Unconfirmed => None,
        Provider::Confirmed(at) => Some(Moment(at)),
    };
    SetState {
        generation: set.generation,
        kind: set.kind,
        stored_at: Moment(set.stored_at),
        stored_by: set.stored_by.clone(),
        bound_at: Moment(set.bound_at),
        confirmed_at,
        custody: set.custody.clone(),
        keeping: set.keeping,
        failures: set.failures,
        slots: set.slots.iter().map(|slot| slot_state(slot, ended.as_ref().map(|end| end.at), now)).collect(),
        ended,
    }
}

/// A slot as it is at the other end. What only this mount can open does not go along: a wrapping, and what an ended set still has.
fn slot_state(slot: &Slot, ended: Option<Moment>, now: Timestamp) -> SlotState {
    match slot {
        Slot::Held(_) | Slot::Issued(_) => ended.map_or(SlotState::Held, |at| SlotState::Void { at }),
        Slot::Dispensed(handout, _) => SlotState::Dispensed {
            at: Moment(handout.at),
            by: handout.by.clone(),
            role: handout.role.clone(),
            outcome: handout.outcome.as_ref().map(|outcome| OutcomeState {
                what: outcome.what.word().to_owned(),
                at: Moment(outcome.at),
                by: outcome.by.clone(),
            }),
        },
        Slot::Wrapped(..) => SlotState::Void { at: Moment(now) },
        Slot::Used => SlotState::Used,
        Slot::Consumed(used) => SlotState::Consumed { at: Moment(used.at), by: used.by.clone() },
        Slot::Void(at, _) => SlotState::Void { at: Moment(*at) },
    }
}

fn prints(mount_id: &[u8; 16], account_id: &[u8; 16], prints: &Fingerprints) -> PrintsState {
    let generations = prints.escrowed().map(|(generation, until, prints, lengths)| GenerationPrints {
        generation,
        until: until.map(Moment),
        prints: prints.iter().map(|print| Hexed(*print)).collect(),
        lengths: lengths.clone(),
    });
    PrintsState { mount_id: Hexed(*mount_id), account_id: Hexed(*account_id), generations: generations.collect() }
}
