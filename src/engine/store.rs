//! `sets/:account`: a new set of codes comes in, sealed, and supersedes the former one.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};
use zeroize::Zeroizing;

use crate::auth::Grant;
use crate::crypto::envelope::{self, Place};
use crate::crypto::secret::CodeText;
use crate::domain::account::{Claimed, Standing};
use crate::domain::code::{self, MAX_CODES};
use crate::domain::fields::{Fields, Given};
use crate::domain::name::record_name;
use crate::domain::refusal::Refusal;
use crate::domain::role::Capability;
use crate::domain::set::{Kind, Provider, Repeat, Set, Slot, Status};
use crate::engine::ask::{Ask, MAX_TEXT, text};
use crate::engine::attempt::{Attempt, Decision};
use crate::engine::request::{Request, Response};
use crate::engine::transact::{Judged, Plan};
use crate::engine::{Call, Engine, actor, ignored, keys, remote};
use crate::error::{Error, Result};
use crate::random;

/// The fields of `sets/:account` beside the shared ones.
struct Body {
    codes: Vec<CodeText>,
    /// Canonical forms, slot 1 first.
    plain: Vec<Zeroizing<String>>,
    used: BTreeSet<u32>,
    claimed: Claimed,
    profile: Option<String>,
    custody: Option<String>,
}

impl Body {
    fn read(fields: &mut Fields) -> Result<(Body, Vec<String>)> {
        let codes = read_codes(fields)?;
        let findings = code::lint(&codes);
        if !findings.errors.is_empty() {
            return Err(Error::field("codes", findings.errors.join("; ")));
        }
        let profile = fields.string("profile")?.value();
        let body = Body {
            plain: codes.iter().map(|code| code::canonical(code.expose())).collect(),
            used: read_used(fields, codes.len())?,
            codes,
            claimed: Claimed {
                cas: fields.integer("cas", 0, u32::MAX.into())?.value(),
                bound_at: fields.time("bound_at")?.value(),
                enrollment: fields.integer("enrollment", 0, u32::MAX.into())?.value(),
            },
            profile: profile.map(|name| record_name("profile", &name)).transpose()?,
            custody: text(fields, "custody", MAX_TEXT)?,
        };
        Ok((body, findings.warnings))
    }
}

fn read_codes(fields: &mut Fields) -> Result<Vec<CodeText>> {
    match fields.take("codes") {
        Given::Value(Value::Array(items)) if items.len() > MAX_CODES => {
            Err(Error::field("codes", format_args!("at most {MAX_CODES} codes")))
        }
        Given::Value(Value::Array(items)) => items
            .into_iter()
            .enumerate()
            .map(|(index, item)| match item {
                Value::String(text) => Ok(CodeText::new(Zeroizing::new(text))),
                _ => Err(Error::field("codes", format_args!("code {} must be a JSON string", index + 1))),
            })
            .collect(),
        // Lists may come as a text with commas, as a command line writes them.
        Given::Value(Value::String(text)) => {
            let text = Zeroizing::new(text);
            Ok(text.split(',').map(|code| CodeText::new(Zeroizing::new(code.trim().to_owned()))).collect())
        }
        Given::Value(_) => Err(Error::field("codes", "a list of JSON strings, one code each")),
        Given::Absent | Given::Reset => Err(Error::field(
            "codes",
            "the list of codes is missing (generating codes belongs to issued sets, not built yet)",
        )),
    }
}

fn read_used(fields: &mut Fields, count: usize) -> Result<BTreeSet<u32>> {
    let mut used = BTreeSet::new();
    for item in fields.list("used")?.value().unwrap_or_default() {
        let slot = item.parse::<u32>().ok().filter(|slot| (1..=count as u64).contains(&u64::from(*slot)));
        used.insert(slot.ok_or_else(|| Error::field("used", format_args!("slots from 1 to {count}")))?);
    }
    Ok(used)
}

/// Carries out `sets/:account`.
pub async fn store(engine: &Engine, call: Call) -> Result<Response> {
    let Call { mut request, name } = call;
    let account = Engine::account_name(&name)?;
    let (ask, mut fields) = Ask::read(std::mem::take(&mut request.data))?;
    let (body, mut warnings) = Body::read(&mut fields)?;
    ignored(&fields, &mut warnings);
    let also = body.profile.iter().map(|name| format!("{}{name}", keys::PROFILES)).collect();
    let plan = Plan { account: &account, also };
    let judged = Judged { request: &request, ask: &ask, capability: Capability::Store };
    let mut response =
        engine.act(plan, judged, |attempt, grant| decide(attempt, &grant, &request, &ask, &body)).await?;
    warnings.append(&mut response.warnings);
    response.warnings = warnings;
    Ok(response)
}

