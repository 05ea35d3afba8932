//! Configuration records (`config`, `issuers/`, `profiles/`, `roles/`, `sources/`) and the ledger of their changes.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use crate::auth::Compiled;
use crate::domain::fields::{Fields, Given};
use crate::domain::issuer::{Issuer, IssuerKind};
use crate::domain::name::record_name;
use crate::domain::profile::Profile;
use crate::domain::role::Role;
use crate::domain::vouching;
use crate::engine::cache::{self, Snapshot, storage_failed};
use crate::engine::config_ledger::{self, By, Said};
use crate::engine::request::{Request, Response};
use crate::engine::settings::Settings;
use crate::engine::source_state;
use crate::engine::{Call, Engine, keys, record};
use crate::error::{Error, Kind, Result};
use crate::sources::Source;
use crate::storage::{Change, Expect, Found, Get, PutError, Revision, Write};

/// How often a change is tried again when others change the configuration at the same time.
const TRIES: usize = 64;

/// A kind of configuration record.
pub trait Configuration: Serialize + DeserializeOwned + Send + Sync {
    /// Its folder, with the slash.
    const FOLDER: &'static str;
    /// A record of this name that is there without having been written.
    fn built_in(_name: &str) -> Option<Self> {
        None
    }
    /// Names of the built-in records.
    const BUILT_IN: &'static [&'static str] = &[];
    /// Applies a write.
    fn change(old: Option<&Self>, name: &str, fields: &mut Fields) -> Result<Self>;
    /// The canonical form that a read answers.
    fn show(&self) -> Map<String, Value>;
    /// Keys of records that this one names and that should exist.
    fn names(&self) -> Vec<String> {
        Vec::new()
    }
    /// Whether it goes together with the records that it names, as far as these exist.
    fn agrees(&self, _named: &Snapshot) -> Result<()> {
        Ok(())
    }
}

impl Configuration for Issuer {
    const FOLDER: &'static str = keys::ISSUERS;
    fn change(old: Option<&Self>, name: &str, fields: &mut Fields) -> Result<Self> {
        let issuer = Issuer::update(old, fields)?;
        Compiled::new(name, &issuer)?;
        Ok(issuer)
    }
    fn show(&self) -> Map<String, Value> {
        self.wire()
    }
}

impl Configuration for Profile {
    const FOLDER: &'static str = keys::PROFILES;
    const BUILT_IN: &'static [&'static str] = &[Profile::ESCROWED, Profile::ISSUED];
    fn built_in(name: &str) -> Option<Self> {
        Profile::built_in(name)
    }
    fn change(old: Option<&Self>, _name: &str, fields: &mut Fields) -> Result<Self> {
        Profile::update(old, fields)
    }
    fn show(&self) -> Map<String, Value> {
        self.wire()
    }
}

impl Configuration for Role {
    const FOLDER: &'static str = keys::ROLES;
    fn change(old: Option<&Self>, name: &str, fields: &mut Fields) -> Result<Self> {
        let role = Role::update(old, name, fields)?;
        role.compile()?;
        Ok(role)
    }
    fn show(&self) -> Map<String, Value> {
        self.wire()
    }
    fn names(&self) -> Vec<String> {
        self.issuers().iter().map(|issuer| format!("{}{issuer}", keys::ISSUERS)).collect()
    }
    fn agrees(&self, named: &Snapshot) -> Result<()> {
        let kinds: Vec<IssuerKind> =
            self.issuers().iter().filter_map(|name| named.issuer(name)).map(|issuer| issuer.kind()).collect();
        vouching::check(self, &kinds, kinds.len() == self.issuers().len())
    }
}

impl Configuration for Source {
    const FOLDER: &'static str = keys::SOURCES;
    fn change(old: Option<&Self>, _name: &str, fields: &mut Fields) -> Result<Self> {
        // A read answers these; writing the answer back must change nothing.
        for shown in source_state::SHOWN {
            fields.take(shown);
        }
        Source::update(old, fields)
    }
    fn show(&self) -> Map<String, Value> {
        self.wire()
    }
    fn names(&self) -> Vec<String> {
        vec![format!("{}{}", keys::ISSUERS, self.issuer())]
    }
    fn agrees(&self, named: &Snapshot) -> Result<()> {
        match named.issuer(self.issuer()).map(|issuer| issuer.kind()) {
            Some(IssuerKind::Host) => {
                Err(Error::field("issuer", "of type jwt: an issuer of type host signs no events"))
            }
            Some(IssuerKind::Jwt) | None => Ok(()),
        }
    }
}

