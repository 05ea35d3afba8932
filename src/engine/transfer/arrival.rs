//! The mount that takes an account in: what came is checked piece by piece, and sealed anew under the keys that are here.

use serde_json::Value;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::state::{PrintsState, SetState, SlotState, SourceState, State};
use super::wire::{Moment, Text16};
use crate::crypto::envelope::{self, MAX_SLOT, Place};
use crate::crypto::inherited::Origin;
use crate::crypto::secret::{CodeText, Key};
use crate::domain::about::About;
use crate::domain::account::Account;
use crate::domain::code;
use crate::domain::enrollment::Enrollment;
use crate::domain::fields::{Fields, Given};
use crate::domain::fingerprints::{Fingerprints, Remembered};
use crate::domain::moving::{Inherited, Moving};
use crate::domain::name::record_name;
use crate::domain::obligation::Obligation;
use crate::domain::set::{Cause, End, Handout, Kind, Outcome, Provider, Set, Slot, Status, Use, What};
use crate::domain::throttle::Failures;
use crate::engine::ask::{MAX_TEXT, checked_text};
use crate::engine::attempt::Attempt;
use crate::error::{Error, Result};
use crate::random;

/// Longest text about an account, in bytes.
const MAX_ABOUT: usize = 1024;
/// Most sets, labels, protected things or mounts whose fingerprints come along.
const MOST: usize = 80;

/// An account as it comes in.
pub(super) struct Arriving {
    pub source: SourceState,
    pub state: State,
    codes: Vec<CodeText>,
    keys: Vec<Key>,
}

impl Arriving {
    /// Reads the fields of `transfer/:account` and checks what can be checked without the record.
    pub fn read(fields: &mut Fields) -> Result<Arriving> {
        let source = shaped(fields, "source")?;
        let state: State = shaped(fields, "state")?;
        let codes = texts(fields, "codes")?.into_iter().map(CodeText::new).collect::<Vec<_>>();
        let keys = texts(fields, "fingerprint_keys")?.iter().map(|text| key(text)).collect::<Result<_>>()?;
        let arriving = Arriving { source, state, codes, keys };
        arriving.check()?;
        Ok(arriving)
    }
    /// The set that lives.
    pub fn live(&self) -> Option<&SetState> {
        self.state.sets.last().filter(|set| set.ended.is_none())
    }

