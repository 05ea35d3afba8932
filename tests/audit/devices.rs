//! Devices that fail, hang and come back; and how they are declared.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sparekey::audit::{DeviceConfig, Pace, Replay};
use sparekey::error::Kind;

use crate::support::{Act, Rig, copy, read, signing_key, snapshot, verify, write};

#[test]
fn options_are_read_or_refused_by_name() {
    let new = |kind: &str, options: &[(&str, &str)]| {
        let options: BTreeMap<_, _> = options.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        DeviceConfig::new(kind, "main", &options)
    };
    for (kind, options) in [
        ("file", &[("file_path", "/a"), ("mode", "0640"), ("hmac_accessor", "false"), ("log_raw", "false")][..]),
        ("file", &[("path", "/a"), ("mode", "0000"), ("format", "json"), ("elide_list_responses", "true")]),
        ("socket", &[("address", "127.0.0.1:9090"), ("socket_type", "tcp"), ("write_timeout", "500ms")]),
        ("socket", &[("address", "/run/peer"), ("socket_type", "unix")]),
        ("stdout", &[]),
    ] {
        assert!(new(kind, options).is_ok(), "{kind} {options:?}");
    }
    for (kind, options, named) in [
        ("file", &[][..], "file_path"),
        ("file", &[("file_path", "discard")], "file_path"),
        ("file", &[("file_path", "/a"), ("path", "/b")], "path"),
        ("file", &[("file_path", "/a"), ("log_raw", "true")], "log_raw"),
        ("file", &[("file_path", "/a"), ("prefix", "x")], "prefix"),
        ("file", &[("file_path", "/a"), ("mode", "rw")], "mode"),
        ("file", &[("file_path", "/a"), ("format", "jsonx")], "format"),
        ("file", &[("file_path", "/a"), ("address", "x:1")], "address"),
        ("stdout", &[("file_path", "/a")], "file_path"),
        ("socket", &[], "address"),
        ("socket", &[("address", "nowhere")], "address"),
        ("socket", &[("address", "x:1"), ("socket_type", "udp")], "socket_type"),
        ("socket", &[("address", "x:1"), ("write_timeout", "1h")], "write_timeout"),
        ("file", &[("file_path", "/a"), ("hmac_accessor", "maybe")], "hmac_accessor"),
        ("syslog", &[], "audit device type"),
    ] {
        let refused = new(kind, options).unwrap_err();
        assert!(refused.public().starts_with(&format!("{named}: ")), "{kind} {options:?}: {refused}");
    }
    assert!(DeviceConfig::new("stdout", "a/b", &BTreeMap::new()).is_err());
}

