//! Yesterday's redb file is put back, after acts that were acknowledged.

use std::collections::BTreeSet;

use serde_json::json;

use super::support::scene::codes;
use super::{accept, keep_yesterday, put_back, release, server, told};

#[test]
fn no_code_leaves_until_it_is_accepted_and_what_went_back_is_held() {
    let (mut server, scene) = server();
    for (number, account) in ["okta/jane@example.com", "team/quiet"].iter().enumerate() {
        scene.store(account, &codes(10 + number as u64, 4), 0).expect(200);
    }
    scene.retrieve("github/acme-owner", "jane").expect(200);
    let store = keep_yesterday(&mut server);

    // Today: codes leave, a set is replaced, an enrollment ends one, an account is made, a role is changed.
    let mut seen = BTreeSet::new();
    for _ in 0..3 {
        let data = scene.retrieve("github/acme-owner", "jane").expect(200).data();
        seen.insert(data["code"].as_str().expect("a code").to_owned());
    }
    scene.enrolled_again("jane@example.com").expect(202);
    scene.store("team/new", &codes(20, 4), 0).expect(200);
    scene.store("team/rotated", &codes(21, 4), 0).expect(200);
    scene.store("team/rotated", &codes(22, 4), 1).expect(200);
    server.root().write("backup-codes/roles/on-call", &json!({"accounts": ["*"], "max_retrievals": 9})).expect(204);

    put_back(&mut server, &store);
    let found = told(&server);
    assert_eq!(found["quarantine"], true, "yesterday's store was not noticed: {found}");
    assert!(found["why"].as_str().unwrap().contains("epoch"), "{found}");
    for (base, account) in [("retrieve", "github/acme-owner"), ("retrieve", "team/quiet"), ("sets", "team/quiet")] {
        let body = match base {
            "retrieve" => scene.request("jane"),
            _ => json!({"role": "automation", "jwt": scene.automation(), "codes": codes(30, 4)}),
        };
        let answer = scene.act(base, account, body).expect(503);
        assert!(answer.error().starts_with("restore-quarantine: "), "{}", answer.text());
        assert!(answer.error().contains("sparekey restore accept"), "what to do is not said: {}", answer.text());
    }
    assert!(release(&scene, "team/quiet").expect(503).error().starts_with("restore-quarantine: "));
    // What ends codes, and what only reads, goes on.
    scene.enrolled_again("joe@example.com").expect(202);
    scene.read("accounts", "team/quiet").expect(200);
    let body = json!({"role": "automation", "jwt": scene.automation(), "reason": "phished", "cause": "compromise"});
    scene.act("revoke", "team/quiet", body).expect(200);
    assert_eq!(server.client().read("sys/health").expect(200).json()["restore_quarantine"], true);
    assert_eq!(server.client().read("sys/seal-status").expect(200).json()["restore_quarantine"], true);
    let metrics = server.root().read("sys/metrics?format=prometheus").expect(200).text();
    assert!(metrics.contains("\nsparekey_restore_quarantine 1\n"), "{metrics}");

    // Nobody but who administers accepts, and not without a reason.
    server.client().write("sys/restore/accept", &json!({"reason": "x"})).expect(403);
    server.root().write("sys/restore/accept", &json!({})).expect(400);
    let accepted = accept(&server);
    let names: Vec<&str> =
        accepted["accounts"].as_array().unwrap().iter().map(|one| one["account"].as_str().unwrap()).collect();
    assert_eq!(names, ["github/acme-owner", "okta/jane@example.com"], "{accepted}");
    assert_eq!(accepted["accounts"][0]["seq"], 2, "{accepted}");
    assert_eq!(accepted["accounts"][0]["known_seq"], 5, "{accepted}");
    assert_eq!(accepted["missing"], json!(["team/new", "team/rotated"]), "{accepted}");
    assert!(accepted["configuration"]["known_seq"].as_u64() > accepted["configuration"]["seq"].as_u64(), "{accepted}");
    assert_eq!(told(&server)["quarantine"], false);
    assert!(server.client().read("sys/health").expect(200).json().get("restore_quarantine").is_none());

    // Held: yesterday's set would give today's codes again, and the enrollment is forgotten.
    for account in ["github/acme-owner", "okta/jane@example.com"] {
        let answer = scene.retrieve(account, "jane");
        assert_eq!(answer.status, 400, "{account} gave a code after it went back: {}", answer.text());
        assert!(
            answer.error().starts_with("quarantined: "),
            "{account} gave a code after it went back: {}",
            answer.text()
        );
        assert!(answer.error().contains("backup of last night"), "the reason is not shown: {}", answer.text());
    }
    let posture = scene.read("report", "posture?only=held").expect(200).data();
    assert_eq!(posture["accounts"].as_array().unwrap().len(), 2, "{posture}");
    let history = scene.read("history", "github/acme-owner?verify=true").expect(200).data();
    assert_eq!(history["verified"], true);
    assert_eq!(history["entries"].as_array().unwrap().last().unwrap()["act"], "restore");

    // A number that was acknowledged is not given to another set.
    let answer = scene.store("okta/jane@example.com", &codes(40, 4), 1).expect(200).data();
    assert_eq!(answer["generation"], 2);
    scene.retrieve("okta/jane@example.com", "jane").expect(200);
    release(&scene, "github/acme-owner").expect(200);
    let code = scene.retrieve("github/acme-owner", "jane").expect(200).data()["code"].as_str().unwrap().to_owned();
    assert!(seen.contains(&code), "released: the operator has said that these are to be used again");

    // It is over: nothing is found at the next start.
    server.restart();
    assert_eq!(told(&server)["quarantine"], false, "{}", told(&server));
    scene.retrieve("github/acme-owner", "jane").expect(200);
}

