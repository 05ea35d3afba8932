//! What was measured, as it is kept in JSON below `target/side-by-side/`, one file a work, so that works can be run one by one.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// One lane of a work over so many connections, round after round.
#[derive(Clone, Serialize, Deserialize)]
pub struct Series {
    /// Who was driven: `sparekey`, `openbao`, `floor` …
    pub lane: String,
    /// What was sent, in words.
    pub words: String,
    pub connections: usize,
    /// Requests a second that were offered, or nothing where each connection sent as soon as it could.
    pub offered: Option<f64>,
    pub rounds: Vec<Round>,
}

/// One round. Times are in milliseconds, bytes and processor times for one act.
#[derive(Clone, Serialize, Deserialize)]
pub struct Round {
    pub rate: f64,
    pub acts: u64,
    pub p50: f64,
    pub p99: f64,
    pub p999: f64,
    pub longest: f64,
    /// The same without correction for coordinated omission.
    pub p99_uncorrected: f64,
    pub server_us: f64,
    pub client_us: f64,
    pub written: f64,
    pub resident_mb: f64,
    pub statuses: BTreeMap<u16, u64>,
}

/// A number that is not a rate over connections.
#[derive(Clone, Serialize, Deserialize)]
pub struct Figure {
    pub name: String,
    pub words: String,
    pub unit: String,
    pub values: Vec<f64>,
}

/// Everything of one work.
#[derive(Clone, Default, Serialize, Deserialize)]
pub struct Outcome {
    /// Seconds since 1970.
    pub at: u64,
    /// SHA-256 of the program that was measured.
    pub build: String,
    /// Whether it comes from a full run.
    pub full: bool,
    pub seconds: f64,
    pub series: Vec<Series>,
    pub figures: Vec<Figure>,
    /// Why nothing of it counts.
    pub void: Option<String>,
}

impl Series {
    /// The median over the rounds of whatever of a round.
    pub fn median(&self, of: impl Fn(&Round) -> f64) -> f64 {
        median(self.rounds.iter().map(of).collect())
    }
    /// Lowest and highest rate.
    pub fn spread(&self) -> (f64, f64) {
        let rates = self.rounds.iter().map(|round| round.rate);
        rates.fold((f64::INFINITY, 0.0), |(low, high), rate| (low.min(rate), high.max(rate)))
    }
}

impl Outcome {
    /// The series of this lane, over so many connections, with or without a fixed rate.
    pub fn series(&self, lane: &str, connections: usize, open: bool) -> Option<&Series> {
        let mut all = self.series.iter();
        all.find(|one| one.lane == lane && one.connections == connections && one.offered.is_some() == open)
    }
    /// The median of a figure.
    pub fn figure(&self, name: &str) -> Option<f64> {
        self.figures.iter().find(|figure| figure.name == name).map(|figure| median(figure.values.clone()))
    }
    /// Adds a figure.
    pub fn note(&mut self, name: &str, words: &str, unit: &str, values: Vec<f64>) {
        let (name, words, unit) = (name.to_owned(), words.to_owned(), unit.to_owned());
        self.figures.push(Figure { name, words, unit, values });
    }
}

/// The middle one; between the two in the middle where their number is even.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => f64::NAN,
        odd if odd % 2 == 1 => values[odd / 2],
        even => f64::midpoint(values[even / 2 - 1], values[even / 2]),
    }
}

/// A folder of outcomes.
pub struct Kept {
    folder: PathBuf,
}

impl Kept {
    /// Below `target/`, those of each form apart.
    pub fn new(form: &str) -> Self {
        let target = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("side-by-side");
        Self::at(target.join(form))
    }
    /// In this folder.
    pub fn at(folder: PathBuf) -> Self {
        fs::create_dir_all(&folder).expect("a folder for results");
        Kept { folder }
    }
    pub fn folder(&self) -> &Path {
        &self.folder
    }
    pub fn save(&self, work: &str, outcome: &Outcome) {
        let text = serde_json::to_string_pretty(outcome).expect("JSON");
        fs::write(self.folder.join(format!("{work}.json")), text + "\n").expect("a file of results");
    }
    pub fn load(&self, work: &str) -> Option<Outcome> {
        let text = fs::read_to_string(self.folder.join(format!("{work}.json"))).ok()?;
        serde_json::from_str(&text).ok()
    }
}