/// Reads one record.
pub async fn read<T: Configuration>(engine: &Engine, call: Call) -> Result<Response> {
    let name = record_name("name", &call.name)?;
    let (stored, _) = fetch::<T>(engine, &format!("{}{name}", T::FOLDER)).await?;
    let found = stored.or_else(|| T::built_in(&name)).ok_or_else(Error::not_found)?;
    Ok(Response::data(found.show()))
}

/// Names the records of a folder.
pub async fn list<T: Configuration>(engine: &Engine, call: Call) -> Result<Response> {
    let page = Page::read(&mut Fields::new(call.request.data))?;
    let mut names = engine.storage.list(T::FOLDER, page.after.as_deref(), page.limit).await.map_err(storage_failed)?;
    for built_in in T::BUILT_IN {
        let after = page.after.as_deref().is_none_or(|after| *built_in > after);
        if after && !names.iter().any(|name| name == built_in) {
            names.push((*built_in).to_owned());
            names.sort();
            names.truncate(page.limit);
        }
    }
    keys_or_nothing(names)
}

/// Creates or changes a record; given fields replace, absent ones stay.
pub async fn write<T: Configuration>(engine: &Engine, call: Call) -> Result<Response> {
    let name = record_name("name", &call.name)?;
    let key = format!("{}{name}", T::FOLDER);
    let data = call.request.data.clone();
    commit::<T>(engine, &call.request, &key, |old| T::change(old, &name, &mut Fields::new(data.clone())).map(Some))
        .await
}

/// Deletes a record; a built-in one falls back to what it was. 204 also when there is none.
pub async fn delete<T: Configuration>(engine: &Engine, call: Call) -> Result<Response> {
    let name = record_name("name", &call.name)?;
    commit::<T>(engine, &call.request, &format!("{}{name}", T::FOLDER), |_| Ok(None)).await
}

/// Reads the mount's settings.
pub async fn read_settings(engine: &Engine, _call: Call) -> Result<Response> {
    let mut snapshot = Snapshot::default();
    engine.load(&mut snapshot, [keys::CONFIG.to_owned(), keys::KEYRING.to_owned()]).await?;
    let keyring = snapshot.keyring()?;
    Ok(Response::data(snapshot.settings().wire(keyring.mount_id(), record::FORMAT)))
}

/// Changes the mount's settings.
pub async fn write_settings(engine: &Engine, call: Call) -> Result<Response> {
    let data = call.request.data.clone();
    commit::<Settings>(engine, &call.request, keys::CONFIG, |old| {
        Settings::update(old.unwrap_or(&Settings::default()), &mut Fields::new(data.clone())).map(Some)
    })
    .await
}

impl Configuration for Settings {
    const FOLDER: &'static str = "";
    fn change(old: Option<&Self>, _name: &str, fields: &mut Fields) -> Result<Self> {
        Settings::update(old.unwrap_or(&Settings::default()), fields)
    }
    fn show(&self) -> Map<String, Value> {
        self.wire(&[0; 16], record::FORMAT)
    }
    fn names(&self) -> Vec<String> {
        let role = self.default_role.iter().map(|role| format!("{}{role}", keys::ROLES));
        let profile = Some(&self.default_profile).filter(|name| Profile::built_in(name).is_none());
        role.chain(profile.map(|name| format!("{}{name}", keys::PROFILES))).collect()
    }
}

async fn fetch<T: Configuration>(engine: &Engine, key: &str) -> Result<(Option<T>, Option<Revision>)> {
    let found = engine.storage.get_many(vec![Get::new(key)]).await.map_err(storage_failed)?;
    parse(key, found.into_iter().next())
}

