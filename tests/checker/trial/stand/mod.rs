//! Where a trial takes place: an engine in one of its forms, and what can be broken of it.

mod audited;
pub mod damage;
pub mod layered;
pub mod mounted;
mod one_writer;
mod peer;
pub mod postgres;
pub mod redb;
mod room;
mod steps;

use crate::support::corpus::Dice;

use super::cast::Door;
use super::log::{Finding, Log};

/// What was broken, and what was found wrong while it was.
#[derive(Default)]
pub struct Broken {
    /// Nothing if there was nothing to break.
    pub kind: Option<String>,
    pub findings: Vec<Finding>,
}

impl Broken {
    /// It was broken, and nothing was wrong.
    pub fn of(kind: &str) -> Self {
        Broken { kind: Some(kind.to_owned()), findings: Vec::new() }
    }
}

/// An engine that can be broken.
pub trait Stand {
    /// Its form in a word.
    fn name(&self) -> &'static str;
    /// Whether a vault mounts it.
    fn is_mounted(&self) -> bool {
        false
    }
    /// Whether its clock is moved.
    fn steps_clock(&self) -> bool {
        false
    }
    /// Whether its store writes a list one by one.
    fn writes_in_order(&self) -> bool {
        false
    }
    /// A straight way to each node.
    fn doors(&self) -> Vec<Door>;
    /// The ways that this client takes: for some they lead through a proxy.
    fn ways(&self, client: usize) -> Vec<Door>;
    /// Breaks something, as the dice fall; these are the accounts.
    fn fault(&mut self, dice: &Dice, accounts: &[String]) -> Broken;
    /// Makes everything whole again.
    fn settle(&mut self);
    /// What was found wrong so far.
    fn findings(&mut self) -> Vec<Finding> {
        Vec::new()
    }
    /// Ends it and looks at what it leaves.
    fn end(&mut self, log: &Log) -> Vec<Finding>;
    /// What was done to connections on their way, and how often.
    fn passed(&self) -> Vec<(String, usize)>;
}
