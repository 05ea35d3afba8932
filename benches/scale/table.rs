//! What was measured: one line a row on standard output as it comes, and in the end a JSON file and a Markdown table.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

/// Columns and what is in them, in order.
pub type Row = Vec<(&'static str, Value)>;

/// Rows of one run.
pub struct Table {
    folder: PathBuf,
    name: String,
    rows: Vec<(String, Row)>,
}

impl Table {
    /// A table that becomes `NAME.json` and `NAME.md` in `folder`.
    pub fn begin(folder: &Path, name: &str) -> Self {
        fs::create_dir_all(folder).expect("a folder for the tables");
        Table { folder: folder.to_owned(), name: name.to_owned(), rows: Vec::new() }
    }

    /// Adds a row to the part `part` and writes what there is: a run that breaks off has left what it found.
    pub fn row(&mut self, part: &str, row: Row) {
        let cells: Vec<String> = row.iter().map(|(name, value)| format!("{name}: {}", shown(value))).collect();
        println!("{part:<14} {}", cells.join(" | "));
        self.rows.push((part.to_owned(), row));
        self.write();
    }

    /// Says where the files are.
    pub fn end(&self) {
        println!("{}/{}.{{json,md}}", self.folder.display(), self.name);
    }

    fn write(&self) {
        let object =
            |row: &Row| row.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect::<Map<_, _>>();
        let rows: Vec<Value> = self.rows.iter().map(|(part, row)| json!({"part": part, "row": object(row)})).collect();
        let machine = json!({
            "version": env!("CARGO_PKG_VERSION"),
            "processors": std::thread::available_parallelism().map_or(0, usize::from),
            "build": if cfg!(debug_assertions) { "debug" } else { "release" },
        });
        let text = json!({"run": self.name, "machine": machine, "rows": rows});
        let path = |ending: &str| self.folder.join(format!("{}.{ending}", self.name));
        fs::write(path("json"), format!("{text:#}\n")).expect("the JSON is written");
        fs::write(path("md"), self.markdown()).expect("the table is written");
    }

    /// A table for each part and each set of columns in it.
    fn markdown(&self) -> String {
        let mut text = String::new();
        let mut head: Option<(&str, Vec<&str>)> = None;
        for (part, row) in &self.rows {
            let columns: Vec<&str> = row.iter().map(|(name, _)| *name).collect();
            let this = Some((part.as_str(), columns.clone()));
            if head != this {
                let dashes = "---|".repeat(columns.len());
                let _ = write!(text, "\n{part}\n\n| {} |\n|{dashes}\n", columns.join(" | "));
                head = this;
            }
            let cells: Vec<String> = row.iter().map(|(_, value)| shown(value)).collect();
            let _ = writeln!(text, "| {} |", cells.join(" | "));
        }
        text
    }
}

/// A value as people read it: thousands apart, fractions short.
fn shown(value: &Value) -> String {
    match value {
        Value::Number(number) => match (number.as_u64(), number.as_f64()) {
            (Some(whole), _) => grouped(whole),
            (None, Some(part)) => format!("{part:.2}"),
            _ => number.to_string(),
        },
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