fn parse<T: Configuration>(key: &str, found: Option<Found>) -> Result<(Option<T>, Option<Revision>)> {
    match found {
        Some(Found::Value(bytes, revision)) => Ok((Some(cache::from_json(key, &bytes)?), Some(revision))),
        _ => Ok((None, None)),
    }
}

/// Changes one record and writes the change into the configuration's ledger, in one commit.
async fn commit<T: Configuration>(
    engine: &Engine,
    request: &Request,
    key: &str,
    mut change: impl FnMut(Option<&T>) -> Result<Option<T>>,
) -> Result<Response> {
    for _ in 0..TRIES {
        let gets = vec![Get::new(key), Get::new(keys::CONFIG_LEDGER)];
        let mut found = engine.storage.get_many(gets).await.map_err(storage_failed)?.into_iter();
        let (old, revision) = parse::<T>(key, found.next())?;
        let (mut ledger, ledger_at) = config_ledger::read(found.next())?;
        let built_in = || T::built_in(key.strip_prefix(T::FOLDER).unwrap_or_default());
        let old = old.or_else(built_in);
        let new = change(old.as_ref())?;
        let mut warnings = Vec::new();
        if let Some(new) = &new {
            let names = new.names();
            let mut named = Snapshot::default();
            engine.load(&mut named, names.iter().cloned()).await?;
            new.agrees(&named)?;
            let absent = names.iter().filter(|key| named.revision(key).is_none());
            warnings.extend(absent.map(|key| format!("{key} does not exist yet")));
        }
        let before = old.as_ref().map(T::show);
        let after = new.as_ref().map(T::show).or_else(|| built_in().as_ref().map(T::show));
        if before == after {
            engine.settled().await?;
            return Ok(Response { warnings, ..Response::empty() });
        }
        let act = match (&before, &after) {
            (None, _) => "create",
            (Some(_), None) => "delete",
            (Some(_), Some(_)) => "update",
        };
        let said = Said { act, detail: json!({"path": key, "before": before, "after": after}) };
        let note = config_ledger::append(engine, &By::request(request), &mut ledger, &said).await?;
        let change = match &new {
            Some(new) => Change::Put { value: cache::to_json(new)?, revision: Revision::new(&*engine.random) },
            None => Change::Delete,
        };
        let expect = |revision: Option<Revision>| revision.map_or(Expect::Absent, Expect::At);
        let mut writes = config_ledger::segments(engine, &mut ledger).await?;
        writes.push(Write { key: key.to_owned(), expect: expect(revision), change });
        writes.push(Write::put(keys::CONFIG_LEDGER, expect(ledger_at), record::encode(&ledger), &*engine.random));
        match engine.storage.put_all(writes).await {
            Ok(()) => return Ok(Response { note, warnings, ..Response::empty() }),
            Err(PutError::Conflict { .. }) => {}
            Err(PutError::Unknown(source)) => return Err(Error::internal(source)),
            Err(PutError::Failed(error)) => return Err(storage_failed(error)),
        }
    }
    Err(Error::unavailable("too many changes of the configuration at once; try again"))
}

/// A page of a list.
pub struct Page {
    /// Entries after this one only.
    pub after: Option<String>,
    /// At most so many.
    pub limit: usize,
}

impl Page {
    /// Reads `after` and `limit` [1000, at most 1000].
    pub fn read(fields: &mut Fields) -> Result<Page> {
        if let Given::Value(_) = fields.take("jwt") {
            return Err(Error::field("jwt", "not in an address: addresses are logged"));
        }
        let limit = fields.integer("limit", 1, 1000)?.value().unwrap_or(1000);
        let after = fields.string("after")?.value();
        Ok(Page { after: after.filter(|after| !after.is_empty()), limit: usize::try_from(limit).unwrap_or(1000) })
    }
}

/// The answer to a list: Vault answers 404 where there is nothing.
pub fn keys_or_nothing(names: Vec<String>) -> Result<Response> {
    if names.is_empty() {
        return Err(Error::new(Kind::NotFound, ""));
    }
    let mut data = Map::new();
    data.insert("keys".to_owned(), json!(names));
    Ok(Response::data(data))
}
