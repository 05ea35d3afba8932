//! The log as a host reads it: one JSON object a line on standard error (hclog).
//!
//! The host's reader trusts these lines more than it should: one whose `@message` is not a text ends the whole server. So lines
//! are made here and nowhere else, every value is a text or a number, names that begin with `@` are ours alone, and each line goes
//! out in one write, short enough that the host does not split it.

use std::fmt::{Debug, Write as _};
use std::io::Write;

use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::{Context, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;

use crate::clock::{Clock, SystemClock};

/// Longest text in a line, in bytes.
const LONGEST: usize = 4096;
/// Most fields of a line.
const MOST: usize = 32;

/// Sends the log to standard error. The host does not say which level it wants and throws away what it does not; libraries speak
/// only from `warn` up, since below that some print what they read.
pub fn start() {
    let filter = Targets::new().with_default(Level::WARN).with_target("sparekey", Level::INFO);
    // A second start in one process keeps the first log.
    let _ = tracing_subscriber::registry().with(Lines.with_filter(filter)).try_init();
}

/// From here on a panic says where it happened and nothing else: its message could carry a secret.
pub fn report_panics() {
    std::panic::set_hook(Box::new(|info| {
        let place = info.location().map_or_else(|| "an unknown place".to_owned(), ToString::to_string);
        // Not through the log: that may be what panicked.
        write(&line("error", &format!("internal error at {place} (message withheld)"), "sparekey", Map::new()));
    }));
}

struct Lines;

impl<S: Subscriber> Layer<S> for Lines {
    fn on_event(&self, event: &Event<'_>, _context: Context<'_, S>) {
        let mut said = Said::default();
        event.record(&mut said);
        let metadata = event.metadata();
        write(&line(level(*metadata.level()), &said.message, metadata.target(), said.fields));
    }
}

const fn level(level: Level) -> &'static str {
    match level {
        Level::ERROR => "error",
        Level::WARN => "warn",
        Level::INFO => "info",
        Level::DEBUG => "debug",
        Level::TRACE => "trace",
    }
}

fn write(line: &str) {
    // If standard error is gone there is nobody to tell.
    let _ = std::io::stderr().lock().write_all(line.as_bytes());
}

fn line(level: &str, message: &str, module: &str, fields: Map<String, Value>) -> String {
    let mut map = fields;
    let mut put = |name: &str, value: &str| map.insert(name.to_owned(), Value::from(value));
    put("@level", level);
    put("@message", message);
    put("@module", module);
    put("@timestamp", &timestamp());
    format!("{}\n", Value::Object(map))
}

/// Exactly six digits after the second, which the host insists on.
fn timestamp() -> String {
    let now = SystemClock.now().to_string();
    match now.strip_suffix('Z') {
        Some(millis) => format!("{millis}000Z"),
        None => now,
    }
}

#[derive(Default)]
struct Said {
    message: String,
    fields: Map<String, Value>,
}

impl Said {
    fn put(&mut self, field: &Field, text: String) {
        let text = cut(text);
        match field.name() {
            "message" => self.message = text,
            // Never one of the host's own names, whoever makes it.
            name if self.fields.len() < MOST => {
                self.fields.insert(name.trim_start_matches('@').to_owned(), Value::from(text));
            }
            _ => {}
        }
    }
}

fn cut(mut text: String) -> String {
    if text.len() > LONGEST {
        let end = (0..=LONGEST).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        text.truncate(end);
        text.push('…');
    }
    text
}

impl Visit for Said {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, value.to_owned());
    }
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let mut text = String::new();
        // A `Debug` that fails says nothing.
        let _ = write!(text, "{value:?}");
        self.put(field, text);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    /// The same layer, with its lines kept.
    struct Kept(Arc<Mutex<Vec<String>>>);

    impl<S: Subscriber> Layer<S> for Kept {
        fn on_event(&self, event: &Event<'_>, _context: Context<'_, S>) {
            let mut said = Said::default();
            event.record(&mut said);
            let metadata = event.metadata();
            self.0.lock().unwrap().push(line(level(*metadata.level()), &said.message, metadata.target(), said.fields));
        }
    }

    fn lines(act: impl FnOnce()) -> Vec<Value> {
        let kept = Arc::new(Mutex::new(Vec::new()));
        let subscriber = tracing_subscriber::registry().with(Kept(kept.clone()));
        tracing::subscriber::with_default(subscriber, act);
        let lines = kept.lock().unwrap();
        lines
            .iter()
            .map(|line| {
                assert!(line.ends_with('\n') && line.matches('\n').count() == 1 && line.len() < 60_000, "{line}");
                serde_json::from_str(line).unwrap()
            })
            .collect()
    }

    #[test]
    fn every_line_has_the_texts_that_the_host_insists_on() {
        let long = "é".repeat(40_000);
        let all = lines(|| {
            tracing::info!("plain");
            tracing::warn!(number = 5, flag = true, text = "a\nb\u{1}", "two\nlines");
            tracing::error!(message = 5);
            tracing::debug!("@message" = 5, "@level" = "x", "@timestamp" = true, other = ?Some(1), "own names");
            tracing::trace!(long, "{}", long.as_str());
            tracing::info!(only = "a field");
        });
        assert_eq!(all.len(), 6);
        for value in &all {
            for name in ["@level", "@message", "@module", "@timestamp"] {
                assert!(value[name].is_string(), "{name} in {value}");
            }
            let stamp = value["@timestamp"].as_str().unwrap();
            assert_eq!((stamp.len(), stamp.rsplit('.').next().unwrap().len()), (27, 7), "{stamp}");
            let levels = ["trace", "debug", "info", "warn", "error"];
            assert!(levels.contains(&value["@level"].as_str().unwrap()), "{value}");
            assert!(value.as_object().unwrap().values().all(Value::is_string), "{value}");
        }
        assert_eq!((all[1]["@message"].as_str(), all[1]["number"].as_str()), (Some("two\nlines"), Some("5")));
        assert_eq!((all[3]["@message"].as_str(), all[3]["message"].as_str()), (Some("own names"), Some("5")));
    }
}
