//! The devices: where lines go. Each has a thread of its own ([`worker`]), so that none waits for another.

mod file;
mod gauge;
mod stream;
mod tail;
mod volume;
mod worker;

#[cfg(test)]
mod tests;

use std::io;

pub use gauge::Gauge;
pub use worker::{Anchor, Birth, Fault, Job, Outcome, start};

use super::chain::Head;
use super::config::{DeviceConfig, Place};
use super::start::{Cause, Opening};

/// Where a device stands before a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It takes lines.
    Ready,
    /// It has to be opened first.
    Closed,
    /// What is open is not what the configuration names any more.
    Left(Cause),
}

/// What a device's thread writes into.
pub trait Sink: Send + 'static {
    /// Where it stands now.
    fn standing(&mut self) -> io::Result<Standing>;
    /// Opens it after the line `known`, and says what it found.
    fn open(&mut self, known: &Head) -> io::Result<Opening>;
    /// Appends whole lines; with `sync` they survive a power cut once it returns. After an error none of them counts as
    /// written: the sink takes back what it can, or closes itself.
    fn append(&mut self, lines: &[u8], sync: bool) -> io::Result<()>;
    /// Checks, after an append and before it is acknowledged, that the lines are where a reader will look for them.
    fn confirm(&mut self) -> io::Result<Standing> {
        Ok(Standing::Ready)
    }
    /// Lets go of what is open, for this reason.
    fn leave(&mut self, cause: Cause);
    /// How often it made lines durable.
    fn syncs(&self) -> u64 {
        0
    }
}

/// The sink of a declared device. `clean` says whether the last run closed the device in order.
pub fn sink(config: &DeviceConfig, clean: bool) -> Box<dyn Sink> {
    match &config.place {
        Place::File { path, mode } => Box::new(file::FileSink::new(volume::Local, path.clone(), *mode)),
        Place::Stdout => Box::new(stream::StreamSink::new(stream::Stdout::default(), clean)),
        Place::Tcp { address, timeout } => {
            Box::new(stream::StreamSink::new(stream::Tcp { address: address.clone(), timeout: *timeout }, clean))
        }
        Place::Unix { path, timeout } => {
            Box::new(stream::StreamSink::new(stream::Unix { path: path.clone(), timeout: *timeout }, clean))
        }
    }
}
