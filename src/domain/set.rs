//! A set of codes and its slots: states whose variants hold only what is true then, and the transitions between them.

use minicbor::bytes::ByteArray;
use minicbor::{Decode, Encode};

use crate::crypto::envelope::{SealedCode, WrappedDek};
use crate::domain::refusal::Refusal;
use crate::domain::time::Timestamp;

/// Who issued the codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub enum Kind {
    /// Another system did; we give them back.
    #[n(0)]
    Escrowed,
    /// This engine did; we only verify them.
    #[n(1)]
    Issued,
}

/// Why a set is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub enum Cause {
    /// A newer set took its place.
    #[n(0)]
    NewerSet,
    /// MFA was enrolled again.
    #[n(1)]
    ReEnrollment,
    /// An operator ended it.
    #[n(2)]
    Operator,
    /// The new set that was owed did not come in time.
    #[n(3)]
    Lapsed,
    /// It is thought to be known to somebody else.
    #[n(4)]
    Compromise,
    /// It got too old.
    #[n(5)]
    Age,
}

impl Cause {
    /// The word on the wire.
    pub const fn word(self) -> &'static str {
        match self {
            Cause::NewerSet => "newer-set",
            Cause::ReEnrollment => "re-enrollment",
            Cause::Operator => "operator",
            Cause::Lapsed => "lapsed",
            Cause::Compromise => "compromise",
            Cause::Age => "age",
        }
    }
    /// The status that an end of this cause leads to.
    pub const fn status(self) -> &'static str {
        match self {
            Cause::NewerSet | Cause::ReEnrollment => "superseded",
            Cause::Operator | Cause::Lapsed | Cause::Compromise => "revoked",
            Cause::Age => "expired",
        }
    }
}

/// How a set ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct End {
    /// When.
    #[n(0)]
    pub at: Timestamp,
    /// Why.
    #[n(1)]
    pub cause: Cause,
    /// When keys and ciphertexts go, if they have not gone with the end.
    #[n(2)]
    pub destroy_at: Option<Timestamp>,
}

/// Whether a set may live. Quarantine, age and lapse are not states: they follow from watermarks and clock when it is judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub enum Status {
    /// The account's current set.
    #[n(0)]
    Live,
    /// Over.
    #[n(1)]
    Ended(#[n(0)] End),
}

/// What we know of the provider's side, which kills no old codes by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub enum Provider {
    /// Nobody has said that the provider invalidated the codes.
    #[n(0)]
    Unconfirmed,
    /// Somebody has.
    #[n(1)]
    Confirmed(#[n(0)] Timestamp),
}

/// Recognises a repeated request: keyed hashes of who and which key, and of everything else the request said.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Repeat {
    /// Issuer, subject, role and idempotency key.
    #[n(0)]
    pub key: ByteArray<32>,
    /// The request without its assertion.
    #[n(1)]
    pub content: ByteArray<32>,
}

/// A code on its way: who got it, until when it may be shown again, and what it hangs on.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Handout {
    /// When.
    #[n(0)]
    pub at: Timestamp,
    /// The subject.
    #[n(1)]
    pub by: String,
    /// The same caller with the same key sees it again until then; after that its ciphertext goes.
    #[n(2)]
    pub until: Timestamp,
    /// The caller's idempotency key, if there was one.
    #[n(3)]
    pub repeat: Option<Repeat>,
    /// The claimed assertion, where it is of single use.
    #[n(4)]
    pub claim: Option<ByteArray<32>>,
    /// The role it went out under.
    #[n(5)]
    pub role: String,
}

