//! Random operations, compared with a plain map after each.

use std::collections::{BTreeMap, BTreeSet};

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use sparekey::random::SeededRandom;
use sparekey::storage::{Change, Expect, Found, Get, PutError, Revision, Storage, Write};

use crate::backends::Backend;

/// Names that meet as accounts and as folders, and around the slash in byte order.
const NAMES: [&str; 9] = ["a", "a/a", "a/a/b", "a/b", "a-", "a0", "b", "b/a", "b/a.b"];
const SEED: [u8; 32] = [42; 32];

#[derive(Debug, Clone)]
enum Operation {
    Put(Vec<Step>),
    Get(Vec<(usize, bool)>),
    List { prefix: usize, after: Option<usize>, limit: usize },
}

/// One write: of which name, whether it expects what is true, and what it does.
#[derive(Debug, Clone)]
struct Step {
    name: usize,
    expects: Expects,
    does: Does,
}

#[derive(Debug, Clone, Copy)]
enum Expects {
    Truth,
    Absence,
    Former,
    Nonsense,
}

#[derive(Debug, Clone)]
enum Does {
    Put(Vec<u8>),
    Delete,
    Check,
}

fn operation() -> impl Strategy<Value = Operation> {
    let expects = prop_oneof![
        8 => Just(Expects::Truth),
        1 => Just(Expects::Absence),
        1 => Just(Expects::Former),
        1 => Just(Expects::Nonsense),
    ];
    let does = prop_oneof![
        5 => vec(any::<u8>(), 0..40).prop_map(Does::Put),
        2 => Just(Does::Delete),
        1 => Just(Does::Check),
    ];
    let step = (0..NAMES.len(), expects, does).prop_map(|(name, expects, does)| Step { name, expects, does });
    prop_oneof![
        4 => vec(step, 0..5).prop_map(Operation::Put),
        2 => vec((0..NAMES.len(), any::<bool>()), 0..6).prop_map(Operation::Get),
        2 => (0..4usize, proptest::option::of(0..NAMES.len()), 0..6usize)
            .prop_map(|(prefix, after, limit)| Operation::List { prefix, after, limit }),
    ]
}

#[derive(Default)]
struct Model {
    map: BTreeMap<String, (Vec<u8>, Revision)>,
    former: BTreeMap<String, Revision>,
}

impl Model {
    /// Carries out `writes`, all or none, or up to the conflict.
    fn put(&mut self, writes: &[Write], atomic: bool) -> Option<usize> {
        let mut map = self.map.clone();
        for (index, write) in writes.iter().enumerate() {
            let now = map.get(&write.key).map(|(_, revision)| *revision);
            let holds = match write.expect {
                Expect::Absent => now.is_none(),
                Expect::At(revision) => now == Some(revision),
            };
            if !holds {
                if !atomic {
                    self.map = map;
                }
                return Some(index);
            }
            self.former.extend(now.map(|revision| (write.key.clone(), revision)));
            match &write.change {
                Change::Put { value, revision } => drop(map.insert(write.key.clone(), (value.clone(), *revision))),
                Change::Delete => drop(map.remove(&write.key)),
                Change::Check => {}
            }
        }
        self.map = map;
        None
    }
    fn list(&self, prefix: &str, after: Option<&str>, limit: usize) -> Vec<String> {
        let entries: BTreeSet<String> = self
            .map
            .keys()
            .filter_map(|key| key.strip_prefix(prefix))
            .map(|rest| rest.split_once('/').map_or(rest.to_owned(), |(folder, _)| format!("{folder}/")))
            .filter(|entry| after.is_none_or(|after| entry.as_str() > after))
            .collect();
        entries.into_iter().take(limit).collect()
    }
    /// The writes that `steps` mean now, each in sight of those before it.
    fn writes(&self, steps: &[Step], root: &str, random: &SeededRandom) -> Vec<Write> {
        let mut now: BTreeMap<String, Revision> =
            self.map.iter().map(|(key, (_, revision))| (key.clone(), *revision)).collect();
        let write = |step: &Step| {
            let key = format!("{root}{}", NAMES[step.name]);
            let truth = now.get(&key).map_or(Expect::Absent, |revision| Expect::At(*revision));
            let expect = match step.expects {
                Expects::Truth => truth,
                Expects::Absence => Expect::Absent,
                Expects::Former => self.former.get(&key).map_or(truth, |revision| Expect::At(*revision)),
                Expects::Nonsense => Expect::At(Revision([9; 16])),
            };
            let change = match &step.does {
                Does::Put(value) => {
                    let revision = Revision::new(random);
                    now.insert(key.clone(), revision);
                    Change::Put { value: value.clone(), revision }
                }
                Does::Delete => {
                    now.remove(&key);
                    Change::Delete
                }
                Does::Check => Change::Check,
            };
            Write { key, expect, change }
        };
        steps.iter().map(write).collect()
    }
}

