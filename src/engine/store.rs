//! `sets/:account`: a new set of codes supersedes the former one. Escrowed codes come in and are sealed; issued ones are made
//! here, shown once, and kept as verifiers.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::{Map, Value, json};
use zeroize::Zeroizing;

use crate::auth::{Grant, Refusal as No};
use crate::crypto::envelope::{self, Place};
use crate::crypto::secret::CodeText;
use crate::domain::account::Standing;
use crate::domain::alphabet::folded;
use crate::domain::fingerprints::Remembered;
use crate::domain::profile::{Keeping, Profile};
use crate::domain::refusal::Refusal;
use crate::domain::role::Capability;
use crate::domain::set::{Kind, Provider, Repeat, Set, Slot, Status};
use crate::engine::ask::Ask;
use crate::engine::attempt::{Attempt, Decision};
use crate::engine::begun::Begun;
use crate::engine::request::{Codes, Disclosure, Request, Response};
use crate::engine::transact::Plan;
use crate::engine::{Call, Engine, actor, circle, ignored, keys, record, remote};
use crate::error::{Error, Result};
use crate::random;
use body::{Body, Imported};

mod body;

/// What a try came to: the answer, and the codes of the set that it made, if it made them.
struct Stored {
    response: Response,
    made: Option<Arc<[CodeText]>>,
    /// What hangs on the account, if its codes are there to be retrieved.
    protects: Vec<String>,
}

/// Codes drawn for a set, kept from try to try so that each is stretched once.
struct Drawn {
    by: Arc<Profile>,
    codes: Arc<[CodeText]>,
}

/// Carries out `sets/:account`.
pub async fn store(engine: &Engine, call: Call) -> Result<Response> {
    let (begun, mut fields) = Begun::read(call)?;
    let (body, mut warnings) = Body::read(&mut fields)?;
    ignored(&fields, &mut warnings);
    let mut also: Vec<String> = body.profile.iter().map(|name| format!("{}{name}", keys::PROFILES)).collect();
    // Whoever expects no set yet most likely makes the account.
    also.extend((body.claimed.cas == Some(0)).then(|| keys::tombstone(&begun.account)));
    let plan = Plan { account: &begun.account, also };
    let mut drawn = None;
    let decide = |attempt: &mut Attempt<'_>, grant: Grant| {
        decide(attempt, &grant, &begun.request, &begun.ask, &body, &mut drawn)
    };
    let Stored { mut response, made, protects } = engine.act(plan, begun.judged(Capability::Store), decide).await?;
    // The set is stored: whatever becomes of the question, the answer stands.
    if engine.is_circular(&begun.account, &protects).await.unwrap_or(false) {
        warnings.push(circle::WARNING.to_owned());
    }
    if let Some(codes) = made {
        response.disclosure = Some(Disclosure::new("codes", Codes::Set(codes)));
        warnings
            .push("these codes are shown this once: hand them over now; what is kept cannot give them back".to_owned());
    }
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
    drawn: &mut Option<Drawn>,
) -> Result<Decision<Stored>> {
    let who = [grant.iss(), grant.subject(), grant.role()];
    let repeat = ask.repeat(&attempt.keyring, "store", attempt.name, &who);
    if let Some(response) = repeated(attempt, repeat.as_ref())? {
        return Ok(Decision::Keep(Stored { response, made: None, protects: Vec::new() }));
    }
    let profile_name = choose_profile(attempt, body)?;
    let profile = attempt.profile_named(&profile_name)?;
    fits(&profile, &profile_name, grant, request, body)?;
    let mut claimed = body.claimed;
    if profile.issues() {
        // Made now, they belong to whatever enrollment is the latest: no old file can bring dead ones back.
        let latest = u64::from(attempt.record.account.enrollment.number);
        claimed.enrollment = claimed.enrollment.or(Some(latest));
    }
    let skew = attempt.settings.clock_skew;
    let (generation, bound_at) = attempt.record.account.plan(claimed, attempt.now, skew, &profile)?;
    let known = body.imported.as_ref().map(|imported| fingerprints(attempt, imported)).transpose()?;
    let texts = || ask.texts().chain(body.custody.as_deref().map(|text| ("custody", text)));
    if body.imported.is_none() {
        attempt.refuse_codes_in(texts())?;
    }
    let mut set = Set {
        id: random::bytes(attempt.random).into(),
        generation,
        kind: profile.kind,
        status: Status::Live,
        stored_at: attempt.now,
        bound_at,
        provider: Provider::Unconfirmed,
        custody: body.custody.clone(),
        repeat,
        stored_by: grant.subject().to_owned(),
        slots: Vec::new(),
        dek: None,
        keeping: None,
        failures: None,
    };
    let mut made = None;
    let (prints, lengths, used) = match (&body.imported, known) {
        (Some(imported), Some(prints)) => {
            seal(attempt, &mut set, imported)?;
            attempt.wrapped += 1;
            (prints, lengths(&imported.plain), imported.used.len())
        }
        _ => {
            let codes = draw(attempt, &profile, drawn);
            let plain: Vec<_> = codes.iter().map(|code| folded(code.expose())).collect();
            let prints = issue(attempt, &mut set, &plain, profile.verifier)?;
            made = Some(codes);
            (prints, lengths(&plain), 0)
        }
    };
    let (count, keeping) = (set.slots.len(), set.keeping);
    let superseded = attempt.record.account.admit(set, &profile, attempt.now);
    let account = &mut attempt.record.account;
    account.profile = profile_name;
    account.deleted_at = None;
    account.fingerprints.remember(Remembered { generation, prints: &prints, lengths, keeping });
    // Only now, so that a text is held against the codes it came with too.
    if body.imported.is_some() {
        attempt.refuse_codes_in(texts())?;
    }
    attempt.bind_keyring = true;
    attempt.cap = Some(record::SOFT_CAP);

    let mut entry = attempt.entry("store", actor(grant, request), &request.id, remote(request));
    entry.generation = Some(generation);
    entry.reason = ask.reason.clone();
    entry.ticket = ask.ticket.clone();
    let mut detail = json!({"count": count, "used": used, "superseded": superseded});
    if made.is_some() {
        detail["kind"] = json!(Kind::Issued);
    }
    entry.detail = Some(detail.to_string());
    let mut note = attempt.log(entry);
    if made.is_some() {
        note.insert("slot".to_owned(), (1..=count).collect());
    }
    let set = attempt.record.account.set(generation);
    let mut response = Response::data(stored(attempt, generation, set, &superseded));
    response.note = note;
    if let Some(set) = attempt.record.account.set(generation)
        && attempt.record.account.standing(set, &profile, attempt.now) == Standing::Quarantined
    {
        response.warnings.push("the set is quarantined: it was bound too near the latest enrollment; release it with a reason once you have checked".to_owned());
    }
    let protects = match profile.kind {
        Kind::Escrowed => attempt.record.account.about.protects.clone(),
        Kind::Issued => Vec::new(),
    };
    Ok(Decision::Write(Stored { response, made, protects }))
}

