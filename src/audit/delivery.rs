//! An entry that was handed to the devices: waiting until one whose word counts has taken it.

use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::timeout;

use super::devices::{Fault, Outcome};
use crate::error::{Error, Result};

/// A request's line that every device was given and none has yet been asked about.
#[must_use = "no answer leaves before its request was recorded"]
pub struct Announced(Offered);

impl Announced {
    pub(super) fn new(offered: Offered) -> Self {
        Announced(offered)
    }

    /// Waits until a device has written the line; at once if no device is declared.
    ///
    /// # Errors
    /// 500 "internal error": no device took it.
    pub async fn recorded(self) -> Result<()> {
        self.0.taken().await.map_err(Error::internal)
    }
}

/// An entry that the devices have, or have refused.
pub(super) enum Offered {
    /// There is no device, and none is needed.
    Unneeded,
    /// These will say whether they took it.
    Waiting {
        /// The devices whose word counts.
        acks: Vec<oneshot::Receiver<Outcome>>,
        /// Why others will not.
        faults: Faults,
        /// How long they may take.
        patience: Duration,
    },
}

impl Offered {
    /// Waits until one whose word counts has taken it.
    pub(super) async fn taken(self) -> Result<(), Faults> {
        let Offered::Waiting { acks, mut faults, patience } = self else { return Ok(()) };
        match timeout(patience, first_taken(acks)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(more)) => {
                faults.0.extend(more);
                Err(faults)
            }
            Err(_) => {
                faults.0.push(Fault::new("no audit device answered within its deadline"));
                Err(faults)
            }
        }
    }
}

/// Why no device took an entry.
#[derive(Debug, Default)]
pub(super) struct Faults(pub(super) Vec<Fault>);

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("no audit device that counts is declared");
        }
        self.0.iter().enumerate().try_for_each(|(at, fault)| write!(f, "{}{fault}", if at > 0 { "; " } else { "" }))
    }
}

impl std::error::Error for Faults {}

/// Waits for the first device that took the entry, or for the refusal of all.
async fn first_taken(mut acks: Vec<oneshot::Receiver<Outcome>>) -> Result<(), Vec<Fault>> {
    let mut faults = Vec::new();
    poll_fn(|context| {
        let mut taken = false;
        acks.retain_mut(|ack| match Pin::new(ack).poll(context) {
            Poll::Pending => true,
            Poll::Ready(outcome) => {
                match outcome.unwrap_or_else(|_| Err(Fault::new("the audit is closed"))) {
                    Ok(()) => taken = true,
                    Err(fault) => faults.push(fault),
                }
                false
            }
        });
        match (taken, acks.is_empty()) {
            (true, _) => Poll::Ready(Ok(())),
            (false, true) => Poll::Ready(Err(std::mem::take(&mut faults))),
            (false, false) => Poll::Pending,
        }
    })
    .await
}
