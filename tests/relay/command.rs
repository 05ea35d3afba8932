//! The command: how it starts, what it refuses, how it ends.

use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::fake::{Does, FakeVault, says, send, some_set};
use crate::support::server::BINARY;

struct Process {
    child: Child,
    address: SocketAddr,
    log: Arc<Mutex<String>>,
}

impl Process {
    fn start(args: &[&str]) -> Self {
        let mut child = Command::new(BINARY)
            .args(["relay", "--listen", "127.0.0.1:0"])
            .args(args)
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let log = Arc::new(Mutex::new(String::new()));
        let address = loop {
            let line = lines.next().expect("it listens").unwrap();
            if let Some((_, rest)) = line.split_once("address=") {
                break rest.split(' ').next().unwrap().parse().unwrap();
            }
        };
        let kept = Arc::clone(&log);
        thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                kept.lock().unwrap().push_str(&format!("{line}\n"));
            }
        });
        Process { child, address, log }
    }
    fn tell(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_signal_lets_events_under_way_end() {
    let slow = FakeVault::new(Does::SaysAfter(
        Duration::from_millis(800),
        "HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\nconnection: close\r\n\r\n".to_owned(),
    ));
    let mut relay = Process::start(&["--target", &format!("/idp={}", slow.url())]);
    let address = relay.address;
    let set = some_set();
    let pushing = thread::spawn({
        let set = set.clone();
        move || send(address, "POST", "/idp", "application/secevent+jwt", set.as_bytes())
    });
    let deadline = Instant::now() + Duration::from_secs(20);
    while slow.seen().is_empty() {
        assert!(Instant::now() < deadline, "the event does not arrive");
        thread::sleep(Duration::from_millis(5));
    }
    relay.tell(Signal::TERM);
    pushing.join().unwrap().expect(202);
    assert!(relay.child.wait().unwrap().success());
    assert!(TcpStream::connect(address).is_err());
    let log = relay.log.lock().unwrap().clone();
    assert!(log.contains("an event") && log.contains("status=202"), "{log}");
    assert!(!log.contains(&set), "an event is not for the log: {log}");
}

#[test]
fn a_hang_up_ends_nothing() {
    let vault = FakeVault::new(says("202 Accepted", ""));
    let relay = Process::start(&["--target", &format!("/idp={}", vault.url())]);
    relay.tell(Signal::HUP);
    send(relay.address, "POST", "/idp", "application/secevent+jwt", some_set().as_bytes()).expect(202);
}

#[test]
fn what_would_not_be_safe_or_lead_nowhere_is_refused_at_the_start() {
    let run = |args: &[&str]| -> Output { Command::new(BINARY).arg("relay").args(args).output().unwrap() };
    let target = "/idp=https://vault.example.com/v1/backup-codes/events/idp";
    for (args, said) in [
        (&["--listen", "127.0.0.1:0"][..], "--target"),
        (&["--target", target], "--listen"),
        (&["--listen", "0.0.0.0:8300", "--target", target], "without TLS only an address of this machine"),
        (&["--listen", "127.0.0.1:0", "--target", "/idp=http://vault.example.com/v1/a/events/b"], "use https"),
        (&["--listen", "127.0.0.1:0", "--target", target, "--tls-cert", "x"], "--tls-key"),
        (&["--listen", "127.0.0.1:0", "--target", target, "--tls-cert", "/x", "--tls-key", "/y"], "/x: "),
        (&["--listen", "127.0.0.1:0", "--target", target, "--ca-cert", "/nowhere.pem"], "/nowhere.pem: "),
        (&["--listen", "127.0.0.1:0", "--target", target, "--timeout", "0s"], "1s to 300s"),
        (&["--listen", "127.0.0.1:0", "--target", target, "--target", target], "is there twice"),
    ] {
        let output = run(args);
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{args:?}: {stderr}");
        assert!(stderr.contains(said), "{args:?}: {stderr}");
    }
}
