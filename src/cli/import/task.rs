//! One account to import: where its codes stand, and what is sent with them.

use std::path::PathBuf;

use super::Args;
use crate::cli::client::Failure;
use crate::domain::name::AccountName;
use crate::domain::time::Timestamp;

/// One account to import.
#[derive(Debug, Clone)]
pub(super) struct Task {
    /// The account.
    pub account: AccountName,
    /// The file with its codes, or `-`.
    pub file: PathBuf,
    /// The item of the file, where it is an export.
    pub item: Option<String>,
    /// The field of that item.
    pub field: Option<String>,
    /// Slots that are used up; given means that ticked boxes in the file mean nothing.
    pub used: Option<Vec<usize>>,
    /// The highest generation expected.
    pub cas: Option<u64>,
    /// Profile, where the account is new.
    pub profile: Option<String>,
    /// When the codes were known to be the provider's.
    pub bound_at: Option<Timestamp>,
    /// The enrollment after which they were made.
    pub enrollment: Option<u64>,
    /// Who else has seen them.
    pub custody: Option<String>,
    /// Its line in the mapping file.
    pub line: Option<usize>,
}

impl Task {
    /// What the arguments say of an account `account` whose codes are in `file`; a mapping's line may say more.
    pub fn new(args: &Args, account: &str, file: PathBuf) -> Result<Self, Failure> {
        Ok(Task {
            account: AccountName::parse(account).map_err(|error| Failure::local(error.public()))?,
            file,
            item: args.item.clone(),
            field: args.field.clone(),
            used: args.used.as_deref().map(|text| used("--used", text)).transpose()?,
            cas: args.cas,
            profile: args.profile.clone(),
            bound_at: args.bound_at.as_deref().map(|text| bound_at("--bound-at", text)).transpose()?,
            enrollment: args.enrollment,
            custody: args.custody.clone(),
            line: None,
        })
    }
}

/// A time; `what` names where it was given.
pub(super) fn bound_at(what: &str, text: &str) -> Result<Timestamp, Failure> {
    Timestamp::parse(text)
        .ok_or_else(|| Failure::local(format!("{what} must be a time such as 2026-07-01T12:00:00Z, or Unix seconds")))
}

/// `1,3`, `1 3` or `none`.
pub(super) fn used(what: &str, text: &str) -> Result<Vec<usize>, Failure> {
    if text.trim() == "none" {
        return Ok(Vec::new());
    }
    let parts = text.split([',', ' ']).map(str::trim).filter(|part| !part.is_empty());
    let slots: Option<Vec<usize>> = parts.map(|slot| slot.parse().ok().filter(|slot| *slot > 0)).collect();
    slots
        .filter(|slots| !slots.is_empty())
        .ok_or_else(|| Failure::local(format!("{what} must be numbers of codes, such as 1,3, or \"none\"")))
}
