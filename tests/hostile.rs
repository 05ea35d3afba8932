//! Strangers do their worst at once: idle connections, dripping senders, long bodies, deep JSON, keys nobody has, an issuer whose
//! keys never end. Good requests are served meanwhile, and the server stays small.
//!
//! Longer by hand: `HOSTILE_SECONDS=60 cargo test --test hostile -- --nocapture`.

mod support;

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use serde_json::json;

use support::http::Client;
use support::scene::{AUDIENCE, Scene, codes};
use support::server::{MOUNT, Server, Setup};
use support::signer::{Signer, claims};

/// What the server may hold at most, resident.
const MOST: u64 = 200 << 20;
const IDLE: usize = 2_000;
const KIDS: usize = 10_000;
const ENDLESS: &str = "https://endless.example.com/";

fn seconds() -> u64 {
    std::env::var("HOSTILE_SECONDS").map_or(8, |text| text.parse().expect("HOSTILE_SECONDS: a number"))
}

/// The most that the process ever held, in bytes.
fn peak(server: &Server) -> u64 {
    let pid = server.pid().expect("it runs");
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("the kernel tells");
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).expect("a peak");
    line.split_whitespace().nth(1).and_then(|text| text.parse::<u64>().ok()).expect("kB") << 10
}

/// An endpoint for keys that sends for ever.
fn endless() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    thread::spawn(move || {
        for stream in listener.incoming() {
            thread::spawn(move || {
                let mut stream = stream?;
                let _ = stream.read(&mut [0; 4096])?;
                stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n{\"keys\":[")?;
                loop {
                    stream.write_all(&[b' '; 16 * 1024])?;
                }
                #[expect(unreachable_code, reason = "says what the thread returns")]
                Ok::<(), std::io::Error>(())
            });
        }
    });
    address
}

struct Stage {
    address: SocketAddr,
    stop: AtomicBool,
    unknown: AtomicUsize,
    long: AtomicUsize,
}

impl Stage {
    fn goes_on(&self) -> bool {
        !self.stop.load(Ordering::Relaxed)
    }

