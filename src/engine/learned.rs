//! What an act finds out between its tries. Deciding is pure and quick; where it lacks a record or a slow computation it says
//! so, the loop around it provides that, and the act is decided anew on a fresh reading.

use std::sync::Arc;

use zeroize::Zeroizing;

use crate::crypto::verifier::{Stretched, Stretcher};
use crate::engine::Engine;
use crate::engine::attempt::Attempt;
use crate::error::{Error, Result};
use crate::storage::Revision;

/// How often one act may lack something: a record and its codes, and both again if the account was made meanwhile.
const MOST_ROUNDS: usize = 8;

/// What a try lacked.
pub enum Lack {
    /// A record.
    Record(String),
    /// Folded codes, stretched for the account of this id.
    Stretched([u8; 16], Stretcher, Vec<Zeroizing<String>>),
}

/// What was provided so far.
#[derive(Default)]
pub struct Learned {
    /// Keys of records that each try reads along.
    pub records: Vec<String>,
    stretched: Vec<([u8; 16], Zeroizing<String>, Stretched)>,
    rounds: usize,
}

impl Learned {
    fn of(&self, account_id: &[u8; 16], folded: &str) -> Option<&Stretched> {
        let found = self.stretched.iter().find(|(id, code, _)| id == account_id && code.as_str() == folded);
        found.map(|(_, _, stretched)| stretched)
    }
}

impl Engine {
    /// Provides what a try lacked.
    pub(super) async fn learn(&self, lacks: Vec<Lack>, learned: &mut Learned) -> Result<()> {
        learned.rounds += 1;
        if learned.rounds > MOST_ROUNDS {
            return Err(Error::internal("an act lacked something again and again"));
        }
        for lack in lacks {
            match lack {
                Lack::Record(key) => learned.records.push(key),
                Lack::Stretched(id, stretcher, codes) => {
                    let kept: Vec<_> = codes.iter().map(|code| Zeroizing::new(code.to_string())).collect();
                    let stretched = self.stretching.stretch(stretcher, codes).await?;
                    learned.stretched.extend(kept.into_iter().zip(stretched).map(|(code, done)| (id, code, done)));
                }
            }
        }
        Ok(())
    }

    /// How many slow computations over codes this engine has begun.
    pub fn stretched(&self) -> u64 {
        self.stretching.done()
    }
}

impl Attempt<'_> {
    /// Verifiers of these folded codes, stretched for this account. Where they were not computed yet the try ends here, and
    /// begins anew once they are.
    pub fn verifiers<T: AsRef<str>>(&mut self, folded: &[T]) -> Result<Vec<[u8; 16]>> {
        let id = *self.record.account.id;
        let learned = self.learned;
        let mut missing: Vec<Zeroizing<String>> = Vec::new();
        let mut verifiers = Vec::with_capacity(folded.len());
        for code in folded.iter().map(AsRef::as_ref) {
            match learned.of(&id, code) {
                Some(stretched) => verifiers.push(self.keyring.verifier(&id, stretched)),
                None => missing.push(Zeroizing::new(code.to_owned())),
            }
        }
        if missing.is_empty() {
            return Ok(verifiers);
        }
        self.lacks.push(Lack::Stretched(id, self.keyring.stretcher(&id), missing));
        Err(lacking())
    }
    /// The record under `key`. Where it was not read the try ends here, and begins anew once it is.
    pub fn record_at(&mut self, key: &str) -> Result<Option<(Revision, Arc<[u8]>)>> {
        if self.has_read(key) {
            return Ok(self.raw(key));
        }
        self.lacks.push(Lack::Record(key.to_owned()));
        Err(lacking())
    }
    /// The first of these records, with its key. Where it was not read, all of them are: the others will be asked for next.
    pub fn first_of(&mut self, keys: impl IntoIterator<Item = String>) -> Result<Option<(String, Arc<[u8]>)>> {
        let mut keys = keys.into_iter();
        let Some(first) = keys.next() else { return Ok(None) };
        if self.has_read(&first) {
            return Ok(self.raw(&first).map(|(_, bytes)| (first, bytes)));
        }
        self.lacks.push(Lack::Record(first));
        self.lacks.extend(keys.map(Lack::Record));
        Err(lacking())
    }
}

/// Ends a try that lacks something. Nobody sees it: the loop looks at what was lacking first.
fn lacking() -> Error {
    Error::internal("an act went on without what it lacked")
}
