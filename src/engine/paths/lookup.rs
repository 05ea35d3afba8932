//! Finding the path and operation of a request in the table.

use crate::engine::paths::{Op, Path, TABLE, Variable};
use crate::engine::request::Operation;
use crate::error::{Error, Kind, Result};

/// Paths that are planned and not built: they are refused by name.
const LATER: &[&str] = &["issue", "approvals"];

/// A path that was found.
pub struct Match {
    /// The path.
    pub path: &'static Path,
    /// The operation.
    pub operation: &'static Op,
    /// What the variable matched.
    pub name: String,
}

/// Finds the path and operation of a request. The path has no leading slash; a list's may end in one.
pub fn find(path: &str, operation: Operation) -> Result<Match> {
    // One slash, not any number: a policy of a mounting vault for one spelling must not leave another one open.
    let trimmed = match operation {
        Operation::List => path.strip_suffix('/').unwrap_or(path),
        _ => path,
    };
    let mut known = false;
    for (path, name) in TABLE.iter().copied().flatten().filter_map(|entry| Some((entry, entry.matches(trimmed)?))) {
        known = true;
        let found = path.operations.iter().find(|op| op.operation == operation);
        // A list of a folder whose entries are named is found under the path without a name.
        if let Some(op) =
            found.filter(|op| op.operation == Operation::List || !name.is_empty() || path.variable == Variable::None)
        {
            return Ok(Match { path, operation: op, name: name.to_owned() });
        }
    }
    if LATER
        .iter()
        .any(|later| trimmed == *later || trimmed.strip_prefix(later).is_some_and(|rest| rest.starts_with('/')))
    {
        let word = LATER.iter().find(|later| trimmed.starts_with(**later)).copied().unwrap_or_default();
        return Err(Error::new(Kind::NotFound, format!("unsupported path: {word}/ is not built yet")));
    }
    match known {
        true => Err(Error::new(Kind::Unsupported, "unsupported operation")),
        false => Err(Error::new(Kind::NotFound, "unsupported path")),
    }
}

impl Path {
    /// What the variable matches in `path`, if the path fits.
    pub fn matches<'p>(&self, path: &'p str) -> Option<&'p str> {
        let rest = path.strip_prefix(self.prefix)?;
        match self.variable {
            Variable::None => rest.is_empty().then_some(""),
            Variable::Rest(_) if rest.is_empty() => Some(""),
            Variable::Rest(_) => rest.strip_prefix('/'),
            Variable::Name(_) => rest.strip_prefix('/').filter(|name| !name.is_empty() && !name.contains('/')),
        }
    }
    /// The path as it is shown to people: `roles/:name`.
    pub fn pattern(&self) -> String {
        match self.variable {
            Variable::None => self.prefix.to_owned(),
            Variable::Name(name) | Variable::Rest(name) => format!("{}/:{name}", self.prefix),
        }
    }
}
