//! The one table of paths and what each does.

pub mod request;
