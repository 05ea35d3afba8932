//! One try at changing an account: what was read, what is decided, what will be written.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::{Map, Value};

use crate::crypto::keyring::Keyring;
use crate::domain::account::Account;
use crate::domain::fingerprints::MOST_SUSPECTS;
use crate::domain::name::AccountName;
use crate::domain::profile::Profile;
use crate::domain::refusal::Refusal;
use crate::domain::set::Set;
use crate::domain::time::Timestamp;
use crate::engine::cache::Snapshot;
use crate::engine::keys;
use crate::engine::learned::{Lack, Learned};
use crate::engine::record::{self, Record};
use crate::engine::restore::Guard;
use crate::engine::settings::Settings;
use crate::error::{Error, Result};
use crate::ledger::archive::{self, Segment};
use crate::ledger::entry::{Actor, Entry};
use crate::random::{self, Random};
use crate::storage::{Change, Expect, Revision, Write};

/// What a decision comes to.
pub enum Decision<T> {
    /// Write the record, then answer.
    Write(T),
    /// Answer without writing.
    Keep(T),
}

/// Where an account's record was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Account(Revision),
    Tombstone(Revision),
    Nowhere,
}

/// An account's record as it was read.
pub struct Stored {
    place: Place,
    /// The record.
    pub record: Record,
}

impl Stored {
    /// Takes the account's record, or its tombstone's, out of `snapshot`.
    pub fn read(snapshot: &Snapshot, name: &AccountName) -> Result<Option<Stored>> {
        let account = keys::account(name);
        if let Some((revision, bytes)) = snapshot.raw(&account) {
            return Ok(Some(Stored { place: Place::Account(revision), record: record::decode(&account, &bytes)? }));
        }
        let tombstone = keys::tombstone(name);
        let Some((revision, bytes)) = snapshot.raw(&tombstone) else { return Ok(None) };
        Ok(Some(Stored { place: Place::Tombstone(revision), record: record::decode(&tombstone, &bytes)? }))
    }
}

/// What a try stands on.
#[derive(Clone, Copy)]
pub struct Ground<'e> {
    /// The account's name.
    pub name: &'e AccountName,
    /// The records as they were read.
    pub snapshot: &'e Snapshot,
    /// What stood in the way of earlier tries.
    pub conflicts: &'e HashMap<String, (Vec<u8>, Revision)>,
    /// What earlier tries lacked.
    pub learned: &'e Learned,
    /// The id of the account if there is none yet: the same in every try, since its codes are stretched under it.
    pub fresh_id: &'e [u8; 16],
    /// Where randomness comes from.
    pub random: &'e dyn Random,
    /// What this process has seen of the store's epochs, and how far it had seen before the records were read.
    pub guard: (&'e Guard, u64),
}

/// A try. Its record is a copy: it becomes the truth only if the write is accepted.
pub struct Attempt<'e> {
    /// The account's name.
    pub name: &'e AccountName,
    /// When this try began.
    pub now: Timestamp,
    /// The account and its ledger, to be changed.
    pub record: Record,
    /// The mount's settings.
    pub settings: Arc<Settings>,
    /// The key hierarchy.
    pub keyring: Arc<Keyring>,
    /// Where randomness comes from.
    pub random: &'e dyn Random,
    /// Writes that go down in order before the record.
    pub before: Vec<Write>,
    /// Writes that go down in order after the record.
    pub after: Vec<Write>,
    /// Whether the write shall fail if the key hierarchy changed meanwhile.
    pub bind_keyring: bool,
    /// Whether the store leaves it to us that a burn is remembered even if the account's record is lost to an older one.
    pub marks_burns: bool,
    /// The size in bytes above which the record is not written: for imports and disclosures, and for notes; never for an end.
    pub cap: Option<usize>,
    /// How many keys of sets this try wraps.
    pub wrapped: u64,
    /// Ended sets that leave the record with this write.
    pub archived: Vec<Set>,
    /// What this try could not go on without.
    pub lacks: Vec<Lack>,
    /// What earlier tries lacked.
    pub learned: &'e Learned,
    operation: [u8; 16],
    place: Place,
    snapshot: &'e Snapshot,
    conflicts: &'e HashMap<String, (Vec<u8>, Revision)>,
    guard: (&'e Guard, u64),
}