async fn agrees(store: &dyn Storage, atomic: bool, root: &str, operations: &[Operation]) -> Result<(), TestCaseError> {
    let random = SeededRandom::new(77);
    let mut model = Model::default();
    for operation in operations {
        match operation {
            Operation::Put(steps) => {
                let writes = model.writes(steps, root, &random);
                let conflict = match store.put_all(writes.clone()).await {
                    Ok(()) => None,
                    Err(PutError::Conflict { index }) => Some(index),
                    Err(other) => return Err(TestCaseError::fail(other.to_string())),
                };
                prop_assert_eq!(conflict, model.put(&writes, atomic));
            }
            Operation::Get(names) => {
                let held = |name: &usize| model.map.get(&format!("{root}{}", NAMES[*name]));
                let gets = names.iter().map(|(name, knows)| Get {
                    key: format!("{root}{}", NAMES[*name]),
                    known: held(name).filter(|_| *knows).map(|(_, revision)| *revision),
                });
                let expected = names.iter().map(|(name, knows)| match held(name) {
                    None => Found::Absent,
                    Some(_) if *knows => Found::Unchanged,
                    Some((value, revision)) => Found::Value(value.clone(), *revision),
                });
                prop_assert_eq!(store.get_many(gets.collect()).await.unwrap(), expected.collect::<Vec<_>>());
            }
            Operation::List { prefix, after, limit } => {
                let prefix = format!("{root}{}", ["", "a/", "a/a/", "b/"][*prefix]);
                let after = after.map(|name| NAMES[name]);
                let found = store.list(&prefix, after, *limit).await.unwrap();
                prop_assert_eq!(found, model.list(&prefix, after, *limit));
            }
        }
    }
    // The whole state at the end.
    let keys: Vec<String> = NAMES.iter().map(|name| format!("{root}{name}")).collect();
    let found = store.get_many(keys.iter().map(Get::new).collect()).await.unwrap();
    let expected = keys.iter().map(|key| {
        model.map.get(key).map_or(Found::Absent, |(value, revision)| Found::Value(value.clone(), *revision))
    });
    prop_assert_eq!(found, expected.collect::<Vec<_>>());
    Ok(())
}

/// Runs on one store, each case below a folder of its own, so that a store on disk is opened once. The cases are the same
/// each time; a failing one is made smaller before it is shown.
pub async fn random_operations_agree_with_the_model(backend: &Backend) {
    let config = Config { cases: 128, failure_persistence: None, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &SEED));
    let cases = std::cell::Cell::new(0);
    let outcome = tokio::task::block_in_place(|| {
        runner.run(&vec(operation(), 1..25), |operations| {
            cases.set(cases.get() + 1);
            let root = format!("case-{}/", cases.get());
            let runtime = tokio::runtime::Handle::current();
            runtime.block_on(agrees(backend.store.as_ref(), backend.atomic, &root, &operations))
        })
    });
    outcome.unwrap_or_else(|failure| panic!("{failure}"));
    assert!(cases.get() >= 128);
}