    /// Connections that say nothing, opened again when they are given up.
    fn idle(&self) {
        let mut held: Vec<TcpStream> = Vec::new();
        while self.goes_on() {
            while held.len() < IDLE && self.goes_on() {
                match TcpStream::connect_timeout(&self.address, Duration::from_millis(200)) {
                    Ok(stream) => {
                        stream.set_nonblocking(true).expect("a switch");
                        held.push(stream);
                    }
                    Err(_) => break,
                }
            }
            held.retain_mut(|stream| {
                stream.read(&mut [0; 16]).is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock)
            });
            sleep(Duration::from_millis(50));
        }
    }

    /// Bodies that come byte by byte.
    fn drip(&self) {
        let head = format!("POST /v1/{MOUNT}/retrieve/a HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n{{");
        let mut held: Vec<TcpStream> = Vec::new();
        while self.goes_on() {
            while held.len() < 100 {
                let Ok(mut stream) = TcpStream::connect_timeout(&self.address, Duration::from_millis(200)) else {
                    break;
                };
                if stream.write_all(head.as_bytes()).is_ok() {
                    held.push(stream);
                }
            }
            held.retain_mut(|stream| stream.write_all(b" ").is_ok());
            sleep(Duration::from_millis(100));
        }
    }

    /// Bodies as long as may be, and as deep.
    fn long(&self) {
        let client = Client::new(self.address);
        let wide = format!("{{\"jwt\": \"{}\"}}", "a".repeat(1_048_000));
        let many = format!("{{\"a\": [{}0]}}", "0,".repeat(520_000));
        let objects = format!("{{\"a\": [{}{{}}]}}", "{},".repeat(340_000));
        let deep = format!("{{\"a\": {}{}}}", "[".repeat(500_000), "]".repeat(500_000));
        let path = format!("{MOUNT}/retrieve/a");
        for body in [wide, many, objects, deep].iter().cycle() {
            if !self.goes_on() {
                return;
            }
            if let Ok(answer) = client.try_send("POST", &path, Some(body.as_bytes())) {
                assert!(
                    (400..500).contains(&answer.status) || answer.status == 503,
                    "{} {}",
                    answer.status,
                    answer.text()
                );
                self.long.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// Assertions whose keys have ids that nobody knows, of an issuer whose keys never end.
    fn unknown_keys(&self) {
        let client = Client::new(self.address);
        let signer = Signer::es256("x");
        let payload = claims(ENDLESS, "jane", AUDIENCE);
        while self.goes_on() && self.unknown.load(Ordering::Relaxed) < KIDS {
            let number = self.unknown.fetch_add(1, Ordering::Relaxed);
            let jwt = signer.sign(&json!({"alg": "ES256", "typ": "JWT", "kid": format!("kid-{number}")}), &payload);
            let body = json!({"role": "endless", "jwt": jwt, "reason": "x"});
            if let Ok(answer) = client.try_write(&format!("{MOUNT}/retrieve/a"), &body) {
                assert!([403, 503].contains(&answer.status), "{} {}", answer.status, answer.text());
            }
        }
    }
}

#[test]
fn good_requests_are_served_in_bounded_memory_whatever_strangers_send() {
    let server = Setup::default().static_seal().log_level("error").start();
    let scene = Scene::new(&server);
    let root = server.root();
    let keys = json!({"bound_issuer": ENDLESS, "jwks_url": format!("http://{}/keys", endless())});
    let written = root.write(&format!("{MOUNT}/issuers/endless"), &keys);
    assert!(written.status < 300, "{}", written.text());
    let role = json!({
        "issuers": ["endless"], "bound_audiences": [AUDIENCE], "bound_subject": "jane", "accounts": ["*"],
        "operations": ["retrieve"],
    });
    assert!(root.write(&format!("{MOUNT}/roles/endless"), &role).status < 300);
    scene.store("a", &codes(1, 500), 0).expect(200);
    let before = peak(&server);
    let stage = Stage {
        address: server.address(),
        stop: AtomicBool::new(false),
        unknown: AtomicUsize::new(0),
        long: AtomicUsize::new(0),
    };
    let (mut served, mut slowest) = (0, Duration::ZERO);
    thread::scope(|scope| {
        scope.spawn(|| stage.idle());
        scope.spawn(|| stage.drip());
        for _ in 0..8 {
            scope.spawn(|| stage.long());
        }
        for _ in 0..4 {
            scope.spawn(|| stage.unknown_keys());
        }
        let end = Instant::now() + Duration::from_secs(seconds());
        while Instant::now() < end && served < 450 {
            let begun = Instant::now();
            let answer = scene.retrieve("a", "admin@example.com");
            slowest = slowest.max(begun.elapsed());
            if answer.status != 200 || server.pid().is_none() {
                stage.stop.store(true, Ordering::Relaxed);
            }
            answer.expect(200);
            served += 1;
            sleep(Duration::from_millis(20));
        }
        stage.stop.store(true, Ordering::Relaxed);
    });
    let after = peak(&server);
    println!(
        "{served} good requests, the slowest {slowest:?}; {} long bodies and {} unknown keys answered; at most {} MiB resident, \
         {} MiB before",
        stage.long.load(Ordering::Relaxed),
        stage.unknown.load(Ordering::Relaxed),
        after >> 20,
        before >> 20
    );
    assert!(after < MOST, "{} MiB resident", after >> 20);
    assert!(served >= 10, "{served} good requests only");
    assert!(stage.long.load(Ordering::Relaxed) > 8, "no long body arrived");
    assert!(stage.unknown.load(Ordering::Relaxed) > 100, "no unknown key arrived");
    scene.retrieve("a", "admin@example.com").expect(200);
}