fn decide(
    attempt: &mut Attempt<'_>,
    grant: &Grant,
    request: &Request,
    ask: &Ask,
    body: &Body,
) -> Result<Decision<Response>> {
    let who = [grant.iss(), grant.subject(), grant.role()];
    let repeat = ask.repeat(&attempt.keyring, "store", attempt.name, &who);
    if let Some(answer) = repeated(attempt, repeat.as_ref())? {
        return Ok(Decision::Keep(answer));
    }
    let profile_name = choose_profile(attempt, body)?;
    let profile = attempt.profile_named(&profile_name)?;
    let demands = profile.demands(&body.codes);
    if !demands.is_empty() {
        return Err(Error::field("codes", demands.join("; ")));
    }
    let skew = attempt.settings.clock_skew;
    let (generation, bound_at) = attempt.record.account.plan(body.claimed, attempt.now, skew, &profile)?;
    let prints = fingerprints(attempt, body)?;
    let mut set = Set {
        id: random::bytes(attempt.random).into(),
        generation,
        kind: Kind::Escrowed,
        status: Status::Live,
        stored_at: attempt.now,
        bound_at,
        provider: Provider::Unconfirmed,
        custody: body.custody.clone(),
        repeat,
        stored_by: grant.subject().to_owned(),
        slots: Vec::new(),
        dek: None,
    };
    seal(attempt, &mut set, body)?;
    let superseded = attempt.record.account.admit(set, &profile, attempt.now);
    let account = &mut attempt.record.account;
    account.profile = profile_name;
    account.deleted_at = None;
    let lengths = body.plain.iter().filter_map(|plain| u16::try_from(plain.len()).ok()).collect();
    account.fingerprints.remember(generation, &prints, lengths);
    // Only now, so that a text is held against the codes it came with too.
    let texts = ask.texts().chain(body.custody.as_deref().map(|text| ("custody", text)));
    attempt.refuse_codes_in(texts)?;
    attempt.bind_keyring = true;
    attempt.capped = true;

    let mut entry = attempt.entry("store", actor(grant, request), &request.id, remote(request));
    entry.generation = Some(generation);
    entry.reason = ask.reason.clone();
    entry.ticket = ask.ticket.clone();
    let count = body.codes.len();
    entry.detail = Some(json!({"count": count, "used": body.used.len(), "superseded": superseded}).to_string());
    let note = attempt.log(entry);
    let mut response = Response::data(stored(attempt, generation, &superseded));
    response.note = note;
    if let Some(set) = attempt.record.account.set(generation)
        && attempt.record.account.standing(set, &profile, attempt.now) == Standing::Quarantined
    {
        response.warnings.push("the set is quarantined: it was bound too near the latest enrollment; release it with a reason once you have checked".to_owned());
    }
    Ok(Decision::Write(response))
}

/// The answer to a repeated request: recognised before `cas`, enrollment and fingerprints, and without codes.
fn repeated(attempt: &Attempt<'_>, repeat: Option<&Repeat>) -> Result<Option<Response>> {
    let Some(repeat) = repeat else { return Ok(None) };
    let same = |set: &&Set| set.repeat.as_ref().is_some_and(|had| had.key == repeat.key);
    let Some(set) = attempt.record.account.sets.iter().find(same) else { return Ok(None) };
    if set.repeat.as_ref() != Some(repeat) {
        return Err(Refusal::KeyReused.into());
    }
    let mut response = Response::data(stored(attempt, set.generation, &[]));
    response.warnings.push("this request was carried out before; nothing was changed".to_owned());
    Ok(Some(response))
}

/// The profile of the set: what the request names where the account has none yet, else the account's.
fn choose_profile(attempt: &Attempt<'_>, body: &Body) -> Result<String> {
    let account = &attempt.record.account;
    match (&body.profile, account.is_stub()) {
        (Some(named), true) => Ok(named.clone()),
        (None, true) => Ok(attempt.settings.default_profile.clone()),
        (Some(named), false) if *named != account.profile => {
            Err(Error::field("profile", format_args!("the account has profile {}; leave profile out", account.profile)))
        }
        (_, false) => Ok(account.profile.clone()),
    }
}

/// Fingerprints of the new codes, none of which may have been here before.
fn fingerprints(attempt: &Attempt<'_>, body: &Body) -> Result<Vec<[u8; 16]>> {
    let printer = attempt.keyring.fingerprinter(&attempt.record.account.id);
    let prints: Vec<[u8; 16]> = body.plain.iter().map(|plain| printer.print(plain.as_bytes())).collect();
    let known = attempt.record.account.fingerprints.known(&prints);
    if known.is_empty() {
        return Ok(prints);
    }
    Err(Refusal::KnownCodes(known.into_iter().map(|index| index + 1).collect()).into())
}

/// Seals the codes that are not used up into the set's slots.
fn seal(attempt: &Attempt<'_>, set: &mut Set, body: &Body) -> Result<()> {
    let slots = body.codes.iter().zip(1u32..).filter(|(_, slot)| !body.used.contains(slot));
    let held: Vec<(u32, &CodeText)> = slots.map(|(code, slot)| (slot, code)).collect();
    let place = Place { account_id: &attempt.record.account.id, set_id: &set.id, generation: set.generation };
    let (dek, sealed) = envelope::seal_set(&attempt.keyring, &place, &held, attempt.random).map_err(Error::internal)?;
    set.slots = vec![Slot::Used; body.codes.len()];
    for (slot, code) in sealed {
        if let Some(place) = set.slots.get_mut(slot as usize - 1) {
            *place = Slot::Held(code);
        }
    }
    set.dek = Some(dek);
    Ok(())
}

fn stored(attempt: &Attempt<'_>, generation: u32, superseded: &[u32]) -> Map<String, Value> {
    let set = attempt.record.account.set(generation);
    let mut data = Map::new();
    data.insert("account".to_owned(), json!(attempt.name.as_str()));
    data.insert("generation".to_owned(), json!(generation));
    data.insert("count".to_owned(), json!(set.map_or(0, |set| set.slots.len())));
    data.insert("remaining".to_owned(), json!(set.map_or(0, Set::remaining)));
    data.insert("superseded".to_owned(), json!(superseded));
    data
}
