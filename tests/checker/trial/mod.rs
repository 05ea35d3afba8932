//! A trial: clients act at random on one engine while it is being broken, everything is written down, and a judge says what was wrong.
//!
//! What is asked and what is broken follows from a seed: each client, the operator, the proxy and the faults have dice of their own.
//! What these choose from (which code was seen, which generation was heard of) and in which order requests meet depends on timing,
//! so a seed gives the same kinds of acts and faults at the same moments, and not the same run byte by byte. The log of a run is
//! judged the same however often.

#![allow(dead_code, reason = "test and bench each use their part of it")]

pub mod books;
pub mod cast;
pub mod client;
pub mod draw;
pub mod judge;
pub mod log;
pub mod operator;
pub mod proxy;
pub mod stand;
pub mod tally;
pub mod world;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread::{scope, sleep};
use std::time::{Duration, Instant};

use crate::support::corpus::Dice;
use client::{Player, Stage};
use judge::{Kind, Verdict, judge};
use log::{Fault, Finding, Line, Log, Terms};
use operator::Operator;
use stand::Stand;
use world::World;

/// How a trial goes.
#[derive(Clone)]
pub struct Trial {
    /// What everything is drawn from.
    pub seed: u64,
    /// How long clients act.
    pub length: Duration,
    /// Clients that act at the same time.
    pub clients: usize,
    /// Accounts that they meet at.
    pub accounts: usize,
    /// From one fault to the next, at most.
    pub every: Duration,
    /// Whether to say on standard error how far it is, every so often.
    pub tells: bool,
}

/// How often.
const TELLING: Duration = Duration::from_secs(10);

/// What came of a trial.
pub struct Outcome {
    /// Everything that was written down.
    pub log: Log,
    /// What the judge says.
    pub verdict: Verdict,
    /// Acts that clients began.
    pub acts: usize,
    /// How often what was broken.
    pub faults: BTreeMap<String, usize>,
}

impl Trial {
    /// Carries it out.
    pub fn run(&self, stand: &mut dyn Stand) -> Outcome {
        let doors = stand.doors();
        let stage = Stage {
            world: World::new(self.accounts),
            cast: cast::Cast::new(&doors[0], self.clients),
            began: Instant::now(),
            over: AtomicBool::new(false),
            acts: AtomicUsize::new(0),
            unheard: AtomicUsize::new(0),
            mounted: stand.is_mounted(),
        };
        let (lines, written) = mpsc::channel::<Line>();
        let terms = Terms {
            seed: self.seed,
            form: stand.name().to_owned(),
            mounted: stand.is_mounted(),
            clock_steps: stand.steps_clock(),
            in_order: stand.writes_in_order(),
            accounts: stage.world.manners(),
        };
        let dice = |part: u64| Dice::new(self.seed.wrapping_mul(0x9e37_79b9).wrapping_add(part));
        let mut log = Log { terms, ..Log::default() };
        let mut finish = Vec::new();
        scope(|threads| {
            let writer = threads.spawn(move || written.into_iter().collect::<Vec<Line>>());
            for number in 0..self.clients {
                let doors = stand.ways(number);
                let player =
                    Player { stage: &stage, doors, number, dice: dice(number as u64 + 10), log: lines.clone() };
                threads.spawn(move || player.play());
            }
            let operator = Operator { stage: &stage, doors: doors.clone(), dice: dice(1), log: lines.clone() };
            threads.spawn(move || operator.play());
            finish = self.break_things(stand, &stage, &dice(2), &lines);
            stage.over.store(true, Ordering::SeqCst);
            drop(lines);
            let lines = writer.join().expect("writing down does not panic");
            lines.into_iter().for_each(|line| log.push(line));
        });
        stand.settle();
        finish.extend(stand.findings());
        log.findings.extend(finish);
        let doors = stand.doors();
        for account in log.terms.accounts.keys() {
            match books::read(&doors[0], account) {
                Ok(book) => log.books.push(book),
                Err(words) => log.findings.push(Finding { kind: Kind::Lost, words }),
            }
        }
        log.findings.extend(stand.end(&log));
        let mut faults: BTreeMap<String, usize> = BTreeMap::new();
        for fault in &log.faults {
            *faults.entry(fault.kind.clone()).or_default() += 1;
        }
        stand.passed().into_iter().for_each(|(kind, count)| *faults.entry(kind).or_default() += count);
        Outcome { verdict: judge(&log), acts: stage.acts.load(Ordering::SeqCst), faults, log }
    }

    /// Breaks one thing after the other until the time is up.
    fn break_things(
        &self,
        stand: &mut dyn Stand,
        stage: &Stage,
        dice: &Dice,
        lines: &mpsc::Sender<Line>,
    ) -> Vec<Finding> {
        let accounts: Vec<String> = stage.world.manners().into_keys().collect();
        let mut findings = Vec::new();
        let (mut broken, mut told) = (0, Duration::ZERO);
        while stage.began.elapsed() < self.length {
            if self.tells && stage.began.elapsed() >= told + TELLING {
                told = stage.began.elapsed();
                let acts = stage.acts.load(Ordering::Relaxed);
                eprintln!("  {}, seed {}: {} s, {acts} acts, {broken} faults", stand.name(), self.seed, told.as_secs());
            }
            let pause = self.every.as_millis() as usize;
            let pause = Duration::from_millis((pause / 4 + dice.below(pause)) as u64);
            let left = self.length.saturating_sub(stage.began.elapsed());
            sleep(pause.min(left));
            if pause > left {
                break;
            }
            let at = stage.micros();
            let done = stand.fault(dice, &accounts);
            findings.extend(done.findings);
            if let Some(kind) = done.kind {
                broken += 1;
                let _ = lines.send(Line::Fault(Fault { at, until: stage.micros(), kind }));
            }
        }
        findings
    }
}

impl Outcome {
    /// Everything of note in some lines.
    pub fn figures(&self) -> String {
        let mut text = format!(
            "{} acts, {} tries; {} codes seen or accepted, {} burnt and seen by nobody, {} wrapped and never opened; {} entries \
             compared\n",
            self.acts,
            self.log.tries.len(),
            self.verdict.seen,
            self.verdict.unseen,
            self.verdict.unopened,
            self.verdict.entries
        );
        for (kind, count) in &self.faults {
            text += &format!("  fault  {count:>6}  {kind}\n");
        }
        for kind in Kind::ALL {
            text += &format!("  judged {:>6}  {}\n", self.verdict.count(kind), kind.words());
        }
        text
    }
}
