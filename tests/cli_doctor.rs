//! `sparekey doctor`: a sound store is sound, running or stopped, and damage of every kind is found and named.

mod support;

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use serde_json::{Value, json};
use sparekey::crypto::keyring::Keyring;
use sparekey::crypto::secret::Key;
use sparekey::domain::set::{Set, Slot};
use sparekey::domain::time::Timestamp;
use sparekey::engine::enroll::Seen;
use sparekey::engine::record::{self, Record};
use sparekey::host::doctor::{Examination, Report};
use sparekey::host::seal::{NamedKey, Seal, SealConfig, StaticKeys, parse_key};
use sparekey::random::OsRandom;
use sparekey::storage::barrier::Barrier;
use sparekey::storage::redb::Redb;
use sparekey::storage::{Expect, Found, Get, Revision, Storage, Write};
use support::scene::{Scene, codes};
use support::server::{BINARY, MOUNT, Server, Setup};

fn doctor(server: &Server, line: &[&str]) -> (i32, Value, String) {
    let mut command = Command::new(BINARY);
    command.arg("doctor").args(line).env_clear().env("HOME", server.dir());
    command.env("BAO_ADDR", server.url()).env("BAO_TOKEN", server.root_token()).stdin(Stdio::null());
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&[&output.stdout[..], &output.stderr].concat()).into_owned();
    (output.status.code().unwrap(), serde_json::from_slice(&output.stdout).unwrap_or_default(), said)
}

/// A server with every kind of record: sets in the record and in the archive, a long history, an issued set, a wrapped code, a
/// deleted account, events, claims, tokens.
fn furnished() -> (Server, Scene, Vec<String>) {
    let server = Setup::default().static_seal().start();
    let scene = Scene::new(&server);
    let root = server.root();
    let mut all = Vec::new();
    for generation in 0..7 {
        let some = codes(10 + generation, 3);
        scene.store("github/acme", &some, generation).expect(200);
        all.extend(some);
    }
    for number in 0..100 {
        root.write(&format!("{MOUNT}/accounts/github/acme"), &json!({"owner": format!("team {number}")})).expect(204);
    }
    let some = codes(30, 4);
    scene.store("okta/jane@example.com", &some, 0).expect(200);
    all.extend(some);
    scene.retrieve("okta/jane@example.com", "alice").expect(200);
    scene.enrolled_again("jane@example.com").expect(202);
    let some = codes(40, 2);
    scene.store("gone", &some, 0).expect(200);
    all.extend(some);
    let end = json!({"role": "automation", "jwt": scene.automation(), "reason": "left"});
    scene.act("revoke", "gone", end).expect(200);
    root.delete(&format!("{MOUNT}/accounts/gone")).expect(204);
    let generate = json!({"role": "automation", "jwt": scene.automation(), "profile": "issued", "cas": 0});
    let made = scene.act("sets", "okta/issued@example.com", generate).expect(200).data();
    all.extend(made["codes"].as_array().unwrap().iter().map(|code| code.as_str().unwrap().to_owned()));
    (server, scene, all)
}

/// The store of a stopped server, open.
struct Bench {
    raw: Arc<dyn Storage>,
    barrier: Arc<Barrier>,
    root: Arc<Key>,
    keyring: Keyring,
}

