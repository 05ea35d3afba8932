//! Requests whose very framing is an attack: written byte by byte, because no client library would send them.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::stage::{ACCOUNT, Stage};

const RETRIEVE: &str = "/v1/backup-codes/retrieve/github/acme-owner";

/// Sends `bytes`, says that no more will come, and returns everything that comes back until the server closes.
fn sent(stage: &Stage, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(stage.node.address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let written = stream.write_all(bytes).and_then(|()| stream.shutdown(Shutdown::Write));
    let mut answer = Vec::new();
    let read = stream.read_to_end(&mut answer);
    assert!(!answer.is_empty() || (written.and(read.map(drop))).is_ok(), "neither answered nor closed");
    String::from_utf8_lossy(&answer).into_owned()
}

/// The statuses of all answers that came back on one connection.
fn statuses(answers: &str) -> Vec<u16> {
    answers.match_indices("HTTP/1.").filter_map(|(at, _)| answers[at..].split(' ').nth(1)?.parse().ok()).collect()
}

fn body(stage: &Stage) -> String {
    stage.asserted(json!({})).to_string()
}

fn post(body: &str, headers: &str) -> String {
    format!("POST {RETRIEVE} HTTP/1.1\r\n{headers}Content-Length: {}\r\n\r\n{body}", body.len())
}

#[test]
fn a_good_request_passes_in_each_form_that_http_has() {
    let stage = Stage::new();
    let host = "Host: test\r\nConnection: close\r\n";
    let chunked = |body: &str| {
        let (one, two) = body.split_at(body.len() / 2);
        format!(
            "POST {RETRIEVE} HTTP/1.1\r\n{host}Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{one}\r\n{:X};a=b\r\n{two}\r\n0\r\n\r\n",
            one.len(),
            two.len()
        )
    };
    let absolute = |body: &str| {
        format!(
            "POST http://elsewhere.example{RETRIEVE} HTTP/1.1\r\n{host}Content-Length: {}\r\n\r\n{body}",
            body.len()
        )
    };
    let oldest = |body: &str| format!("PUT {RETRIEVE} HTTP/1.0\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    let continued = |body: &str| post(body, &format!("{host}Expect: 100-continue\r\n"));
    let mut remaining = stage.remaining();
    type Form<'a> = &'a dyn Fn(&str) -> String;
    let forms: [(&str, Form<'_>); 5] = [
        ("plain", &|body| post(body, host)),
        ("chunked", &chunked),
        ("absolute", &absolute),
        ("HTTP/1.0", &oldest),
        ("continued", &continued),
    ];
    for (name, form) in forms {
        let answer = sent(&stage, form(&body(&stage)).as_bytes());
        assert_eq!(statuses(&answer).last(), Some(&200), "{name}: {answer}");
        remaining -= 1;
        assert_eq!(stage.remaining(), remaining, "{name}");
    }
}

#[test]
fn a_request_that_can_be_read_in_two_ways_is_refused_or_read_in_one() {
    let stage = Stage::new();
    let before = stage.remaining();
    let good = body(&stage);
    let length = good.len();
    let smuggled = post(&good, "Host: test\r\n");
    let host = "Host: test\r\n";
    let mut failures = Vec::new();
    for (name, request, wanted) in [
        ("no host", format!("POST {RETRIEVE} HTTP/1.1\r\nContent-Length: {length}\r\n\r\n{good}"), 400),
        ("two hosts", post(&good, "Host: test\r\nHost: other\r\n"), 400),
        ("the same host twice", post(&good, "Host: test\r\nHost: test\r\n"), 400),
        ("two lengths", post(&good, &format!("{host}Content-Length: 2\r\n")), 400),
        ("two lengths in one", post("", &format!("{host}Content-Length: {length}, 2\r\n")), 400),
        ("a length with a sign", post("", &format!("{host}Content-Length: +{length}\r\n")), 400),
        ("a negative length", post("", &format!("{host}Content-Length: -1\r\n")), 400),
        ("a length in hex", post("", &format!("{host}Content-Length: 0x10\r\n")), 400),
        ("an endless length", post("", &format!("{host}Content-Length: 99999999999999999999\r\n")), 400),
        ("no length but a word", post("", &format!("{host}Content-Length: many\r\n")), 400),
        ("a coding nobody knows", post(&good, &format!("{host}Transfer-Encoding: xchunked\r\n")), 400),
        ("a coding after chunked", post(&good, &format!("{host}Transfer-Encoding: chunked, identity\r\n")), 400),
        ("identity", post(&good, &format!("{host}Transfer-Encoding: identity\r\n")), 400),
        (
            "chunked in HTTP/1.0",
            format!("POST {RETRIEVE} HTTP/1.0\r\n{host}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
            400,
        ),
        ("a space before the colon", post(&good, &format!("{host}Transfer-Encoding : chunked\r\n")), 400),
        ("a folded header", post(&good, &format!("{host}X-A: b\r\n Transfer-Encoding: chunked\r\n")), 400),
        ("a header without a name", post(&good, &format!("{host}: chunked\r\n")), 400),
        ("a NUL in a header", post(&good, &format!("{host}X-A: b\0c\r\n")), 400),
        ("a bare carriage return", post(&good, &format!("{host}X-A: b\rTransfer-Encoding: chunked\r\n")), 400),
        ("no version", format!("POST {RETRIEVE}\r\n{host}\r\n"), 400),
        ("version 2", post(&good, host).replacen("HTTP/1.1", "HTTP/2.0", 1), 400),
        ("version 1.2", post(&good, host).replacen("HTTP/1.1", "HTTP/1.2", 1), 400),
        ("a space in the target", post(&good, host).replacen("acme-owner", "acme owner", 1), 400),
        ("a control byte in the target", post(&good, host).replacen("acme-owner", "acme\u{1}owner", 1), 400),
        ("a broken chunk", format!("POST {RETRIEVE} HTTP/1.1\r\n{host}Transfer-Encoding: chunked\r\n\r\nzz\r\n"), 400),
        (
            "a chunk of more than there is",
            format!("POST {RETRIEVE} HTTP/1.1\r\n{host}Transfer-Encoding: chunked\r\n\r\nfffff\r\n{good}"),
            400,
        ),
        (
            "a chunk size beyond all bounds",
            format!("POST {RETRIEVE} HTTP/1.1\r\n{host}Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n"),
            400,
        ),
        ("too many headers", post(&good, &format!("{host}{}", "X-A: b\r\n".repeat(200))), 431),
        ("a huge header", post(&good, &format!("{host}X-A: {}\r\n", "a".repeat(70_000))), 431),
        ("a huge target", format!("GET /v1/{} HTTP/1.1\r\n{host}\r\n", "a".repeat(66_000)), 431),
        ("a body that is not all there", post(&format!("{good} "), host).trim_end().to_owned(), 400),
        ("noise", "\u{16}\u{3}\u{1}\u{2}\0\u{1}\0\u{1}".to_owned(), 400),
        ("a proxy's preface", format!("PROXY TCP4 10.0.0.1 10.0.0.2 1 2\r\n{smuggled}"), 400),
    ] {
        let answer = sent(&stage, request.as_bytes());
        let statuses = statuses(&answer);
        if statuses != [wanted] {
            failures.push(format!("{name}: {statuses:?} {answer}"));
        }
        assert_eq!(stage.remaining(), before, "{name}");
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    assert_eq!(sent(&stage, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), "", "another protocol is hung up on");
    stage.retrieves();
}

#[test]
fn nothing_hides_behind_a_request() {
    let stage = Stage::new();
    let before = stage.remaining();
    let host = "Host: test\r\n";
    let hidden = post(&body(&stage), host);
    // In the body of a read, which has none: the bytes are its body, not the next request.
    let carrier = format!("GET /v1/sys/health HTTP/1.1\r\n{host}Content-Length: {}\r\n\r\n{hidden}", hidden.len());
    assert_eq!(statuses(&sent(&stage, carrier.as_bytes())), [200], "in the body of a read");
    // Behind the last chunk, where another reader counts by length: that connection ends.
    let whole = format!("0\r\n\r\n{hidden}");
    for order in [
        format!("Transfer-Encoding: chunked\r\nContent-Length: {}\r\n", whole.len()),
        format!("Content-Length: {}\r\nTransfer-Encoding: chunked\r\n", whole.len()),
    ] {
        let request = format!("POST /v1/auth/jwt/login HTTP/1.1\r\n{host}{order}\r\n{whole}");
        let answer = sent(&stage, request.as_bytes());
        assert_eq!(statuses(&answer), [400], "between two readings of a length: {answer}");
    }
    // Behind a redirect and behind a refusal, as body of either.
    for target in ["/v1//backup-codes/retrieve/x", "/v1/backup-codes/retrieve/%2e%2e", "/v1/backup-codes/retrieve/a/"] {
        let request = format!("POST {target} HTTP/1.1\r\n{host}Content-Length: {}\r\n\r\n{hidden}", hidden.len());
        assert_eq!(statuses(&sent(&stage, request.as_bytes())).len(), 1, "{target}");
    }
    // Behind a body that is too long.
    let long = format!("POST {RETRIEVE} HTTP/1.1\r\n{host}Content-Length: 2000000\r\n\r\n{hidden}");
    assert_eq!(statuses(&sent(&stage, long.as_bytes())), [413]);
    assert_eq!(stage.remaining(), before, "none of it was carried out");
    // Two honest requests in a row are two requests.
    let pair = format!("GET /v1/sys/health HTTP/1.1\r\n{host}\r\n{hidden}");
    assert_eq!(statuses(&sent(&stage, pair.as_bytes())), [200, 200]);
    assert_eq!(stage.remaining(), before - 1);
}

#[test]
fn of_two_tokens_the_first_counts() {
    let stage = Stage::new();
    let good = stage.login("admin");
    let read = |client: &crate::support::http::Client| client.read("backup-codes/accounts/github/acme-owner").status;
    assert_eq!(read(&good), 200);
    let bad = stage.nobody.token("s.aaaaaaaaaaaaaaaaaaaaaaaa");
    assert_eq!(read(&bad), 403);
    assert_eq!(read(&bad.header("Authorization", "Bearer s.aaaaaaaaaaaaaaaaaaaaaaaa")), 403);
    for odd in ["s.\u{e4}", "", " ", "root", "null", "*", "s.", &"s".repeat(5000)] {
        assert!(matches!(read(&stage.nobody.token(odd)), 400 | 403), "{odd:?}");
    }
    for namespace in ["evil", "evil/", "root/evil", "../root", "*"] {
        assert_eq!(read(&good.header("X-Vault-Namespace", namespace)), 404, "{namespace}");
    }
}

#[test]
fn a_redirect_leads_nowhere_else() {
    let stage = Stage::new();
    for (target, location) in [
        ("//evil.example/v1/x", "/evil.example/v1/x"),
        ("/v1/..//evil.example", "/evil.example"),
        ("//\\evil.example/x", "/%5Cevil.example/x"),
        ("/.//\\\\evil.example", "/%5C%5Cevil.example"),
        ("/v1//a?b=\"><script>", "/v1/a?b=%22%3E%3Cscript%3E"),
    ] {
        let answer = sent(&stage, format!("GET {target} HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n").as_bytes());
        let lower = answer.to_ascii_lowercase();
        if statuses(&answer) == [400] {
            continue;
        }
        assert_eq!(statuses(&answer), [307], "{target}: {answer}");
        let at = lower.find("location: ").unwrap() + 10;
        assert_eq!(answer[at..].lines().next().unwrap(), location, "{target}");
        assert!(!answer.contains("<script>"), "{answer}");
    }
}

#[test]
fn who_dawdles_holds_nobody_up() {
    let stage = Stage::new();
    let before = stage.remaining();
    // Half a head and half a body, and no more: they wait, others are served.
    let mut head = TcpStream::connect(stage.node.address).unwrap();
    head.write_all(format!("POST {RETRIEVE} HTTP/1.1\r\nHost: te").as_bytes()).unwrap();
    let mut rest = TcpStream::connect(stage.node.address).unwrap();
    let request = post(&body(&stage), "Host: test\r\n");
    rest.write_all(&request.as_bytes()[..request.len() - 1]).unwrap();
    let begun = Instant::now();
    stage.retrieves();
    stage.nobody.read("sys/health").expect(200);
    assert!(begun.elapsed() < Duration::from_secs(5));
    drop((head, rest));
    assert_eq!(stage.remaining(), before - 1, "half a request is none");
}

#[test]
fn bodies_end_at_their_bound() {
    let stage = Stage::new();
    let before = stage.remaining();
    let mut fitting: Value = stage.asserted(json!({}));
    fitting["pad"] = json!("a".repeat(900_000));
    let path = format!("backup-codes/retrieve/{ACCOUNT}");
    stage.nobody.write(&path, &fitting).expect(200);
    fitting["pad"] = json!("a".repeat(1_048_576));
    let mark = stage.audit_len();
    let answer = stage.nobody.write(&path, &fitting).expect(413);
    assert_eq!(answer.error(), "http: request body too large");
    let lines = stage.answered_since(mark);
    assert_eq!((lines.len(), &lines[0]["response"]["status"]), (1, &json!(413)), "on the record");
    assert_eq!(stage.remaining(), before - 1);
}