#[tokio::test]
async fn one_file_or_name_belongs_to_one_device() {
    let rig = Rig::new();
    let path = rig.main_path();
    let other = rig.device("file", "other", &[("file_path", path.to_str().unwrap())]);
    for devices in [vec![rig.file("main"), rig.file("main")], vec![rig.file("main"), other.clone()]] {
        let clock = Arc::new(sparekey::clock::SystemClock);
        let random = Arc::new(sparekey::random::SeededRandom::new(1));
        let opened = sparekey::audit::Broker::open(devices, rig.storage.clone(), signing_key(), clock, random).await;
        assert_eq!(opened.err().unwrap().kind(), Kind::Invalid);
    }
    // Nor to a second server.
    let first = rig.main().await;
    let second = rig.open(vec![other]).await;
    assert!(second.request(Act::new("x").request()).await.is_err());
    first.close().await;
    // A child that another test of this process starts holds the file until it has become its own program.
    let end = Instant::now() + Duration::from_secs(10);
    while let Err(error) = second.request(Act::new("x").request()).await {
        assert!(Instant::now() < end, "{error:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn a_file_gets_its_folders_and_permission_bits() {
    let rig = Rig::new();
    for (mode, wanted) in [("0640", 0o640), ("0755", 0o644)] {
        let path = rig.path(&format!("a/b/{mode}.log"));
        let device = rig.device("file", "main", &[("file_path", path.to_str().unwrap()), ("mode", mode)]);
        rig.open(vec![device]).await.close().await;
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o7777, wanted);
    }
    rig.main().await.close().await;
    assert_eq!(rig.main_path().metadata().unwrap().permissions().mode() & 0o7777, 0o600);
}

#[tokio::test]
async fn what_is_no_regular_file_is_no_audit_file() {
    let rig = Rig::new();
    for path in ["/dev/full", "/dev/null", rig.folder.path().to_str().unwrap()] {
        let broker = rig.open(vec![rig.device("file", "main", &[("file_path", path)])]).await;
        let act = Act::new("id");
        assert_eq!(broker.request(act.request()).await.unwrap_err().kind(), Kind::Internal, "{path}");
        assert_eq!(broker.disclosure(act.response()).await.err().unwrap().kind(), Kind::Unavailable, "{path}");
        broker.close().await;
    }
}

#[tokio::test]
async fn one_device_of_two_is_enough() {
    let rig = Rig::new();
    let dead = rig.device("file", "dead", &[("file_path", "/dev/full")]);
    for devices in [vec![dead.clone(), rig.file("main")], vec![rig.file("main"), dead]] {
        let broker = rig.open(devices).await;
        let act = Act::new("id");
        broker.disclosing_request(act.request()).await.unwrap();
        broker.disclosure(act.response()).await.unwrap();
        broker.close().await;
    }
    assert_eq!(read(&rig.main_path()).iter().filter(|line| line["type"] == "response").count(), 2);
}

#[tokio::test]
async fn a_peer_that_never_reads_holds_nobody_up() {
    let mut rig = Rig::new();
    let file = rig.file("main");
    rig.pace = Pace { deadline: Duration::from_millis(300), queue: 64, ..rig.pace };
    let path = rig.path("peer");
    let _listener = UnixListener::bind(&path).unwrap();
    let options = [("address", path.to_str().unwrap()), ("socket_type", "unix"), ("write_timeout", "60s")];
    let broker = rig.open(vec![rig.device("socket", "peer", &options), file]).await;
    let act = Act::new("id");
    let mut slowest = Duration::ZERO;
    let begun = Instant::now();
    // Until the peer's buffers are full, and well beyond.
    while broker.status()[0].healthy && begun.elapsed() < Duration::from_secs(60) {
        let since = Instant::now();
        broker.disclosure(act.response()).await.unwrap();
        slowest = slowest.max(since.elapsed());
    }
    assert!(!broker.status()[0].healthy, "it is known to hang");
    for _ in 0..50 {
        let since = Instant::now();
        broker.disclosure(act.response()).await.unwrap();
        slowest = slowest.max(since.elapsed());
    }
    assert!(slowest < Duration::from_secs(10), "{slowest:?}");
    assert!(broker.status()[0].missed > 0);
    assert!(broker.status()[1].healthy);
}

#[tokio::test]
async fn a_tcp_peer_gets_a_chain_that_goes_on_after_it_was_gone() {
    let rig = Rig::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let broker = rig.open(vec![rig.device("socket", "peer", &[("address", &address)])]).await;
    write(&broker, 3).await;
    let (first, _) = listener.accept().unwrap();
    let mut got: Vec<Vec<u8>> = BufReader::new(&first).split(b'\n').take(5).map(Result::unwrap).collect();
    drop(first);
    // The peer has hung up: seen before the next line is written, which goes over a new connection.
    tokio::time::sleep(Duration::from_millis(50)).await;
    write(&broker, 2).await;
    let (mut second, _) = listener.accept().unwrap();
    broker.close().await;
    let mut rest = Vec::new();
    second.read_to_end(&mut rest).unwrap();
    let mut replay = Replay::new(Some(signing_key().public()), None);
    replay.file("peer");
    got.extend(rest.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).map(<[u8]>::to_vec));
    got.iter().for_each(|line| replay.line(line, true));
    let report = replay.finish();
    assert!(report.intact, "{:?}", report.findings);
    assert_eq!((report.types["request"], report.starts.len(), report.unsealed_tail), (5, 2, 0));
    assert_eq!(report.starts[1].cause, "reconnected");
}

#[tokio::test]
async fn after_a_crash_a_peer_is_told_where_the_chain_goes_on() {
    let rig = Rig::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let device = || vec![rig.device("socket", "peer", &[("address", &address)])];
    let broker = rig.open(device()).await;
    write(&broker, 3).await;
    let known = snapshot(&rig, "peer").await;
    let (first, _) = listener.accept().unwrap();
    let mut got: Vec<Vec<u8>> = BufReader::new(&first).split(b'\n').take(5).map(Result::unwrap).collect();
    broker.close().await;
    let crashed = Rig { storage: copy(&known).await, ..Rig::new() };
    let broker = crashed.open(device()).await;
    write(&broker, 2).await;
    broker.close().await;
    let (mut second, _) = listener.accept().unwrap();
    let mut rest = Vec::new();
    second.read_to_end(&mut rest).unwrap();
    got.extend(rest.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).map(<[u8]>::to_vec));
    let mut replay = Replay::new(Some(signing_key().public()), None);
    replay.file("peer");
    got.iter().for_each(|line| replay.line(line, true));
    let report = replay.finish();
    assert!(report.intact, "{:?}", report.findings);
    assert_eq!((report.types["request"], report.starts[1].cause, report.starts[1].after), (5, "resumed", 2));
}

