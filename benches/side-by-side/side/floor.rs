//! The floor under a retrieval: programs that do only what cannot be left out, on the same libraries. A bare answer by hyper; the same
//! with a durable commit to redb, many requests in one; the same with an ES256 signature verified first. Each runs as a process of its own.

use std::convert::Infallible;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, ParsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use redb::{Database, TableDefinition};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

/// What a retrieval writes: the claim on its assertion, and the account's record with ten codes.
const CLAIM: usize = 200;
const RECORD: usize = 3_000;
/// About as long as the answer to a retrieval.
const ANSWER: usize = 420;
const TABLE: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("records");

/// How much of it.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Kind {
    Hyper,
    Commit,
    Floor,
}

/// A running one.
pub struct Floor {
    address: SocketAddr,
    child: Option<Child>,
    _folder: TempDir,
}

impl Floor {
    /// Starts it for assertions that this public key (PEM) verifies: as a process, or on a thread of this one.
    pub fn start(kind: Kind, pem: &str, process: bool) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("key.pem"), pem).expect("a key");
        if !process {
            let (told, address) = channel();
            let path = folder.path().to_path_buf();
            thread::spawn(move || serve(kind, &path, move |address| told.send(address).expect("somebody listens")));
            return Floor { address: address.recv().expect("it listens"), child: None, _folder: folder };
        }
        let kind = clap::ValueEnum::to_possible_value(&kind).expect("a name");
        let mut child = Command::new(std::env::current_exe().expect("this program"))
            .args(["--serve", kind.get_name(), "--folder"])
            .arg(folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the floor starts");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("its output"))
            .read_line(&mut line)
            .expect("it says where it listens");
        Floor { address: line.trim().parse().expect("an address"), child: Some(child), _folder: folder }
    }
    pub fn address(&self) -> SocketAddr {
        self.address
    }
    pub fn pids(&self) -> Vec<u32> {
        self.child.iter().map(Child::id).collect()
    }
}

impl Drop for Floor {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Runs one as a process: says where it listens, and ends when its input does.
pub fn program(kind: Kind, folder: &Path) {
    thread::spawn(|| {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        std::process::exit(0);
    });
    serve(kind, folder, |address| {
        println!("{address}");
        let _ = std::io::stdout().flush();
    });
}

struct Place {
    kind: Kind,
    key: ParsedPublicKey,
    writer: Sender<(Vec<u8>, oneshot::Sender<()>)>,
    count: AtomicU64,
}

fn serve(kind: Kind, folder: &Path, listening: impl FnOnce(SocketAddr)) {
    let pem = std::fs::read_to_string(folder.join("key.pem")).expect("a key");
    let der: String = pem.lines().filter(|line| !line.starts_with("-----")).collect();
    let der = STANDARD.decode(der).expect("PEM");
    let key = ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, der).expect("a P-256 key");
    let database = Database::create(folder.join("floor.redb")).expect("a store");
    let (writer, jobs) = channel();
    thread::spawn(move || write(&database, &jobs));
    let place = Arc::new(Place { kind, key, writer, count: AtomicU64::new(0) });
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
        listening(listener.local_addr().expect("an address"));
        loop {
            let Ok((stream, _)) = listener.accept().await else { continue };
            let _ = stream.set_nodelay(true);
            let place = Arc::clone(&place);
            tokio::spawn(async move {
                let answer = hyper::service::service_fn(move |request| answer(Arc::clone(&place), request));
                let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), answer).await;
            });
        }
    });
}

#[derive(serde::Deserialize)]
struct Body<'a> {
    #[serde(borrow)]
    jwt: &'a str,
}

async fn answer(place: Arc<Place>, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    static ANSWERED: [u8; ANSWER] = [b' '; ANSWER];
    let path = request.uri().path().as_bytes().to_vec();
    let body = request.into_body().collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    let status = match place.kind {
        Kind::Hyper => 200,
        Kind::Floor if !verified(&place.key, &body) => 403,
        Kind::Floor | Kind::Commit => {
            place.count.fetch_add(1, Ordering::Relaxed);
            let (done, waiting) = oneshot::channel();
            place.writer.send((path, done)).expect("the writer runs");
            if waiting.await.is_ok() { 200 } else { 500 }
        }
    };
    let mut response = Response::new(Full::new(Bytes::from_static(&ANSWERED)));
    *response.status_mut() = hyper::StatusCode::from_u16(status).unwrap_or_default();
    Ok(response)
}

fn verified(key: &ParsedPublicKey, body: &[u8]) -> bool {
    let Ok(Body { jwt }) = serde_json::from_slice(body) else { return false };
    let Some((signed, signature)) = jwt.rsplit_once('.') else { return false };
    URL_SAFE_NO_PAD.decode(signature).is_ok_and(|signature| key.verify_sig(signed.as_bytes(), &signature).is_ok())
}

/// Commits everything that waits, again and again, each time with one fsync.
fn write(database: &Database, jobs: &Receiver<(Vec<u8>, oneshot::Sender<()>)>) {
    let (claim, record) = (vec![1; CLAIM], vec![2; RECORD]);
    let mut claims: u64 = 0;
    while let Ok(first) = jobs.recv() {
        let mut waiting = Vec::new();
        let transaction = database.begin_write().expect("a transaction");
        {
            let mut table = transaction.open_table(TABLE).expect("a table");
            for (path, done) in std::iter::once(first).chain(jobs.try_iter().take(1_000)) {
                claims += 1;
                // Claims are hashes: they fall anywhere.
                let key = claims.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes();
                table.insert(&key[..], &claim[..]).expect("written");
                table.insert(&path[..], &record[..]).expect("written");
                waiting.push(done);
            }
        }
        transaction.commit().expect("durable");
        for done in waiting {
            // Who no longer waits has gone away.
            let _ = done.send(());
        }
    }
}
