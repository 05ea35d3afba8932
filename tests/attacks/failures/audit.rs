//! Without audit, or with an audit that hangs or whose file was taken away.

use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sparekey::audit::{DeviceConfig, Pace};

use super::{RETRIEVE, reads_go_on, writes_fail};
use crate::inprocess::Setup;
use crate::stage::{ACCOUNT, Stage, codes};

#[test]
fn without_audit_nothing_changes_and_what_changes_nothing_goes_on() {
    type Break = fn(&Stage);
    type Mend = fn(&Stage);
    let put_aside: Break = |stage| fs::rename(stage.node.audit(), stage.node.path().join("aside")).unwrap();
    let put_back: Mend = |stage| {
        fs::remove_file(stage.node.audit()).or_else(|_| fs::remove_dir(stage.node.audit())).unwrap();
        fs::rename(stage.node.path().join("aside"), stage.node.audit()).unwrap();
    };
    let ways: [(&str, Break, Mend); 4] = [
        (
            "the folder is gone",
            |stage| fs::rename(stage.node.path(), stage.node.path().with_extension("aside")).unwrap(),
            |stage| fs::rename(stage.node.path().with_extension("aside"), stage.node.path()).unwrap(),
        ),
        (
            "a device that is full stands in its place",
            |stage| symlink("/dev/full", stage.node.audit()).unwrap(),
            |_| {},
        ),
        ("a folder stands in its place", |stage| fs::create_dir(stage.node.audit()).unwrap(), |_| {}),
        (
            "a link that leads nowhere stands in its place",
            |stage| symlink("/nonexistent/audit.log", stage.node.audit()).unwrap(),
            |_| {},
        ),
    ];
    for (what, break_it, mend) in ways {
        let stage = Stage::new();
        stage.fine("accounts/github/spare", json!({"owner": "x"}));
        let wrapped = stage.nobody.header("X-Vault-Wrap-TTL", "60s");
        let waiting = wrapped.write(RETRIEVE, &stage.asserted(json!({}))).expect(200).json();
        let waiting = stage.nobody.token(waiting["wrap_info"]["token"].as_str().unwrap());
        let before = stage.world();
        let whole_folder = what.starts_with("the folder");
        if !whole_folder {
            put_aside(&stage);
        }
        break_it(&stage);
        reads_go_on(&stage, what);
        for _ in 0..2 {
            writes_fail(&stage, what);
            let answer = waiting.write("sys/wrapping/unwrap", &json!({}));
            assert_eq!(answer.status, 503, "{what}: unwrap: {}", answer.text());
        }
        let answer = stage.root.write("sys/seal", &json!({}));
        assert_eq!(answer.status, 500, "{what}: {}", answer.text());
        assert_eq!(stage.world(), before, "{what}: nothing changed");
        if !whole_folder {
            put_back(&stage);
        }
        mend(&stage);
        let slot = waiting.write("sys/wrapping/unwrap", &json!({})).expect(200).data()["slot"].clone();
        assert_eq!(slot, 1, "{what}: the wrapping token stayed good");
        assert_eq!(stage.retrieves().data()["slot"], 2, "{what}: and no code was lost");
        stage.node.run(stage.node.host.shut_down(Duration::from_secs(5)));
        let lines = stage.audit();
        assert!(lines.iter().any(|line| line["type"] == "missed"), "{what}: the gap is told");
    }
}

#[test]
fn an_audit_file_that_is_deleted_or_emptied_holds_the_next_disclosure_or_there_is_none() {
    let disclosed = |stage: &Stage| {
        let lines = fs::read_to_string(stage.node.audit()).unwrap_or_default();
        let lines = lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        lines.filter(|line| line["disclosed"] == true).count()
    };
    for (what, harm) in [
        ("deleted", (|stage: &Stage| fs::remove_file(stage.node.audit()).unwrap()) as fn(&Stage)),
        ("emptied", |stage| drop(fs::File::create(stage.node.audit()).unwrap())),
        ("replaced", |stage| {
            fs::remove_file(stage.node.audit()).unwrap();
            fs::write(stage.node.audit(), "{}\n").unwrap();
        }),
    ] {
        let stage = Stage::new();
        stage.retrieves();
        harm(&stage);
        let mut given = 0;
        for _ in 0..3 {
            let answer = stage.act("retrieve", ACCOUNT, json!({}));
            assert!(matches!(answer.status, 200 | 503), "{what}: {} {}", answer.status, answer.text());
            given += usize::from(answer.status == 200);
            assert!(disclosed(&stage) >= given, "{what}: {given} codes given, {} on the record", disclosed(&stage));
        }
        assert!(given > 0, "{what}: it recovers");
        assert_eq!(stage.remaining(), 7 - given as u64, "{what}: what was not recorded was not burnt");
    }
}

#[test]
fn a_peer_that_hangs_costs_no_more_than_its_deadline() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("peer");
    let listener = UnixListener::bind(&path).unwrap();
    let options = [("address", path.to_str().unwrap()), ("socket_type", "unix"), ("write_timeout", "60s")];
    let options = options.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    let pace = Pace { deadline: Duration::from_millis(200), queue: 4, ..Pace::default() };
    let peer = DeviceConfig::new("socket", "peer", &options).unwrap().with_pace(pace);
    for audited in [true, false] {
        let stage = Stage::with(Setup { audited, devices: vec![peer.clone()], ..Setup::default() });
        stage.store(ACCOUNT, &codes("a", 8));
        // Until the peer's buffers are full, and a good deal more.
        let (mut slowest, mut refused) = (Duration::ZERO, 0);
        let owner = "o".repeat(900);
        for turn in 0..600 {
            let begun = Instant::now();
            let body = json!({"owner": format!("{turn}{owner}"), "protects": vec![owner[..400].to_owned(); 60]});
            let answer = stage.root.write("backup-codes/accounts/github/busy", &body);
            slowest = slowest.max(begun.elapsed());
            assert!(matches!(answer.status, 204 | 500), "{turn}: {} {}", answer.status, answer.text());
            refused += usize::from(answer.status == 500);
            if refused >= 3 {
                break;
            }
        }
        assert!(slowest < Duration::from_secs(4), "{slowest:?}");
        assert_eq!(refused > 0, !audited, "with a file beside it nobody notices; alone it stops writes");
        reads_go_on(&stage, "a hanging peer");
        let answer = stage.act("retrieve", ACCOUNT, json!({}));
        assert_eq!(answer.status, if audited { 200 } else { 503 }, "{}", answer.text());
        assert_eq!(stage.remaining(), if audited { 7 } else { 8 });
    }
    drop(listener);
}
