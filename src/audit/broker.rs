//! The broker: every entry goes to every device, and at least one must have taken it before the request goes on.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::config::{DeviceConfig, Place};
use super::delivery::{Announced, Faults, Offered};
use super::devices::{self, Anchor, Birth, Fault, Gauge, Job, Outcome};
use super::entry::{DISCLOSURE, RequestEntry, ResponseEntry, VoidEntry};
use super::salt::Salt;
use super::shape;
use super::state::{self, Kept};
use crate::clock::Clock;
use crate::crypto::signing::SigningKey;
use crate::domain::time::Timestamp;
use crate::error::{Error, Result};
use crate::random::Random;
use crate::storage::Storage;

/// The receipt of a durable audit device for one response: the line is on its disk. It opens a disclosure, once.
pub struct Recorded(());

impl Recorded {
    /// For the mounted face alone. The vault that mounts us has its own audit devices, which fail closed: it records the
    /// answer after we gave it and before the client gets it, and if it cannot, the client gets an error and the code is lost.
    pub(crate) fn by_the_mounting_host() -> Recorded {
        Recorded(())
    }
}

/// Hands every entry to every device. See the module's promises.
pub struct Broker {
    devices: Vec<Device>,
    clock: Arc<dyn Clock>,
    keepers: Mutex<Vec<JoinHandle<()>>>,
}

/// How a device is doing.
#[derive(Debug, Clone)]
pub struct DeviceStatus {
    /// What was declared.
    pub config: DeviceConfig,
    /// Whether its last write succeeded and it is not hanging on one.
    pub healthy: bool,
    /// Lines written since the server opened it.
    pub lines: u64,
    /// Writes made for them.
    pub groups: u64,
    /// Fsyncs made for them.
    pub syncs: u64,
    /// Lines it could not take and has not yet said so of.
    pub missed: u64,
    /// Number of its last checkpoint line.
    pub sealed_seq: u64,
    /// Hash of its last checkpoint line, hex.
    pub sealed_head: String,
}

struct Device {
    config: DeviceConfig,
    salt: Salt,
    queue: mpsc::Sender<Job>,
    gauge: Arc<Gauge>,
    anchors: watch::Receiver<Anchor>,
}

/// Which devices' word counts for an entry, and what they must have done.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Need {
    /// Any device has written it.
    Any,
    /// A durable device has written it.
    OnFile,
    /// A durable device has made it survive a power cut.
    Durable,
}

impl Broker {
    /// Opens the devices: reads what the store knows of each, compares files with it, begins a new part of each chain. A device
    /// that cannot be opened now is logged and tried again with every entry; it is no reason not to start.
    ///
    /// # Errors
    /// 400 if two devices have one name or one file; 503 if the store cannot be read.
    pub async fn open(
        devices: Vec<DeviceConfig>,
        storage: Arc<dyn Storage>,
        signing: SigningKey,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
    ) -> Result<Broker> {
        each_once(&devices)?;
        let signing = Arc::new(signing);
        let mut broker = Broker { devices: Vec::new(), clock, keepers: Mutex::default() };
        let mut keepers = Vec::new();
        for config in devices {
            let mut kept = Kept::load(&config, Arc::clone(&storage), Arc::clone(&random)).await?;
            let salt = Salt::new(kept.salt(), config.hmac_accessor, config.elide_list_responses);
            let birth = Birth {
                name: config.name().to_owned(),
                kind: config.kind(),
                sink: devices::sink(&config, kept.anchor().clean),
                anchor: kept.anchor(),
                checkpoint_lines: config.pace.checkpoint_lines,
                queue: config.pace.queue,
                signing: Arc::clone(&signing),
                clock: Arc::clone(&broker.clock),
            };
            let running = devices::start(birth).map_err(Error::internal)?;
            match timeout(config.pace.deadline, running.opened).await {
                Ok(Ok(Ok(()))) => {}
                Ok(Ok(Err(fault))) => tracing::error!(%fault, "audit device not open"),
                Ok(Err(_)) | Err(_) => tracing::error!(device = config.name(), "audit device did not open in time"),
            }
            let anchor = *running.anchors.borrow();
            if let Err(error) = kept.save(anchor).await {
                return Err(
                    Error::unavailable("the state of an audit device cannot be kept in the store").with_source(error)
                );
            }
            let (queue, anchors) = (running.queue.downgrade(), running.anchors.clone());
            keepers.push(tokio::spawn(state::keep(kept, queue, anchors, config.pace.checkpoint_every)));
            let (queue, gauge, anchors) = (running.queue, running.gauge, running.anchors);
            broker.devices.push(Device { config, salt, queue, gauge, anchors });
        }
        broker.keepers = Mutex::new(keepers);
        Ok(broker)
    }

