//! The figures of many rounds: by form and altogether, as a file to which a later run adds.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::Outcome;
use super::judge::Kind;

/// What rounds came to.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Figures {
    pub rounds: usize,
    /// How long clients acted.
    pub seconds: f64,
    /// Acts that clients began.
    pub acts: usize,
    /// Requests that were sent and heard.
    pub tries: usize,
    /// Processes that were killed: of our own servers and plugins, of vaults, of databases.
    pub kills: usize,
    /// Codes that clients saw or had accepted.
    pub seen: usize,
    /// Codes that were burnt and that nobody saw.
    pub unseen: usize,
    /// Codes that were wrapped and never opened.
    pub unopened: usize,
    /// Entries of histories that were compared.
    pub entries: usize,
    /// What was broken how often.
    pub faults: BTreeMap<String, usize>,
    /// What was found wrong how often, every kind named.
    pub judged: BTreeMap<String, usize>,
}

/// The rounds of one form.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Part {
    #[serde(flatten)]
    pub figures: Figures,
    /// What each round was drawn from.
    pub seeds: Vec<u64>,
}

/// All rounds of one build.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tally {
    /// SHA-256 of the server that was tried: figures of two builds do not add up.
    pub server: String,
    /// Everything together.
    #[serde(default)]
    pub all: Figures,
    /// By form.
    #[serde(default)]
    pub forms: BTreeMap<String, Part>,
}

impl Figures {
    /// Those of one round.
    pub fn of(outcome: &Outcome, seconds: f64) -> Self {
        let verdict = &outcome.verdict;
        let judged = Kind::ALL.into_iter().map(|kind| (kind.words().to_owned(), verdict.count(kind)));
        Figures {
            rounds: 1,
            seconds,
            acts: outcome.acts,
            tries: outcome.log.tries.len(),
            kills: outcome.faults.iter().filter(|(kind, _)| is_kill(kind)).map(|(_, count)| count).sum(),
            seen: verdict.seen,
            unseen: verdict.unseen,
            unopened: verdict.unopened,
            entries: verdict.entries,
            faults: outcome.faults.clone(),
            judged: judged.collect(),
        }
    }
    /// How much was found wrong.
    pub fn breaches(&self) -> usize {
        self.judged.values().sum()
    }
    fn add(&mut self, other: &Figures) {
        self.rounds += other.rounds;
        self.seconds += other.seconds;
        self.acts += other.acts;
        self.tries += other.tries;
        self.kills += other.kills;
        self.seen += other.seen;
        self.unseen += other.unseen;
        self.unopened += other.unopened;
        self.entries += other.entries;
        for (into, from) in [(&mut self.faults, &other.faults), (&mut self.judged, &other.judged)] {
            from.iter().for_each(|(name, count)| *into.entry(name.clone()).or_default() += count);
        }
    }
}

/// Whether this fault ends a process by SIGKILL.
fn is_kill(fault: &str) -> bool {
    ["node killed", "plugin killed", "vault killed", "database killed"].iter().any(|kill| fault.starts_with(kill))
}

impl Tally {
    /// Nothing so far, of this server.
    ///
    /// # Errors
    /// If the server's file cannot be read.
    pub fn new(server: &Path) -> io::Result<Self> {
        let server = hex::encode(Sha256::digest(fs::read(server)?));
        Ok(Tally { server, ..Tally::default() })
    }
    /// What `file` holds already, if it is there.
    ///
    /// # Errors
    /// If it is no such file, or tells of another build.
    pub fn go_on(self, file: &Path) -> io::Result<Self> {
        let kept: Tally = match File::open(file) {
            Ok(file) => serde_json::from_reader(io::BufReader::new(file))?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(self),
            Err(error) => return Err(error),
        };
        match kept.server == self.server {
            true => Ok(kept),
            false => {
                let words = format!("{} tells of another build of the server; name a new file", file.display());
                Err(io::Error::other(words))
            }
        }
    }
    /// Takes in a round.
    pub fn add(&mut self, form: &str, seed: u64, figures: &Figures) {
        let part = self.forms.entry(form.to_owned()).or_default();
        part.figures.add(figures);
        part.seeds.push(seed);
        self.all.add(figures);
    }
    /// A number from which no round was drawn yet, nor from a higher one.
    pub fn next_seed(&self) -> Option<u64> {
        self.forms.values().flat_map(|part| part.seeds.iter().copied()).max().map(|last| last + 1)
    }
    /// Writes it down whole, or leaves what was there.
    ///
    /// # Errors
    /// If that fails.
    pub fn keep(&self, file: &Path) -> io::Result<()> {
        if let Some(folder) = file.parent() {
            fs::create_dir_all(folder)?;
        }
        let beside = file.with_extension("new");
        fs::write(&beside, serde_json::to_vec_pretty(self)?)?;
        fs::rename(beside, file)
    }
    /// In a line.
    pub fn line(&self) -> String {
        let of = |(name, part): (&String, &Part)| {
            let Figures { acts, kills, seconds, .. } = &part.figures;
            format!("{name} {acts} ({:.0}/s, {kills} kills)", *acts as f64 / seconds.max(1.0))
        };
        let forms: Vec<String> = self.forms.iter().map(of).collect();
        let Figures { acts, kills, .. } = &self.all;
        format!("SO FAR: {acts} acts, {kills} kills, {} breaches: {}", self.all.breaches(), forms.join(", "))
    }
    /// In full.
    pub fn text(&self) -> String {
        let all = &self.all;
        let mut text = format!(
            "ALL: {} acts in {:.0} s of {} rounds, {} tries, {} kills; {} codes seen or accepted, {} burnt and seen by nobody, {} \
             wrapped and never opened; {} entries compared\n",
            all.acts, all.seconds, all.rounds, all.tries, all.kills, all.seen, all.unseen, all.unopened, all.entries
        );
        all.faults.iter().for_each(|(kind, count)| text += &format!("  fault  {count:>8}  {kind}\n"));
        all.judged.iter().for_each(|(kind, count)| text += &format!("  judged {count:>8}  {kind}\n"));
        for (form, part) in &self.forms {
            text += &format!("  seeds of {form}: {}\n", ranges(&part.seeds));
        }
        text
    }
}

/// Numbers in few words.
fn ranges(numbers: &[u64]) -> String {
    let mut sorted = numbers.to_vec();
    sorted.sort_unstable();
    sorted.dedup();
    let runs = sorted.chunk_by(|one, next| *next == one + 1);
    let words = runs.map(|run| match run {
        [only] => only.to_string(),
        _ => format!("{}-{}", run[0], run[run.len() - 1]),
    });
    words.collect::<Vec<_>>().join(", ")
}