impl Bench {
    /// A copy of the server's store, so that each damage is the only one.
    async fn copy(server: &Server, name: &str) -> Bench {
        let path = server.dir().join(name);
        fs::copy(server.store(), &path).unwrap();
        Bench::open(server.dir(), &path).await
    }
    async fn open(folder: &Path, path: &Path) -> Bench {
        let raw: Arc<dyn Storage> = Arc::new(Redb::open(path).unwrap());
        let key = parse_key(fs::read(folder.join("seal.key")).unwrap()).unwrap();
        let current = NamedKey { id: "test".into(), key };
        let config = SealConfig::Static(StaticKeys { current, previous: None });
        let root = Seal::new(config, Arc::clone(&raw), Arc::new(OsRandom)).auto_unseal().await.unwrap().unwrap();
        let Some(Found::Value(bytes, revision)) = raw.get_many(vec![Get::new("keyring")]).await.unwrap().pop() else {
            panic!("a keyring")
        };
        let keyring = Keyring::open(&root, &revision, &bytes).unwrap();
        let barrier = Arc::new(Barrier::new(Arc::clone(&raw)));
        barrier.unseal(*keyring.mount_id(), keyring.barrier_keys());
        Bench { raw, barrier, root: Arc::new(root), keyring }
    }
    async fn examine(&self) -> Report {
        let now = Timestamp::from_millis(i64::MAX / 2);
        let mut examination = Examination::begin(Arc::clone(&self.raw), Arc::clone(&self.root), now).await.unwrap();
        while examination.step().await.unwrap().is_some() {}
        examination.report()
    }
    async fn read(&self, key: &str) -> (Vec<u8>, Revision) {
        match self.barrier.get_many(vec![Get::new(key)]).await.unwrap().pop() {
            Some(Found::Value(value, revision)) => (value, revision),
            other => panic!("{key}: {other:?}"),
        }
    }
    /// Puts `value` in the place of what lies under `key`, through the barrier.
    async fn replace(&self, key: &str, value: Vec<u8>) {
        let (_, revision) = self.read(key).await;
        self.barrier.put_all(vec![Write::put(key, Expect::At(revision), value, &OsRandom)]).await.unwrap();
    }
    async fn remove(&self, key: &str) {
        let (_, revision) = self.read(key).await;
        self.barrier.put_all(vec![Write::delete(key, revision)]).await.unwrap();
    }
    async fn edit(&self, key: &str, change: impl FnOnce(&mut Record)) {
        let mut record: Record = record::decode(key, &self.read(key).await.0).unwrap();
        change(&mut record);
        self.replace(key, record::encode(&record)).await;
    }
    async fn names(&self, prefix: &str) -> Vec<String> {
        let names = self.raw.list(prefix, None, 100).await.unwrap();
        names.into_iter().map(|name| format!("{prefix}{name}")).collect()
    }
}

#[test]
fn a_sound_store_is_sound_running_and_stopped() {
    let (mut server, scene, all) = furnished();
    let (code, report, said) = doctor(&server, &["--json"]);
    assert_eq!(code, 0, "{said}");
    let number = |report: &Value, name: &str| report[name].as_u64().unwrap_or_else(|| panic!("{name} in {said}"));
    assert_eq!((report["sound"].as_bool(), number(&report, "broken")), (Some(true), 0), "{said}");
    assert_eq!(number(&report, "notices"), 0, "a kind of record that the doctor does not know? {said}");
    assert_eq!((number(&report, "accounts"), number(&report, "tombstones")), (3, 1), "{said}");
    assert!(number(&report, "codes") >= 3 && number(&report, "verifiers") > 0, "{said}");
    assert!(number(&report, "ledger_entries") > 107 + 5, "{said}");
    for code in &all {
        assert!(!said.contains(code.as_str()), "a code was shown");
    }
    // Only who may administer; and on the record.
    server.client().read("sys/storage/doctor").expect(403);
    assert!(fs::read_to_string(server.audit()).unwrap().contains("sys/storage/doctor"));
    drop(scene);

    server.terminate();
    let config = server.configure();
    let before = Redb::open(&server.store()).unwrap().commits();
    let (code, stopped, said) = doctor(&server, &["--json", "--config", config.to_str().unwrap()]);
    assert_eq!(code, 0, "{said}");
    for name in ["accounts", "tombstones", "sets", "keys", "codes", "verifiers", "ledger_entries"] {
        assert_eq!(number(&stopped, name), number(&report, name), "{name}");
    }
    assert_eq!(Redb::open(&server.store()).unwrap().commits(), before);
    let (code, _, said) = doctor(&server, &["--config", config.to_str().unwrap()]);
    assert!(code == 0 && said.contains("OK, nothing is wrong: 0 wrong"), "{said}");
}