    /// Records a request before it is worked on. Succeeds when a device has written it, or when no device is declared.
    ///
    /// # Errors
    /// 500 "internal error": no device took it. The request must not be worked on, unless it only reads metadata or health.
    pub async fn request(&self, entry: RequestEntry<'_>) -> Result<()> {
        self.deliver(Need::Any, |salt, now| shape::request(&entry, salt, now)).await.map_err(Error::internal)
    }

    /// Hands a request's line to every device before it is worked on, and does not wait for their word: for reads, which go on
    /// whatever the devices say. Their answers wait for [`Announced::recorded`].
    pub async fn announce(&self, entry: RequestEntry<'_>) -> Announced {
        Announced::new(self.offer(Need::Any, |salt, now| shape::request(&entry, salt, now)).await)
    }

    /// Records a request that will disclose, before anything is burned for it: a durable device must have written it, so that
    /// no code is spent while the audit is known to be dead.
    ///
    /// # Errors
    /// 503 if no durable device took it.
    pub async fn disclosing_request(&self, entry: RequestEntry<'_>) -> Result<()> {
        self.deliver(Need::OnFile, |salt, now| shape::request(&entry, salt, now))
            .await
            .map_err(|faults| self.refuse(faults))
    }

    /// Records an answer that discloses nothing, before it is given. Succeeds when a device has written it, or when no device
    /// is declared.
    ///
    /// # Errors
    /// 500 "internal error": no device took it; the act has come about all the same.
    pub async fn response(&self, entry: ResponseEntry<'_>) -> Result<()> {
        self.deliver(Need::Any, |salt, now| shape::response(&entry, false, salt, now)).await.map_err(Error::internal)
    }

    /// Records an answer that discloses, before it is given. The receipt exists only after a durable device has the line on
    /// disk. The line is an intent; if the act then does not come about, [`Broker::void`] takes it back.
    ///
    /// # Errors
    /// 503 if no durable device acknowledged; 500 if `note` lacks what every disclosure line must name.
    pub async fn disclosure(&self, entry: ResponseEntry<'_>) -> Result<Recorded> {
        for field in DISCLOSURE {
            if entry.note.get(field).is_none_or(serde_json::Value::is_null) {
                return Err(Error::internal(format!(
                    "the disclosure line of request {} lacks {field}",
                    entry.request.id
                )));
            }
        }
        match self.deliver(Need::Durable, |salt, now| shape::response(&entry, true, salt, now)).await {
            Ok(()) => Ok(Recorded(())),
            Err(faults) => Err(self.refuse(faults)),
        }
    }

    /// Takes a disclosure line back: what it announced did not come about, and nothing was given out.
    ///
    /// # Errors
    /// 500 if no device took it.
    pub async fn void(&self, entry: VoidEntry<'_>) -> Result<()> {
        self.deliver(Need::Any, |salt, now| shape::void(&entry, salt, now)).await.map_err(Error::internal)
    }

    /// Opens anew every file that was moved away (SIGHUP after a log rotation).
    ///
    /// # Errors
    /// 500 that names, in its cause, the devices that could not be opened.
    pub async fn reopen(&self) -> Result<()> {
        let mut faults = Faults::default();
        for device in &self.devices {
            let (ack, outcome) = oneshot::channel();
            let asked = async {
                device.queue.send(Job::Reopen(ack)).await.map_err(|_| Fault::new("the audit is closed"))?;
                outcome.await.unwrap_or_else(|_| Err(Fault::new("the audit is closed")))
            };
            match timeout(device.config.pace.deadline, asked).await {
                Ok(Ok(())) => {}
                Ok(Err(fault)) => faults.0.push(fault),
                Err(_) => faults.0.push(device.late()),
            }
        }
        if faults.0.is_empty() { Ok(()) } else { Err(Error::internal(faults)) }
    }

    /// Seals every chain with a checkpoint, keeps it in the store and ends the devices. What comes later is refused.
    pub async fn close(&self) {
        for device in &self.devices {
            let _ = timeout(device.config.pace.deadline, device.queue.send(Job::Close)).await;
        }
        let keepers = std::mem::take(&mut *self.keepers.lock().unwrap_or_else(|poisoned| poisoned.into_inner()));
        let longest = self.longest_deadline();
        for keeper in keepers {
            let abort = keeper.abort_handle();
            if timeout(longest, keeper).await.is_err() {
                tracing::error!("an audit device did not close in time; its last lines are not sealed");
                abort.abort();
            }
        }
    }

    /// Whether a durable device works: without one nothing can be given out.
    pub fn is_durable(&self) -> bool {
        self.devices.iter().any(|device| device.config.durable() && device.is_healthy())
    }

