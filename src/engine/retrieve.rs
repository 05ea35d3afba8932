//! `retrieve/:account`: one code leaves, once. Burn, record, reveal: the code sits in a box that only the audit's receipt opens.

use std::time::Duration;

use minicbor::bytes::ByteArray;
use minicbor::{Decode, Encode};
use serde_json::{Map, Value, json};

use crate::auth::Grant;
use crate::crypto::envelope::{self, Place, SealedCode};
use crate::crypto::keyring::HashPurpose;
use crate::crypto::secret::CodeText;
use crate::domain::obligation::Obligation;
use crate::domain::profile::Profile;
use crate::domain::refusal::Refusal;
use crate::domain::role::Capability;
use crate::domain::set::{Handout, Set, Slot};
use crate::domain::time::Timestamp;
use crate::engine::ask::Ask;
use crate::engine::attempt::{Attempt, Decision};
use crate::engine::begun::Begun;
use crate::engine::burn::{self, Mark};
use crate::engine::repeat::{self, Earlier};
use crate::engine::request::{Body, Disclosure, Request, Response};
use crate::engine::{Call, Engine, actor, keys, record, remote, share};
use crate::error::{Error, Result};
use crate::storage::Write;

/// How much longer than the assertion its claim lives.
const CLAIM_MARGIN: Duration = Duration::from_secs(86_400);

/// The claim on an assertion of single use: which act it stands for. Only that act may go on with it.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Claim {
    /// Keyed hash of operation, account, issuer, subject, role, slot asked for and idempotency key (else request id).
    #[n(0)]
    act: ByteArray<32>,
    /// When it may be forgotten: the assertion is long dead.
    #[n(1)]
    until: Timestamp,
}

impl Claim {
    /// Whether it may be forgotten.
    pub fn is_over(&self, now: Timestamp) -> bool {
        self.until < now
    }
}

/// What a retrieval asks for.
struct Want<'a> {
    request: &'a Request,
    ask: &'a Ask,
    slot: Option<u64>,
}

/// Carries out `retrieve/:account`.
pub async fn retrieve(engine: &Engine, call: Call) -> Result<Response> {
    let (begun, mut fields) = Begun::read(call)?;
    let slot = fields.integer("slot", 1, u32::MAX.into())?.value();
    let want = Want { request: &begun.request, ask: &begun.ask, slot };
    let decide = |attempt: &mut Attempt<'_>, grant: Grant| decide(attempt, grant, &want);
    begun.act(engine, Capability::Retrieve, &fields, Vec::new(), decide).await
}

fn decide(attempt: &mut Attempt<'_>, grant: Grant, want: &Want<'_>) -> Result<Decision<Response>> {
    let who = [grant.iss(), grant.subject(), grant.role()];
    let key = want.ask.repeat(&attempt.keyring, "retrieve", attempt.name, &who);
    let profile = attempt.profile()?;
    let across = share::across(attempt, &grant)?;
    attempt.cap = Some(record::SOFT_CAP);
    match repeat::find(attempt, key.as_ref(), grant.single_use())? {
        Some(earlier) => show_again(attempt, &grant, want, &profile, &earlier),
        None => {
            attempt.refuse_codes_in(want.ask.texts())?;
            let (generation, slot, marker) = choose(attempt, &grant, want, &profile)?;
            let lives = want.request.wrap.as_ref().map_or(profile.reveal_window, |wrap| wrap.ttl);
            check_wrap(want.request, &profile)?;
            match (across, grant.limit()) {
                (Some(limit), _) => {
                    let act = mark_of(attempt, &grant, want);
                    share::take(attempt, &grant, &limit, &act, (generation, slot))?;
                }
                (None, Some(limit)) => {
                    let by = attempt.keyring.keyed_hash(HashPurpose::Subject, &who.map(str::as_bytes));
                    attempt.record.account.count_retrieval(by, &limit, attempt.now)?;
                }
                (None, None) => {}
            }
            let handout = Handout {
                at: attempt.now,
                by: grant.subject().to_owned(),
                until: attempt.now.plus(lives),
                repeat: key,
                claim: grant.single_use().map(|replay| (*replay).into()),
                role: grant.role().to_owned(),
                outcome: None,
            };
            let burnt = burn(attempt, &grant, want, &profile, handout, (generation, slot))?;
            // After the claim: an assertion that is used up must not mark anything.
            attempt.before.extend(marker);
            Ok(burnt)
        }
    }
}

/// The slot whose code leaves. On a store that does not commit writes together, one whose burn another act has marked has left
/// already, though an older record came back: it is void.
fn choose(
    attempt: &mut Attempt<'_>,
    grant: &Grant,
    want: &Want<'_>,
    profile: &Profile,
) -> Result<(u32, u32, Option<Write>)> {
    loop {
        let (generation, slot) = attempt.record.account.choose(profile, want.slot, attempt.now)?;
        let act = mark_of(attempt, grant, want);
        match burn::mark(attempt, generation, slot, &act)? {
            Mark::None => return Ok((generation, slot, None)),
            Mark::Ours(marker) => return Ok((generation, slot, Some(marker))),
            Mark::Taken => {
                let now = attempt.now;
                attempt.record.account.change_slot(generation, slot, |held| Ok((held.void(now), ())))?;
            }
        }
    }
}