/// Whether the request fits the kind of the profile.
fn fits(profile: &Profile, name: &str, grant: &Grant, request: &Request, body: &Body) -> Result<()> {
    match (profile.kind, &body.imported) {
        (Kind::Escrowed, None) => {
            Err(Error::field("codes", format_args!("the list of codes is missing; profile {name} does not make codes")))
        }
        (Kind::Escrowed, Some(imported)) => match profile.demands(&imported.codes) {
            demands if demands.is_empty() => Ok(()),
            demands => Err(Error::field("codes", demands.join("; "))),
        },
        (Kind::Issued, Some(_)) => {
            Err(Error::field("codes", format_args!("profile {name} makes its codes itself; leave codes out")))
        }
        (Kind::Issued, None) if body.claimed.bound_at.is_some() => {
            Err(Error::field("bound_at", "issued codes are bound when they are made; leave it out"))
        }
        (Kind::Issued, None) if grant.wrap_required() && request.wrap_ttl().is_none() => Err(No::Unwrapped.for_act()),
        (Kind::Issued, None) => Ok(()),
    }
}

/// The answer to a repeated request: recognised before `cas`, enrollment and fingerprints, and without codes.
fn repeated(attempt: &mut Attempt<'_>, repeat: Option<&Repeat>) -> Result<Option<Response>> {
    let Some(repeat) = repeat else { return Ok(None) };
    let same = |set: &&Set| set.repeat.as_ref().is_some_and(|had| had.key == repeat.key);
    let kept = attempt.record.account.sets.iter().find(same).cloned();
    let Some(set) = (match kept {
        Some(set) => Some(set),
        None => attempt.lately_archived()?.into_iter().find(|set| same(&set)),
    }) else {
        return Ok(None);
    };
    if set.repeat.as_ref() != Some(repeat) {
        return Err(Refusal::KeyReused.into());
    }
    let mut response = Response::data(stored(attempt, set.generation, Some(&set), &[]));
    response.warnings.push(match set.kind {
        Kind::Escrowed => "this request was carried out before; nothing was changed".to_owned(),
        Kind::Issued => "this request was carried out before and its codes are not shown again; if nobody has them, \
                         make a new set under another idempotency_key"
            .to_owned(),
    });
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

/// Fingerprints of the new codes, none of which may have been here before, not even as an issued one.
fn fingerprints(attempt: &mut Attempt<'_>, imported: &Imported) -> Result<Vec<[u8; 16]>> {
    let printer = attempt.keyring.fingerprinter(&attempt.record.account.id);
    let prints: Vec<[u8; 16]> = imported.plain.iter().map(|plain| printer.print(plain.as_bytes())).collect();
    let mut known = attempt.record.account.fingerprints.known(&prints);
    let all = imported.codes.iter().map(|code| folded(code.expose())).enumerate();
    let suspects: Vec<_> = all.filter(|(_, code)| attempt.record.account.fingerprints.may_be_stretched(code)).collect();
    let verifiers = attempt.verifiers(&suspects.iter().map(|(_, code)| code.as_str()).collect::<Vec<_>>())?;
    let stretched = attempt.record.account.fingerprints.known_stretched(&verifiers);
    known.extend(attempt.known_elsewhere(&imported.plain)?);
    known.extend(stretched.into_iter().filter_map(|index| suspects.get(index)).map(|(place, _)| place));
    if known.is_empty() {
        return Ok(prints);
    }
    known.sort_unstable();
    known.dedup();
    Err(Refusal::KnownCodes(known.into_iter().map(|index| index + 1).collect()).into())
}

fn lengths(plain: &[Zeroizing<String>]) -> BTreeSet<u16> {
    plain.iter().filter_map(|plain| u16::try_from(plain.len()).ok()).collect()
}

/// Seals the codes that are not used up into the set's slots.
fn seal(attempt: &Attempt<'_>, set: &mut Set, imported: &Imported) -> Result<()> {
    let slots = imported.codes.iter().zip(1u32..).filter(|(_, slot)| !imported.used.contains(slot));
    let held: Vec<(u32, &CodeText)> = slots.map(|(code, slot)| (slot, code)).collect();
    let place = Place { account_id: &attempt.record.account.id, set_id: &set.id, generation: set.generation };
    let (dek, sealed) = envelope::seal_set(&attempt.keyring, &place, &held, attempt.random).map_err(Error::internal)?;
    set.slots = vec![Slot::Used; imported.codes.len()];
    for (slot, code) in sealed {
        if let Some(place) = set.slots.get_mut(slot as usize - 1) {
            *place = Slot::Held(code);
        }
    }
    set.dek = Some(dek);
    Ok(())
}

/// The codes of a new set: those of an earlier try, unless the profile has changed since.
fn draw(attempt: &Attempt<'_>, profile: &Arc<Profile>, drawn: &mut Option<Drawn>) -> Arc<[CodeText]> {
    match drawn {
        Some(drawn) if drawn.by == *profile => drawn.codes.clone(),
        _ => {
            let codes: Arc<[CodeText]> = profile.draw(attempt.random).into();
            *drawn = Some(Drawn { by: profile.clone(), codes: codes.clone() });
            codes
        }
    }
}

/// Puts the verifiers of folded codes into the set's slots; answers them.
fn issue(
    attempt: &mut Attempt<'_>,
    set: &mut Set,
    plain: &[Zeroizing<String>],
    keeping: Keeping,
) -> Result<Vec<[u8; 16]>> {
    let verifiers = match keeping {
        Keeping::Argon2id => attempt.verifiers(&plain.iter().map(|code| code.as_str()).collect::<Vec<_>>())?,
        Keeping::HmacSha256 => {
            let printer = attempt.keyring.fingerprinter(&attempt.record.account.id);
            plain.iter().map(|code| printer.print(code.as_bytes())).collect()
        }
    };
    set.slots = verifiers.iter().map(|verifier| Slot::Issued((*verifier).into())).collect();
    set.keeping = Some(keeping);
    Ok(verifiers)
}

fn stored(attempt: &Attempt<'_>, generation: u32, set: Option<&Set>, superseded: &[u32]) -> Map<String, Value> {
    let mut data = Map::new();
    data.insert("account".to_owned(), json!(attempt.name.as_str()));
    data.insert("generation".to_owned(), json!(generation));
    data.insert("count".to_owned(), json!(set.map_or(0, |set| set.slots.len())));
    data.insert("remaining".to_owned(), json!(set.map_or(0, Set::remaining)));
    data.insert("superseded".to_owned(), json!(superseded));
    data
}
