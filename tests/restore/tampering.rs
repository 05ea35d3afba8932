//! Anchors and audit files that somebody laid hands on: harm never goes beyond a quarantine.

use std::fs;

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
