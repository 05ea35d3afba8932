//! Vaults that do not do what they should, and a relay in this process.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use sparekey::http::tls::TlsReloader;
use sparekey::http::{Limits, listen};
use sparekey::relay::{Parts, Relay, Routes, Vaults, limits};
use tokio::runtime::Runtime;
use tokio::sync::watch;

use crate::support::http::{Answer, Client};

/// What a fake vault does with a request that it has read.
#[derive(Clone)]
pub enum Does {
    /// Sends these bytes and closes.
    Says(String),
    /// Sends them after a while.
    SaysAfter(Duration, String),
    /// Closes without a word.
    Closes,
    /// Keeps the connection and says nothing.
    Hangs,
}

/// An answer with this status line and body.
pub fn says(status: &str, body: &str) -> Does {
    Does::Says(format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len()))
}

/// A vault that does one thing.
pub struct FakeVault {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<String>>>,
}

impl FakeVault {
    pub fn new(does: Does) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let noted = Arc::clone(&seen);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (mut stream, does, noted) = (stream.unwrap(), does.clone(), Arc::clone(&noted));
                thread::spawn(move || {
                    let Some(request) = read(&mut stream) else { return };
                    noted.lock().unwrap().push(request);
                    match does {
                        Does::Says(bytes) => drop(stream.write_all(bytes.as_bytes())),
                        Does::SaysAfter(time, bytes) => {
                            thread::sleep(time);
                            drop(stream.write_all(bytes.as_bytes()));
                        }
                        Does::Closes => {}
                        // Until the other side gives up.
                        Does::Hangs => drop(stream.read_to_end(&mut Vec::new())),
                    }
                });
            }
        });
        FakeVault { address, seen }
    }
    /// Its endpoint.
    pub fn url(&self) -> String {
        url(self.address)
    }
    /// The requests that it has read.
    pub fn seen(&self) -> Vec<String> {
        self.seen.lock().unwrap().clone()
    }
}

/// The endpoint of a vault at `address`.
pub fn url(address: SocketAddr) -> String {
    format!("http://{address}/v1/backup-codes/events/idp")
}

fn read(stream: &mut impl Read) -> Option<String> {
    let mut bytes = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok()).unwrap_or(0);
            if body.len() >= length {
                return Some(text);
            }
        }
        match stream.read(&mut buffer) {
            Ok(0) | Err(_) => return None,
            Ok(count) => bytes.extend_from_slice(&buffer[..count]),
        }
    }
}

/// How a relay is made.
pub struct Setup<'a> {
    pub targets: Vec<String>,
    pub limits: Limits,
    pub timeout: Duration,
    pub max_in_flight: usize,
    pub ca_cert: Option<&'a Path>,
    pub tls: Option<Arc<TlsReloader>>,
}

impl Default for Setup<'_> {
    fn default() -> Self {
        Setup {
            targets: Vec::new(),
            limits: limits(),
            timeout: Duration::from_secs(5),
            max_in_flight: 64,
            ca_cert: None,
            tls: None,
        }
    }
}

/// A relay whose path `/idp` leads to these vaults.
pub struct Running {
    pub address: SocketAddr,
    _stop: watch::Sender<bool>,
    runtime: Option<Runtime>,
}

impl Setup<'_> {
    pub fn start(self) -> Running {
        let items: Vec<String> = self.targets.iter().map(|url| format!("/idp={url}")).collect();
        let relay = Relay::new(Parts {
            routes: Routes::parse(items.iter().map(String::as_str)).unwrap(),
            vaults: Vaults::new(self.ca_cert, self.timeout).unwrap(),
            limits: self.limits,
            max_in_flight: self.max_in_flight,
        });
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let socket = runtime.block_on(tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))).unwrap();
        let address = socket.local_addr().unwrap();
        let (stop, stopped) = watch::channel(false);
        runtime.spawn(listen(socket, self.tls, Arc::new(relay), self.limits, stopped));
        Running { address, _stop: stop, runtime: Some(runtime) }
    }
}

/// A relay to these vaults, with the usual bounds.
pub fn relay<'a>(targets: impl IntoIterator<Item = &'a str>) -> Running {
    Setup { targets: targets.into_iter().map(str::to_owned).collect(), ..Setup::default() }.start()
}

impl Running {
    /// Posts `set` as RFC 8935 says.
    pub fn push(&self, set: &str) -> Answer {
        self.send("POST", "/idp", "application/secevent+jwt", set.as_bytes())
    }
    /// Sends anything.
    pub fn send(&self, method: &str, path: &str, media: &str, body: &[u8]) -> Answer {
        send(self.address, method, path, media, body)
    }
}

/// Sends anything to `address`.
pub fn send(address: SocketAddr, method: &str, path: &str, media: &str, body: &[u8]) -> Answer {
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: relay\r\nConnection: close\r\nAccept: application/json\r\n\
         Content-Type: {media}\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    Client::new(address).exchange(&[head.as_bytes(), body].concat()).unwrap()
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_timeout(Duration::from_secs(1));
        }
    }
}

/// Something like a token, different every time.
pub fn some_set() -> String {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    format!("eyJh.eyJq{}.c2ln", COUNT.fetch_add(1, Ordering::Relaxed))
}