/// The slot changes, the claim and the ledger entry go down with it, and the code comes into its box.
fn burn(
    attempt: &mut Attempt<'_>,
    grant: &Grant,
    want: &Want<'_>,
    profile: &Profile,
    handout: Handout,
    (generation, slot): (u32, u32),
) -> Result<Decision<Response>> {
    let code = match &want.request.wrap {
        None => {
            // A host that wraps the answer has the one copy from then on: ours would be a second one.
            let kept = want.request.wrap_ttl().is_none();
            let change = |held: Slot| {
                let (left, sealed) = held.dispense(slot, handout)?;
                Ok((if kept { left } else { left.without_code() }, sealed))
            };
            let sealed = attempt.record.account.change_slot(generation, slot, change)?;
            Some(open(attempt, generation, slot, &sealed)?)
        }
        Some(wrap) => {
            let change = |held: Slot| Ok((held.wrap(slot, handout, wrap.token_hash)?, ()));
            attempt.record.account.change_slot(generation, slot, change)?;
            None
        }
    };
    let owed = attempt.record.account.owe(generation, profile, attempt.now);
    reveal(attempt, grant, want, profile, Leaving { generation, slot, code, owed: Some(owed), again: false })
}

/// The same caller with the same key sees the same code again, if set and window still stand; later it learns only that it
/// was done. Never a new slot.
fn show_again(
    attempt: &mut Attempt<'_>,
    grant: &Grant,
    want: &Want<'_>,
    profile: &Profile,
    earlier: &Earlier,
) -> Result<Decision<Response>> {
    let Earlier { generation, slot, ref state } = *earlier;
    let usable = attempt.record.account.usable(profile, attempt.now).is_ok_and(|set| set.generation == generation);
    let usable = usable && profile.refuses_retrieval(attempt.now).is_none();
    let owed = attempt.record.account.obligation;
    match (state, &want.request.wrap) {
        (Slot::Dispensed(_, Some(sealed)), None) if usable => {
            check_wrap(want.request, profile)?;
            let code = open(attempt, generation, slot, sealed)?;
            reveal(attempt, grant, want, profile, Leaving { generation, slot, code: Some(code), owed, again: true })
        }
        (Slot::Wrapped(handout, sealed, _), Some(wrap)) if usable => {
            check_wrap(want.request, profile)?;
            let handout = Handout { until: attempt.now.plus(wrap.ttl), ..handout.clone() };
            let again = Slot::Wrapped(handout, sealed.clone(), wrap.token_hash.into());
            attempt.record.account.change_slot(generation, slot, |_| Ok((again, ())))?;
            reveal(attempt, grant, want, profile, Leaving { generation, slot, code: None, owed, again: true })
        }
        (Slot::Wrapped(..), None) if usable => {
            Err(Error::field("idempotency_key", "the first answer was wrapped; repeat the request with a wrap TTL"))
        }
        (Slot::Dispensed(_, Some(_)), Some(_)) if usable => Err(Error::field(
            "idempotency_key",
            "the first answer was not wrapped; repeat the request without a wrap TTL",
        )),
        _ => {
            let mut data = facts(attempt, generation, slot, owed, true);
            data.insert("done".to_owned(), json!(true));
            let mut response = Response::data(data);
            let why = match state {
                Slot::Dispensed(handout, None) if handout.until > attempt.now => {
                    "its code left wrapped: it is in that wrapping only"
                }
                _ => "its window has closed: the code is not shown again",
            };
            response.warnings.push(format!("this request was carried out before and {why}"));
            Ok(Decision::Keep(response))
        }
    }
}

/// A code on its way out.
struct Leaving {
    generation: u32,
    slot: u32,
    /// Absent where it leaves into a wrapping.
    code: Option<CodeText>,
    /// The set that the account owes since.
    owed: Option<Obligation>,
    /// Whether it left before.
    again: bool,
}

