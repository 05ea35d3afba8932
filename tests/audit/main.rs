//! The audit: what its devices promise, and what its verifier finds.

mod break_ins;
mod canary;
mod command;
mod devices;
mod disclosure;
mod load;
mod support;
mod tampering;
