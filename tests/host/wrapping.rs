//! Wrapping: one use, no plaintext anywhere, and a code that stays in its slot until it is taken.

use std::sync::{Arc, Barrier};
use std::time::Duration;

use serde_json::{Value, json};

use super::inprocess::{Node, Setup};
use super::support::http::{Answer, Client};
use super::support::scene::{Scene, codes};
use super::{lookup, role, scene, text, token};

const INVALID: &str = "wrapping token is not valid or does not exist";

/// Wraps `{"a": "b"}` and returns the wrapping token.
fn wrap(client: &Client) -> String {
    let answer = client.header("X-Vault-Wrap-TTL", "60s").write("sys/wrapping/wrap", &json!({"a": "b"})).expect(200);
    text(&answer.json()["wrap_info"]["token"])
}

fn unwrap(client: &Client, token: Option<&str>) -> Answer {
    match token {
        Some(token) => client.write("sys/wrapping/unwrap", &json!({"token": token})),
        None => client.send("PUT", "sys/wrapping/unwrap", Some(b"null")),
    }
}

#[test]
fn both_ways_to_unwrap_work_once() {
    let (node, root) = Setup::default().ready();
    let (admin, plain) = (node.client().token(&root), node.client());
    let first = wrap(&admin);
    assert_eq!(unwrap(&admin, Some(&first)).expect(200).data(), json!({"a": "b"}));
    let second = wrap(&admin);
    assert_eq!(unwrap(&plain.token(&second), None).expect(200).data(), json!({"a": "b"}));
    let third = wrap(&admin);
    assert_eq!(unwrap(&plain.token(&third), Some(&third)).expect(200).data(), json!({"a": "b"}));
    for used in [&first, &second, &third] {
        let again = unwrap(&admin, Some(used));
        assert_eq!(again.status, 400, "one wrapping was unwrapped twice: {}", again.text());
        assert_eq!(again.error(), INVALID);
        assert_eq!(unwrap(&plain.token(used), None).expect(400).error(), INVALID);
    }
    assert_eq!(unwrap(&admin, Some("s.nonsense")).expect(400).error(), INVALID);
    assert_eq!(unwrap(&admin, None).expect(400).error(), INVALID);
    assert_eq!(unwrap(&plain, None).expect(403).error(), "error validating wrapping token: token is empty");
}

#[test]
fn a_wrapping_token_in_the_body_needs_a_token_of_ones_own_and_is_not_used_up_without() {
    let (node, root) = Setup::default().ready();
    let admin = node.client().token(&root);
    let waiting = wrap(&admin);
    assert_eq!(unwrap(&node.client(), Some(&waiting)).expect(403).error(), "permission denied");
    assert_eq!(unwrap(&node.client().token("s.x"), Some(&waiting)).expect(403).error(), "permission denied");
    unwrap(&admin, Some(&waiting)).expect(200);
}

#[test]
fn any_other_use_burns_a_wrapping_token() {
    let (node, root) = Setup::default().ready();
    let admin = node.client().token(&root);
    for path in ["auth/token/lookup-self", "sys/mounts", "backup-codes/config", "sys/internal/ui/mounts", "nomount/x"] {
        let waiting = wrap(&admin);
        assert_eq!(node.client().token(&waiting).read(path).expect(403).error(), "permission denied", "{path}");
        assert_eq!(unwrap(&admin, Some(&waiting)).expect(400).error(), INVALID, "{path}");
    }
    // Looking it up, and paths that look at no token, leave it alone.
    let waiting = wrap(&admin);
    let client = node.client().token(&waiting);
    client.read("sys/health").expect(200);
    client.write("auth/jwt/login", &json!({"role": "nope", "jwt": "a.b.c"})).expect(400);
    let told = client.write("sys/wrapping/lookup", &json!({})).expect(200).data();
    assert_eq!((&told["creation_path"], &told["creation_ttl"]), (&json!("sys/wrapping/wrap"), &json!(60)));
    node.client().write("sys/wrapping/lookup", &json!({"token": waiting})).expect(200);
    unwrap(&client, None).expect(200);
    assert_eq!(node.client().write("sys/wrapping/lookup", &json!({"token": waiting})).expect(400).error(), INVALID);
}