    fn check(&self) -> Result<()> {
        let state = &self.state;
        let wrong = |what: &str| Err(Error::field("state", what));
        if !state.profile.is_empty() {
            record_name("profile", &state.profile)?;
        }
        if [state.sets.len(), state.labels.len(), state.protects.len(), state.fingerprints.len()]
            .iter()
            .any(|n| *n > MOST)
        {
            return Err(Error::field("state", format_args!("at most {MOST} of anything")));
        }
        for text in [&state.owner, &state.login_name, &state.login_url].into_iter().chain(&state.protects) {
            checked_text("state", text.clone(), MAX_ABOUT)?;
        }
        for text in state.labels.iter().flat_map(|(name, value)| [name, value]).chain(&state.enrollment.source) {
            checked_text("state", text.clone(), MAX_TEXT)?;
        }
        let numbers = state.sets.iter().map(|set| set.generation);
        if !numbers.clone().is_sorted_by(|a, b| a < b) || numbers.clone().any(|n| n == 0 || n > state.generation) {
            return wrong("sets must be in order of their generations, none above the account's");
        }
        let ended = state.sets.len() - usize::from(self.live().is_some());
        if state.sets.iter().filter(|set| set.ended.is_some()).count() != ended {
            return wrong("only the last set may live");
        }
        if let Some(live) = self.live() {
            if live.kind != Kind::Escrowed || live.generation != state.generation {
                return wrong("the set that lives must be the latest one, and its codes made elsewhere");
            }
            if state.profile.is_empty() || state.deleted_at.is_some() {
                return wrong("an account with a set that lives has a profile and is not deleted");
            }
        }
        for set in &state.sets {
            check_set(set)?;
        }
        if self.keys.len() != state.fingerprints.len() {
            return Err(Error::field("fingerprint_keys", "one for each of state.fingerprints, in their order"));
        }
        self.check_codes()
    }
    fn check_codes(&self) -> Result<()> {
        let held = self.live().map_or(0, |set| set.slots.iter().filter(|slot| matches!(slot, SlotState::Held)).count());
        if self.codes.len() != held {
            return Err(Error::field("codes", format_args!("one for each slot that is held, {held} in all")));
        }
        let findings = code::lint(&self.codes);
        match held > 0 && !findings.errors.is_empty() {
            true => Err(Error::field("codes", findings.errors.join("; "))),
            false => self.check_prints(),
        }
    }
    /// Codes that are not the ones of their slots would be given out as such, and not be known if they came again.
    fn check_prints(&self) -> Result<()> {
        let Some(live) = self.live() else { return Ok(()) };
        let mut made = self.state.fingerprints.iter().zip(&self.keys).flat_map(|(prints, key)| {
            let of_the_set = prints.generations.iter().filter(|one| one.generation == live.generation);
            of_the_set.map(move |one| (prints, key, one))
        });
        let (Some((prints, key, one)), None) = (made.next(), made.next()) else {
            return Err(Error::field("state", "fingerprints of the set that lives, from one mount"));
        };
        if one.until.is_some() || one.prints.len() != live.slots.len() {
            return Err(Error::field(
                "state",
                "a fingerprint for each slot of the set that lives, kept without an end",
            ));
        }
        let origin = Origin { mount_id: prints.mount_id.0, account_id: prints.account_id.0 };
        let printer = origin.fingerprinter(key);
        let held = live.slots.iter().zip(&one.prints).filter(|(slot, _)| matches!(slot, SlotState::Held));
        let other = |(code, (_, print)): (&CodeText, (_, &Text16))| {
            let plain = code::canonical(code.expose());
            let known = u16::try_from(plain.len()).is_ok_and(|length| one.lengths.contains(&length));
            !known || !bool::from(printer.print(plain.as_bytes()).ct_eq(&print.0))
        };
        let pairs = self.codes.iter().zip(held).zip(1usize..);
        let wrong: Vec<String> = pairs.filter(|(pair, _)| other(*pair)).map(|(_, place)| place.to_string()).collect();
        if wrong.is_empty() {
            return Ok(());
        }
        let what = "are not the codes that state.fingerprints was made of; nothing was taken in: send the parcel again as it left";
        Err(Error::field("codes", format_args!("{} {what}", wrong.join(", "))))
    }

    /// The account as it is here from now on. Marks of events that came here before it stay.
    pub fn account(&self, attempt: &Attempt<'_>, origin: Origin) -> Result<Account> {
        let (state, was) = (&self.state, &attempt.record.account);
        let id = was.id;
        let heard = if was.arrival().is_some() { Enrollment::default() } else { was.enrollment.clone() };
        let sets = state.sets.iter().map(|set| self.set(attempt, set)).collect::<Result<_>>()?;
        let mut inherited = Vec::new();
        for (prints, key) in state.fingerprints.iter().zip(&self.keys) {
            let from = Origin { mount_id: prints.mount_id.0, account_id: prints.account_id.0 };
            let key = attempt.keyring.inherit(&id, &from, key, attempt.random).map_err(Error::internal)?;
            inherited.push(Inherited { origin: from, key, prints: fingerprints(prints)? });
        }
        let moment = |at: Option<Moment>| at.map(|at| at.0);
        Ok(Account {
            id,
            profile: state.profile.clone(),
            about: About {
                owner: state.owner.clone(),
                login_name: state.login_name.clone(),
                login_url: state.login_url.clone(),
                protects: state.protects.clone(),
                labels: state.labels.clone(),
            },
            created_at: state.created_at.0,
            deleted_at: moment(state.deleted_at),
            generation: state.generation,
            sets,
            latest_bound_at: moment(state.bound_at),
            enrollment: merged(state, heard),
            obligation: state.owes.as_ref().map(|owed| Obligation {
                since: owed.since.0,
                by: owed.by.0,
                generation: owed.generation,
            }),
            fingerprints: Fingerprints::default(),
            retrievals: Vec::new(),
            failures: state.failures.as_ref().map(|failures| Failures {
                in_a_row: failures.in_a_row,
                latest: moment(failures.latest),
                locked_until: moment(failures.locked_until),
            }),
            moving: Some(Moving {
                departure: None,
                arrival: was.arrival().filter(|was| was.origin == origin).copied(),
                inherited,
            }),
            noticed: None,
            setback: was.setback.clone(),
        })
    }

