//! What a request costs, counted and not timed: allocations, calls of the store, bytes, commits and fsyncs, each with a ceiling a
//! little above what it is. Whoever adds a second read of the store, copies a body once more or writes a longer line is told here,
//! on any machine and however busy it is.
//!
//! A ceiling that an improvement leaves far above the figure is to be lowered; one that has to be raised needs a reason.

#[path = "../inprocess/mod.rs"]
mod inprocess;
#[path = "../support/mod.rs"]
mod support;

mod acts;
mod crowd;
mod event;
mod line;
mod place;
mod waiting;

use std::alloc::System;
use std::sync::{Mutex, MutexGuard, PoisonError};

use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

#[global_allocator]
static ALLOCATIONS: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// What is counted is counted for the whole process: one test at a time.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}