#[test]
fn a_wrapping_ends_with_its_time() {
    let (node, root) = Setup::default().ready();
    let admin = node.client().token(&root);
    let (one, two) = (wrap(&admin), wrap(&admin));
    node.wait(Duration::from_millis(59_999));
    unwrap(&admin, Some(&one)).expect(200);
    node.wait(Duration::from_millis(1));
    assert_eq!(unwrap(&admin, Some(&two)).expect(400).error(), INVALID);
    assert_eq!(unwrap(&node.client().token(&two), None).expect(400).error(), INVALID);
}

#[test]
fn of_many_who_unwrap_at_once_one_gets_it() {
    let (node, root) = Setup::default().ready();
    let admin = node.client().token(&root);
    for _ in 0..5 {
        let waiting = wrap(&admin);
        let line = Arc::new(Barrier::new(8));
        let threads: Vec<_> = (0..8)
            .map(|_| {
                let (client, waiting, line) = (admin.clone(), waiting.clone(), Arc::clone(&line));
                std::thread::spawn(move || {
                    line.wait();
                    unwrap(&client, Some(&waiting)).status
                })
            })
            .collect();
        let mut statuses: Vec<u16> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
        statuses.sort_unstable();
        assert_eq!(statuses, [200, 400, 400, 400, 400, 400, 400, 400]);
    }
}

#[test]
fn any_answer_can_be_wrapped_and_comes_out_as_it_was() {
    let (node, root) = Setup::default().ready();
    let scene = scene(&node, &root);
    role(&node, &root, "desk", &["read"]);
    let admin = node.client().token(&root);
    let bare = admin.read("backup-codes/roles/desk").expect(200).json();
    let wrapped = admin.header("X-Vault-Wrap-TTL", "1m0s").read("backup-codes/roles/desk").expect(200).json();
    assert_eq!((&wrapped["request_id"], &wrapped["data"]), (&json!(""), &Value::Null));
    assert_eq!(wrapped["wrap_info"]["creation_path"], "backup-codes/roles/desk");
    let again = admin.header("X-Vault-Wrap-TTL", "60");
    let rewrapped = unwrap(&again, Some(&text(&wrapped["wrap_info"]["token"]))).expect(200).json();
    assert_eq!(rewrapped["wrap_info"]["creation_path"], "sys/wrapping/unwrap");
    let out = unwrap(&admin, Some(&text(&rewrapped["wrap_info"]["token"]))).expect(200).json();
    assert_eq!(out["data"], bare["data"]);
    assert_ne!(out["request_id"], bare["request_id"]);

    // A login, whose token works once it is out.
    let jwt = scene.signer.jwt(&super::claims(super::ISSUER, "desk", super::AUDIENCE));
    let login =
        node.client().header("X-Vault-Wrap-TTL", "60").write("auth/jwt/login", &json!({"role": "desk", "jwt": jwt}));
    let info = login.expect(200).json()["wrap_info"].clone();
    let auth = unwrap(&node.client().token(&text(&info["token"])), None).expect(200).json()["auth"].clone();
    assert_eq!(auth["accessor"], info["wrapped_accessor"]);
    lookup(&node.client().token(&text(&auth["client_token"]))).expect(200);

    // Errors and empty answers are not wrapped.
    again.read("backup-codes/roles/nope").expect(404);
    again.write("backup-codes/config", &json!({})).expect(204);
}

/// A node with one account of three codes, and its cast.
fn with_codes() -> (Node, String, Scene, Vec<String>) {
    let (node, root) = Setup::default().ready();
    let scene = scene(&node, &root);
    let codes = codes(1, 3);
    scene.store("okta/jane@example.com", &codes, 0).expect(200);
    (node, root, scene, codes)
}

