//! The slots of a set: states whose variants hold only what is true then, and the transitions between them.

use minicbor::bytes::ByteArray;
use minicbor::{Decode, Encode};

use crate::crypto::envelope::SealedCode;
use crate::crypto::verifier::VERIFIER;
use crate::domain::refusal::Refusal;
use crate::domain::time::Timestamp;

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

/// What became of a code that left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub enum What {
    /// The provider took it.
    #[n(0)]
    Worked,
    /// The provider refused it: somebody else may have used it.
    #[n(1)]
    Refused,
    /// It was not tried.
    #[n(2)]
    Unused,
}

impl What {
    /// Every outcome.
    pub const ALL: [What; 3] = [What::Worked, What::Refused, What::Unused];

    /// The word on the wire.
    pub const fn word(self) -> &'static str {
        match self {
            What::Worked => "worked",
            What::Refused => "refused",
            What::Unused => "unused",
        }
    }
}

/// What somebody reported of a code that left.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Outcome {
    /// What became of it.
    #[n(0)]
    pub what: What,
    /// When it was reported.
    #[n(1)]
    pub at: Timestamp,
    /// By whom.
    #[n(2)]
    pub by: String,
}

/// A presented code that was accepted: who presented it, and until when the same request gets the same answer.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Use {
    /// When.
    #[n(0)]
    pub at: Timestamp,
    /// The subject: the service that asked, not the person who typed.
    #[n(1)]
    pub by: String,
    /// The same caller with the same key gets the same answer until then.
    #[n(2)]
    pub until: Timestamp,
    /// The caller's idempotency key, if there was one.
    #[n(3)]
    pub repeat: Option<Repeat>,
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
    /// What became of it, as far as somebody said.
    #[n(6)]
    pub outcome: Option<Outcome>,
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
    Consumed(#[n(0)] Use),
    /// It can never leave any more: its wrapping was not opened in time, or its set ended.
    /// Whose wrapping it was in stays known, so that the same request is recognised when it comes again.
    #[n(5)]
    Void(#[n(0)] Timestamp, #[n(1)] Option<Handout>),
    /// The code was made here and given out with its set: only its verifier is here.
    #[n(6)]
    Issued(#[n(0)] ByteArray<VERIFIER>),
}

impl Slot {
    /// The word on the wire.
    pub const fn word(&self) -> &'static str {
        match self {
            Slot::Held(_) | Slot::Issued(_) => "held",
            Slot::Dispensed(..) => "dispensed",
            Slot::Wrapped(..) => "wrapped",
            Slot::Used => "used",
            Slot::Consumed(_) => "consumed",
            Slot::Void(..) => "void",
        }
    }
    /// Who has it or had it, or was to have it.
    pub const fn handout(&self) -> Option<&Handout> {
        match self {
            Slot::Dispensed(handout, _) | Slot::Wrapped(handout, ..) | Slot::Void(_, Some(handout)) => Some(handout),
            _ => None,
        }
    }
    /// Whether its code can still leave, or be accepted.
    pub const fn is_left(&self) -> bool {
        matches!(self, Slot::Held(_) | Slot::Issued(_))
    }
    /// What a presented code is compared with.
    pub fn verifier(&self) -> Option<&[u8; VERIFIER]> {
        match self {
            Slot::Issued(verifier) => Some(verifier),
            _ => None,
        }
    }
    /// Accepts the presented code of this slot. Only one that was not accepted before.
    pub fn consume(self, slot: u32, accepted: Use) -> Result<Slot, Refusal> {
        match self {
            Slot::Issued(_) => Ok(Slot::Consumed(accepted)),
            _ => Err(Refusal::SlotSpent(slot.into())),
        }
    }
    /// Notes what became of the code. Only one that left has an outcome.
    pub fn report(self, slot: u32, outcome: Outcome) -> Result<Slot, Refusal> {
        match self {
            Slot::Dispensed(handout, code) => Ok(Slot::Dispensed(Handout { outcome: Some(outcome), ..handout }, code)),
            other => Err(Refusal::NotDispensed { slot: slot.into(), state: other.word() }),
        }
    }
    /// Hands the code out: the slot as it is afterwards, and the ciphertext to open. Only a held code leaves.
    pub fn dispense(self, slot: u32, handout: Handout) -> Result<(Slot, SealedCode), Refusal> {
        match self {
            Slot::Held(code) => Ok((Slot::Dispensed(handout, Some(code.clone())), code)),
            _ => Err(Refusal::SlotSpent(slot.into())),
        }
    }
    /// The slot without the ciphertext of a code that left: nothing shows it again.
    pub fn without_code(self) -> Slot {
        match self {
            Slot::Dispensed(handout, _) => Slot::Dispensed(handout, None),
            other => other,
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
    /// A held code that is known to have left, or to have been accepted, though the record does not say to whom.
    pub fn void(self, at: Timestamp) -> Slot {
        if self.is_left() { Slot::Void(at, None) } else { self }
    }
    /// Whether a ciphertext is still here though its window has closed by `now`.
    pub fn is_closed(&self, now: Timestamp) -> bool {
        match self {
            Slot::Dispensed(handout, Some(_)) | Slot::Wrapped(handout, ..) => handout.until <= now,
            _ => false,
        }
    }
    /// The slot as it is at `now`: windows that closed take their ciphertext along.
    pub fn settle(self, now: Timestamp) -> Slot {
        match self {
            Slot::Dispensed(handout, Some(_)) if handout.until <= now => Slot::Dispensed(handout, None),
            Slot::Wrapped(handout, ..) if handout.until <= now => Slot::Void(handout.until, Some(handout)),
            other => other,
        }
    }
    /// The slot after its set's keys are gone.
    pub(super) fn destroy(self, at: Timestamp) -> Slot {
        match self {
            Slot::Held(_) | Slot::Issued(_) => Slot::Void(at, None),
            Slot::Wrapped(handout, ..) => Slot::Void(at, Some(handout)),
            Slot::Dispensed(handout, _) => Slot::Dispensed(handout, None),
            other => other,
        }
    }
}
