//! Codes that were in a set of the account before it came here: known by fingerprints that another mount made.

use zeroize::Zeroizing;

use crate::crypto::fingerprint::Fingerprinter;
use crate::domain::fingerprints::Fingerprints;
use crate::engine::attempt::Attempt;
use crate::engine::presented::Presented;
use crate::error::{Error, Result};

impl Attempt<'_> {
    /// Which of these canonical codes were in a set elsewhere, as indices.
    pub fn known_elsewhere(&self, plain: &[Zeroizing<String>]) -> Result<Vec<usize>> {
        let mut known = Vec::new();
        for (printer, prints) in self.made_elsewhere()? {
            let made: Vec<[u8; 16]> = plain.iter().map(|code| printer.print(code.as_bytes())).collect();
            known.extend(prints.known(&made));
        }
        Ok(known)
    }
    /// Whether `text` contains a code that was in a set elsewhere, in any spelling.
    pub fn was_elsewhere_in(&self, text: &str) -> Result<bool> {
        let mut made = self.made_elsewhere()?.into_iter();
        Ok(made.any(|(printer, prints)| prints.found_in(text, |window| printer.print(window))))
    }
    /// Generation and slot of a presented code that was in a set elsewhere, the latest if it was in several.
    pub fn located_elsewhere(&self, code: &Presented) -> Result<Option<(u32, u32)>> {
        let mut found = None;
        for (printer, prints) in self.made_elsewhere()? {
            found = found.max(prints.locate(&code.prints_by(&printer, None)));
        }
        Ok(found)
    }

    fn made_elsewhere(&self) -> Result<Vec<(Fingerprinter, &Fingerprints)>> {
        let account = &self.record.account;
        let made = account.inherited().iter().map(|one| {
            let printer = self.keyring.inherited_fingerprinter(&account.id, &one.origin, &one.key);
            Ok((printer.map_err(Error::internal)?, &one.prints))
        });
        made.collect()
    }
}