    /// How each device is doing, in the order declared.
    pub fn status(&self) -> Vec<DeviceStatus> {
        let status = |device: &Device| {
            let anchor = *device.anchors.borrow();
            DeviceStatus {
                config: device.config.clone(),
                healthy: device.is_healthy(),
                lines: device.gauge.lines.load(Ordering::Relaxed),
                groups: device.gauge.groups.load(Ordering::Relaxed),
                syncs: device.gauge.syncs.load(Ordering::Relaxed),
                missed: device.gauge.missed.load(Ordering::Relaxed),
                sealed_seq: anchor.head.seq,
                sealed_head: hex::encode(anchor.head.hash),
            }
        };
        self.devices.iter().map(status).collect()
    }

    /// Gives the entry to every device and waits until one whose word counts has taken it.
    async fn deliver(&self, need: Need, render: impl Fn(&Salt, Timestamp) -> Vec<u8>) -> Result<(), Faults> {
        self.offer(need, render).await.taken().await
    }

    /// Gives the entry to every device.
    async fn offer(&self, need: Need, render: impl Fn(&Salt, Timestamp) -> Vec<u8>) -> Offered {
        if self.devices.is_empty() && need == Need::Any {
            return Offered::Unneeded;
        }
        let now = self.clock.now();
        let mut faults = Faults::default();
        let mut acks = Vec::with_capacity(self.devices.len());
        let mut full = Vec::new();
        for device in &self.devices {
            let counts = need == Need::Any || device.config.durable();
            let durable = need == Need::Durable && device.config.durable();
            match device.offer(render(&device.salt, now), durable) {
                Offer::Taken(ack) if counts => acks.push(ack),
                Offer::Taken(_) => {}
                Offer::Full(job, ack) if counts => full.push((device, job, ack)),
                Offer::Full(..) => device.miss(),
                Offer::Refused(fault) => {
                    device.miss();
                    faults.0.push(fault);
                }
            }
        }
        // A device whose queue is full is waited for only if no other one can vouch for the entry.
        for (device, job, ack) in full {
            if !acks.is_empty() || timeout(device.config.pace.deadline, device.queue.send(job)).await.is_err() {
                device.miss();
                faults.0.push(device.late());
            } else {
                acks.push(ack);
            }
        }
        Offered::Waiting { acks, faults, patience: self.longest_deadline() }
    }

    fn refuse(&self, faults: Faults) -> Error {
        let what = if self.devices.iter().any(|device| device.config.durable()) {
            "no durable audit device acknowledged the disclosure, so nothing is given out; mend the audit file (space, \
             permissions, folder) and ask again with the same idempotency_key"
        } else {
            "no durable audit device is declared, so nothing is given out; declare audit \"file\" in the configuration"
        };
        Error::unavailable(what).with_source(faults)
    }

    fn longest_deadline(&self) -> Duration {
        self.devices.iter().map(|device| device.config.pace.deadline).max().unwrap_or_default()
    }
}

enum Offer {
    Taken(oneshot::Receiver<Outcome>),
    Full(Job, oneshot::Receiver<Outcome>),
    Refused(Fault),
}

impl Device {
    fn offer(&self, body: Vec<u8>, durable: bool) -> Offer {
        if self.stalled() {
            return Offer::Refused(self.late());
        }
        let (ack, outcome) = oneshot::channel();
        match self.queue.try_send(Job::Line { body, durable, ack }) {
            Ok(()) => Offer::Taken(outcome),
            Err(TrySendError::Full(job)) => Offer::Full(job, outcome),
            Err(TrySendError::Closed(_)) => Offer::Refused(Fault::new("the audit is closed")),
        }
    }

    fn is_healthy(&self) -> bool {
        !self.gauge.failed.load(Ordering::Relaxed) && !self.stalled()
    }

    fn stalled(&self) -> bool {
        self.gauge.stalled(self.config.pace.deadline)
    }

    fn miss(&self) {
        self.gauge.missed.fetch_add(1, Ordering::Relaxed);
    }

    fn late(&self) -> Fault {
        Fault::new(format_args!("audit device {} is slower than its deadline", self.config.name()))
    }
}

fn each_once(devices: &[DeviceConfig]) -> Result<()> {
    let (mut names, mut paths) = (BTreeSet::new(), BTreeSet::new());
    for device in devices {
        if !names.insert(device.name()) {
            return Err(Error::invalid(format!("audit device {:?} is declared twice", device.name())));
        }
        if let Place::File { path, .. } = &device.place
            && !paths.insert(path)
        {
            return Err(Error::field("file_path", format_args!("{} belongs to two audit devices", path.display())));
        }
    }
    Ok(())
}
