//! What must be on a disk before a code leaves, and what a line says of it.

use serde_json::json;
use sparekey::audit::{AuthInfo, WrapInfo};
use sparekey::crypto::secret::CodeText;
use sparekey::engine::request::Disclosure;
use sparekey::error::Kind;
use std::time::Duration;
use zeroize::Zeroizing;

use crate::support::{Act, Rig, object, read, verify};

#[tokio::test]
async fn a_disclosure_is_on_the_disk_before_its_receipt_exists() {
    let rig = Rig::new();
    let broker = rig.main().await;
    let syncs = broker.status()[0].syncs;
    let act = Act::new("id-1");
    broker.disclosing_request(act.request()).await.unwrap();
    assert_eq!(broker.status()[0].syncs, syncs, "a request is written, not synced");
    let receipt = broker.disclosure(act.response()).await.unwrap();
    assert_eq!(broker.status()[0].syncs, syncs + 1, "a receipt without an fsync");
    let line = rig.lines().pop().unwrap();
    assert_eq!(line["type"], "response");
    assert_eq!(line["disclosed"], true);
    assert_eq!(line["response"]["disclosure"], json!(act.note));
    let (field, codes) = Disclosure::new("code", CodeText::new(Zeroizing::new("a-code".into()))).open(receipt);
    assert_eq!((field, codes.all()[0].expose()), ("code", "a-code"));
}

#[tokio::test]
async fn without_a_durable_device_nothing_is_disclosed_and_the_rest_goes_on() {
    let rig = Rig::new();
    let (listener, path) = (rig.path("peer"), rig.path("peer"));
    let listener = std::os::unix::net::UnixListener::bind(listener).unwrap();
    let socket = rig.device("socket", "peer", &[("address", path.to_str().unwrap()), ("socket_type", "unix")]);
    for devices in [vec![], vec![socket]] {
        let broker = rig.open(devices).await;
        let act = Act::new("id-1");
        broker.request(act.request()).await.unwrap();
        broker.response(act.response()).await.unwrap();
        let refused = broker.disclosing_request(act.request()).await.unwrap_err();
        assert_eq!(refused.kind(), Kind::Unavailable);
        let refused = broker.disclosure(act.response()).await.err().unwrap();
        assert_eq!(refused.kind(), Kind::Unavailable);
        assert!(refused.public().contains("declare audit \"file\""), "{refused}");
    }
    drop(listener);
}

#[tokio::test]
async fn a_disclosure_that_does_not_say_of_what_gets_no_receipt() {
    let rig = Rig::new();
    let broker = rig.main().await;
    for field in ["account", "generation", "slot", "seq", "head"] {
        let mut act = Act::new("id-1");
        act.note.remove(field);
        let refused = broker.disclosure(act.response()).await.err().unwrap();
        assert_eq!(refused.kind(), Kind::Internal, "{field}");
        assert!(format!("{refused:?}").contains(field));
    }
    assert_eq!(rig.lines().len(), 2, "start and checkpoint only");
}

#[tokio::test]
async fn what_did_not_come_about_is_listed_apart() {
    let rig = Rig::new();
    let broker = rig.main().await;
    for id in ["id-1", "id-2", "id-3"] {
        let act = Act::new(id);
        broker.request(act.request()).await.unwrap();
        if id != "id-3" {
            broker.disclosure(act.response()).await.unwrap();
        }
    }
    broker.void(Act::new("id-2").void()).await.unwrap();
    broker.close().await;
    let report = verify(&[&rig.main_path()]);
    assert!(report.intact, "{:?}", report.findings);
    assert_eq!((report.disclosures, report.voids.len(), report.unanswered), (2, 1, 1));
    assert_eq!(report.voids[0].request, "id-2");
    assert_eq!(report.voids[0].disclosure["slot"], 3);
    assert_eq!(report.first_unanswered.as_deref(), Some("main.log:7"));
}