/// One slot.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum Slot {
    /// The code is here.
    #[n(0)]
    Held(#[n(0)] SealedCode),
    /// It left. Its ciphertext stays for the reveal window only.
    #[n(1)]
    Dispensed(#[n(0)] Handout, #[n(1)] Option<SealedCode>),
    /// It left into a wrapping: only the token of this keyed hash opens it.
    #[n(2)]
    Wrapped(#[n(0)] Handout, #[n(1)] SealedCode, #[n(2)] ByteArray<32>),
    /// It was spent before it came here.
    #[n(3)]
    Used,
    /// A presented code was verified and burned.
    #[n(4)]
    Consumed(#[n(0)] Timestamp),
    /// It can never leave any more: its wrapping was not opened in time, or its set ended.
    #[n(5)]
    Void(#[n(0)] Timestamp),
}

impl Slot {
    /// The word on the wire.
    pub const fn word(&self) -> &'static str {
        match self {
            Slot::Held(_) => "held",
            Slot::Dispensed(..) => "dispensed",
            Slot::Wrapped(..) => "wrapped",
            Slot::Used => "used",
            Slot::Consumed(_) => "consumed",
            Slot::Void(_) => "void",
        }
    }
    /// Who has it or had it.
    pub const fn handout(&self) -> Option<&Handout> {
        match self {
            Slot::Dispensed(handout, _) | Slot::Wrapped(handout, ..) => Some(handout),
            _ => None,
        }
    }
    /// Hands the code out: the slot as it is afterwards, and the ciphertext to open. Only a held code leaves.
    pub fn dispense(self, slot: u32, handout: Handout) -> Result<(Slot, SealedCode), Refusal> {
        match self {
            Slot::Held(code) => Ok((Slot::Dispensed(handout, Some(code.clone())), code)),
            _ => Err(Refusal::SlotSpent(slot.into())),
        }
    }
    /// Puts the code into a wrapping.
    pub fn wrap(self, slot: u32, handout: Handout, token: [u8; 32]) -> Result<Slot, Refusal> {
        match self {
            Slot::Held(code) => Ok(Slot::Wrapped(handout, code, token.into())),
            _ => Err(Refusal::SlotSpent(slot.into())),
        }
    }
    /// The slot once its wrapping was opened; `None` if it is not wrapped.
    pub fn unwrap_code(self) -> Option<(Slot, SealedCode)> {
        match self {
            Slot::Wrapped(handout, code, _) => Some((Slot::Dispensed(handout, None), code)),
            _ => None,
        }
    }
    /// A held code that is known to have left though the record does not say to whom.
    pub fn void(self, at: Timestamp) -> Slot {
        match self {
            Slot::Held(_) => Slot::Void(at),
            other => other,
        }
    }
    /// The slot as it is at `now`: windows that closed take their ciphertext along.
    pub fn settle(self, now: Timestamp) -> Slot {
        match self {
            Slot::Dispensed(handout, Some(_)) if handout.until <= now => Slot::Dispensed(handout, None),
            Slot::Wrapped(handout, ..) if handout.until <= now => Slot::Void(handout.until),
            other => other,
        }
    }
    /// The slot after its set's keys are gone.
    fn destroy(self, at: Timestamp) -> Slot {
        match self {
            Slot::Held(_) | Slot::Wrapped(..) => Slot::Void(at),
            Slot::Dispensed(handout, _) => Slot::Dispensed(handout, None),
            other => other,
        }
    }
}

/// A set of codes.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Set {
    /// Random.
    #[n(0)]
    pub id: ByteArray<16>,
    /// From 1, never reused in the account.
    #[n(1)]
    pub generation: u32,
    /// Who issued it.
    #[n(2)]
    pub kind: Kind,
    /// Whether it lives.
    #[n(3)]
    pub status: Status,
    /// When it came.
    #[n(4)]
    pub stored_at: Timestamp,
    /// The latest time at which its codes were known to be the provider's current ones.
    #[n(5)]
    pub bound_at: Timestamp,
    /// The provider's side of its end.
    #[n(6)]
    pub provider: Provider,
    /// Who else has seen the codes.
    #[n(7)]
    pub custody: Option<String>,
    /// The request that stored it, if it had a key.
    #[n(8)]
    pub repeat: Option<Repeat>,
    /// Who stored it.
    #[n(9)]
    pub stored_by: String,
    /// Slot 1 first.
    #[n(10)]
    pub slots: Vec<Slot>,
    /// The set's key, wrapped; gone once the set is destroyed.
    #[n(11)]
    pub dek: Option<WrappedDek>,
}

impl Set {
    /// Whether it is the account's current set.
    pub const fn is_live(&self) -> bool {
        matches!(self.status, Status::Live)
    }
    /// How many codes can still leave.
    pub fn remaining(&self) -> usize {
        self.slots.iter().filter(|slot| matches!(slot, Slot::Held(_))).count()
    }
    /// The set after an end; keys and ciphertexts go at once unless `destroy_at` lies later.
    pub fn end(mut self, end: End) -> Set {
        self.status = Status::Ended(end);
        if end.destroy_at.is_none() { self.destroy(end.at) } else { self }
    }
    /// The set as it is at `now`.
    pub fn settle(mut self, now: Timestamp) -> Set {
        self.slots = self.slots.into_iter().map(|slot| slot.settle(now)).collect();
        match self.status {
            Status::Ended(End { destroy_at: Some(at), .. }) if at <= now => self.destroy(at),
            _ => self,
        }
    }
    fn destroy(mut self, at: Timestamp) -> Set {
        self.dek = None;
        self.slots = self.slots.into_iter().map(|slot| slot.destroy(at)).collect();
        if let Status::Ended(end) = &mut self.status {
            end.destroy_at = None;
        }
        self
    }
}
