//! Whether a record is there: what tells a create from an update where a host's policies keep them apart.

use crate::domain::name::{AccountName, record_name};
use crate::domain::profile::Profile;
use crate::engine::cache::Snapshot;
use crate::engine::configuration::Configuration;
use crate::engine::paths::{self, Need, Variable};
use crate::engine::request::Operation;
use crate::engine::{Engine, keys};
use crate::error::Result;

impl Engine {
    /// Whether an update of `path` would find a record; `None` where there is no such difference: on every act, on what always
    /// is there, and where no update is.
    pub async fn exists(&self, path: &str) -> Result<Option<bool>> {
        let Ok(matched) = paths::find(path, Operation::Update) else { return Ok(None) };
        let named = match (matched.operation.need, matched.path.variable) {
            (Need::Configure, Variable::Name(_)) => record_name("name", &matched.name).is_ok(),
            (Need::Configure, Variable::Rest(_)) => AccountName::parse(&matched.name).is_ok(),
            _ => false,
        };
        if !named {
            return Ok(None);
        }
        // Records of the configuration and accounts lie in the store as they are named.
        let key = format!("{}/{}", matched.path.prefix, matched.name);
        let built_in = key.strip_prefix(keys::PROFILES).is_some_and(|name| Profile::BUILT_IN.contains(&name));
        if built_in {
            return Ok(Some(true));
        }
        let mut snapshot = Snapshot::default();
        self.load(&mut snapshot, [key.clone()]).await?;
        Ok(Some(snapshot.revision(&key).is_some()))
    }
}
