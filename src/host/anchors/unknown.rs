//! Holding accounts of which nobody knows what was acknowledged: a backup that was restored where neither an anchor nor the audit
//! files of every node are left.

use std::sync::Arc;

use tokio::task::JoinSet;

use super::Anchors;
use super::accept::Lost;
use crate::engine::config_ledger::By;
use crate::error::{Error, Result};

/// Accounts in one piece.
pub const PIECE: usize = 512;
/// Accounts that are written at once: the store commits them together.
const TOGETHER: usize = 32;

/// What an operator wants held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// What anchors and audit files say went back; all of what was acknowledged is in them.
    Known,
    /// That, and every other account with a live set.
    All,
}

impl Wanted {
    /// The word for it.
    pub const fn word(self) -> &'static str {
        match self {
            Wanted::Known => "known",
            Wanted::All => "all",
        }
    }
}

impl Anchors {
    /// Holds every account with a live set among the [`PIECE`] that come after `after`; answers those that were not held before, and after
    /// which name it goes on. May be said again.
    pub async fn hold_piece(&self, after: &str, by: &By, reason: &str) -> Result<(Vec<Lost>, Option<String>)> {
        let piece = self.engine.accounts_after(after, PIECE).await?;
        let mut held = Vec::new();
        for names in piece.names.chunks(TOGETHER) {
            let mut writing = JoinSet::new();
            for name in names {
                let (name, engine) = (name.clone(), Arc::clone(&self.engine));
                let (by, reason) = (by.clone(), reason.to_owned());
                writing.spawn(async move { engine.hold_unknown(&name, &by, &reason).await });
            }
            while let Some(done) = writing.join_next().await {
                held.extend(done.map_err(Error::internal)??);
            }
        }
        held.sort_by(|a, b| a.account.cmp(&b.account));
        let lost = held.into_iter().map(|held| Lost {
            account: Some(held.account),
            seq: held.seq,
            known_seq: held.known_seq,
            held: held.generation,
            missing: false,
        });
        Ok((lost.collect(), piece.next))
    }

    /// Holds every account with a live set. How many were not held before; the first of them, `shown` at most.
    pub async fn hold_all(&self, by: &By, reason: &str, shown: usize) -> Result<(u64, Vec<Lost>)> {
        let (mut held, mut first, mut after) = (0, Vec::new(), Some(String::new()));
        while let Some(name) = after {
            let (lost, next) = self.hold_piece(&name, by, reason).await?;
            held += lost.len() as u64;
            let room = shown.saturating_sub(first.len());
            first.extend(lost.into_iter().take(room));
            after = next;
        }
        Ok((held, first))
    }
}
