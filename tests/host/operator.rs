//! What operators ask of the host: the barrier's key, a new root token from shares, other people's tokens, metrics.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use serde_json::{Value, json};
use sparekey::http::Limits;
use sparekey::storage::faulty::{Faulty, Times};
use sparekey::storage::memory::Memory;
use sparekey::storage::{Found, Get};

use std::sync::Arc;

use super::inprocess::{Node, Setup};
use super::{lookup, role, scene, text, token};

/// A node under two of three shares; root and the shares.
fn shared() -> (Node, String, Vec<String>) {
    let node = Setup::default().start();
    let plain = node.client();
    let born = plain.write("sys/init", &json!({"secret_shares": 3, "secret_threshold": 2})).expect(200).json();
    let shares: Vec<String> = born["keys"].as_array().unwrap().iter().map(text).collect();
    for share in &shares[..2] {
        plain.write("sys/unseal", &json!({ "key": share })).expect(200);
    }
    (node, text(&born["root_token"]), shares)
}

#[test]
fn the_barriers_key_is_rotated_and_old_values_still_open() {
    let (node, root, shares) = shared();
    let admin = node.client().token(&root);
    let scene = scene(&node, &root);
    role(&node, &root, "desk", &["read"]);
    let desk = node.client().token(&token(&node, &scene, "desk"));
    let status = admin.read("sys/key-status").expect(200).json();
    assert_eq!((&status["term"], &status["data"]["term"]), (&json!(1), &json!(1)));
    assert!(status["data"]["encryptions"].as_u64().unwrap() > 0);
    for path in ["sys/rotate", "sys/rotate/keyring"] {
        admin.write(path, &json!({})).expect(204);
        desk.write(path, &json!({})).expect(403);
        node.client().write(path, &json!({})).expect(403);
        admin.read(path).expect(405);
    }
    let status = admin.read("sys/key-status").expect(200).json();
    assert_eq!(status["data"]["term"], 3);
    assert!(status["data"]["encryptions"].as_u64().unwrap() < 10, "counted anew: {status}");
    desk.read("sys/key-status").expect(403);

    // What was sealed before opens, and what is written now says the new key.
    admin.read("backup-codes/roles/desk").expect(200);
    let generation = |key: &str| {
        let found = node.run(node.storage.get_many(vec![Get::new(key)])).unwrap().remove(0);
        let Found::Value(bytes, _) = found else { panic!("{found:?}") };
        u32::from_be_bytes(bytes[1..5].try_into().unwrap())
    };
    assert_eq!(generation("roles/desk"), 1);
    role(&node, &root, "desk", &["read", "list"]);
    assert_eq!(generation("roles/desk"), 3);
    admin.write("sys/seal", &json!({})).expect(204);
    for share in &shares[1..] {
        node.client().write("sys/unseal", &json!({ "key": share })).expect(200);
    }
    admin.read("backup-codes/roles/desk").expect(200);
    assert_eq!(admin.read("sys/key-status").expect(200).json()["term"], 3);
    let history = admin.read("backup-codes/config/history?verify=true&limit=1000").expect(200).json();
    let rotations = history["data"]["entries"].as_array().unwrap().iter().filter(|entry| entry["act"] == "rotate");
    assert_eq!((rotations.count(), &history["data"]["verified"]), (2, &json!(true)));
}

