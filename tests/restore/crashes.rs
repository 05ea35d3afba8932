//! Ordinary crashes and restarts never quarantine: an alarm that is false is a defect.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{scope, sleep};
use std::time::Duration;

use serde_json::json;

use super::support::scene::codes;
use super::{anchor, server, told};

#[test]
fn kills_at_many_moments_raise_no_alarm() {
    let (mut server, scene) = server();
    for round in 0..12u64 {
        let stop = AtomicBool::new(false);
        let (scene, stopped) = (&scene, &stop);
        scope(|threads| {
            for client in 0..4u64 {
                threads.spawn(move || {
                    for turn in 0.. {
                        if stopped.load(Ordering::SeqCst) {
                            return;
                        }
                        let account = format!("load/{round}-{client}-{turn}");
                        let codes = codes(round * 10_000 + client * 1_000 + turn, 4);
                        let body = json!({"role": "automation", "jwt": scene.automation(), "codes": codes});
                        let _ = scene.try_act("sets", &account, &body);
                        let _ = scene.try_act("retrieve", &account, &scene.request("jane"));
                    }
                });
            }
            // Around the moments at which epochs move and anchors are written.
            sleep(Duration::from_millis(150 + 97 * round));
            server.kill();
            stop.store(true, Ordering::SeqCst);
        });
        if round % 4 == 3 {
            // Written beside the anchor, and killed before it was renamed.
            std::fs::write(anchor(&server).with_file_name("audit.log.anchor.new"), b"half an anch").unwrap();
        }
        server.boot();
        let found = told(&server);
        assert_eq!(found["quarantine"], false, "round {round}: {found}\n{}", server.log());
    }
    scene.retrieve("github/acme-owner", "jane").expect(200);
}

#[test]
fn a_rotated_audit_file_is_followed() {
    let (mut server, scene) = server();
    for round in 0..3 {
        scene.retrieve("github/acme-owner", "jane").expect(200);
        std::fs::rename(server.audit(), server.dir().join(format!("audit.log.{round}"))).unwrap();
        scene.retrieve("github/acme-owner", "jane").expect(200);
        server.kill();
        server.boot();
        assert_eq!(told(&server)["quarantine"], false, "{}", told(&server));
    }
}

#[test]
fn a_line_without_its_commit_is_an_intent_and_no_loss() {
    let (mut server, _) = server();
    server.kill();
    // A request that was recorded, and a disclosure that was announced and taken back: the store has neither.
    let text = std::fs::read_to_string(server.audit()).unwrap();
    let last: serde_json::Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    let (mut seq, mut previous) = (last["chain"]["seq"].as_u64().unwrap(), text.lines().last().unwrap().to_owned());
    let mut file = text;
    let head = "22".repeat(32);
    let note = json!({"account": "github/acme-owner", "generation": 1, "slot": 9, "seq": 99, "head": head});
    for body in [
        r#""time":"2026-07-01T12:00:00.000Z","type":"request","request":{"id":"i-1"}}"#.to_owned(),
        format!(
            r#""time":"2026-07-01T12:00:00.000Z","type":"response","disclosed":true,"request":{{"id":"i-1"}},"response":{{"status":200,"disclosure":{note}}}}}"#
        ),
        format!(
            r#""time":"2026-07-01T12:00:00.000Z","type":"void","request":{{"id":"i-1"}},"void":{{"reason":"the commit did not follow","disclosure":{note}}}}}"#
        ),
    ] {
        use sha2::Digest as _;
        seq += 1;
        let hash = hex::encode(sha2::Sha256::digest(previous.as_bytes()));
        previous = format!(r#"{{"chain":{{"seq":{seq},"prev":"{hash}"}},{body}"#);
        file.push_str(&previous);
        file.push('\n');
    }
    std::fs::write(server.audit(), file).unwrap();
    server.boot();
    assert_eq!(told(&server)["quarantine"], false, "{}", told(&server));
}
