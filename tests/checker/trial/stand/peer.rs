//! The other end of an audit socket: reads, stops reading for a while, or hangs up.

use std::io::Read;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{JoinHandle, sleep};
use std::time::Duration;

use sparekey::audit::DeviceConfig;
use tempfile::TempDir;

use crate::support::corpus::Dice;

/// A peer that listens on a socket of its own.
pub struct Peer {
    folder: TempDir,
    paused: Arc<AtomicBool>,
    over: Arc<AtomicBool>,
    listener: Option<JoinHandle<()>>,
}

impl Peer {
    /// Begins to listen.
    pub fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let (paused, over) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let socket = UnixListener::bind(path(&folder)).expect("a socket");
        let listener = std::thread::spawn({
            let (paused, over) = (Arc::clone(&paused), Arc::clone(&over));
            move || {
                for stream in socket.incoming().flatten() {
                    if over.load(Ordering::Relaxed) {
                        return;
                    }
                    let paused = Arc::clone(&paused);
                    std::thread::spawn(move || read(stream, &paused));
                }
            }
        });
        Peer { folder, paused, over, listener: Some(listener) }
    }
    /// The device as a server's configuration declares it.
    pub fn device(&self) -> String {
        let path = path(&self.folder);
        format!(
            "audit \"socket\" \"peer\" {{\n  options = {{ address = \"{}\", socket_type = \"unix\" }}\n}}",
            path.display()
        )
    }
    /// The same for a node in this process.
    pub fn config(&self) -> DeviceConfig {
        let address = path(&self.folder).display().to_string();
        let options = [("address".to_owned(), address), ("socket_type".to_owned(), "unix".to_owned())];
        DeviceConfig::new("socket", "peer", &options.into()).expect("a device")
    }
    /// Reads nothing for a while, now and then for longer than a server waits.
    pub fn rest(&self, dice: &Dice) {
        let long = if dice.below(4) == 0 { 2_500 } else { 0 };
        self.pause(Duration::from_millis(long + 100 + dice.below(900) as u64));
    }
    /// Reads nothing for so long; what was sent meanwhile waits, or the server gives up.
    fn pause(&self, time: Duration) {
        self.paused.store(true, Ordering::Relaxed);
        sleep(time);
        self.paused.store(false, Ordering::Relaxed);
    }
}

fn path(folder: &TempDir) -> PathBuf {
    Path::join(folder.path(), "peer")
}

fn read(mut stream: UnixStream, paused: &AtomicBool) {
    let mut buffer = vec![0; 64 << 10];
    while stream.read(&mut buffer).is_ok_and(|count| count > 0) {
        while paused.load(Ordering::Relaxed) {
            sleep(Duration::from_millis(2));
        }
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        // Wakes the listener, which then sees that it is over.
        drop(UnixStream::connect(path(&self.folder)));
        self.listener.take().map(JoinHandle::join);
    }
}