#[test]
fn a_lost_root_token_is_made_anew_from_the_shares() {
    let (node, root, shares) = shared();
    let plain = node.client();
    let attempt = "sys/generate-root/attempt";
    let update = "sys/generate-root/update";
    let status = plain.read(attempt).expect(200).json();
    assert_eq!(
        (&status["started"], &status["required"], &status["otp_length"]),
        (&json!(false), &json!(2), &json!(26))
    );
    plain.write(update, &json!({"key": shares[0], "nonce": "x"})).expect(400);
    for wrong in ["short", "27-characters-are-too-many-", "äääääääääääää"] {
        let refused = plain.write(attempt, &json!({ "otp": wrong })).expect(400);
        assert_eq!(refused.error(), "OTP string has incorrect length", "{wrong}");
    }
    let begun = plain.write(attempt, &json!({})).expect(200).json();
    let (nonce, otp) = (text(&begun["nonce"]), text(&begun["otp"]));
    assert_eq!(otp.len(), 26);
    assert_eq!(plain.read(attempt).expect(200).json()["otp"], "", "the password is shown once");
    let refused = plain.write(attempt, &json!({})).expect(400);
    assert_eq!(refused.error(), "root generation already in progress for this namespace");
    plain.write(update, &json!({"nonce": nonce})).expect(400);
    let refused = plain.write(update, &json!({"key": shares[0], "nonce": "other"})).expect(400);
    assert!(refused.error().starts_with("incorrect nonce supplied"), "{}", refused.error());
    let one = plain.write(update, &json!({"key": shares[0], "nonce": nonce})).expect(200).json();
    assert_eq!((&one["progress"], &one["complete"], &one["encoded_token"]), (&json!(1), &json!(false), &json!("")));
    plain.write(update, &json!({"key": shares[0], "nonce": nonce})).expect(400);
    let done = plain.write(update, &json!({"key": shares[2], "nonce": nonce})).expect(200).json();
    assert_eq!((&done["progress"], &done["complete"]), (&json!(2), &json!(true)));
    let mixed = STANDARD_NO_PAD.decode(text(&done["encoded_root_token"])).unwrap();
    let new: String = mixed.iter().zip(otp.bytes()).map(|(a, b)| char::from(a ^ b)).collect();
    assert!(new.starts_with("s.") && new != root);
    let told = lookup(&plain.token(&new)).expect(200).json();
    assert_eq!(told["data"]["policies"], json!(["root"]));
    lookup(&plain.token(&root)).expect(200);
    plain.write(update, &json!({"key": shares[0], "nonce": nonce})).expect(400);
    assert_eq!(plain.read(attempt).expect(200).json()["started"], false);

    // It is on the record, without the share, the password or the token.
    let history = plain.token(&new).read("backup-codes/config/history").expect(200).json();
    let entries = history["data"]["entries"].as_array().unwrap();
    assert_eq!(entries.last().unwrap()["act"], "generate-root");
    let audit = std::fs::read_to_string(node.audit()).unwrap();
    assert!(audit.contains("sys/generate-root/update"));
    for secret in [&shares[0], &shares[2], &otp, &new, &text(&done["encoded_token"])] {
        assert!(!audit.contains(secret.as_str()) && !history.to_string().contains(secret.as_str()));
    }
}

#[test]
fn an_attempt_is_given_up_and_wrong_shares_end_it() {
    let (node, root, shares) = shared();
    let plain = node.client();
    let attempt = "sys/generate-root/attempt";
    let begin = || text(&plain.write(attempt, &json!({})).expect(200).json()["nonce"]);
    let nonce = begin();
    plain.write("sys/generate-root/update", &json!({"key": shares[0], "nonce": nonce})).expect(200);
    plain.delete(attempt).expect(204);
    plain.delete(attempt).expect(204);
    assert_eq!(plain.read(attempt).expect(200).json()["progress"], 0);
    let nonce = begin();
    let wrong = "07".repeat(33);
    plain.write("sys/generate-root/update", &json!({"key": wrong, "nonce": nonce})).expect(200);
    let refused = plain.write("sys/generate-root/update", &json!({"key": shares[1], "nonce": nonce}));
    assert_eq!(refused.status, 400, "shares that prove nothing made a root token");
    assert!(refused.error().contains("not a quorum"), "{}", refused.error());
    assert_eq!(plain.read(attempt).expect(200).json()["started"], false);
    let accessors = plain.token(&root).read("auth/token/accessors?list=true").expect(200).json();
    assert_eq!(accessors["data"]["keys"].as_array().unwrap().len(), 1, "no token was made");

    // Sealing forgets it.
    begin();
    plain.token(&root).write("sys/seal", &json!({})).expect(204);
    plain.read(attempt).expect(503);
    for share in &shares[..2] {
        plain.write("sys/unseal", &json!({ "key": share })).expect(200);
    }
    assert_eq!(plain.read(attempt).expect(200).json()["started"], false);

    // The other way asks for a token and answers in an envelope.
    let other = "sys/generate-root-token/attempt";
    plain.read(other).expect(403);
    let admin = plain.token(&root);
    let status = admin.read(other).expect(200).json();
    assert_eq!((&status["data"]["started"], &status["data"]["otp_length"]), (&json!(false), &json!(26)));
    let begun = admin.write(other, &json!({})).expect(200).json();
    assert_eq!(begun["data"]["started"], true);
    admin.delete(other).expect(204);
}

