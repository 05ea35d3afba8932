//! A store whose database server was replaced: by a standby that was promoted, or by a copy. It answers nothing until this node
//! has compared what it acknowledged with what is there.

use std::time::Duration;

use super::Anchors;
use super::evidence;
use crate::error::{Error, Result};

/// How often a line that changes again is followed.
const TRIES: usize = 4;

impl Anchors {
    /// Compares and approves of the store's line if it changed. If something is lost the store is quarantined first; else codes
    /// wait until every other node had its turn to object.
    pub(super) async fn follow_line(&self) -> Result<()> {
        let Some(lines) = self.engine.lines() else { return Ok(()) };
        for _ in 0..TRIES {
            let Err(changed) = lines.check() else { return Ok(()) };
            tracing::warn!(%changed, "comparing what this node acknowledged with the store");
            let Some(engine) = self.engine.unchecked() else { return Ok(()) };
            let state = engine.restore_state().await?;
            // What was compared is the line that this read was made on, or a later one, which stops the store again.
            let Some(line) = lines.current() else { return Ok(()) };
            if state.restore.quarantine.is_none() {
                let mut why: Vec<String> = self.judge(&engine, &state).await?.into_iter().collect();
                let last = self.last().clone();
                let mut losses = self.lost(&engine, last.as_slice(), false).await?;
                let unwritten = self.pending().acts.clone().into_vec();
                losses.add(&engine, unwritten).await?;
                why.extend(evidence::sentence(&losses));
                if !why.is_empty() {
                    let why = format!("after its server changed: {}", why.join("; "));
                    self.stop_on(&engine, &why).await?;
                }
            }
            // What other nodes acknowledged they know themselves: each looks within its interval.
            self.engine.guard().settle(self.config.interval * 2 + Duration::from_secs(1));
            lines.approve(line);
            tracing::warn!("the store's new server is trusted");
        }
        match lines.check() {
            Ok(()) => Ok(()),
            Err(changed) => Err(Error::unavailable("the store's server keeps changing").with_source(changed)),
        }
    }
}