fn retrieve_wrapped(node: &Node, scene: &Scene, ttl: &str) -> Answer {
    let client = node.client().header("X-Vault-Wrap-TTL", ttl);
    client.write("backup-codes/retrieve/okta/jane@example.com", &scene.request("alice"))
}

#[test]
fn a_wrapped_code_comes_out_once_and_lies_nowhere_meanwhile() {
    let (node, root, scene, codes) = with_codes();
    let answer = retrieve_wrapped(&node, &scene, "60s").expect(200);
    assert!(codes.iter().all(|code| !answer.text().contains(code)));
    let info = answer.json()["wrap_info"].clone();
    assert_eq!(info["creation_path"], "backup-codes/retrieve/okta/jane@example.com");
    let waiting = text(&info["token"]);
    // Wrapping it again would put it somewhere: refused, and the token stays good.
    let again = node.client().token(&waiting).header("X-Vault-Wrap-TTL", "60s");
    assert!(unwrap(&again, None).expect(400).error().contains("cannot be wrapped again"));
    let out = unwrap(&node.client().token(&waiting), None).expect(200).data();
    assert!(codes.contains(&text(&out["code"])));
    assert_eq!(unwrap(&node.client().token(&waiting), None).expect(400).error(), INVALID);
    assert_eq!(unwrap(&node.client().token(&root), Some(&waiting)).expect(400).error(), INVALID);
    let audit = std::fs::read_to_string(node.audit()).unwrap();
    assert!(audit.contains("sys/wrapping/unwrap") && codes.iter().all(|code| !audit.contains(code)));
}

#[test]
fn of_many_who_unwrap_a_code_one_gets_it() {
    let (node, _root, scene, _codes) = with_codes();
    let waiting = text(&retrieve_wrapped(&node, &scene, "60s").expect(200).json()["wrap_info"]["token"]);
    let line = Arc::new(Barrier::new(8));
    let threads: Vec<_> = (0..8)
        .map(|_| {
            let (client, line) = (node.client().token(&waiting), Arc::clone(&line));
            std::thread::spawn(move || {
                line.wait();
                unwrap(&client, None)
            })
        })
        .collect();
    let answers: Vec<Answer> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
    let got = answers.iter().filter(|answer| answer.status == 200).count();
    assert_eq!(got, 1, "{answers:?}");
    assert!(answers.iter().all(|answer| matches!(answer.status, 200 | 400 | 503)), "{answers:?}");
}

#[test]
fn ending_the_set_kills_the_wrapping() {
    let (node, _root, scene, _codes) = with_codes();
    let waiting = text(&retrieve_wrapped(&node, &scene, "60s").expect(200).json()["wrap_info"]["token"]);
    scene.enrolled_again("jane@example.com").expect(202);
    assert_eq!(unwrap(&node.client().token(&waiting), None).expect(400).error(), INVALID);
}

#[test]
fn a_wrapped_code_dies_with_its_time_and_with_any_other_use() {
    let (node, root, scene, _codes) = with_codes();
    let waiting = text(&retrieve_wrapped(&node, &scene, "60s").expect(200).json()["wrap_info"]["token"]);
    lookup(&node.client().token(&waiting)).expect(403);
    assert_eq!(unwrap(&node.client().token(&root), Some(&waiting)).expect(400).error(), INVALID);
    let waiting = text(&retrieve_wrapped(&node, &scene, "60s").expect(200).json()["wrap_info"]["token"]);
    node.wait(Duration::from_secs(60));
    assert_eq!(unwrap(&node.client().token(&waiting), None).expect(400).error(), INVALID);
}

#[test]
fn a_wrapping_longer_than_the_profile_allows_is_refused_and_burns_nothing() {
    let (node, root, scene, _codes) = with_codes();
    let refused = retrieve_wrapped(&node, &scene, "99999h");
    assert_eq!(refused.status, 400, "{}", refused.text());
    let account = node.client().token(&root).read("backup-codes/accounts/okta/jane@example.com").expect(200).data();
    assert_eq!(account["remaining"], 3);
    role(&node, &root, "desk", &["read"]);
    token(&node, &scene, "desk");
}
