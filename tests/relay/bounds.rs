//! What never reaches a vault, and vaults that fail in every way.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use sparekey::http::Limits;
use sparekey::relay::limits;

use crate::fake::{Does, FakeVault, Setup, relay, says, some_set};
use crate::support::http::Client;

const EVENT: &str = "application/secevent+jwt";

#[test]
fn what_is_no_event_does_not_trouble_the_vault() {
    let vault = FakeVault::new(says("202 Accepted", ""));
    let relay = relay([vault.url().as_str()]);
    let set = some_set();
    let long = "a".repeat(64 * 1024);
    for (method, path, media, body, status) in [
        ("POST", "/", EVENT, set.as_str(), 404),
        ("POST", "/idp/", EVENT, &set, 404),
        ("POST", "/IDP", EVENT, &set, 404),
        ("POST", "/v1/backup-codes/events/idp", EVENT, &set, 404),
        ("GET", "/idp", EVENT, "", 405),
        ("PUT", "/idp", EVENT, &set, 405),
        ("POST", "/idp", "application/json", &set, 415),
        ("POST", "/idp", "application/x-www-form-urlencoded", &set, 415),
        ("POST", "/idp", EVENT, "", 400),
        ("POST", "/idp", EVENT, "{\"set\":\"a.b.c\"}", 400),
        ("POST", "/idp", EVENT, "a.b.c\",\"x\":\"", 400),
        ("POST", "/idp", EVENT, &format!("{set}{long}"), 413),
    ] {
        let answer = relay.send(method, path, media, body.as_bytes()).expect(status);
        if matches!(status, 400 | 413 | 415) {
            assert_eq!(answer.json()["err"], "invalid_request");
            assert_eq!(answer.header("content-language"), Some("en"));
        }
    }
    assert_eq!(vault.seen(), Vec::<String>::new());
    let refused = relay.send("POST", "/idp", "text/plain", b"x");
    assert_eq!(refused.header("accept-post"), Some(EVENT));
    assert_eq!(relay.send("GET", "/idp", EVENT, b"").header("allow"), Some("POST"));

    // The longest that fits, with a parameter behind the media type.
    let longest = format!("a.{}.c", "b".repeat(64 * 1024 - 4));
    relay.send("POST", "/idp?x=1", "application/secevent+jwt; charset=utf-8", longest.as_bytes()).expect(202);
    assert_eq!(vault.seen().len(), 1);
}

#[test]
fn nothing_but_the_event_reaches_the_vault() {
    let vault = FakeVault::new(says("202 Accepted", ""));
    let relay = relay([vault.url().as_str()]);
    let set = some_set();
    let head = format!(
        "POST /idp?role=root HTTP/1.1\r\nHost: relay\r\nConnection: close\r\nContent-Type: {EVENT}\r\n\
         Authorization: Bearer of-the-sender\r\nX-Vault-Token: s.root\r\nX-Vault-Namespace: other\r\nCookie: a=b\r\n\
         X-Forwarded-For: 10.0.0.1\r\nContent-Length: {}\r\n\r\n{set}",
        set.len()
    );
    Client::new(relay.address).exchange(head.as_bytes()).unwrap().expect(202);
    let [request] = vault.seen().try_into().unwrap();
    let (head, body) = request.split_once("\r\n\r\n").unwrap();
    assert_eq!(body, format!("{{\"set\":\"{set}\"}}"));
    assert!(head.starts_with("PUT /v1/backup-codes/events/idp HTTP/1.1\r\n"), "{head}");
    let mut names: Vec<&str> = head.lines().skip(1).filter_map(|line| line.split(':').next()).collect();
    names.sort_unstable();
    let expected = ["accept", "content-length", "content-type", "host", "user-agent", "x-vault-request"];
    assert_eq!(names, expected, "{head}");
}

