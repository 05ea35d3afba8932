//! The host's log of requests: fail closed, chained, signed. `docs/audit-format.md` draws each line.

mod broker;
mod config;
mod entry;

pub use broker::{Broker, Recorded};
pub use config::{DeviceConfig, Pace};
pub use entry::{AuthInfo, RequestEntry, ResponseEntry, VoidEntry, WrapInfo};
