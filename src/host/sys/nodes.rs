//! The nodes that serve one store, and `sys/ha-status`, which lists them. Each writes now and then that it is there; nothing is
//! decided by that: every node serves every request, and none of them leads.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::super::answer::Refusal;
use super::super::visit::{Acted, Visit};
use super::super::{Host, failure};
use crate::domain::fields::Fields;
use crate::domain::time::Timestamp;
use crate::engine::cache::{from_json, to_json};
use crate::error::Result;
use crate::storage::{Expect, Found, Get, PutError, Revision, Storage, Write};

/// Folder of what nodes keep, one folder each.
pub const NODES: &str = "nodes/";
/// How often a node says that it is there.
pub const SEEN_EVERY: Duration = Duration::from_secs(10);
/// A node that was silent for so long is listed no more.
const GONE_AFTER: Duration = Duration::from_secs(600);
/// Most nodes that are listed.
const MOST: usize = 256;

/// A node as it was last seen.
#[derive(Serialize, Deserialize)]
struct Seen {
    api_addr: String,
    version: String,
    /// Milliseconds since 1970.
    at: i64,
}

/// Where `node` says that it is there.
fn key(node: &str) -> String {
    format!("{NODES}{node}/seen")
}

impl Host {
    /// Says that this node is there. Nothing while it is sealed, or has no name.
    pub async fn report_node(&self) -> Result<()> {
        let (Some(node), Some(_open)) = (&self.info.node, self.unsealed()) else { return Ok(()) };
        let key = key(node);
        let expect = match self.barrier_read(key.clone()).await? {
            Some((_, revision)) => Expect::At(revision),
            None => Expect::Absent,
        };
        let seen = Seen {
            api_addr: self.info.api_addr.clone().unwrap_or_default(),
            version: self.info.version.clone(),
            at: self.clock.now().millis(),
        };
        match self.barrier.put_all(vec![Write::put(key, expect, to_json(&seen)?, &*self.random)]).await {
            Ok(()) => Ok(()),
            Err(PutError::Conflict { .. }) => {
                tracing::warn!(node, "another server says that it is this node: give each its own node_id");
                Ok(())
            }
            Err(error) => Err(failure::write(error)),
        }
    }

    async fn barrier_read(&self, key: String) -> Result<Option<(Vec<u8>, Revision)>> {
        match self.barrier.get_many(vec![Get::new(key)]).await.map_err(failure::read)?.pop() {
            Some(Found::Value(bytes, revision)) => Ok(Some((bytes, revision))),
            _ => Ok(None),
        }
    }
}

/// `sys/ha-status`: every node seen in the last ten minutes.
pub(in super::super) async fn status(visit: &Visit<'_>, fields: &Fields) -> Result<Acted, Refusal> {
    let host = visit.host;
    let names = host.barrier.list(NODES, None, MOST).await.map_err(failure::read)?;
    let names: Vec<&str> = names.iter().map(|name| name.trim_end_matches('/')).collect();
    let gets = names.iter().map(|name| Get::new(key(name))).collect();
    let found = host.barrier.get_many(gets).await.map_err(failure::read)?;
    let now = host.clock.now();
    let mut nodes = Vec::new();
    for (name, found) in names.iter().zip(found) {
        let Found::Value(bytes, _) = found else { continue };
        // One of a newer version hides no other.
        let seen: Seen = match from_json(&key(name), &bytes) {
            Ok(seen) => seen,
            Err(error) => {
                tracing::warn!(?error, node = name, "what a node says of itself cannot be read; it is left out");
                continue;
            }
        };
        let at = Timestamp::from_millis(seen.at);
        if now.since(at) > GONE_AFTER {
            continue;
        }
        nodes.push(json!({
            "hostname": name, "api_address": seen.api_addr, "cluster_address": "", "active_node": true,
            "last_echo": at.to_string(), "echo_duration_ms": 0, "clock_skew_ms": 0,
            "version": seen.version, "upgrade_version": seen.version, "redundancy_zone": "",
        }));
    }
    let mut data = Map::new();
    data.insert("nodes".to_owned(), Value::Array(nodes));
    Ok(Acted::data(data, fields))
}
