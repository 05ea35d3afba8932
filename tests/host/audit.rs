//! What audit sees, and what goes on without it.

use std::io::Write;
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sparekey::http::Limits;
use sparekey::storage::faulty::Faulty;
use sparekey::storage::memory::Memory;

use super::inprocess::{Node, Setup};
use super::support::scene::codes;
use super::{role, scene, token};

const ACCOUNT: &str = "okta/jane@example.com";

fn lines(node: &Node) -> Vec<Value> {
    let text = std::fs::read_to_string(node.audit()).unwrap();
    text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

#[test]
fn every_request_leaves_a_request_and_a_response_under_one_id() {
    let (node, root) = Setup::default().ready();
    let scene = scene(&node, &root);
    role(&node, &root, "desk", &["read"]);
    let desk = token(&node, &scene, "desk");
    let before = lines(&node).len();
    node.client().token(&desk).read("sys/mounts").expect(403);
    node.client().token("s.nonsense").read("sys/mounts").expect(403);
    node.client().read("nomount/x").expect(403);
    node.client().token(&root).read("backup-codes/roles/nope").expect(404);
    node.client().token(&root).read("sys/mounts?help=1").expect(200);
    let said: Vec<Value> = lines(&node).split_off(before);
    let of = |kind: &str| said.iter().filter(|line| line["type"] == kind).cloned().collect::<Vec<_>>();
    let (requests, responses) = (of("request"), of("response"));
    assert_eq!((requests.len(), responses.len()), (5, 5), "{said:?}");
    for (request, response) in requests.iter().zip(&responses) {
        assert_eq!(request["request"]["id"], response["request"]["id"]);
        assert_eq!(request["request"]["path"], response["request"]["path"]);
    }
    assert_eq!(requests[1]["error"], "permission denied");
    let text = std::fs::read_to_string(node.audit()).unwrap();
    for secret in [&desk, &root, "s.nonsense"] {
        assert!(!text.contains(secret), "a token stands in the audit file");
    }
    // What is not audited: health, seal status.
    let before = lines(&node).len();
    node.client().read("sys/health").expect(200);
    node.client().read("sys/seal-status").expect(200);
    assert_eq!(lines(&node).len(), before);
    // A body that cannot be read is.
    node.client().send("PUT", "backup-codes/config", Some(b"{bad")).expect(400);
    let said = lines(&node).split_off(before);
    assert_eq!((said.len(), &said[1]["response"]["status"]), (2, &json!(400)), "{said:?}");
}

#[test]
fn without_audit_reads_go_on_writes_do_not_and_no_code_is_burned() {
    let (node, root) = Setup::default().ready();
    let scene = scene(&node, &root);
    scene.store(ACCOUNT, &codes(1, 2), 0).expect(200);
    let admin = node.client().token(&root);
    // The folder goes, and with it every way to write to it.
    let aside = node.path().with_extension("aside");
    std::fs::rename(node.path(), &aside).unwrap();
    node.client().read("sys/health").expect(200);
    admin.read(&format!("backup-codes/accounts/{ACCOUNT}")).expect(200);
    admin.read("sys/mounts").expect(200);
    assert_eq!(admin.write("backup-codes/config", &json!({})).expect(500).error(), "internal error");
    assert_eq!(admin.write("auth/jwt/login", &json!({"role": "x", "jwt": "y"})).expect(500).error(), "internal error");
    let sealed = admin.write("sys/seal", &json!({})).expect(500);
    assert_eq!(sealed.error(), "failed to audit request, cannot continue");
    let refused = scene.retrieve(ACCOUNT, "alice").expect(503);
    assert!(refused.error().contains("audit"), "{}", refused.error());
    assert!(refused.header("retry-after").is_some());
    std::fs::rename(&aside, node.path()).unwrap();
    assert_eq!(admin.read(&format!("backup-codes/accounts/{ACCOUNT}")).expect(200).data()["remaining"], 2);
    scene.retrieve(ACCOUNT, "alice").expect(200);
}

#[test]
fn without_any_device_everything_but_a_disclosure_goes_on() {
    let (node, root) = Setup { audited: false, ..Setup::default() }.ready();
    let scene = scene(&node, &root);
    scene.store(ACCOUNT, &codes(1, 2), 0).expect(200);
    let refused = scene.retrieve(ACCOUNT, "alice").expect(503);
    assert!(refused.error().contains("declare audit"), "{}", refused.error());
    let left = node.client().token(&root).read(&format!("backup-codes/accounts/{ACCOUNT}")).expect(200).data();
    assert_eq!(left["remaining"], 2);
}

/// Sends `request` and cuts its connection off while it is worked on. Returns what was left open, for as long as it matters.
fn cut_off_during(node: &mut Node, request: &str) -> TcpStream {
    let mut stream = TcpStream::connect(node.address).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    std::thread::sleep(Duration::from_millis(50));
    assert!(node.drain(Duration::from_secs(5)));
    stream
}

/// A node whose store is slow and whose listener has no patience.
fn slow() -> (Node, String) {
    let faulty = Arc::new(Faulty::new(Arc::new(Memory::new())));
    let limits = Limits { grace: Duration::from_millis(1), ..Limits::default() };
    let ready = Setup { storage: Some(faulty.clone()), limits, ..Setup::default() }.ready();
    faulty.delay(Duration::from_millis(100));
    ready
}

fn until(what: &str, mut done: impl FnMut() -> bool) {
    let patience = Instant::now();
    while !done() {
        assert!(patience.elapsed() < Duration::from_secs(10), "{what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn an_act_comes_to_its_end_though_its_connection_is_gone() {
    let (mut node, root) = slow();
    let body = json!({"owner": "team"}).to_string();
    let request = format!(
        "PUT /v1/backup-codes/accounts/a/b HTTP/1.1\r\nHost: x\r\nX-Vault-Token: {root}\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let _open = cut_off_during(&mut node, &request);
    until("the write never came", || {
        lines(&node).iter().any(|line| {
            line["type"] == "response"
                && line["request"]["path"] == "backup-codes/accounts/a/b"
                && line["error"].is_null()
        })
    });
}

#[test]
fn sealing_comes_to_its_end_though_its_connection_is_gone() {
    let (mut node, root) = slow();
    let request = format!("PUT /v1/sys/seal HTTP/1.1\r\nHost: x\r\nX-Vault-Token: {root}\r\nContent-Length: 0\r\n\r\n");
    let _open = cut_off_during(&mut node, &request);
    until("never sealed", || node.host.is_sealed());
}
