//! Odd requests at a real vault: it lives, the plugin lives, and what is answered is never a failure of either.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::scope;

use serde_json::json;
use sparekey::plugin::proto::pb::Request;

use crate::support::corpus::{Dice, good, odd_request};
use crate::support::http::Client;
use crate::support::scene::{AUDIENCE, ISSUER, Scene, codes};
use crate::support::server::MOUNT;
use crate::support::signer::Signer;
use crate::support::vault::Vault;

/// The same requests in every run.
const SEED: u64 = 0x0dd;
const REQUESTS: usize = 1_500;
const AT_ONCE: usize = 8;

fn encoded(path: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-@".contains(&byte);
    path.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

/// Sends it as a client would; the status, or why there is none.
fn send(vault: &Vault, request: &Request) -> Result<u16, String> {
    let method = match request.operation.as_str() {
        "create" | "update" => "POST",
        "list" => "LIST",
        "delete" => "DELETE",
        "patch" => "PATCH",
        _ => "GET",
    };
    let mut client: Client = if request.unauthenticated { vault.client() } else { vault.root() };
    if let Some(wrap) = &request.wrap_info {
        client = client.header("X-Vault-Wrap-TTL", &wrap.ttl.to_string());
    }
    let help = if request.operation == "help" { "?help=1" } else { "" };
    let path = format!("{MOUNT}/{}{help}", encoded(&request.path));
    let body = (method == "POST" || method == "PATCH").then_some(request.data.as_bytes());
    let what = || format!("{method} {path} {:.200}", request.data);
    let answer = client.try_send(method, &path, body).map_err(|error| format!("{}: {error}", what()))?;
    match answer.status {
        // A source may have been written with the name of an issuer that is not there: its sender shall try again later.
        500 if path.contains("events/") => Ok(500),
        500.. => Err(format!("{}: {} {}", what(), answer.status, answer.text())),
        status => Ok(status),
    }
}

#[test]
fn odd_requests_end_neither_the_vault_nor_the_plugin() {
    let vault = Vault::mounted();
    let signer = Signer::es256("k");
    let scene = Scene::with(vault.root(), vault.root(), signer.clone());
    let issuer = json!({"bound_issuer": ISSUER, "jwt_validation_pubkeys": [signer.public_pem()]});
    vault.root().write(&format!("{MOUNT}/issuers/good"), &issuer).expect(204);
    let role = json!({
        "issuers": ["good"], "bound_audiences": [AUDIENCE], "bound_claims": {"groups": ["on-call"]}, "accounts": ["*"],
        "operations": ["retrieve", "store", "verify", "check", "enroll", "revoke"],
    });
    vault.root().write(&format!("{MOUNT}/roles/good"), &role).expect(204);
    scene.store("github/before", &codes(1, 2), 0).expect(200);
    let pids = vault.plugin_pids();

    let (dice, good) = (Dice::new(SEED), good(&signer));
    let requests: Vec<Request> = (0..REQUESTS).map(|_| odd_request(&dice, &good)).collect();
    let (next, answers) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    scope(|threads| {
        for _ in 0..AT_ONCE {
            threads.spawn(|| {
                while let Some(request) = requests.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let answer = send(&vault, request);
                    answers.lock().unwrap().push(answer);
                }
            });
        }
    });
    let answers = answers.into_inner().unwrap();
    let wrong: Vec<&String> = answers.iter().filter_map(|answer| answer.as_ref().err()).collect();
    assert!(wrong.is_empty(), "{} of {REQUESTS}: {:#?}", wrong.len(), &wrong[..wrong.len().min(10)]);
    for status in [200, 204, 400, 403, 404, 405] {
        let times = answers.iter().filter(|answer| **answer == Ok(status)).count();
        assert!(times >= 5, "{status} came {times} times");
    }
    assert_eq!(vault.plugin_pids(), pids, "the process was replaced");
    let log = vault.log();
    for word in ["panic", "internal error", "plugin process exited: plugin"] {
        let foreseen = |line: &str| line.contains("the source's issuer");
        let line = log.lines().find(|line| line.contains(word) && line.contains("ERROR") && !foreseen(line));
        assert_eq!(line, None);
    }
    assert_eq!(scene.retrieve("github/before", "alice").expect(200).data()["code"], codes(1, 2)[0]);
}