#[tokio::test]
async fn lines_have_vaults_members() {
    let rig = Rig::new();
    let broker = rig.main().await;
    let act = Act::new("id-1").with(json!({"reason": "phone lost", "slot": 3}));
    let data = object(json!({"account": "github/acme-owner", "remaining": 4}));
    let mut entry = act.response();
    entry.data = Some(&data);
    entry.warnings = 2;
    entry.request.wrap_ttl = Some(Duration::from_secs(60));
    let ttl = Duration::from_secs(60);
    entry.wrap_info = Some(WrapInfo { token: "s.wrap", accessor: "acc-2", ttl, creation_path: &act.path });
    entry.auth = Some(AuthInfo { client_token: "s.new", accessor: "acc-3", role: "oncall", subject: "jane", ttl });
    broker.response(entry).await.unwrap();
    let mut refused = act.request();
    refused.error = Some("permission denied");
    broker.request(refused).await.unwrap();
    let lines = rig.lines();
    let line = &lines[2];
    assert_eq!(line["time"], "2026-05-28T20:26:40.000Z");
    let request = &line["request"];
    for (field, wanted) in [
        ("id", json!("id-1")),
        ("operation", json!("update")),
        ("mount_point", json!("backup-codes/")),
        ("mount_type", json!("sparekey")),
        ("path", json!("backup-codes/retrieve/github/acme-owner")),
        ("remote_address", json!("127.0.0.1")),
        ("wrap_ttl", json!(60)),
    ] {
        assert_eq!(request[field], wanted, "{field}");
    }
    assert_eq!(request["data"]["slot"], 3);
    assert_eq!(line["response"]["data"]["remaining"], 4);
    assert_eq!(line["response"]["warnings"], 2);
    assert_eq!(line["response"]["note"]["seq"], 17);
    assert_eq!(line["response"]["auth"]["metadata"], json!({"role": "oncall", "subject": "jane"}));
    for hashed in [
        &request["data"]["reason"],
        &request["client_token"],
        &request["client_token_accessor"],
        &line["response"]["wrap_info"]["token"],
        &line["response"]["auth"]["client_token"],
        &line["response"]["data"]["account"],
    ] {
        assert!(hashed.as_str().unwrap().starts_with("hmac-sha256:"), "{hashed}");
    }
    assert_eq!(lines[3]["error"], "permission denied");
    let text = std::fs::read_to_string(rig.main_path()).unwrap();
    for secret in ["phone lost", "s.token-1", "s.wrap", "s.new", "accessor-1", "acc-2", "acc-3"] {
        assert!(!text.contains(secret), "{secret}");
    }
}

#[tokio::test]
async fn each_device_hashes_with_a_salt_of_its_own_that_stays() {
    let rig = Rig::new();
    let devices = || vec![rig.file("main"), rig.file("second")];
    let reason = |path: &std::path::Path| {
        read(path).into_iter().rfind(|line| line["type"] == "request").unwrap()["request"]["data"]["reason"].clone()
    };
    let broker = rig.open(devices()).await;
    broker.request(Act::new("id-1").request()).await.unwrap();
    broker.close().await;
    let (main, second) = (reason(&rig.main_path()), reason(&rig.path("second.log")));
    assert_ne!(main, second);
    let broker = rig.open(devices()).await;
    broker.request(Act::new("id-2").request()).await.unwrap();
    broker.close().await;
    assert_eq!(reason(&rig.main_path()), main, "a restart keeps it");
}

#[tokio::test]
async fn accessors_are_clear_where_the_device_says_so() {
    let rig = Rig::new();
    let path = rig.main_path();
    let options = [("file_path", path.to_str().unwrap()), ("hmac_accessor", "false")];
    let broker = rig.open(vec![rig.device("file", "main", &options)]).await;
    broker.request(Act::new("id-1").request()).await.unwrap();
    let line = rig.lines().pop().unwrap();
    assert_eq!(line["request"]["client_token_accessor"], "accessor-1");
    assert_eq!(line["auth"]["accessor"], "accessor-1");
}
