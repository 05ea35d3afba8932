//! What all clients know together: what was stored, told, wrapped and given out, so that they get in each other's way on purpose.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard};

use super::log::{Asked, Manner};

/// Most things of a kind that are remembered of an account.
const REMEMBERED: usize = 24;

/// An account as clients know it.
#[derive(Default)]
pub struct View {
    /// The highest generation that was heard of.
    pub generation: u64,
    /// The latest enrollment that was heard of.
    pub enrollment: u64,
    /// Files that were brought, or tried.
    pub files: Vec<Vec<String>>,
    /// Codes that were made here and shown.
    pub made: Vec<String>,
    /// Places of codes that left.
    pub given: Vec<(u64, u64)>,
    /// Wrapping tokens, each with the act that got it.
    pub wraps: Vec<(String, String)>,
    /// Events and enrollments, to be told again.
    pub told: Vec<Told>,
}

/// An event or enrollment that was told.
#[derive(Clone)]
pub struct Told {
    pub asked: Asked,
    /// Of an event: the signed token.
    pub set: Option<String>,
}

/// All accounts, and the tokens of logins.
pub struct World {
    accounts: Vec<(String, Manner, Mutex<View>)>,
    /// By the act that got it, a token.
    pub tokens: Mutex<Vec<(String, String)>>,
}

impl World {
    /// So many accounts of every manner in turn.
    pub fn new(accounts: usize) -> Self {
        let account = |number: usize| {
            let manner = Manner::ALL[number % Manner::ALL.len()];
            (format!("okta/a{number}@example.com"), manner, Mutex::default())
        };
        World { accounts: (0..accounts).map(account).collect(), tokens: Mutex::default() }
    }
    /// How many there are.
    pub fn len(&self) -> usize {
        self.accounts.len()
    }
    /// The name of one.
    pub fn name(&self, index: usize) -> &str {
        &self.accounts[index].0
    }
    /// How its sets live.
    pub fn manner(&self, index: usize) -> Manner {
        self.accounts[index].1
    }
    /// What is known of it.
    pub fn view(&self, index: usize) -> MutexGuard<'_, View> {
        self.accounts[index].2.lock().expect("no client panicked")
    }
    /// How the sets of each live.
    pub fn manners(&self) -> BTreeMap<String, Manner> {
        self.accounts.iter().map(|(name, manner, _)| (name.clone(), *manner)).collect()
    }
}

/// Adds to what is remembered, and forgets the oldest.
pub fn remember<T>(list: &mut Vec<T>, one: T) {
    if list.len() >= REMEMBERED {
        list.remove(0);
    }
    list.push(one);
}