#[tokio::test]
async fn a_dead_peer_fails_fast_and_comes_back() {
    let rig = Rig::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let broker = rig.open(vec![rig.device("socket", "peer", &[("address", &address.to_string())])]).await;
    let since = Instant::now();
    let refused = broker.request(Act::new("id").request()).await.unwrap_err();
    assert_eq!((refused.kind(), refused.public()), (Kind::Internal, "internal error"));
    assert!(since.elapsed() < Duration::from_secs(1), "no hang");
    let Ok(listener) = TcpListener::bind(address) else { return };
    broker.request(Act::new("id").request()).await.unwrap();
    drop(listener);
}

#[tokio::test]
async fn a_closed_audit_takes_nothing() {
    let rig = Rig::new();
    let broker = rig.main().await;
    broker.close().await;
    assert!(broker.request(Act::new("id").request()).await.is_err());
    assert!(broker.disclosure(Act::new("id").response()).await.is_err());
    broker.close().await;
    let report = verify(&[&rig.main_path()]);
    assert!(report.intact && report.unsealed_tail == 0);
}

#[tokio::test]
async fn checkpoints_come_by_number_and_by_time() {
    let mut rig = Rig::new();
    rig.pace.checkpoint_lines = 10;
    let broker = rig.main().await;
    write(&broker, 40).await;
    let checkpoints = |rig: &Rig| rig.lines().iter().filter(|line| line["type"] == "checkpoint").count();
    assert!(checkpoints(&rig) >= 4);
    broker.close().await;

    let mut rig = Rig::new();
    rig.pace.checkpoint_every = Duration::from_millis(20);
    let broker = rig.main().await;
    write(&broker, 1).await;
    let begun = Instant::now();
    while checkpoints(&rig) < 2 && begun.elapsed() < Duration::from_secs(10) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(checkpoints(&rig), 2);
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(checkpoints(&rig), 2, "none where there is nothing to seal");
}

#[tokio::test]
async fn a_rotation_is_a_new_file_and_no_rotation_is_none() {
    let rig = Rig::new();
    let broker = rig.main().await;
    write(&broker, 1).await;
    broker.reopen().await.unwrap();
    assert_eq!(rig.lines().len(), 3, "nothing has moved, nothing is written");
    std::fs::rename(rig.main_path(), rig.path("old")).unwrap();
    broker.reopen().await.unwrap();
    let lines = rig.lines();
    assert_eq!(lines[0]["start"]["cause"], "rotated");
    let old = read(&rig.path("old"));
    assert_eq!(old.len(), 3);
    assert_eq!(lines[0]["chain"]["seq"], 4);
    assert_eq!(lines[0]["start"]["previous"]["seq"], 3);
}

/// Set for the process that plays the server whose standard output is read.
const PLAYER: &str = "SPAREKEY_TEST_AUDIT_STDOUT";

#[tokio::test]
async fn standard_output_gets_a_chain_and_discloses_nothing() {
    let test = "devices::standard_output_gets_a_chain_and_discloses_nothing";
    if std::env::var_os(PLAYER).is_some() {
        let rig = Rig::new();
        let broker = rig.open(vec![rig.device("stdout", "out", &[])]).await;
        let act = Act::new("id");
        broker.request(act.request()).await.unwrap();
        broker.response(act.response()).await.unwrap();
        assert_eq!(broker.disclosure(act.response()).await.err().unwrap().kind(), Kind::Unavailable);
        broker.close().await;
        return;
    }
    let mut player = std::process::Command::new(std::env::current_exe().unwrap());
    let said = player.args(["--exact", test, "--nocapture"]).env(PLAYER, "1").output().unwrap();
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    let mut replay = Replay::new(Some(signing_key().public()), None);
    replay.file("stdout");
    let lines = said.stdout.split(|byte| *byte == b'\n').filter_map(|line| {
        // The test's own words may stand before the first line.
        let at = line.windows(9).position(|window| window == b"{\"chain\":")?;
        Some(&line[at..])
    });
    lines.for_each(|line| replay.line(line, true));
    let report = replay.finish();
    assert!(report.intact, "{:?}", report.findings);
    assert_eq!((report.types["request"], report.types["response"], report.disclosures), (1, 2, 1));
}