#[test]
fn a_vault_that_fails_in_any_way_has_not_acknowledged() {
    let ok = "HTTP/1.1 202 Accepted\r\n";
    for (what, does) in [
        ("an error", says("500 Internal Server Error", "{\"errors\":[\"x\"]}")),
        ("a proxy", says("502 Bad Gateway", "<html>")),
        ("a sealed one", says("503 Service Unavailable", "{\"errors\":[\"Vault is sealed\"]}")),
        ("too many", says("429 Too Many Requests", "{\"errors\":[\"x\"]}")),
        ("a policy", says("403 Forbidden", "{\"errors\":[\"permission denied\"]}")),
        ("no mount", says("404 Not Found", "{\"errors\":[]}")),
        ("another 400", says("400 Bad Request", "{\"errors\":[\"x\"]}")),
        ("another success", says("200 OK", "{}")),
        ("no content", says("204 No Content", "")),
        ("a redirect", says("307 Temporary Redirect\r\nlocation: http://127.0.0.1:1/", "")),
        ("an answer cut off", Does::Says(format!("{ok}content-length: 10\r\n\r\nhalf"))),
        ("an endless answer", Does::Says(format!("{ok}content-length: 100000\r\n\r\n{}", "x".repeat(100_000)))),
        ("no HTTP", Does::Says("hello\r\n\r\n".to_owned())),
        ("a hang-up", Does::Closes),
        ("silence", Does::Hangs),
    ] {
        let vault = FakeVault::new(does);
        let relay =
            Setup { targets: vec![vault.url()], timeout: Duration::from_millis(500), ..Setup::default() }.start();
        let answer = relay.push(&some_set());
        assert_eq!(answer.status, 503, "{what}: {answer:?}");
        assert_eq!(answer.header("retry-after"), Some("5"), "{what}");
        assert!(!vault.seen().is_empty(), "{what}");
    }
    // Nobody there at all.
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    relay([crate::fake::url(gone).as_str()]).push(&some_set()).expect(503);
    // A vault that says when.
    let vault = FakeVault::new(says("503 Service Unavailable\r\nretry-after: 17", ""));
    assert_eq!(relay([vault.url().as_str()]).push(&some_set()).header("retry-after"), Some("17"));
}

#[test]
fn events_under_way_are_bounded_and_those_above_come_again() {
    let vault = FakeVault::new(Does::SaysAfter(
        Duration::from_millis(700),
        "HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\nconnection: close\r\n\r\n".to_owned(),
    ));
    let relay = Setup { targets: vec![vault.url()], max_in_flight: 2, ..Setup::default() }.start();
    let statuses: Vec<(u16, Option<String>)> = thread::scope(|scope| {
        let push = || {
            let answer = relay.push(&some_set());
            (answer.status, answer.header("retry-after").map(str::to_owned))
        };
        let all: Vec<_> = (0..5).map(|_| scope.spawn(push)).collect();
        all.into_iter().map(|one| one.join().unwrap()).collect()
    });
    let accepted = statuses.iter().filter(|(status, _)| *status == 202).count();
    let refused = statuses.iter().filter(|one| **one == (503, Some("1".to_owned()))).count();
    assert_eq!((accepted, refused), (2, 3), "{statuses:?}");
    assert_eq!(vault.seen().len(), 2);
    relay.push(&some_set()).expect(202);
}

#[test]
fn a_sender_that_dawdles_loses_its_place() {
    let vault = FakeVault::new(says("202 Accepted", ""));
    let few = Limits { max_connections: 2, ..limits() };
    let relay = Setup { targets: vec![vault.url()], limits: few, ..Setup::default() }.start();
    let mut idle = [(); 2].map(|()| TcpStream::connect(relay.address).unwrap());
    idle[0].write_all(b"POST /idp HTTP/1.1\r\nHost: x\r\n").unwrap();
    idle[1].write_all(b"POST /idp HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\na").unwrap();
    let started = Instant::now();
    for _ in 0..3 {
        relay.push(&some_set()).expect(202);
    }
    assert!(started.elapsed() < Duration::from_secs(10), "an event waited for who dawdles");
    idle[0].set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let ended = idle[0].read(&mut [0; 1]);
    assert!(
        matches!(&ended, Ok(0)) || ended.as_ref().is_err_and(|error| error.kind() == ErrorKind::ConnectionReset),
        "the one that came first had to go: {ended:?}"
    );
}
