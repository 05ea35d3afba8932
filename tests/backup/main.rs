//! Backups, copies of stores, and what is found out about damaged ones.

mod copying;
mod file;
