//! Anchors and audit files that somebody laid hands on: harm never goes beyond a quarantine.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use super::support::scene::{Scene, codes};
use super::support::server::Setup;
use super::{accept, anchor, keep_yesterday, put_back, server, told, until};

#[test]
fn an_altered_or_cut_anchor_quarantines_and_is_mended_by_accepting() {
    let (mut server, scene) = server();
    until(&server, "anchored", |told| told["anchored_epoch"].as_u64() > Some(1));
    for spoil in [0, 1, 2] {
        server.terminate();
        let mut text = fs::read(anchor(&server)).unwrap();
        match spoil {
            0 => {
                let at = text
                    .windows(9)
                    .position(|window| window == b"\"epoch\":1" || window.starts_with(b"\"epoch\":"))
                    .unwrap();
                text[at + 8] ^= 1;
            }
            1 => text.truncate(text.len() / 2),
            _ => text.clear(),
        }
        fs::write(anchor(&server), &text).unwrap();
        server.boot();
        let found = told(&server);
        assert_eq!(found["quarantine"], true, "{spoil}: {found}");
        assert!(found["why"].as_str().unwrap().contains("does not hold"), "{found}");
        let accepted = accept(&server);
        assert_eq!(accepted["accounts_total"], 0, "{spoil}: nothing went back: {accepted}");
        scene.retrieve("github/acme-owner", "jane").expect(200);
    }
}

#[test]
fn a_missing_anchor_is_said_in_the_log_and_the_audit_file_still_tells() {
    let (mut server, scene) = server();
    let store = keep_yesterday(&mut server);
    scene.retrieve("github/acme-owner", "jane").expect(200);
    server.terminate();
    fs::remove_file(anchor(&server)).unwrap();
    server.boot();
    assert_eq!(told(&server)["quarantine"], false, "a store as it was: {}", told(&server));
    assert!(server.log().contains("no anchor here"), "{}", server.log());
    server.kill();
    fs::remove_file(anchor(&server)).unwrap();
    put_back(&mut server, &store);
    assert_eq!(told(&server)["quarantine"], true, "the audit file knew better: {}", told(&server));
}

#[test]
fn a_cut_audit_file_leaves_the_anchor() {
    let (mut server, scene) = server();
    let store = keep_yesterday(&mut server);
    scene.retrieve("github/acme-owner", "jane").expect(200);
    server.terminate();
    let text = fs::read(server.audit()).unwrap();
    let lines: Vec<&[u8]> = text.split_inclusive(|byte| *byte == b'\n').collect();
    fs::write(server.audit(), lines[..lines.len() / 2].concat()).unwrap();
    put_back(&mut server, &store);
    assert_eq!(told(&server)["quarantine"], true, "{}", told(&server));
    // What was done since the anchor before stands in the anchor itself.
    let accepted = accept(&server);
    assert_eq!(accepted["accounts"][0]["account"], "github/acme-owner", "{accepted}");
}

#[test]
fn an_anchor_of_another_store_is_replaced() {
    let (mut one, _) = server();
    let (mut other, _) = server();
    one.terminate();
    other.terminate();
    fs::copy(anchor(&one), anchor(&other)).unwrap();
    other.boot();
    assert_eq!(told(&other)["quarantine"], false);
    assert!(other.log().contains("of another store"), "{}", other.log());
}

#[test]
fn a_stolen_older_anchor_does_nothing() {
    let (mut server, scene) = server();
    server.terminate();
    let old = fs::read(anchor(&server)).unwrap();
    server.boot();
    scene.retrieve("github/acme-owner", "jane").expect(200);
    server.terminate();
    fs::write(anchor(&server), old).unwrap();
    server.boot();
    assert_eq!(told(&server)["quarantine"], false, "{}", told(&server));
    scene.retrieve("github/acme-owner", "jane").expect(200);
}

#[test]
fn an_address_elsewhere_remembers_what_this_machine_forgot() {
    // Takes PUT, gives the last one back with GET: one connection at a time is enough.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}/node-1", listener.local_addr().unwrap());
    let kept: Arc<Mutex<Option<Vec<u8>>>> = Arc::default();
    let keeper = Arc::clone(&kept);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(stream) = stream else { return };
            let _ = answer(stream, &keeper);
        }
    });
    let extra = format!("anchor_interval = \"1s\"\nanchor \"http\" {{ address = \"{address}\" }}");
    let mut server = Setup::default().static_seal().extra(&extra).start();
    let scene = Scene::new(&server);
    scene.store("github/acme-owner", &codes(1, 10), 0).expect(200);
    // The whole machine is put back: store, audit file and anchor agree with each other.
    server.terminate();
    let files = ["store.redb", "audit.log", "audit.log.anchor"];
    let before: Vec<Vec<u8>> = files.iter().map(|file| fs::read(server.dir().join(file)).unwrap()).collect();
    server.boot();
    scene.retrieve("github/acme-owner", "jane").expect(200);
    server.terminate();
    assert!(kept.lock().unwrap().is_some(), "nothing was put there");
    for (file, bytes) in files.iter().zip(&before) {
        fs::write(server.dir().join(file), bytes).unwrap();
    }
    server.boot();
    let found = told(&server);
    assert_eq!(found["quarantine"], true, "the copy elsewhere was not compared: {found}");
    let accepted = accept(&server);
    assert_eq!(accepted["accounts"][0]["account"], "github/acme-owner", "{accepted}");
}

fn answer(mut stream: TcpStream, kept: &Mutex<Option<Vec<u8>>>) -> std::io::Result<()> {
    let mut input = BufReader::new(stream.try_clone()?);
    let (mut head, mut length) = (String::new(), 0);
    input.read_line(&mut head)?;
    loop {
        let mut line = String::new();
        input.read_line(&mut line)?;
        if line.trim().is_empty() {
            break;
        }
        if let Some(number) = line.to_lowercase().strip_prefix("content-length:") {
            length = number.trim().parse().unwrap_or(0);
        }
    }
    let mut body = vec![0; length];
    input.read_exact(&mut body)?;
    let answer = if head.starts_with("PUT ") {
        *kept.lock().unwrap() = Some(body);
        b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n".to_vec()
    } else {
        match &*kept.lock().unwrap() {
            Some(text) => {
                let mut out = format!("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", text.len());
                out.push_str(&String::from_utf8_lossy(text));
                out.into_bytes()
            }
            None => b"HTTP/1.1 404 Not Found\r\nConnection: close\r\nContent-Length: 0\r\n\r\n".to_vec(),
        }
    };
    stream.write_all(&answer)
}
