//! How the listener ends: nobody who was let in goes without an answer, and with a delay balancers hear of it first.

use std::net::TcpStream;
use std::time::{Duration, Instant};

use sparekey::http::Limits;

use super::{answer, closed, connect, send};
use crate::inprocess::{Node, Setup};

const STATUS: &[u8] = b"GET /v1/sys/seal-status HTTP/1.1\r\nHost: x\r\n\r\n";
const HEALTH: &[u8] = b"GET /v1/sys/health HTTP/1.1\r\nHost: x\r\n\r\n";

fn node(limits: Limits) -> Node {
    Setup { limits, ..Setup::default() }.ready().0
}

/// The answer is the last one of its connection; its status.
fn last_answer(stream: &mut TcpStream) -> u16 {
    let (status, head, _) = answer(stream);
    assert!(head.to_ascii_lowercase().contains("connection: close"), "{head}");
    assert!(closed(stream));
    status
}

#[test]
fn stopping_lets_requests_at_work_end_and_takes_no_new_ones() {
    let mut node = node(Limits::default());
    let mut at_work = connect(&node);
    send(&mut at_work, b"PUT /v1/sys/unseal HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{");
    let mut idle = connect(&node);
    send(&mut idle, HEALTH);
    assert_eq!(answer(&mut idle).0, 200);
    let stopped = Instant::now();
    node.stop();
    assert!(closed(&mut idle) && stopped.elapsed() < Duration::from_secs(10), "an idle connection is closed soon");
    assert!(TcpStream::connect(node.address).is_err());
    send(&mut at_work, b"}");
    assert_eq!(last_answer(&mut at_work), 400);
    assert!(node.drain(Duration::from_secs(10)));
}

#[test]
fn stopping_does_not_wait_for_ever() {
    let mut node = node(Limits { grace: Duration::from_millis(200), ..Limits::default() });
    let mut stuck = connect(&node);
    send(&mut stuck, b"PUT /v1/sys/unseal HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{");
    std::thread::sleep(Duration::from_millis(50));
    assert!(node.drain(Duration::from_secs(5)));
}

#[test]
fn who_was_let_in_before_the_end_is_answered() {
    let mut node = node(Limits::default());
    // One that is kept and idle, and more than have been taken from the system's queue when the end comes.
    let mut kept = connect(&node);
    send(&mut kept, STATUS);
    assert_eq!(answer(&mut kept).0, 200);
    let mut fresh: Vec<TcpStream> = (0..100).map(|_| connect(&node)).collect();
    node.stop();
    for stream in fresh.iter_mut().chain([&mut kept]) {
        send(stream, STATUS);
    }
    for stream in fresh.iter_mut().chain([&mut kept]) {
        assert_eq!(last_answer(stream), 200);
    }
    assert!(node.drain(Duration::from_secs(10)));
}

#[test]
fn with_a_delay_balancers_hear_of_the_end_before_anything_is_refused() {
    let mut node = node(Limits { delay: Duration::from_secs(3), ..Limits::default() });
    let mut kept = connect(&node);
    send(&mut kept, HEALTH);
    let (status, _, body) = answer(&mut kept);
    assert!(status == 200 && !body.contains("shutting_down"), "{body}");
    node.stop();
    std::thread::sleep(Duration::from_millis(50));
    // Whichever codes the balancer asked for.
    for query in ["", "?activecode=200&sealedcode=200&uninitcode=200"] {
        let said = node.client().read(&format!("sys/health{query}")).expect(503).json();
        assert_eq!((&said["shutting_down"], &said["sealed"]), (&true.into(), &false.into()));
    }
    // Everything else goes on; nobody keeps a connection that is about to end.
    node.client().read("sys/seal-status").expect(200);
    send(&mut kept, STATUS);
    assert_eq!(last_answer(&mut kept), 200);
    assert!(node.drain(Duration::from_secs(10)));
    assert!(TcpStream::connect(node.address).is_err());
}
