//! The line of a database server: which history the store's writes belong to.
//!
//! Every promotion of a standby begins a new line. Where the standby had everything that was acknowledged nothing is lost, but a
//! node cannot see that from the database alone: burnt codes may be whole again. So a store that changes its line stops answering
//! until somebody who compared it with what this node remembers (audit tail, anchors) has approved of the new one.

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Name of one unbroken history of a database: for PostgreSQL the cluster's system identifier and its timeline.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Line(String);

impl Line {
    /// The line that a server calls `name`.
    pub fn new(name: impl Into<String>) -> Self {
        Line(name.into())
    }
    /// Its name.
    pub fn name(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The lines that a store has seen and the one that it trusts.
#[derive(Debug, Default)]
pub struct Lines(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    current: Option<Line>,
    approved: Option<Line>,
    /// Another line than the approved one was seen since it was approved. Seeing the approved one again does not undo that: two
    /// servers may take writes at the same time.
    changed: bool,
}

/// The store is on a line that nobody has approved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LineChanged {
    /// The line that was trusted, if any was.
    pub from: Option<Line>,
    /// The line seen last.
    pub to: Option<Line>,
}

impl Lines {
    /// No line seen yet. The first one seen is trusted as it is: what happened before this process began is not for it to know.
    pub fn new() -> Self {
        Self::default()
    }
    /// The line seen last.
    pub fn current(&self) -> Option<Line> {
        self.state().current.clone()
    }
    /// The line that is trusted.
    pub fn approved(&self) -> Option<Line> {
        self.state().approved.clone()
    }
    /// Whether the store may be used.
    ///
    /// # Errors
    /// [`LineChanged`] while a line was seen that nobody has approved.
    pub fn check(&self) -> Result<(), LineChanged> {
        self.state().check()
    }
    /// Trusts `line`, after its history was compared with what this node remembers. Any other line stops the store again.
    pub fn approve(&self, line: Line) {
        let mut state = self.state();
        state.changed = state.current.as_ref().is_some_and(|current| *current != line);
        state.approved = Some(line);
    }
    /// Trusts no line until one is approved: for a node that starts and remembers another one.
    pub fn distrust(&self) {
        let mut state = self.state();
        state.approved = None;
        state.changed = true;
    }
    /// Takes note of the line that the server named.
    ///
    /// # Errors
    /// [`LineChanged`] if it is not the one that is trusted, or another one was seen before.
    pub fn observe(&self, line: Line) -> Result<(), LineChanged> {
        let mut state = self.state();
        if !state.changed && state.approved.is_none() {
            state.approved = Some(line.clone());
        }
        state.changed |= state.approved.as_ref() != Some(&line);
        state.current = Some(line);
        state.check()
    }
    fn state(&self) -> MutexGuard<'_, State> {
        // Every step above leaves a whole state behind.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn check(&self) -> Result<(), LineChanged> {
        match self.changed {
            false => Ok(()),
            true => Err(LineChanged { from: self.approved.clone(), to: self.current.clone() }),
        }
    }
}

impl fmt::Display for LineChanged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = |line: &Option<Line>| line.as_ref().map_or_else(|| "none".to_owned(), Line::to_string);
        write!(
            f,
            "the database server's line changed from {} to {}: a standby was promoted or the database was restored, and what was \
             acknowledged may be missing; nothing is answered until the store was compared with this node's records",
            name(&self.from),
            name(&self.to)
        )
    }
}

impl std::error::Error for LineChanged {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_line_stops_the_store_until_it_is_approved() {
        let lines = Lines::new();
        let (one, two) = (Line::new("a/1"), Line::new("a/2"));
        assert_eq!(lines.observe(one.clone()), Ok(()));
        assert_eq!(lines.observe(one.clone()), Ok(()));
        let changed = LineChanged { from: Some(one.clone()), to: Some(two.clone()) };
        assert_eq!(lines.observe(two.clone()), Err(changed.clone()));
        assert_eq!(lines.check(), Err(changed));
        // An old connection that still speaks of the former line heals nothing.
        assert!(lines.observe(one.clone()).is_err());
        lines.approve(two.clone());
        assert!(lines.check().is_err(), "the line seen last is still the other one");
        assert!(lines.observe(two.clone()).is_err());
        lines.approve(two.clone());
        assert_eq!(lines.observe(two), Ok(()));
        assert!(lines.observe(one).is_err());
    }

    #[test]
    fn a_node_that_remembers_another_line_begins_without_trust() {
        let lines = Lines::new();
        lines.distrust();
        assert!(lines.observe(Line::new("a/1")).is_err());
        assert!(lines.check().is_err());
        lines.approve(Line::new("a/1"));
        assert_eq!(lines.observe(Line::new("a/1")), Ok(()));
    }
}