#[test]
fn tokens_are_found_by_their_accessors() {
    let (node, root, _) = shared();
    let admin = node.client().token(&root);
    let scene = scene(&node, &root);
    role(&node, &root, "desk", &["read"]);
    let desk = node.client().token(&token(&node, &scene, "desk"));
    let accessor = text(&lookup(&desk).expect(200).json()["data"]["accessor"]);
    let all = || {
        let answer = admin.list("auth/token/accessors").expect(200).json();
        answer["data"]["keys"].as_array().unwrap().iter().map(text).collect::<Vec<_>>()
    };
    assert_eq!(all().len(), 2);
    assert!(all().contains(&accessor));
    desk.list("auth/token/accessors").expect(403);
    admin.read("auth/token/accessors").expect(405);
    node.wait(std::time::Duration::from_secs(300));
    let renewed =
        admin.write("auth/token/renew-accessor", &json!({"accessor": accessor, "increment": 600})).expect(200);
    let auth = &renewed.json()["auth"];
    assert_eq!((&auth["client_token"], &auth["lease_duration"]), (&json!(""), &json!(600)), "the token is not told");
    admin.write("auth/token/renew-accessor", &json!({"accessor": "nope"})).expect(400);
    admin.write("auth/token/revoke-accessor", &json!({"accessor": accessor})).expect(204);
    lookup(&desk).expect(403);
    assert!(!all().contains(&accessor));
}

#[test]
fn an_answer_moves_to_a_new_wrapping_token_and_a_code_does_not() {
    let (node, root, _) = shared();
    let admin = node.client().token(&root);
    let scene = scene(&node, &root);
    let wrapped =
        admin.header("X-Vault-Wrap-TTL", "60s").write("sys/wrapping/wrap", &json!({"a": "b"})).expect(200).json();
    let old = text(&wrapped["wrap_info"]["token"]);
    node.wait(std::time::Duration::from_secs(10));
    let moved = admin.write("sys/wrapping/rewrap", &json!({ "token": old })).expect(200).json();
    let info = &moved["wrap_info"];
    assert_eq!(
        (&info["creation_path"], &info["ttl"], &moved["data"]),
        (&json!("sys/wrapping/wrap"), &json!(60), &Value::Null)
    );
    let new = text(&info["token"]);
    admin.write("sys/wrapping/unwrap", &json!({ "token": old })).expect(400);
    admin.write("sys/wrapping/rewrap", &json!({ "token": old })).expect(400);
    // With the wrapping token alone.
    let moved = node.client().token(&new).write("sys/wrapping/rewrap", &json!({})).expect(200).json();
    let last = text(&moved["wrap_info"]["token"]);
    node.client().write("sys/wrapping/rewrap", &json!({ "token": last })).expect(403);
    let answer = node.client().token(&last).write("sys/wrapping/unwrap", &json!({})).expect(200).json();
    assert_eq!(answer["data"], json!({"a": "b"}));

    scene.store("a", &super::support::scene::codes(1, 2), 0).expect(200);
    let jwt = scene.admin("alice");
    let body = json!({"jwt": jwt, "role": "on-call", "reason": "locked out"});
    let waits =
        node.client().header("X-Vault-Wrap-TTL", "60s").write("backup-codes/retrieve/a", &body).expect(200).json();
    let token = text(&waits["wrap_info"]["token"]);
    let refused = admin.write("sys/wrapping/rewrap", &json!({ "token": token })).expect(400);
    assert!(refused.error().contains("unwrap it"), "{}", refused.error());
    node.client().token(&token).write("sys/wrapping/unwrap", &json!({})).expect(200);
}

