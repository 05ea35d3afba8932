//! The circle: who lost the factor must not need that factor to get at its codes. An account says which issuers hang on it; if
//! every role that may retrieve its codes takes assertions of those issuers only, there is no way in.
//!
//! Judged by issuer names alone, directly: not by what an issuer's people log in with, nor through other accounts that
//! protect each other.

use crate::domain::name::AccountName;
use crate::domain::role::Capability;
use crate::engine::cache::{Snapshot, storage_failed};
use crate::engine::{Engine, keys};
use crate::error::Result;

/// Most roles that are looked at. A mount with more is not judged.
const MOST_ROLES: usize = 1000;
/// Roles read at once.
const PAGE: usize = 200;

/// Said when a set is stored whose codes nobody could get at.
pub const WARNING: &str = "circular: every role that may retrieve these codes takes assertions only of issuers that hang on this \
     account (protects); give one role an issuer that does not, such as one with pinned keys";

impl Engine {
    /// Whether every role that may retrieve the codes of `account` hangs on an issuer among `protects`. No role at all is no
    /// circle. Costs a reading of the roles, and nothing where nothing is protected.
    pub(super) async fn is_circular(&self, account: &AccountName, protects: &[String]) -> Result<bool> {
        if protects.is_empty() {
            return Ok(false);
        }
        let (mut after, mut seen, mut closed) = (None, 0, false);
        while seen < MOST_ROLES {
            let names = self.storage.list(keys::ROLES, after.as_deref(), PAGE).await.map_err(storage_failed)?;
            let Some(last) = names.last() else { return Ok(closed) };
            let (whole, next) = (names.len() < PAGE, last.clone());
            let mut snapshot = Snapshot::default();
            self.load(&mut snapshot, names.iter().map(|name| format!("{}{name}", keys::ROLES))).await?;
            for role in names.iter().filter_map(|name| snapshot.role(name)) {
                if role.rule.permits(Capability::Retrieve) && role.rule.could_cover(account) {
                    if role.rule.issuers().iter().any(|issuer| !protects.contains(issuer)) {
                        return Ok(false);
                    }
                    closed = true;
                }
            }
            if whole {
                return Ok(closed);
            }
            seen += names.len();
            after = Some(next);
        }
        Ok(false)
    }
}
