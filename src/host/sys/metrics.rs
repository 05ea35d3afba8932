//! `sys/metrics`: what the host counts of itself, for Prometheus or as JSON.

use serde_json::{Map, Value};

use super::super::answer::{Answer, Refusal};
use super::super::call::{Call, Verb};
use super::super::metrics::{Asked, Gauges};
use super::super::route::{Route, operation};
use super::super::{Host, routes};
use super::status::Status;
use crate::engine::request::Operation;

/// The path.
pub const PATH: &str = "sys/metrics";

impl Host {
    /// The metrics as `query` wants them: `format=prometheus` or JSON; text also where the client takes nothing else.
    pub(in super::super) fn metrics(&self, query: &Map<String, Value>, text: bool) -> Result<Answer, Refusal> {
        let now = self.clock.now();
        let format = query.get("format").and_then(Value::as_str).unwrap_or(if text { "prometheus" } else { "" });
        match format {
            "" => Ok(Answer::bare(200, &self.metrics.json(&self.gauges(), now), 16 * 1024)),
            "prometheus" => Ok(Answer::Text {
                status: 200,
                media: "text/plain; version=0.0.4; charset=utf-8",
                text: self.metrics.text(&self.gauges(), now),
            }),
            other => {
                let shown: String = other.chars().take(64).flat_map(char::escape_default).collect();
                let text = format!("metric response format \"{shown}\" unknown");
                Ok(Answer::Text { status: 400, media: "text/plain; charset=utf-8", text })
            }
        }
    }

    /// `call` as it is counted.
    pub(in super::super) fn asked(&self, call: &Call) -> Asked {
        let path = match Route::of(&self.info.mount_path, call) {
            _ if Status::of(&call.path).is_some() => call.path.clone(),
            Route::Engine(_, Ok(found)) => format!("{}{}", self.info.mount_path, found.path.pattern()),
            Route::Host(entry, _) => routes::shown(entry).to_owned(),
            Route::Engine(_, Err(_)) | Route::Unknown { .. } => "other".to_owned(),
        };
        let operation = match (call.verb, operation(call.verb)) {
            (Verb::Help | Verb::Head | Verb::Patch | Verb::Scan, _) => "other",
            (_, Operation::Read) => "read",
            (_, Operation::List) => "list",
            (_, Operation::Update) => "update",
            (_, Operation::Delete) => "delete",
        };
        Asked { path, operation }
    }

    fn gauges(&self) -> Gauges {
        let open = self.unsealed();
        let keys = self.verifier.status();
        let devices = open.as_ref().map(|open| open.audit.status()).unwrap_or_default();
        let anchored = open.as_ref().and_then(|open| open.anchors.as_ref()).map(|anchors| anchors.told());
        let working = devices.iter().filter(|device| device.healthy).count();
        Gauges {
            version: self.info.version.clone(),
            sealed: open.is_none(),
            restore_quarantine: anchored.as_ref().is_some_and(|told| told.quarantined),
            anchors: anchored.map(|told| (told.epoch, told.failures)),
            storage_failures: self.barrier.failures(),
            barrier_uses: self.barrier.uses(),
            devices: (self.devices.len() as u64, working as u64),
            key_places: keys.places,
            key_fetches: (keys.fetches, keys.failures),
            key_age: keys.oldest.map_or(0, |at| self.clock.now().since(at).as_secs()),
        }
    }
}