/// Each damage on a fresh copy of one store: the record that was damaged is named, with words that say how, and nothing else is.
#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_damage_is_found_and_named() {
    let server = tokio::task::spawn_blocking(|| {
        let (mut server, _, _) = furnished();
        server.terminate();
        server
    })
    .await
    .unwrap();
    let (acme, jane, issued) =
        ("accounts/github/acme", "accounts/okta/jane@example.com", "accounts/okta/issued@example.com");
    let mut number = 0;
    let mut fresh = async || {
        number += 1;
        Bench::copy(&server, &format!("{number}.redb")).await
    };
    let sound = fresh().await;
    let report = sound.examine().await;
    assert!(report.sound, "{report:?}");
    let segment = format!(
        "ledger/{}/{:016}",
        hex::encode(*record::decode::<Record>(acme, &sound.read(acme).await.0).unwrap().account.id),
        33
    );
    let archived = sound.names(&sound.names("sets/").await[0]).await[0].clone();
    drop(sound);

    // What was done, the key that must be named, and words that must be said of it.
    let mut cases: Vec<(&str, Bench, String, &str)> = Vec::new();

    let bench = fresh().await;
    let (value, revision) = match bench.raw.get_many(vec![Get::new(jane)]).await.unwrap().pop() {
        Some(Found::Value(value, revision)) => (value, revision),
        other => panic!("{other:?}"),
    };
    let mut flipped = value.clone();
    flipped[40] ^= 1;
    bench.raw.put_all(vec![Write::put(jane, Expect::At(revision), flipped, &OsRandom)]).await.unwrap();
    cases.push(("a flipped bit", bench, jane.into(), "does not open"));

    let bench = fresh().await;
    bench.raw.put_all(vec![Write::create("accounts/okta/copy", value, &OsRandom)]).await.unwrap();
    cases.push(("a value under another key", bench, "accounts/okta/copy".into(), "does not open"));

    let bench = fresh().await;
    bench.replace(jane, vec![1, 0xff, 0xff]).await;
    cases.push(("no record", bench, jane.into(), "does not decode"));

    let bench = fresh().await;
    let mut newer = bench.read(jane).await.0;
    newer[0] = 9;
    bench.replace(jane, newer).await;
    cases.push(("a newer format", bench, jane.into(), "has format 9"));

    let bench = fresh().await;
    bench
        .edit(acme, |record| {
            let dek = record.account.sets.last_mut().unwrap().dek.as_mut().unwrap();
            dek.ciphertext[3] ^= 1;
        })
        .await;
    cases.push(("a wrapped key", bench, acme.into(), "the key of set 7: "));

    let bench = fresh().await;
    bench
        .edit(acme, |record| {
            let dek = record.account.sets.last_mut().unwrap().dek.as_mut().unwrap();
            dek.commitment[0] ^= 1;
        })
        .await;
    cases.push(("a commitment", bench, acme.into(), "the key commitment does not match"));

    let bench = fresh().await;
    bench.edit(acme, |record| record.account.sets.last_mut().unwrap().slots.swap(0, 1)).await;
    cases.push(("codes in each other's slots", bench, acme.into(), "the code of slot 1 in set 7: "));

    let bench = fresh().await;
    let other: Record = record::decode(issued, &bench.read(issued).await.0).unwrap();
    bench
        .edit(issued, |record| {
            let slots = &mut record.account.sets.last_mut().unwrap().slots;
            let Slot::Issued(verifier) = other.account.sets[0].slots[1].clone() else { panic!("a verifier") };
            slots[0] = Slot::Issued(verifier);
        })
        .await;
    cases.push(("a verifier in another slot", bench, issued.into(), "the verifier of slot 1 in set 1"));

    let bench = fresh().await;
    bench.edit(acme, |record| record.account.generation = 3).await;
    cases.push((
        "a counter that was set back",
        bench,
        acme.into(),
        "is out of order: its account counts 3 generations",
    ));

    let bench = fresh().await;
    bench
        .edit(acme, |record| {
            let set = record.account.sets.last().unwrap().clone();
            record.account.generation += 1;
            record.account.sets.push(Set { generation: set.generation + 1, ..set });
        })
        .await;
    cases.push(("two live sets", bench, acme.into(), "more than one set is live"));

    let bench = fresh().await;
    bench.edit(acme, |record| record.ledger.recent[3].hash[0] ^= 1).await;
    cases.push(("a ledger entry's hash", bench, acme.into(), "ledger entry "));

    let bench = fresh().await;
    bench.edit(acme, |record| drop(record.ledger.recent.pop())).await;
    cases.push(("the last ledger entry", bench, acme.into(), "its ledger counts"));

    let bench = fresh().await;
    bench.edit(acme, |record| record.ledger.base[0] ^= 1).await;
    cases.push(("the ledger's base", bench, acme.into(), "does not follow from the archive"));

    let bench = fresh().await;
    bench.remove(&segment).await;
    cases.push(("a segment", bench, segment.clone(), "is missing with its whole segment"));

    let bench = fresh().await;
    let first = segment.replace("0033", "0001");
    let swapped = bench.read(&first).await.0;
    bench.replace(&segment, swapped).await;
    cases.push(("a segment in another's place", bench, segment.clone(), "ledger entry 33: "));

    let bench = fresh().await;
    let owner: Record = record::decode(acme, &bench.read(acme).await.0).unwrap();
    bench
        .edit(acme, |record| {
            // As it was before its second segment left it.
            record.ledger.recent.clear();
            (record.ledger.seq, record.ledger.head, record.ledger.base) = (0, [0; 32].into(), [0; 32].into());
        })
        .await;
    assert!(owner.ledger.seq > 64);
    cases.push(("an older record", bench, segment.clone(), "at which its account's record ends"));

    let bench = fresh().await;
    bench.remove(acme).await;
    cases.push(("an account that is gone", bench, segment.clone(), "belongs to an account that is not there"));

    let bench = fresh().await;
    let set = bench.read(&archived).await.0;
    let elsewhere = format!("{}0000000099", &archived[..archived.len() - 10]);
    bench.barrier.put_all(vec![Write::create(elsewhere.as_str(), set, &OsRandom)]).await.unwrap();
    cases.push(("an archived set in another's place", bench, elsewhere, "lies where another belongs"));

    let bench = fresh().await;
    let bytes = bench.read(jane).await.0;
    bench.barrier.put_all(vec![Write::create("tombstones/okta/other", bytes, &OsRandom)]).await.unwrap();
    cases.push(("a tombstone that is none", bench, "tombstones/okta/other".into(), "is not deleted"));

    let bench = fresh().await;
    let event = bench.names(&bench.names("events/").await[0]).await[0].clone();
    let unfinished = Seen { at: Timestamp::from_secs(1_800_000_000), todo: vec!["okta/jane@example.com".into()] };
    bench.replace(&event, record::encode(&unfinished)).await;
    cases.push(("an event that was given up", bench, event, "has not reached 1 of its accounts"));

    for (what, key) in [("a role", "roles/on-call"), ("an issuer", "issuers/idp"), ("a source", "sources/idp")] {
        let bench = fresh().await;
        bench.replace(key, b"\x01{\"nonsense\": 7".to_vec()).await;
        cases.push((what, bench, key.into(), "does not decode"));
    }
    let bench = fresh().await;
    let token = bench.names("tokens/").await.into_iter().find(|name| !name.ends_with('/')).unwrap();
    bench.replace(&token, b"\xff\xff".to_vec()).await;
    cases.push(("a token", bench, token, "not a token record"));

    let bench = fresh().await;
    bench.replace("config-ledger", b"\x01\xff".to_vec()).await;
    cases.push(("the configuration's ledger", bench, "config-ledger".into(), "does not decode"));

    for (what, bench, key, words) in cases {
        assert!(bench.keyring.barrier_keys().len() == 1);
        let report = bench.examine().await;
        let found = report.findings.iter().find(|finding| finding.key == key && finding.what.contains(words));
        let found = found.unwrap_or_else(|| panic!("{what}: no {words:?} of {key} in {:#?}", report.findings));
        assert!(found.broken && !report.sound && !found.next.is_empty(), "{what}: {report:?}");
        // One damage makes few findings, and all are about the account that it is in, or what hangs on it.
        assert!(report.broken <= 6, "{what}: {:#?}", report.findings);
    }
}

#[test]
fn findings_are_printed_with_what_to_do_and_an_exit_code_of_their_own() {
    let (mut server, _, _) = furnished();
    server.terminate();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let bench = Bench::open(server.dir(), &server.store()).await;
        bench.edit("accounts/github/acme", |record| record.ledger.recent[3].hash[0] ^= 1).await;
    });
    let config = server.configure();
    let (code, _, said) = doctor(&server, &["--config", config.to_str().unwrap()]);
    assert_eq!(code, 3, "{said}");
    for words in
        ["WRONG  accounts/github/acme: ledger entry ", "→ compare with the audit files", "SOMETHING IS WRONG: 1 wrong"]
    {
        assert!(said.contains(words), "no {words:?} in {said}");
    }
    // A running server says the same.
    server.restart();
    let (code, report, said) = doctor(&server, &["--json"]);
    assert_eq!((code, report["broken"].as_u64()), (3, Some(1)), "{said}");
}
