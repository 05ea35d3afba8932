//! Acts, summed up by who did them, and the codes that left last.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::Collect;
use super::sheet::{Column, Grade, Kind, Row, Sheet, Table, Worst};
use super::text::{counted, of, when};

/// Most people that are told apart; acts of further ones are summed up together.
const MOST_PEOPLE: usize = 10_000;

const PEOPLE: &[Column] = &[
    Column::new("SUBJECT", Kind::Head),
    Column::new("ROLE", Kind::Aside),
    Column::new("CODES", Kind::Number),
    Column::new("ACTS", Kind::Said),
    Column::new("LAST (UTC)", Kind::Aside),
];
const LATEST: &[Column] = &[
    Column::new("AT (UTC)", Kind::Head),
    Column::new("ACCOUNT", Kind::Head),
    Column::new("ACT", Kind::Aside),
    Column::new("SET/SLOT", Kind::Aside),
    Column::new("SUBJECT", Kind::Said),
    Column::new("ROLE", Kind::Aside),
    Column::new("REQUEST", Kind::Exact),
];

/// What one subject did under one role.
#[derive(Default)]
struct Done {
    acts: BTreeMap<String, u64>,
    last: String,
}

impl Done {
    fn codes(&self) -> u64 {
        ["retrieve", "verify"].iter().filter_map(|act| self.acts.get(*act)).sum()
    }
}

/// Collects sums and the latest disclosures.
pub struct Acts {
    rows: usize,
    people: BTreeMap<(String, String), Done>,
    latest: Worst<Reverse<String>>,
    acts: u64,
    codes: u64,
    wrong: u64,
    at: String,
}

impl Acts {
    /// Shows `rows` rows of each table.
    pub fn new(rows: usize) -> Self {
        Acts { rows, people: BTreeMap::new(), latest: Worst::new(rows), acts: 0, codes: 0, wrong: 0, at: String::new() }
    }
}

impl Collect for Acts {
    fn page(&mut self, data: &Map<String, Value>) {
        self.at = data.get("at").map(when).unwrap_or_default();
    }

    fn row(&mut self, act: &Value) {
        self.acts += 1;
        let (who, role) = (of(&act["actor"]["subject"]), of(&act["actor"]["role"]));
        let wrong = act["act"] == "verify" && act["detail"]["valid"] == false;
        let name = if wrong { "wrong code".to_owned() } else { of(&act["act"]) };
        let code = matches!(name.as_str(), "retrieve" | "verify");
        self.codes += u64::from(code);
        self.wrong += u64::from(wrong);
        let key = (if who.is_empty() { "–".to_owned() } else { who.clone() }, role.clone());
        let full = self.people.len() >= MOST_PEOPLE && !self.people.contains_key(&key);
        let done = self.people.entry(if full { ("others".to_owned(), String::new()) } else { key }).or_default();
        *done.acts.entry(name.clone()).or_default() += 1;
        let at = of(&act["at"]);
        if at > done.last {
            done.last.clone_from(&at);
        }
        if code {
            let slot = match (act["generation"].as_u64(), act["slot"].as_u64()) {
                (Some(generation), Some(slot)) => format!("{generation}/{slot}"),
                _ => String::new(),
            };
            let again = if act["repeat"] == true { format!("{name} again") } else { name };
            let cells = [when(&act["at"]), of(&act["account"]), again, slot, who, role, of(&act["request_id"])];
            let mut cells: Vec<Vec<String>> = cells.into_iter().map(|cell| vec![cell]).collect();
            let reason = of(&act["reason"]);
            if !reason.is_empty() {
                cells[4].push(format!("“{reason}”"));
            }
            self.latest.push(Reverse(format!("{at} {}", self.acts)), Row { grade: Grade::Fine, cells });
        }
    }

    fn sheet(self: Box<Self>) -> Sheet {
        let people = self.people.len() as u64;
        let mut worst = Worst::new(self.rows);
        for ((who, role), done) in self.people {
            let mut acts: Vec<_> = done.acts.iter().collect();
            acts.sort_by_key(|(name, count)| (Reverse(**count), (*name).clone()));
            let acts: Vec<_> = acts.into_iter().map(|(name, count)| format!("{name} {count}")).collect();
            let wrong = done.acts.get("wrong code").copied().unwrap_or(0);
            let grade = if wrong > 0 { Grade::Soon } else { Grade::Fine };
            let last = when(&Value::from(done.last.clone()));
            let cells = vec![
                vec![who.clone()],
                vec![role.clone()],
                vec![done.codes().to_string()],
                vec![acts.join(", ")],
                vec![last],
            ];
            worst.push((Reverse(done.codes()), Reverse(wrong), who, role), Row { grade, cells });
        }
        let (rows, left_out) = worst.done();
        let (latest, more) = self.latest.done();
        let plural = |count: u64, one: &str| {
            counted(count, one).split_once(' ').map(|(_, word)| word.to_owned()).unwrap_or_default()
        };
        let mut counts = vec![
            (Grade::Fine, self.codes, format!("{} given out or accepted", plural(self.codes, "code"))),
            (Grade::Fine, self.acts, format!("{} in all", plural(self.acts, "act"))),
            (Grade::Fine, people, "who did them, by subject and role".to_owned()),
        ];
        if self.wrong > 0 {
            counts.insert(1, (Grade::Soon, self.wrong, format!("wrong {} presented", plural(self.wrong, "code"))));
        }
        Sheet {
            title: "Usage",
            place: String::new(),
            at: self.at,
            counts,
            tables: vec![
                Table {
                    heading: "Who did what".to_owned(),
                    columns: PEOPLE,
                    rows,
                    left_out,
                    none: "Nobody did anything.",
                },
                Table {
                    heading: "Codes given out or accepted, the latest first".to_owned(),
                    columns: LATEST,
                    rows: latest,
                    left_out: more,
                    none: "No code left and none was accepted.",
                },
            ],
            notes: vec![
                "A request's id is the one in the audit log of the server, or of the vault that mounts the engine."
                    .to_owned(),
            ],
        }
    }
}