/// Claims the assertion, writes the act into the ledger and makes the answer: the one place that every code passes.
fn reveal(
    attempt: &mut Attempt<'_>,
    grant: &Grant,
    want: &Want<'_>,
    profile: &Profile,
    leaving: Leaving,
) -> Result<Decision<Response>> {
    let Leaving { generation, slot, code, owed, again } = leaving;
    claim(attempt, grant, want)?;
    let mut entry = attempt.entry("retrieve", actor(grant, want.request), &want.request.id, remote(want.request));
    entry.generation = Some(generation);
    entry.slot = Some(slot);
    entry.reason = want.ask.reason.clone();
    entry.ticket = want.ask.ticket.clone();
    entry.repeat = again;
    entry.detail = want.request.wrap_ttl().map(|ttl| json!({"wrapped": true, "ttl": ttl.as_secs()}).to_string());
    let note = attempt.log(entry);
    let data = facts(attempt, generation, slot, owed, again);
    let mut response = Response::data(data);
    response.note = note;
    response.disclosure = code.map(|code| Disclosure::new("code", code));
    response.warnings = advice(attempt, profile, owed);
    if let Some(wrap) = &want.request.wrap {
        // A store without transactions may have kept it from an earlier try.
        let record = match attempt.in_the_way(&wrap.record.key) {
            Some((_, revision)) => Write::check(&wrap.record.key, *revision),
            None => wrap.record.clone(),
        };
        attempt.before.push(record);
        response.body = Body::Wrapped;
    }
    Ok(Decision::Write(response))
}

/// What tells this act from any other, and is the same when the same caller goes on with it after a crash.
fn mark_of(attempt: &Attempt<'_>, grant: &Grant, want: &Want<'_>) -> ByteArray<32> {
    let slot = want.slot.map(|slot| slot.to_string()).unwrap_or_default();
    let mark = want.ask.idempotency_key.as_deref().unwrap_or(&want.request.id);
    let parts = ["retrieve", attempt.name.as_str(), grant.iss(), grant.subject(), grant.role(), &slot, mark];
    attempt.keyring.keyed_hash(HashPurpose::Claim, &parts.map(str::as_bytes)).into()
}

/// Claims the assertion for this act. An existing claim is passed only by the act that made it.
fn claim(attempt: &mut Attempt<'_>, grant: &Grant, want: &Want<'_>) -> Result<()> {
    let Some(replay) = grant.single_use() else { return Ok(()) };
    let act = mark_of(attempt, grant, want);
    let key = keys::claim(replay);
    let found = match attempt.in_the_way(&key) {
        Some((bytes, revision)) => Some((std::sync::Arc::from(bytes.as_slice()), *revision)),
        None => attempt.raw(&key).map(|(revision, bytes)| (bytes, revision)),
    };
    match found {
        None => {
            let claim = Claim { act, until: grant.expires_at().plus(CLAIM_MARGIN) };
            attempt.before.push(Write::create(key, record::encode(&claim), attempt.random));
        }
        Some((bytes, revision)) => {
            let existing: Claim = record::decode(&key, &bytes)?;
            if existing.act != act {
                return Err(Refusal::AssertionUsed.into());
            }
            let check = Write::check(key, revision);
            attempt.before.push(check);
        }
    }
    Ok(())
}

fn check_wrap(request: &Request, profile: &Profile) -> Result<(), Refusal> {
    match request.wrap_ttl() {
        Some(ttl) if ttl > profile.reveal_window => {
            Err(Refusal::WrapTooLong { window: profile.reveal_window.as_secs() })
        }
        _ => Ok(()),
    }
}

/// Opens the code of a slot.
pub fn open(attempt: &Attempt<'_>, generation: u32, slot: u32, sealed: &SealedCode) -> Result<CodeText> {
    let account = &attempt.record.account;
    let set = account.set(generation).ok_or(Refusal::NoGeneration(generation.into()))?;
    let dek = set.dek.as_ref().ok_or_else(|| Error::internal("a held code has no key"))?;
    let place = Place { account_id: &account.id, set_id: &set.id, generation };
    envelope::open_code(&attempt.keyring, &place, slot, dek, sealed).map_err(Error::internal)
}

/// What is said of a dispensed code beside the code.
pub fn facts(
    attempt: &Attempt<'_>,
    generation: u32,
    slot: u32,
    owed: Option<Obligation>,
    repeat: bool,
) -> Map<String, Value> {
    let account = &attempt.record.account;
    let mut data = Map::new();
    let mut put = |name: &str, value: Value| data.insert(name.to_owned(), value);
    put("account", json!(attempt.name.as_str()));
    put("login_name", json!(account.about.login_name));
    put("login_url", json!(account.about.login_url));
    put("slot", json!(slot));
    put("generation", json!(generation));
    put("remaining", json!(account.set(generation).map_or(0, Set::remaining)));
    put("regenerate_by", json!(owed.map(|owed| owed.by.to_string())));
    put("repeat", json!(repeat));
    data
}

fn advice(attempt: &Attempt<'_>, profile: &Profile, owed: Option<Obligation>) -> Vec<String> {
    let remaining = attempt.record.account.live().map_or(0, Set::remaining) as u64;
    if remaining > profile.low_watermark {
        return Vec::new();
    }
    let by = owed.map_or_else(|| "soon".to_owned(), |owed| format!("by {}", owed.by));
    let mut text = format!("{remaining} codes remain: generate a new set at the provider and store it {by}");
    if attempt.settings.sparekey_url.is_some() {
        text = format!("{text} ({})", attempt.link(&format!("sets/{}", attempt.name)));
    }
    vec![text]
}