    fn set(&self, attempt: &Attempt<'_>, state: &SetState) -> Result<Set> {
        let id: [u8; 16] = random::bytes(attempt.random);
        let status = match &state.ended {
            None => Status::Live,
            Some(end) => Status::Ended(End { at: end.at.0, cause: cause(&end.cause)?, destroy_at: None }),
        };
        let mut set = Set {
            id: id.into(),
            generation: state.generation,
            kind: state.kind,
            status,
            stored_at: state.stored_at.0,
            bound_at: state.bound_at.0,
            provider: state.confirmed_at.map_or(Provider::Unconfirmed, |at| Provider::Confirmed(at.0)),
            custody: state.custody.clone(),
            repeat: None,
            stored_by: state.stored_by.clone(),
            slots: Vec::new(),
            dek: None,
            keeping: state.keeping,
            failures: state.failures,
        };
        let mut sealed = Vec::new();
        if state.ended.is_none() {
            let held = state.slots.iter().zip(1u32..).filter(|(slot, _)| matches!(slot, SlotState::Held));
            let held: Vec<(u32, &CodeText)> = held.map(|(_, number)| number).zip(&self.codes).collect();
            let place = Place { account_id: &attempt.record.account.id, set_id: &id, generation: state.generation };
            let (dek, codes) =
                envelope::seal_set(&attempt.keyring, &place, &held, attempt.random).map_err(Error::internal)?;
            set.dek = Some(dek);
            sealed = codes;
        }
        let mut sealed = sealed.into_iter();
        for slot in &state.slots {
            set.slots.push(match slot {
                SlotState::Held => match sealed.next() {
                    Some((_, code)) => Slot::Held(code),
                    None => return Err(Error::field("state", "an ended set holds no code")),
                },
                other => spent(other)?,
            });
        }
        Ok(set)
    }
}

/// The later of both marks, and every event counted: those that came here before the account were not heard of there.
fn merged(state: &State, heard: Enrollment) -> Enrollment {
    let came = &state.enrollment;
    let moment = |at: Option<Moment>| at.map(|at| at.0);
    let later = heard.latest > moment(came.latest);
    Enrollment {
        number: came.number.saturating_add(heard.number),
        ended_before: heard.ended_before.max(moment(came.ended_before)),
        doubtful_before: heard.doubtful_before.max(moment(came.doubtful_before)),
        latest: heard.latest.max(moment(came.latest)),
        source: if later { heard.source } else { came.source.clone() },
        released_through: heard.released_through.max(moment(came.released_through)),
    }
}

fn spent(slot: &SlotState) -> Result<Slot> {
    Ok(match slot {
        SlotState::Dispensed { at, by, role, outcome } => {
            let outcome = outcome.as_ref().map(|outcome| -> Result<Outcome> {
                let what = What::ALL.into_iter().find(|what| what.word() == outcome.what);
                let what = what.ok_or_else(|| Error::field("state", "an outcome is worked, refused or unused"))?;
                Ok(Outcome { what, at: outcome.at.0, by: outcome.by.clone() })
            });
            let handout = Handout {
                at: at.0,
                by: by.clone(),
                until: at.0,
                repeat: None,
                claim: None,
                role: role.clone(),
                outcome: outcome.transpose()?,
            };
            Slot::Dispensed(handout, None)
        }
        SlotState::Consumed { at, by } => Slot::Consumed(Use { at: at.0, by: by.clone(), until: at.0, repeat: None }),
        SlotState::Void { at } => Slot::Void(at.0, None),
        SlotState::Used | SlotState::Held => Slot::Used,
    })
}

