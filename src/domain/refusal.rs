//! Why an account's state refuses an act. The first word of each sentence is stable; clients may rely on it.

use std::fmt;
use std::time::Duration;

use crate::domain::role::Scope;
use crate::domain::set::Cause;
use crate::domain::time::Timestamp;
use crate::error::{Error, Kind};

/// A refusal by the account's state. Nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// `cas` names another highest generation than there is.
    CasMismatch {
        /// What the caller expected.
        expected: u64,
        /// The highest generation.
        is: u32,
    },
    /// An event came after the latest set, and the caller named neither time nor enrollment.
    EnrollmentOwed {
        /// The latest enrollment's number.
        latest: u32,
    },
    /// The caller named another enrollment than the latest.
    EnrollmentStale {
        /// What the caller named.
        given: u64,
        /// The latest enrollment's number.
        latest: u32,
    },
    /// `bound_at` lies further in the future than clocks may differ.
    BoundInFuture,
    /// The new set was bound before the latest enrollment.
    BoundBeforeEnrollment,
    /// The new set was bound before the active one.
    BoundBeforeActive,
    /// Codes that were in a set of this account before, by their place in the new list.
    KnownCodes(Vec<usize>),
    /// There never was a set, or none is left.
    NoSet,
    /// Every code of the active set is spent.
    Exhausted(u32),
    /// The set is over.
    Ended(u32, Cause),
    /// The set is blocked until released.
    Quarantined(u32),
    /// The set is held since acts on its account were lost with a store that was put back: since when, and what was said then.
    Held(u32, Timestamp, String),
    /// The set is not blocked.
    NotQuarantined(u32),
    /// No lock stands.
    NotLocked,
    /// The set is alive, so there is nothing that the provider could have invalidated after it.
    Alive(u32),
    /// There is no set of this generation.
    NoGeneration(u64),
    /// There is no such slot.
    NoSlot {
        /// What the caller asked for.
        slot: u64,
        /// How many slots there are.
        count: usize,
    },
    /// The slot is spent.
    SlotSpent(u64),
    /// The set was issued here: there is no provider beside us.
    NoProvider(u32),
    /// The code of this slot has not left, so nothing became of it.
    NotDispensed {
        /// Which slot.
        slot: u64,
        /// Its state.
        state: &'static str,
    },
    /// The account is on its way to another mount, named here.
    Leaving(String),
    /// The account was moved to another mount, named here.
    Left(String),
    /// An account that is to come in is here already, and did not come from there.
    HereAlready,
    /// An account that came in before has gone on since, here or where it came from.
    GoneOn,
    /// The set was issued here: its codes can be verified, not given back.
    OnlyVerified,
    /// The set was issued elsewhere: its codes can be given back, not verified.
    OnlyRetrieved,
    /// The provider accepts codes in turn.
    OutOfTurn {
        /// The slot whose turn it is.
        next: u32,
    },
    /// The profile forbids retrieval.
    Forbidden(&'static str),
    /// The subject has had its share.
    TooMany {
        /// The role's `max_retrievals`.
        max: u64,
        /// What it counts.
        scope: Scope,
        /// How long until the next one may leave.
        wait: Duration,
    },
    /// The record is as large as it may become.
    Full,
    /// An active or quarantined set stands in the way of deletion.
    LiveSet(u32),
    /// A field of free text contains a code of the account.
    TextHoldsCode(&'static str),
    /// The same idempotency key came with another request.
    KeyReused,
    /// Another act used this assertion already.
    AssertionUsed,
    /// The wrapping outlives the window in which a code may be seen again.
    WrapTooLong {
        /// The profile's `reveal_window` in seconds.
        window: u64,
    },
}

impl Refusal {
    /// The stable first word.
    pub const fn word(&self) -> &'static str {
        match self {
            Refusal::CasMismatch { .. } => "cas-mismatch",
            Refusal::EnrollmentOwed { .. } | Refusal::EnrollmentStale { .. } => "enrollment",
            Refusal::BoundInFuture | Refusal::BoundBeforeEnrollment | Refusal::BoundBeforeActive => "bound-at",
            Refusal::KnownCodes(_) => "known-codes",
            Refusal::NoSet => "no-set",
            Refusal::Exhausted(_) => "exhausted",
            Refusal::Ended(..) => "ended",
            Refusal::Quarantined(_) | Refusal::Held(..) => "quarantined",
            Refusal::NotQuarantined(_) => "not-quarantined",
            Refusal::NotLocked => "not-locked",
            Refusal::Alive(_) => "alive",
            Refusal::Leaving(_) | Refusal::Left(_) => "moved",
            Refusal::HereAlready | Refusal::GoneOn => "exists",
            Refusal::OnlyVerified | Refusal::NoProvider(_) => "issued",
            Refusal::OnlyRetrieved => "escrowed",
            Refusal::NoGeneration(_) => "generation",
            Refusal::NoSlot { .. }
            | Refusal::SlotSpent(_)
            | Refusal::OutOfTurn { .. }
            | Refusal::NotDispensed { .. } => "slot",
            Refusal::Forbidden(_) => "forbidden",
            Refusal::TooMany { .. } => "max-retrievals",
            Refusal::Full => "full",
            Refusal::LiveSet(_) => "live-set",
            Refusal::TextHoldsCode(field) => field,
            Refusal::KeyReused => "idempotency_key",
            Refusal::AssertionUsed => "assertion",
            Refusal::WrapTooLong { .. } => "wrap-ttl",
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.word())?;
        match self {
            Refusal::CasMismatch { expected, is } => write!(
                f,
                "the highest generation is {is}, not {expected}; read the account, look at what changed, then send cas={is}"
            ),
            Refusal::EnrollmentOwed { latest } => write!(
                f,
                "MFA was enrolled again after the latest set; fetch fresh codes from the provider and send enrollment={latest}"
            ),
            Refusal::EnrollmentStale { given, latest } => write!(
                f,
                "the latest enrollment is number {latest}, not {given}; fetch fresh codes from the provider and send enrollment={latest}"
            ),
            Refusal::BoundInFuture => f.write_str("bound_at lies in the future; check the clock of the sender"),
            Refusal::BoundBeforeEnrollment => {
                f.write_str("these codes were bound before the latest enrollment and are dead; fetch fresh ones from the provider")
            }
            Refusal::BoundBeforeActive => f.write_str("these codes were bound before the active set; fetch fresh ones from the provider"),
            Refusal::KnownCodes(places) => {
                f.write_str("codes ")?;
                for (index, place) in places.iter().enumerate() {
                    write!(f, "{}{place}", if index == 0 { "" } else { ", " })?;
                }
                f.write_str(" of this list were in a set of this account before; let the provider generate new ones")
            }
            Refusal::NoSet => f.write_str("the account has no set; store one first"),
            Refusal::Exhausted(generation) => {
                write!(f, "every code of generation {generation} is spent; generate a new set at the provider and store it")
            }
            Refusal::Ended(generation, cause) => {
                write!(f, "generation {generation} is over ({}); generate a new set at the provider and store it", cause.word())
            }
            Refusal::Quarantined(generation) => write!(
                f,
                "generation {generation} is blocked since MFA was enrolled again; store a new set, or release this one with a reason"
            ),
            Refusal::Held(generation, since, reason) => write!(
                f,
                "generation {generation} is held: the store was put back to an earlier state and acts on this account were lost (accepted {since}: {reason}); find out at the provider which codes still work, then store a new set, or release this one with a reason"
            ),
            Refusal::NotQuarantined(generation) => write!(f, "generation {generation} is not quarantined; nothing to release"),
            Refusal::Leaving(to) => write!(
                f,
                "the account is on its way to {to}: run `sparekey transfer` again, which brings it there or says what is in the way"
            ),
            Refusal::Left(to) => write!(f, "the account was moved to {to}; ask there"),
            Refusal::HereAlready => f.write_str(
                "an account of this name is here and did not come from there; nothing was changed: decide by hand which one counts",
            ),
            Refusal::GoneOn => f.write_str(
                "the account came from there before, and acts were done on it since; nothing was changed: compare the histories of both",
            ),
            Refusal::NotLocked => f.write_str("no lock stands on this account; nothing to unlock"),
            Refusal::Alive(generation) => {
                write!(f, "generation {generation} is alive here; store a new set or revoke it first, then confirm that the provider invalidated it")
            }
            Refusal::OnlyVerified => f.write_str(
                "the codes of this set were issued here and only their verifiers are kept: nobody can read them back; verify/ takes a code, sets/ makes new ones",
            ),
            Refusal::OnlyRetrieved => f.write_str(
                "the codes of this set were issued elsewhere: only who issued them can verify one; retrieve/ gives one, check/ says whether a code is among them",
            ),
            Refusal::NoProvider(generation) => {
                write!(f, "generation {generation} was issued here: its end here is the end of it, and nobody else has to confirm it")
            }
            Refusal::NotDispensed { slot, state } => {
                write!(f, "the code of slot {slot} is {state}: only a code that left has an outcome")
            }
            Refusal::NoGeneration(generation) => write!(f, "there is no set of generation {generation} on record"),
            Refusal::NoSlot { slot, count } => write!(f, "there is no slot {slot}; the set has slots 1 to {count}"),
            Refusal::SlotSpent(slot) => write!(f, "the code of slot {slot} is spent; leave slot out to get the next one"),
            Refusal::OutOfTurn { next } => write!(f, "the provider accepts these codes in turn; the next is slot {next}"),
            Refusal::Forbidden(why) => write!(f, "this account gives no codes: {why}"),
            Refusal::TooMany { max, scope, wait } => write!(
                f,
                "the role allows {max} retrievals {} in its period and this subject has had them; try again in {} seconds",
                match scope {
                    Scope::Account => "from this account",
                    Scope::Role => "from all accounts together",
                },
                wait.as_millis().div_ceil(1000)
            ),
            Refusal::Full => f.write_str("the account's record is as large as it may become; it shrinks when ended sets are destroyed (destroy_after) and old fingerprints expire"),
            Refusal::LiveSet(generation) => write!(f, "generation {generation} is still alive; revoke it first"),
            Refusal::TextHoldsCode(_) => f.write_str("this text contains a code of the account; write it without the code"),
            Refusal::KeyReused => f.write_str("this key came with another request before; use a new key for a new request"),
            Refusal::AssertionUsed => {
                f.write_str("this JWT was used for a disclosure already; get a fresh one, or repeat the same request with its idempotency_key")
            }
            Refusal::WrapTooLong { window } => write!(f, "a wrapped code lives at most {window} seconds here; ask for less"),
        }
    }
}

impl std::error::Error for Refusal {}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Error {
        let kind = match refusal {
            Refusal::AssertionUsed => Kind::Denied,
            Refusal::TooMany { .. } => Kind::TooMany,
            _ => Kind::Invalid,
        };
        let error = Error::new(kind, refusal.to_string());
        match refusal {
            Refusal::TooMany { wait, .. } => error.with_retry_after(wait),
            _ => error,
        }
    }
}
