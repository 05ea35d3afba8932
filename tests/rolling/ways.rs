//! What an ordinary client does where several nodes serve: it asks them in turn, and sends a request that was refused, or that nobody
//! answered, again to the next one. The request stays the same, its `idempotency_key` too.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::Value;

/// How long a client tries before it gives up.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long it waits before the next try, once every node was asked.
const PAUSE: Duration = Duration::from_millis(20);

/// A request as it goes out each time.
pub struct Request {
    pub method: &'static str,
    /// Below `/v1/`.
    pub path: String,
    pub token: Option<String>,
    pub media: &'static str,
    pub body: Vec<u8>,
}

impl Request {
    pub fn read(path: String, token: &str) -> Self {
        Request { method: "GET", path, token: Some(token.to_owned()), media: "application/json", body: Vec::new() }
    }
    pub fn write(path: String, body: &Value) -> Self {
        let body = body.to_string().into_bytes();
        Request { method: "POST", path, token: None, media: "application/json", body }
    }
    fn bytes(&self, host: SocketAddr, keep: bool) -> Vec<u8> {
        let connection = if keep { "keep-alive" } else { "close" };
        let mut head = format!(
            "{} /v1/{} HTTP/1.1\r\nHost: {host}\r\nConnection: {connection}\r\nContent-Type: {}\r\nAccept: application/json\r\n\
             Content-Length: {}\r\n",
            self.method,
            self.path,
            self.media,
            self.body.len()
        );
        if let Some(token) = &self.token {
            head.push_str(&format!("X-Vault-Token: {token}\r\n"));
        }
        head.push_str("\r\n");
        [head.as_bytes(), &self.body].concat()
    }
}

/// One answer that a client goes on with.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub body: Value,
    /// How often the request was sent, all in all.
    pub tries: usize,
}

/// What came back instead of answers, over all clients.
#[derive(Debug, Default)]
pub struct Missed {
    /// Nobody listened: nothing was sent.
    pub refused: AtomicUsize,
    /// 5xx: the node said that it does not serve.
    pub turned_away: AtomicUsize,
    /// A connection that had been used before was closed: the node had ended it while the request was on its way.
    pub stale: AtomicUsize,
    /// A fresh connection was taken and no answer came on it.
    pub unanswered: AtomicUsize,
}

/// Why a try gave no answer.
enum Gone {
    Refused,
    Stale,
    Unanswered(io::Error),
}

/// One client: where it may go, and the connections that it keeps.
pub struct Ways<'a> {
    nodes: Vec<SocketAddr>,
    next: usize,
    keep: bool,
    kept: BTreeMap<SocketAddr, TcpStream>,
    missed: &'a Missed,
}

impl<'a> Ways<'a> {
    /// A client that begins with the node at `first`; if it may `keep` connections it uses them again.
    pub fn new(nodes: &[SocketAddr], first: usize, keep: bool, missed: &'a Missed) -> Self {
        Ways { nodes: nodes.to_vec(), next: first, keep, kept: BTreeMap::new(), missed }
    }
    /// Sends `request` until a node answers it.
    ///
    /// # Errors
    /// What came last, if no node answered it for long.
    pub fn send(&mut self, request: &Request) -> Result<Answer, String> {
        let until = Instant::now() + PATIENCE;
        let mut tries = 0;
        loop {
            let node = self.nodes[self.next % self.nodes.len()];
            self.next += 1;
            tries += 1;
            let count = |counter: &AtomicUsize| counter.fetch_add(1, Ordering::Relaxed);
            let why = match self.exchange(node, request) {
                Ok((status, body)) if status < 500 => return Ok(Answer { status, body, tries }),
                Ok((status, body)) => {
                    count(&self.missed.turned_away);
                    format!("{status} {body}")
                }
                Err(Gone::Refused) => {
                    count(&self.missed.refused);
                    "refused".to_owned()
                }
                Err(Gone::Stale) => {
                    count(&self.missed.stale);
                    "a kept connection had ended".to_owned()
                }
                Err(Gone::Unanswered(error)) => {
                    count(&self.missed.unanswered);
                    eprintln!("no answer to {} {}: {error}", request.method, request.path);
                    error.to_string()
                }
            };
            if Instant::now() > until {
                return Err(format!("{} {}: {why}", request.method, request.path));
            }
            if tries.is_multiple_of(self.nodes.len()) {
                sleep(PAUSE);
            }
        }
    }
    fn exchange(&mut self, node: SocketAddr, request: &Request) -> Result<(u16, Value), Gone> {
        let kept = self.kept.remove(&node);
        let used = kept.is_some();
        let mut stream = match kept {
            Some(stream) => stream,
            None => connect(node)?,
        };
        let gone = |error| if used { Gone::Stale } else { Gone::Unanswered(error) };
        stream.write_all(&request.bytes(node, self.keep)).map_err(gone)?;
        let (status, body, lasts) = answer(&mut stream).map_err(gone)?;
        if self.keep && lasts {
            self.kept.insert(node, stream);
        }
        Ok((status, serde_json::from_slice(&body).unwrap_or(Value::Null)))
    }
}

fn connect(node: SocketAddr) -> Result<TcpStream, Gone> {
    let stream = TcpStream::connect_timeout(&node, Duration::from_secs(5)).map_err(|error| match error.kind() {
        io::ErrorKind::ConnectionRefused => Gone::Refused,
        _ => Gone::Unanswered(error),
    })?;
    let set = stream.set_read_timeout(Some(Duration::from_secs(60))).and_then(|()| stream.set_nodelay(true));
    set.map_err(Gone::Unanswered).map(|()| stream)
}

/// Status and body of one answer, and whether the connection goes on after it.
fn answer(stream: &mut TcpStream) -> io::Result<(u16, Vec<u8>, bool)> {
    let broken = || io::Error::from(io::ErrorKind::UnexpectedEof);
    let mut bytes = Vec::new();
    let mut more = [0; 8192];
    let end = loop {
        if let Some(at) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break at + 4;
        }
        match stream.read(&mut more)? {
            0 => return Err(broken()),
            count => bytes.extend_from_slice(&more[..count]),
        }
    };
    let head = String::from_utf8_lossy(&bytes[..end]).to_ascii_lowercase();
    let header = |name: &str| head.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    let status = head.split(' ').nth(1).and_then(|word| word.parse().ok()).ok_or_else(broken)?;
    let length: usize = match header("content-length:") {
        Some(length) => length.parse().map_err(|_| broken())?,
        None => 0,
    };
    let lasts = header("connection:") != Some("close");
    while bytes.len() < end + length {
        match stream.read(&mut more)? {
            0 => return Err(broken()),
            count => bytes.extend_from_slice(&more[..count]),
        }
    }
    Ok((status, bytes[end..end + length].to_vec(), lasts))
}