#[test]
fn a_limit_says_when_to_come_again() {
    let node = Setup::default().start();
    node.run(node.host.init_dev(Some("root".into()))).unwrap();
    let scene = scene(&node, "root");
    for account in ["a", "b"] {
        scene.store(account, &super::support::scene::codes(1, 2), 0).expect(200);
        let limit = json!({"max_retrievals": 1, "per": "30m", "scope": "role"});
        node.client().token("root").write("backup-codes/roles/on-call", &limit).expect(204);
    }
    let ask = |account: &str| {
        let body = json!({"jwt": scene.admin("alice"), "role": "on-call", "reason": "locked out"});
        node.client().write(&format!("backup-codes/retrieve/{account}"), &body)
    };
    ask("a").expect(200);
    let refused = ask("b").expect(429);
    let wait: u64 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((1700..=1800).contains(&wait), "{wait}");
    assert!(refused.error().contains(&format!("try again in {wait} seconds")), "{}", refused.error());
}

#[test]
fn metrics_tell_what_happened_and_nothing_of_callers() {
    let store = Arc::new(Faulty::new(Arc::new(Memory::new())));
    let node = Setup { storage: Some(store.clone()), ..Setup::default() }.start();
    node.run(node.host.init_dev(Some("root".into()))).unwrap();
    let admin = node.client().token("root");
    let scene = scene(&node, "root");
    scene.store("github/acme-owner", &super::support::scene::codes(1, 2), 0).expect(200);
    let body = json!({"jwt": scene.admin("alice"), "role": "on-call", "reason": "locked out"});
    node.client().write("backup-codes/retrieve/github/acme-owner", &body).expect(200);
    node.client().write("backup-codes/retrieve/github/acme-owner", &body).expect(403);
    node.client().read("sys/strange-path-of-a-caller").expect(403);
    store.fail_reads(Times::Next(1));
    admin.read("backup-codes/config").expect(500);

    node.client().read("sys/metrics").expect(403);
    let answer = admin.read("sys/metrics?format=prometheus").expect(200);
    assert_eq!(answer.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    let told = answer.text();
    for line in [
        "sparekey_requests_total{path=\"backup-codes/retrieve/:account\",operation=\"update\",status=\"200\"} 1",
        "sparekey_requests_total{path=\"backup-codes/retrieve/:account\",operation=\"update\",status=\"403\"} 1",
        "sparekey_requests_total{path=\"other\",operation=\"read\",status=\"403\"} 1",
        "sparekey_request_duration_seconds_count{path=\"backup-codes/retrieve/:account\",operation=\"update\"} 2",
        "sparekey_act_duration_seconds_count{act=\"retrieve\"} 2",
        "sparekey_act_duration_seconds_bucket{act=\"store\",le=\"+Inf\"} 1",
        "sparekey_swept_total{kind=\"set\"} 0",
        "sparekey_disclosures_total 1",
        "sparekey_storage_failures_total 1",
        "sparekey_sealed 0",
        "sparekey_audit_devices_working 1",
    ] {
        assert!(told.lines().any(|found| found == line), "{line} in\n{told}");
    }
    for secret in ["acme", "alice", "strange", "on-call", "locked out"] {
        assert!(!told.contains(secret), "{secret}");
    }
    let json = admin.read("sys/metrics").expect(200).json();
    assert!(json["Counters"].as_array().unwrap().iter().any(|one| one["Name"] == "sparekey_requests_total"));
    let accepting =
        admin.header("Accept", "application/openmetrics-text;version=1.0.0").read("sys/metrics").expect(200);
    assert!(accepting.text().starts_with("# HELP"));
    let refused = admin.read("sys/metrics?format=bogus").expect(400);
    assert_eq!(refused.text(), "metric response format \"bogus\" unknown");

    let open = Setup { limits: Limits { open_metrics: true, ..Limits::default() }, ..Setup::default() }.start();
    assert!(open.client().read("sys/metrics?format=prometheus").expect(200).text().contains("\nsparekey_sealed 1\n"));
    open.client().write("sys/metrics", &json!({})).expect(503);
}
