//! A proxy on loopback that understands where PostgreSQL's statements begin and end, and cuts the connection in between.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

/// What happens to a write statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It never reaches the server.
    Before,
    /// The server carries it out, and its answer gets lost.
    After,
    /// It reaches the server, and from then on the connection is silent.
    Silence,
}

/// The proxy; it ends when it is dropped.
pub struct Proxy {
    address: SocketAddr,
    state: Arc<State>,
    task: JoinHandle<()>,
}

#[derive(Default)]
struct State {
    statements: AtomicUsize,
    writes: AtomicUsize,
    armed: Mutex<Option<Fault>>,
    stalled: AtomicBool,
    cut: Notify,
}

impl Proxy {
    /// A proxy before the server at `port`.
    pub async fn before(port: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
        let address = listener.local_addr().expect("its address");
        let state = Arc::new(State::default());
        let task = tokio::spawn({
            let state = Arc::clone(&state);
            async move {
                let mut unanswered = Vec::new();
                while let Ok((client, _)) = listener.accept().await {
                    if state.stalled.load(Ordering::SeqCst) {
                        unanswered.push(client);
                        continue;
                    }
                    tokio::spawn(serve(client, port, Arc::clone(&state)));
                }
            }
        });
        Proxy { address, state, task }
    }
    pub fn port(&self) -> u16 {
        self.address.port()
    }
    /// Strikes the next write statement.
    pub fn arm(&self, fault: Fault) {
        *self.state.armed.lock().unwrap() = Some(fault);
    }
    /// Ends every connection.
    pub fn cut(&self) {
        self.state.cut.notify_waiters();
    }
    /// From now on connections are taken and never answered.
    pub fn stall(&self) {
        self.state.stalled.store(true, Ordering::SeqCst);
        self.cut();
    }
    /// How many times a client waited for an answer, and how many of these were writes.
    pub fn counts(&self) -> (usize, usize) {
        (self.state.statements.load(Ordering::SeqCst), self.state.writes.load(Ordering::SeqCst))
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
        self.cut();
    }
}

async fn serve(client: TcpStream, port: u16, state: Arc<State>) {
    let Ok(server) = TcpStream::connect(("127.0.0.1", port)).await else { return };
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let lost = Arc::new(Mutex::new(None));
    let upstream = async {
        let mut buffer = Vec::new();
        let mut started = false;
        let mut writing = false;
        loop {
            while let Some(length) = message(&buffer, started) {
                let bytes: Vec<u8> = buffer.drain(..length).collect();
                let kind = if started { bytes[0] } else { 0 };
                started = true;
                writing |= matches!(kind, b'P' | b'Q') && holds(&bytes, b"INSERT INTO") && holds(&bytes, b"FOR UPDATE");
                if matches!(kind, b'S' | b'Q') {
                    state.statements.fetch_add(1, Ordering::SeqCst);
                    if std::mem::take(&mut writing) {
                        state.writes.fetch_add(1, Ordering::SeqCst);
                        let fault = state.armed.lock().unwrap().take();
                        if fault == Some(Fault::Before) {
                            return;
                        }
                        *lost.lock().unwrap() = fault;
                    }
                }
                if to_server.write_all(&bytes).await.is_err() {
                    return;
                }
            }
            match from_client.read_buf(&mut buffer).await {
                Ok(0) | Err(_) => return,
                Ok(_) => {}
            }
        }
    };
    let downstream = async {
        let mut buffer = vec![0; 1 << 16];
        loop {
            let Ok(length @ 1..) = from_server.read(&mut buffer).await else { return };
            let fault = *lost.lock().unwrap();
            match fault {
                None | Some(Fault::Before) => {}
                // The answer comes when everything is done: the server is asked to be ready for the next statement.
                Some(Fault::After) if buffer[..length].ends_with(b"Z\0\0\0\x05I") => return,
                Some(Fault::After | Fault::Silence) => continue,
            }
            if to_client.write_all(&buffer[..length]).await.is_err() {
                return;
            }
        }
    };
    tokio::select! {
        () = upstream => {}
        () = downstream => {}
        () = state.cut.notified() => {}
    }
}

/// The length of the first whole message, if there is one.
fn message(buffer: &[u8], started: bool) -> Option<usize> {
    let at = usize::from(started);
    let length = u32::from_be_bytes(buffer.get(at..at + 4)?.try_into().ok()?) as usize + at;
    (buffer.len() >= length).then_some(length)
}

fn holds(bytes: &[u8], text: &[u8]) -> bool {
    bytes.windows(text.len()).any(|window| window == text)
}
