//! Where a path leads: into the engine, to a handler of the host, or nowhere.

use super::call::{Call, Verb};
use super::routes::{self, Need, Place};
use crate::domain::role::Capability;
use crate::engine::paths::{self, Match};
use crate::engine::request::Operation;
use crate::error::Result;

/// Where a path leads.
pub(super) enum Route<'a> {
    /// Into the engine: the path below the mount, and what its table says of it.
    Engine(&'a str, Result<Match>),
    /// To a handler of the host; what the entry's `*` stands for.
    Host(&'static routes::Entry, &'a str),
    /// Nowhere.
    Unknown {
        /// Whether it lies in a mount, which has no such path.
        mounted: bool,
    },
}

impl<'a> Route<'a> {
    /// The route of `call`.
    pub(super) fn of(mount_path: &str, call: &'a Call) -> Route<'a> {
        // The mount may be named without its slash, as people do when they ask for help.
        let bare = mount_path.strip_suffix('/') == Some(&*call.path);
        if let Some(path) = if bare { Some("") } else { call.path.strip_prefix(mount_path) } {
            return Route::Engine(path, paths::find(path, operation(call.verb)));
        }
        match routes::find(&call.path) {
            Some((entry, rest)) => Route::Host(entry, rest),
            None => Route::Unknown { mounted: routes::mount_of(&call.path).is_some() },
        }
    }

    /// What the caller must bring. Whoever may not administer is not told which paths there are.
    pub(super) fn need(&self, verb: Verb) -> Need {
        match self {
            _ if verb == Verb::Help => Need::Token,
            Route::Engine(_, Ok(found)) if found.operation.need == paths::Need::Nothing => Need::Nothing,
            Route::Engine(..) => Need::Optional,
            Route::Host(entry, _) => entry.need,
            Route::Unknown { .. } => Need::Administer,
        }
    }

    /// The act on codes that it is.
    pub(super) fn act(&self) -> Option<&'static str> {
        match self {
            Route::Engine(_, Ok(found)) => match found.operation.need {
                paths::Need::Act(capability) => Some(capability.name()),
                _ => None,
            },
            _ => None,
        }
    }

    /// The account whose code a write to this path may give out.
    pub(super) fn discloses(&self) -> Option<&str> {
        match self {
            Route::Engine(_, Ok(found)) if found.operation.need == paths::Need::Act(Capability::Retrieve) => {
                Some(&found.name)
            }
            _ => None,
        }
    }

    /// The account whose codes the engine gives out, or makes, and whose answer it must know to be wrapped.
    pub(super) fn wraps(&self) -> Option<&str> {
        match self {
            Route::Engine(_, Ok(found)) if found.operation.need == paths::Need::Act(Capability::Store) => {
                Some(&found.name)
            }
            _ => self.discloses(),
        }
    }

    /// Whether a write to this path may give out a code.
    pub(super) fn may_disclose(&self) -> bool {
        self.discloses().is_some() || matches!(self, Route::Host(entry, _) if entry.place == Place::Unwrap)
    }

    /// Whether what is read there may leave only on the record.
    pub(super) fn reads_everything(&self) -> bool {
        matches!(self, Route::Host(entry, _) if matches!(entry.place, Place::Snapshot | Place::Doctor))
    }

    /// The path below the engine's mount.
    pub(super) fn engine_path(&self) -> Option<&'a str> {
        match self {
            Route::Engine(path, _) => Some(path),
            _ => None,
        }
    }

    /// The mount as audit names it, with its closing slash, and its type.
    pub(super) fn mount<'b>(&self, mount_path: &'b str, path: &str) -> (&'b str, &'static str) {
        match self {
            Route::Engine(..) => (mount_path, "sparekey"),
            _ => routes::mount_of(path).unwrap_or_default(),
        }
    }
}

/// The operation a verb stands for in the engine and in audit.
pub(super) fn operation(verb: Verb) -> Operation {
    match verb {
        Verb::List | Verb::Scan => Operation::List,
        Verb::Update | Verb::Patch => Operation::Update,
        Verb::Delete => Operation::Delete,
        Verb::Read | Verb::Head | Verb::Help => Operation::Read,
    }
}
