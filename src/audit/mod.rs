//! The host's log of requests: fail closed, chained, signed. `docs/audit-format.md` draws each line.

mod broker;
mod chain;
mod checkpoint;
mod conceal;
mod config;
mod delivery;
mod devices;
mod entry;
mod replay;
mod report;
mod salt;
mod shape;
pub mod sighting;
mod start;
mod state;
mod words;

pub use broker::{Broker, DeviceStatus, Recorded};
pub use chain::{Head, MAX_LINE};
pub use config::{DeviceConfig, Pace};
pub use delivery::Announced;
pub use entry::{AuthInfo, RequestEntry, ResponseEntry, VoidEntry, WrapInfo};
pub use replay::Replay;
pub use report::{Begin, Finding, Report, Void};
pub use state::is_state;
