//! A code as somebody presents it, read once into the forms in which codes are compared.

use serde_json::{Map, Value, json};
use zeroize::Zeroizing;

use crate::crypto::fingerprint::Fingerprinter;
use crate::crypto::keyring::Keyring;
use crate::domain::alphabet::folded;
use crate::domain::code::{MAX_BYTES, MIN_CANONICAL, canonical};
use crate::domain::fields::Fields;
use crate::domain::fingerprints::Prints;
use crate::domain::refusal::Refusal;
use crate::domain::throttle::Lock;
use crate::domain::time::Timestamp;
use crate::engine::attempt::Attempt;
use crate::error::{Error, Result};

/// A presented code.
pub struct Presented {
    canonical: Zeroizing<String>,
    folded: Zeroizing<String>,
}

impl Presented {
    /// Reads the field `code`.
    pub fn read(fields: &mut Fields) -> Result<Presented> {
        let text = fields.exact_string("code")?.value().map(Zeroizing::new).unwrap_or_default();
        if text.len() > MAX_BYTES {
            return Err(Error::field("code", format_args!("at most {MAX_BYTES} bytes")));
        }
        let presented = Presented { canonical: canonical(&text), folded: folded(&text) };
        if presented.canonical.is_empty() {
            return Err(Error::field("code", "the code to look at, a JSON string"));
        }
        Ok(presented)
    }
    /// The form in which issued codes are compared.
    pub fn folded(&self) -> &str {
        &self.folded
    }
    /// Refuses free text that repeats the code: it would stay in the history.
    pub fn refuse_in<'t>(&self, texts: impl IntoIterator<Item = (&'static str, &'t str)>) -> Result<(), Refusal> {
        if self.canonical.chars().count() < MIN_CANONICAL {
            return Ok(());
        }
        for (field, text) in texts {
            if canonical(text).contains(self.canonical.as_str()) || folded(text).contains(self.folded.as_str()) {
                return Err(Refusal::TextHoldsCode(field));
            }
        }
        Ok(())
    }
    /// What the code would be remembered by in this account; `stretched` is its verifier where that was computed.
    pub fn prints(&self, keyring: &Keyring, account_id: &[u8; 16], stretched: Option<[u8; 16]>) -> Prints {
        self.prints_by(&keyring.fingerprinter(account_id), stretched)
    }
    /// The same by a printer of another mount.
    pub fn prints_by(&self, printer: &Fingerprinter, stretched: Option<[u8; 16]>) -> Prints {
        Prints {
            escrowed: printer.print(self.canonical.as_bytes()),
            folded: printer.print(self.folded.as_bytes()),
            stretched,
        }
    }
    /// The verifier that this code has where codes are stretched. One slow computation, whatever the account holds, and for
    /// one that does not exist too.
    pub fn stretched(&self, attempt: &mut Attempt<'_>) -> Result<[u8; 16]> {
        let verifiers = attempt.verifiers(&[self.folded()])?;
        verifiers.first().copied().ok_or_else(|| Error::internal("a verifier that was not computed"))
    }
}

/// Says in `data` how long no code is looked at; answers a warning where time alone does not help.
pub fn tell_lock(data: &mut Map<String, Value>, lock: Lock, now: Timestamp, account: &str) -> Option<String> {
    match lock {
        Lock::Until(until) => {
            data.insert("retry_after".to_owned(), json!(until.since(now).as_millis().div_ceil(1000)));
            None
        }
        Lock::Operator => {
            data.insert("retry_after".to_owned(), Value::Null);
            Some(format!(
                "too many wrong codes in a row: an operator must unlock the account (release/{account} with a reason)"
            ))
        }
    }
}
