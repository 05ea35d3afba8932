//! The circle: who lost the factor must not need that factor to get at its codes. An account says which issuers hang on it; if
//! every role that may retrieve its codes takes assertions of those issuers only, there is no way in.
//!
//! Judged by issuer names alone, directly: not by what an issuer's people log in with, nor through other accounts that
//! protect each other.

use std::sync::Arc;

use crate::domain::name::AccountName;
use crate::domain::role::Capability;
use crate::engine::cache::{CompiledRole, Snapshot, storage_failed};
use crate::engine::{Engine, keys};
use crate::error::Result;

/// Most roles that are looked at. A mount with more is not judged.
const MOST_ROLES: usize = 1000;
/// Roles read at once.
const PAGE: usize = 200;

/// Said when a set is stored whose codes nobody could get at.
pub const WARNING: &str = "circular: every role that may retrieve these codes takes assertions only of issuers that hang on this \
     account (protects); give one role an issuer that does not, such as one with pinned keys";

/// A role and its name.
pub type Named = (String, Arc<CompiledRole>);

impl Engine {
    /// Every role of the mount; `None` if there are more than are looked at.
    pub(super) async fn every_role(&self) -> Result<Option<Vec<Named>>> {
        let mut roles: Vec<Named> = Vec::new();
        let mut after: Option<String> = None;
        while roles.len() <= MOST_ROLES {
            let names = self.storage.list(keys::ROLES, after.as_deref(), PAGE).await.map_err(storage_failed)?;
            let mut snapshot = Snapshot::default();
            self.load(&mut snapshot, names.iter().map(|name| format!("{}{name}", keys::ROLES))).await?;
            roles.extend(names.iter().filter_map(|name| Some((name.clone(), snapshot.role(name)?))));
            match names.last().filter(|_| names.len() == PAGE) {
                Some(last) => after = Some(last.clone()),
                None => return Ok(Some(roles)),
            }
        }
        Ok(None)
    }

    /// Whether every role that may retrieve the codes of `account` hangs on an issuer among `protects`. Costs a reading of the
    /// roles, and nothing where nothing is protected.
    pub(super) async fn is_circular(&self, account: &AccountName, protects: &[String]) -> Result<bool> {
        if protects.is_empty() {
            return Ok(false);
        }
        let roles = self.every_role().await?;
        Ok(roles.is_some_and(|roles| is_closed(&roles, account, protects)))
    }
}

/// The roles that may retrieve codes of `account`, for somebody.
pub fn ways<'r>(roles: &'r [Named], account: &'r AccountName) -> impl Iterator<Item = &'r Named> {
    roles.iter().filter(|(_, role)| role.rule.permits(Capability::Retrieve) && role.rule.could_cover(account))
}

/// Whether each of these roles that may retrieve codes of `account` takes assertions only of issuers among `protects`. No such
/// role at all is no circle.
pub fn is_closed(roles: &[Named], account: &AccountName, protects: &[String]) -> bool {
    let mut ways = ways(roles, account).peekable();
    let closed = |(_, role): &Named| role.rule.issuers().iter().all(|issuer| protects.contains(issuer));
    !protects.is_empty() && ways.peek().is_some() && ways.all(closed)
}
