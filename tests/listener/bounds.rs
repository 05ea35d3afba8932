//! Sizes, times and numbers.

use std::io::Write;
use std::time::{Duration, Instant};

use serde_json::json;
use sparekey::http::Limits;

use super::inprocess::{Node, Setup};
use super::{answer, closed, connect, send};

fn node(limits: Limits) -> (Node, String) {
    Setup { limits, ..Setup::default() }.ready()
}

#[test]
fn a_connection_serves_many_requests() {
    let (node, _root) = node(Limits::default());
    let mut stream = connect(&node);
    for _ in 0..3 {
        send(&mut stream, b"GET /v1/sys/health HTTP/1.1\r\nHost: x\r\n\r\n");
        assert_eq!(answer(&mut stream).0, 200);
    }
    // Several at once, and a refusal in between.
    send(&mut stream, b"GET /v1/sys/seal-status HTTP/1.1\r\nHost: x\r\n\r\nGET /v1 HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!((answer(&mut stream).0, answer(&mut stream).0), (200, 404));
    send(&mut stream, b"PUT /v1/sys/unseal HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\n{bad");
    assert_eq!(answer(&mut stream).0, 400);
    send(&mut stream, b"HEAD /v1/sys/health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    assert!(closed(&mut stream));
}

#[test]
fn a_body_up_to_the_bound_is_read_and_a_longer_one_gets_413_even_if_the_client_sends_it_all_first() {
    let (node, root) = node(Limits::default());
    let admin = node.client().token(&root);
    let body = |size: usize| {
        let frame = json!({"owner": ""}).to_string().len();
        json!({"owner": "x".repeat(size - frame)}).to_string()
    };
    let fits = admin.send("PUT", "backup-codes/config", Some(body(1_048_576).as_bytes()));
    assert_eq!(fits.status, 400, "read, and refused for what it says");
    for size in [1_048_577, 4_000_000] {
        let refused = admin.send("PUT", "backup-codes/config", Some(body(size).as_bytes())).expect(413);
        assert_eq!(refused.error(), "http: request body too large");
    }
    // Chunked, so that the length is not known beforehand; the connection goes on afterwards.
    let mut stream = connect(&node);
    send(&mut stream, b"PUT /v1/backup-codes/config HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n");
    let chunk = [b"10000\r\n".as_slice(), &[b' '; 65_536], b"\r\n"].concat();
    for _ in 0..20 {
        send(&mut stream, &chunk);
    }
    send(&mut stream, b"0\r\n\r\n");
    assert_eq!(answer(&mut stream).0, 413);
    send(&mut stream, b"GET /v1/sys/health HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(answer(&mut stream).0, 200);
}

#[test]
fn draining_has_an_end() {
    let limits = Limits { drain_size: 100_000, drain_time: Duration::from_millis(200), ..Limits::default() };
    let (node, _root) = node(limits);
    // More than is drained: the answer comes, then the connection ends.
    let mut stream = connect(&node);
    send(&mut stream, b"PUT /v1/sys/unseal HTTP/1.1\r\nHost: x\r\nContent-Length: 100000000\r\n\r\n");
    assert_eq!(answer(&mut stream).0, 413);
    let begun = Instant::now();
    while stream.write_all(&[b' '; 65_536]).is_ok() {
        assert!(begun.elapsed() < Duration::from_secs(10), "it takes everything");
    }
    // Nothing more comes: the connection ends all the same.
    let mut stream = connect(&node);
    send(&mut stream, b"PUT /v1/sys/unseal HTTP/1.1\r\nHost: x\r\nContent-Length: 2000000\r\n\r\n");
    assert_eq!(answer(&mut stream).0, 413);
    assert!(closed(&mut stream));
}

#[test]
fn a_client_that_asks_first_is_told_before_it_sends() {
    let (node, _root) = node(Limits::default());
    let mut stream = connect(&node);
    send(
        &mut stream,
        b"PUT /v1/sys/unseal HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 5000000\r\n\r\n",
    );
    assert_eq!(answer(&mut stream).0, 413);
    let mut stream = connect(&node);
    send(&mut stream, b"PUT /v1/sys/unseal HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n");
    assert_eq!(answer(&mut stream).0, 100);
    send(&mut stream, b"{}");
    assert_eq!(answer(&mut stream).0, 400);
}

#[test]
fn a_head_that_drips_and_a_body_that_drips_end() {
    let limits =
        Limits { head_time: Duration::from_millis(300), body_time: Duration::from_millis(300), ..Limits::default() };
    let (node, _root) = node(limits);
    let begun = Instant::now();
    let mut stream = connect(&node);
    for byte in b"GET /v1/sys/health HTTP/1.1\r\nX-Slow: " {
        if stream.write_all(&[*byte]).is_err() {
            break;
        }
        std::thread::sleep(Duration::from_millis(15));
    }
    assert!(closed(&mut stream));
    let mut stream = connect(&node);
    send(&mut stream, b"PUT /v1/sys/unseal HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{");
    let (status, _, body) = answer(&mut stream);
    assert_eq!((status, &*body), (408, "{\"errors\":[\"the request body did not come in time\"]}\n"));
    assert!(closed(&mut stream));
    // One that says nothing at all.
    assert!(closed(&mut connect(&node)));
    assert!(begun.elapsed() < Duration::from_secs(10));
    node.client().read("sys/health").expect(200);
}

#[test]
fn a_head_that_is_too_long_is_refused() {
    let (node, _root) = node(Limits::default());
    let mut stream = connect(&node);
    let long = format!("GET /v1/sys/health HTTP/1.1\r\nHost: x\r\nX-Long: {}\r\n\r\n", "x".repeat(70_000));
    let _ = stream.write_all(long.as_bytes());
    let (status, ..) = answer(&mut stream);
    assert_eq!(status, 431);
    let many: String = (0..200).map(|n| format!("X-{n}: y\r\n")).collect();
    let mut stream = connect(&node);
    let _ = stream.write_all(format!("GET /v1/sys/health HTTP/1.1\r\n{many}\r\n").as_bytes());
    assert_eq!(answer(&mut stream).0, 431);
    node.client().read("sys/health").expect(200);
}

#[test]
fn whoever_has_waited_longest_makes_room_when_all_places_are_taken() {
    let limits = Limits { max_connections: 2, ..Limits::default() };
    let (node, _root) = node(limits);
    let mut held = [connect(&node), connect(&node)];
    send(&mut held[1], b"POST /v1/sys/unseal HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{");
    let mut kept = Vec::new();
    for gone in &mut held {
        let begun = Instant::now();
        let mut more = connect(&node);
        send(&mut more, b"GET /v1/sys/health HTTP/1.1\r\nHost: x\r\n\r\n");
        assert_eq!(answer(&mut more).0, 200);
        assert!(begun.elapsed() < Duration::from_secs(10), "who only waits or drips held it up");
        assert!(closed(gone), "the one that came first had to go");
        kept.push(more);
    }
    // Both that were answered are served on.
    for more in &mut kept {
        send(more, b"GET /v1/sys/health HTTP/1.1\r\nHost: x\r\n\r\n");
        assert_eq!(answer(more).0, 200);
    }
}

#[test]
fn many_long_bodies_at_once_leave_short_ones_alone() {
    let limits = Limits { body_time: Duration::from_secs(2), ..Limits::default() };
    let (node, _root) = node(limits);
    let head = "POST /v1/sys/unseal HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n{";
    let mut long: Vec<_> = (0..40)
        .map(|_| {
            let mut stream = connect(&node);
            send(&mut stream, head.as_bytes());
            stream
        })
        .collect();
    let short = node.client().write("sys/unseal", &serde_json::json!({"key": [1]}));
    assert_eq!(short.status, 400, "{}", short.text());
    let mut said: Vec<u16> = long.iter_mut().map(|stream| answer(stream).0).collect();
    said.sort_unstable();
    let (had_room, had_none) = said.split_at(33);
    assert!(had_room.iter().all(|status| *status == 408), "they dripped: {said:?}");
    assert!(had_none.iter().all(|status| *status == 503), "they waited for room: {said:?}");
    let long = format!("{{\"key\": \"{}\"}}", "a".repeat(900_000));
    assert_eq!(node.client().send("POST", "sys/unseal", Some(long.as_bytes())).status, 400, "there is room again");
}

#[test]
fn what_is_not_http_is_turned_away() {
    let (node, _root) = node(Limits::default());
    for bytes in [
        &b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03"[..],
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\r\n\r\n\0\0\0\0 x y\r\n\r\n",
    ] {
        let mut stream = connect(&node);
        let _ = stream.write_all(bytes);
        assert!(closed(&mut stream));
    }
    node.client().read("sys/health").expect(200);
}

#[tokio::test]
async fn hundreds_may_come_at_the_same_moment() {
    // Nobody takes them yet, as when the server is busy: those that the system does not keep meanwhile try again after a second.
    let listener = sparekey::http::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = listener.local_addr().unwrap();
    let mut came = Vec::new();
    for number in 0..600 {
        let connecting =
            tokio::time::timeout(Duration::from_millis(900), tokio::net::TcpStream::connect(address)).await;
        came.push(connecting.unwrap_or_else(|_| panic!("connection {number} was left waiting")).unwrap());
    }
}