#[test]
fn tokens_and_wrappings_of_the_state_that_came_back_are_ended() {
    let (mut server, scene) = server();
    let wrapped = server
        .client()
        .header("X-Vault-Wrap-TTL", "60s")
        .write("backup-codes/retrieve/github/acme-owner", &scene.request("jane"))
        .expect(200)
        .json();
    let token = wrapped["wrap_info"]["token"].as_str().expect("a wrapping token").to_owned();
    let store = keep_yesterday(&mut server);
    server.client().token(&token).write("sys/wrapping/unwrap", &json!({})).expect(200);
    put_back(&mut server, &store);
    let answer = server.client().token(&token).write("sys/wrapping/unwrap", &json!({}));
    assert_eq!(answer.status, 503, "a wrapping was opened twice: {}", answer.text());
    let accepted = accept(&server);
    assert!(accepted["wrappings_ended"].as_u64().unwrap() >= 1, "{accepted}");
    let answer = server.client().token(&token).write("sys/wrapping/unwrap", &json!({}));
    assert!(answer.status >= 400, "a wrapping was opened twice: {}", answer.text());
}

#[test]
fn acts_after_the_last_anchor_are_found_in_the_audit_file() {
    let (mut server, scene) = server();
    // Anchored now, and again only in an hour.
    server.terminate();
    let store = std::fs::read(server.store()).unwrap();
    let anchor = std::fs::read(super::anchor(&server)).unwrap();
    server.boot();
    scene.retrieve("github/acme-owner", "jane").expect(200);
    server.kill();
    // The anchor of before: only the audit file knows.
    std::fs::write(super::anchor(&server), anchor).unwrap();
    put_back(&mut server, &store);
    let found = told(&server);
    assert_eq!(found["quarantine"], true, "the audit tail was not compared: {found}");
    assert!(found["why"].as_str().unwrap().contains("github/acme-owner"), "{found}");
    let accepted = accept(&server);
    assert_eq!(accepted["accounts"][0]["account"], "github/acme-owner", "{accepted}");
}

#[test]
fn an_operator_sees_it_and_accepts_it_on_the_command_line() {
    let (mut server, scene) = server();
    scene.store("team/other", &codes(2, 4), 0).expect(200);
    let store = keep_yesterday(&mut server);
    scene.retrieve("github/acme-owner", "jane").expect(200);
    // The file that another node wrote, and its anchor: the server finds neither by itself.
    let elsewhere = tempfile::tempdir().unwrap();
    let (audit, anchor) = (elsewhere.path().join("node-2.log"), elsewhere.path().join("node-2.anchor"));
    server.terminate();
    std::fs::rename(server.audit(), &audit).unwrap();
    std::fs::copy(super::anchor(&server), &anchor).unwrap();
    let mut without = std::fs::read(super::anchor(&server)).unwrap();
    without[30] ^= 1;
    std::fs::write(super::anchor(&server), without).unwrap();
    put_back(&mut server, &store);

    let run = |args: &[&str]| super::command(&server, args);
    let (code, said) = run(&["status"]);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("no code leaves") && said.contains("sparekey restore accept"), "{said}");
    let (audit, anchor) = (audit.to_str().unwrap(), anchor.to_str().unwrap());
    assert_eq!(run(&["accept"]).0, Some(1), "a reason is needed");
    assert_eq!(run(&["accept", "--reason", "x", "--audit", "/no/such/file"]).0, Some(1));
    let (code, said) = run(&["accept", "--reason", "backup of last night", "--audit", audit, "--anchor", anchor]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("github/acme-owner: history ends at 1, known was 2"), "{said}");
    assert!(!said.contains("team/other"), "{said}");
    let (code, said) = run(&["status"]);
    assert_eq!(code, Some(0), "{said}");
    let answer = scene.retrieve("github/acme-owner", "jane").expect(400);
    assert!(answer.error().starts_with("quarantined: "), "{}", answer.text());
    scene.retrieve("team/other", "jane").expect(200);
    let (code, said) = run(&["accept", "--reason", "again"]);
    assert_eq!(code, Some(2), "nothing waits: {said}");
}

/// A store file whose last commit is damaged opens at the commit before it, and says nothing: it is the audit file that tells.
#[test]
fn a_last_commit_that_a_disk_has_damaged_is_noticed() {
    // redb's header: the byte that names the newer of two commit slots, and the slots, each with a checksum at its end.
    const NAMES: usize = 9;
    const SLOTS: [std::ops::Range<usize>; 2] = [64..192, 192..320];
    let (mut server, scene) = server();
    for number in 0..3 {
        scene.retrieve("github/acme-owner", "jane").expect(200);
        server.kill();
        let mut bytes = std::fs::read(server.store()).expect("the store");
        let newest = usize::from(bytes[NAMES] & 1);
        bytes[SLOTS[newest].end - 1 - number] ^= 0x10;
        std::fs::write(server.store(), &bytes).expect("the store");
        server.boot();
        let found = told(&server);
        assert_eq!(found["quarantine"], true, "round {number}: the commit before was taken for the last one: {found}");
        scene.act("retrieve", "github/acme-owner", scene.request("jane")).expect(503);
        accept(&server);
        release(&scene, "github/acme-owner").expect(200);
    }
}