impl<'e> Attempt<'e> {
    /// Begins a try on what `ground` holds.
    pub fn begin(ground: &'e Ground<'e>, stored: Option<Stored>, now: Timestamp) -> Result<Self> {
        let Ground { name, snapshot, conflicts, learned, fresh_id, random, guard } = *ground;
        let Stored { place, mut record } = stored.unwrap_or_else(|| Stored {
            place: Place::Nowhere,
            record: Record { account: Account::stub(*fresh_id, now), ledger: Default::default() },
        });
        let archived = record.account.settle(now);
        Ok(Attempt {
            name,
            now,
            record,
            settings: snapshot.settings(),
            keyring: snapshot.keyring()?,
            random,
            before: Vec::new(),
            after: Vec::new(),
            bind_keyring: false,
            marks_burns: false,
            cap: None,
            wrapped: 0,
            archived,
            lacks: Vec::new(),
            learned,
            operation: random::bytes(random),
            place,
            snapshot,
            conflicts,
            guard,
        })
    }

    /// Whether anything at all is known of the account; of a deleted one it is.
    pub fn is_known(&self) -> bool {
        self.place != Place::Nowhere
    }
    /// Whether the account exists for those who read and act (an event-made stub does, a tombstone does not).
    pub fn exists(&self) -> bool {
        matches!(self.place, Place::Account(_))
    }
    /// This try's mark in the ledger.
    pub const fn operation(&self) -> &[u8; 16] {
        &self.operation
    }
    /// Refuses while a restore waits to be accepted, or the store is older than this process has seen it.
    pub fn unbarred(&self) -> Result<()> {
        let (guard, seen) = self.guard;
        guard.bars(self.snapshot, seen)
    }
    /// The account's profile; the default one while it has none.
    pub fn profile(&self) -> Result<Arc<Profile>> {
        self.profile_named(profile_of(&self.record.account, &self.settings))
    }
    /// The rules by which sets are ended. An end must not fail because somebody deleted the profile: then the defaults
    /// apply, which end most.
    pub fn ending_profile(&self) -> Arc<Profile> {
        self.profile().unwrap_or_default()
    }
    /// A profile by name.
    pub fn profile_named(&self, name: &str) -> Result<Arc<Profile>> {
        self.snapshot.profile(name).ok_or_else(|| {
            Error::field("profile", "there is no profile of this name; write it under profiles/ or name another")
        })
    }
    /// Where `path` of this mount is: a link, if the mount was told its address.
    pub fn link(&self, path: &str) -> String {
        match &self.settings.sparekey_url {
            Some(base) => format!("{}/{path}", base.trim_end_matches('/')),
            None => path.to_owned(),
        }
    }
    /// The record that stood in the way of an earlier try's write to `key`.
    pub fn in_the_way(&self, key: &str) -> Option<&(Vec<u8>, Revision)> {
        self.conflicts.get(key)
    }
    /// A record of the snapshot that is kept as bytes.
    pub fn raw(&self, key: &str) -> Option<(Revision, Arc<[u8]>)> {
        self.snapshot.raw(key)
    }
    /// The revision under which a record was read.
    pub fn revision(&self, key: &str) -> Option<Revision> {
        self.snapshot.revision(key)
    }
    /// Whether a record was looked for.
    pub fn has_read(&self, key: &str) -> bool {
        self.snapshot.has_read(key)
    }
    /// Refuses free text that contains a code of the account.
    pub fn refuse_codes_in<'t>(&mut self, texts: impl IntoIterator<Item = (&'static str, &'t str)>) -> Result<()> {
        match self.holds_code(texts)? {
            Some(field) => Err(Refusal::TextHoldsCode(field).into()),
            None => Ok(()),
        }
    }
    /// The first of these free texts that contains a code of the account, by its field.
    pub fn holds_code<'t>(
        &mut self,
        texts: impl IntoIterator<Item = (&'static str, &'t str)>,
    ) -> Result<Option<&'static str>> {
        let printer = self.keyring.fingerprinter(&self.record.account.id);
        let known = &self.record.account.fingerprints;
        let mut suspects = Vec::new();
        for (field, text) in texts {
            if known.found_in(text, |window| printer.print(window)) || self.was_elsewhere_in(text)? {
                return Ok(Some(field));
            }
            suspects.extend(known.suspects(text).into_iter().map(|suspect| (field, suspect)));
            if suspects.len() > MOST_SUSPECTS {
                let what = "too many words could be codes of the account; write it shorter, or with fewer numbers";
                return Err(Error::field(field, what));
            }
        }
        let codes: Vec<&str> = suspects.iter().map(|(_, code)| code.as_str()).collect();
        let prints = self.verifiers(&codes)?;
        let first = self.record.account.fingerprints.known_stretched(&prints).first().copied();
        Ok(first.and_then(|index| suspects.get(index)).map(|(field, _)| *field))
    }
    /// A ledger entry of this try, to be filled in and logged.
    pub fn entry(&self, act: &str, actor: Actor, request_id: &str, remote: Option<String>) -> Entry {
        Entry {
            seq: 0,
            at: self.now,
            act: act.to_owned(),
            actor,
            request_id: request_id.to_owned(),
            reason: None,
            ticket: None,
            generation: None,
            slot: None,
            remote,
            repeat: false,
            detail: None,
            operation: self.operation.into(),
        }
    }
    /// Logs `entry`; answers what audit says of the act.
    pub fn log(&mut self, entry: Entry) -> Map<String, Value> {
        let mut note = Map::new();
        note.insert("account".to_owned(), self.name.as_str().into());
        if let Some(generation) = entry.generation {
            note.insert("generation".to_owned(), generation.into());
        }
        if let Some(slot) = entry.slot {
            note.insert("slot".to_owned(), slot.into());
        }
        for (name, text) in
            [("subject", &entry.actor.subject), ("issuer", &entry.actor.issuer), ("role", &entry.actor.role)]
        {
            if !text.is_empty() {
                note.insert(name.to_owned(), text.as_str().into());
            }
        }
        let keyring = self.keyring.clone();
        let seq = self.record.log(&keyring, entry);
        note.insert("seq".to_owned(), seq.into());
        note.insert("head".to_owned(), hex::encode(*self.record.ledger.head).into());
        note
    }

    /// Makes the record what it is to be written as: what the clock ends has ended, and the active KEK wraps every key.
    pub fn settle(&mut self) {
        let ended = self.record.account.settle(self.now);
        self.archived.extend(ended);
        self.renew_wraps();
    }

    /// The writes of this settled try, in their order: claims and events, archives, the record, then what follows from it.
    pub fn writes(mut self) -> Result<Vec<Write>> {
        let mut writes = std::mem::take(&mut self.before);
        for set in std::mem::take(&mut self.archived) {
            let key = keys::archived_set(&self.record.account.id, set.generation);
            writes.push(self.archive(key, record::encode(&set))?);
        }
        while let Some((first, links)) = self.record.ledger.overflow() {
            let key = archive::key(&hex::encode(*self.record.account.id), first);
            let bytes = record::encode(&Segment { links });
            if self.conflicts.get(&key).is_none_or(|(existing, _)| *existing != bytes) {
                if self.conflicts.contains_key(&key) {
                    return Err(Error::internal(format!("ledger segment {key} holds other entries than the record")));
                }
                writes.push(Write::create(key, bytes, self.random));
            }
        }
        if self.bind_keyring
            && let Some(revision) = self.snapshot.revision(keys::KEYRING)
        {
            writes.push(Write::check(keys::KEYRING, revision));
        }
        let bytes = record::encode(&self.record);
        if self.cap.is_some_and(|cap| bytes.len() > cap) {
            return Err(Error::invalid(Refusal::Full.to_string()));
        }
        self.place_record(bytes, &mut writes);
        writes.append(&mut self.after);
        Ok(writes)
    }
    fn place_record(&self, bytes: Vec<u8>, writes: &mut Vec<Write>) {
        let (account, tombstone) = (keys::account(self.name), keys::tombstone(self.name));
        let deleted = self.record.account.deleted_at.is_some();
        match self.place {
            Place::Nowhere if deleted => writes.push(Write::create(tombstone, bytes, self.random)),
            Place::Nowhere => writes.push(Write::create(account, bytes, self.random)),
            Place::Account(revision) if !deleted => {
                writes.push(Write::put(account, Expect::At(revision), bytes, self.random));
            }
            // Between the two writes a crash leaves both: then the account counts, and nobody was told otherwise.
            Place::Account(revision) => {
                let expect = self.conflicts.get(&tombstone).map_or(Expect::Absent, |(_, stale)| Expect::At(*stale));
                writes.push(Write::put(tombstone, expect, bytes, self.random));
                writes.push(Write::delete(account, revision));
            }
            Place::Tombstone(revision) if deleted => {
                writes.push(Write::put(tombstone, Expect::At(revision), bytes, self.random));
            }
            Place::Tombstone(revision) => {
                writes.push(Write::create(account, bytes, self.random));
                writes.push(Write { key: tombstone, expect: Expect::At(revision), change: Change::Delete });
            }
        }
    }
    /// An ended set's archive; one that a crash left there is overwritten by the newer state.
    fn archive(&self, key: String, bytes: Vec<u8>) -> Result<Write> {
        let expect = self.conflicts.get(&key).map_or(Expect::Absent, |(_, revision)| Expect::At(*revision));
        Ok(Write::put(key, expect, bytes, self.random))
    }
}

/// The name of the profile that applies to `account`.
pub fn profile_of<'a>(account: &'a Account, settings: &'a Settings) -> &'a str {
    if account.profile.is_empty() { &settings.default_profile } else { &account.profile }
}