fn check_set(set: &SetState) -> Result<()> {
    if set.slots.is_empty() || set.slots.len() > MAX_SLOT as usize {
        return Err(Error::field("state", format_args!("a set has 1 to {MAX_SLOT} slots")));
    }
    let by = set.slots.iter().flat_map(|slot| match slot {
        SlotState::Dispensed { by, role, outcome, .. } => {
            vec![by, role].into_iter().chain(outcome.as_ref().map(|o| &o.by))
        }
        SlotState::Consumed { by, .. } => vec![by].into_iter().chain(None),
        SlotState::Held | SlotState::Used | SlotState::Void { .. } => Vec::new().into_iter().chain(None),
    });
    for text in by.chain([&set.stored_by]).chain(&set.custody) {
        checked_text("state", text.clone(), MAX_ABOUT)?;
    }
    Ok(())
}

fn fingerprints(state: &PrintsState) -> Result<Fingerprints> {
    let mut prints = Fingerprints::default();
    for one in &state.generations {
        if one.prints.len() > MAX_SLOT as usize || one.lengths.len() > MAX_SLOT as usize {
            return Err(Error::field("state", format_args!("a generation has at most {MAX_SLOT} fingerprints")));
        }
        let list: Vec<_> = one.prints.iter().map(|print| print.0).collect();
        let lengths = one.lengths.clone();
        prints.remember(Remembered { generation: one.generation, prints: &list, lengths, keeping: None });
        if let Some(until) = one.until {
            prints.keep_until(one.generation, until.0);
        }
    }
    Ok(prints)
}

fn cause(word: &str) -> Result<Cause> {
    let all = [
        Cause::NewerSet,
        Cause::ReEnrollment,
        Cause::Operator,
        Cause::Lapsed,
        Cause::Compromise,
        Cause::Age,
        Cause::Transferred,
    ];
    let found = all.into_iter().find(|cause| cause.word() == word);
    found.ok_or_else(|| Error::field("state", "a set ended for a cause that this version does not know"))
}

/// A field of the shape of `T`. What was sent is not repeated in an error.
fn shaped<T: serde::de::DeserializeOwned>(fields: &mut Fields, name: &'static str) -> Result<T> {
    let wrong =
        || Error::field(name, "an object as `sparekey transfer` sends it; both ends must be of the same version");
    match fields.take(name) {
        Given::Value(value) => serde_json::from_value(value).map_err(|_| wrong()),
        Given::Absent | Given::Reset => Err(wrong()),
    }
}

/// A list of JSON strings, none of which an error repeats.
fn texts(fields: &mut Fields, name: &'static str) -> Result<Vec<Zeroizing<String>>> {
    let wrong = || Error::field(name, format_args!("a list of at most {MAX_SLOT} JSON strings"));
    match fields.take(name) {
        Given::Absent | Given::Reset => Ok(Vec::new()),
        Given::Value(Value::Array(items)) if items.len() <= MAX_SLOT as usize => items
            .into_iter()
            .map(|item| match item {
                Value::String(text) => Ok(Zeroizing::new(text)),
                _ => Err(wrong()),
            })
            .collect(),
        Given::Value(_) => Err(wrong()),
    }
}

fn key(text: &str) -> Result<Key> {
    let mut bytes = Zeroizing::new([0; 32]);
    hex::decode_to_slice(text, &mut *bytes)
        .map_err(|_| Error::field("fingerprint_keys", "32 bytes each, in hexadecimal"))?;
    Ok(Key::from_bytes(bytes))
}
