//! What is said of each account, and the sums. Never a code.

use serde_json::{Value, json};

use crate::cli::client::printable;
use crate::cli::console::Console;
use crate::domain::name::AccountName;
use crate::engine::transfer::Parcel;

/// What became of an account.
pub(super) enum Came {
    /// It was sent, is there, and is ended here.
    Now(Sent),
    /// A dry run: this would go.
    Would(Sent),
    /// It had gone before.
    Before {
        /// Where to.
        to: String,
    },
    /// It was on its way, and is here again.
    Back,
    /// It was not on its way.
    NotLeaving,
    /// It stays, and this is why.
    Refused(String),
}

/// What went, or would go.
pub(super) struct Sent {
    generation: u32,
    codes: usize,
    used: usize,
    deleted: bool,
    notes: Vec<String>,
}

impl Sent {
    pub fn of(parcel: &Parcel) -> Self {
        Sent {
            generation: parcel.generation(),
            codes: parcel.codes(),
            used: parcel.used(),
            deleted: parcel.is_deleted(),
            notes: parcel.notes().to_vec(),
        }
    }
    fn line(&self) -> String {
        let codes = match (self.codes, self.deleted) {
            (0, true) => "what stays of a deleted account".to_owned(),
            (0, false) => "no codes".to_owned(),
            (1, _) => "1 code".to_owned(),
            (codes, _) => format!("{codes} codes"),
        };
        let used = if self.used > 0 { format!(", {} used", self.used) } else { String::new() };
        let notes: String = self.notes.iter().map(|note| format!("\n    {note}")).collect();
        format!("generation {}, {codes}{used}{notes}", self.generation)
    }
    fn json(&self, state: &str) -> Value {
        json!({
            "state": state, "generation": self.generation, "codes": self.codes, "used": self.used, "deleted": self.deleted,
            "notes": self.notes,
        })
    }
}

/// The running sums.
pub(super) struct Report {
    json: bool,
    dry_run: bool,
    moved: u64,
    codes: u64,
    before: u64,
    back: u64,
    refused: u64,
}

impl Report {
    pub fn new(json: bool, dry_run: bool) -> Self {
        Report { json, dry_run, moved: 0, codes: 0, before: 0, back: 0, refused: 0 }
    }
    /// How many accounts were sent.
    pub fn sent(&self) -> u64 {
        self.moved
    }
    /// Whether nothing stayed behind.
    pub fn is_whole(&self) -> bool {
        self.refused == 0
    }
    /// Counts an account and says what became of it, at once: that is the progress too.
    pub fn add(&mut self, name: &AccountName, came: &Came, console: &mut Console) {
        let (line, mut object) = match came {
            Came::Now(sent) => (format!("moved      {name}: {}", sent.line()), sent.json("moved")),
            Came::Would(sent) => (format!("would move {name}: {}", sent.line()), sent.json("would-move")),
            Came::Before { to } => {
                (format!("moved before  {name}: to {to}"), json!({"state": "moved-before", "to": to}))
            }
            Came::Back => (format!("taken back {name}"), json!({"state": "taken-back"})),
            Came::NotLeaving => (String::new(), json!({"state": "not-leaving"})),
            Came::Refused(why) => {
                (format!("STAYS      {name}: {}", printable(why)), json!({"state": "stays", "why": printable(why)}))
            }
        };
        match came {
            Came::Now(sent) | Came::Would(sent) => {
                self.moved += 1;
                self.codes += sent.codes as u64;
            }
            Came::Before { .. } => self.before += 1,
            Came::Back => self.back += 1,
            Came::NotLeaving => {}
            Came::Refused(_) => self.refused += 1,
        }
        if self.json {
            object["account"] = json!(name.as_str());
            console.say(&object.to_string());
        } else if !line.is_empty() {
            console.say(&line);
        }
    }
    /// The sums, last.
    pub fn sums(&self, to: &str, console: &mut Console) {
        if self.json {
            let sums = json!({
                "to": to, "dry_run": self.dry_run, "moved": self.moved, "codes": self.codes, "moved_before": self.before,
                "taken_back": self.back, "stays": self.refused,
            });
            console.say(&json!({"sums": sums}).to_string());
            return;
        }
        let accounts = |count: u64| if count == 1 { "1 account".to_owned() } else { format!("{count} accounts") };
        let verb = if self.dry_run { "would move" } else { "moved" };
        let mut said = vec![format!("{} {verb} to {to}, with {} codes.", accounts(self.moved), self.codes)];
        for (count, what) in [
            (self.before, "had moved before."),
            (self.back, "are here again as before."),
            (self.refused, "STAY here; the lines above say why."),
        ] {
            if count > 0 {
                said.push(format!("{} {what}", accounts(count)));
            }
        }
        console.say(&said.join("\n"));
    }
}
