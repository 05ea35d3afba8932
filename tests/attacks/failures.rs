//! A store or an audit that is slow, full, failing or corrupt: nothing wrong is answered, nothing is burnt for nobody, what needs
//! neither goes on, and all of it comes back without a restart.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::net::TcpStream;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sparekey::audit::{DeviceConfig, Pace};
use sparekey::storage::Storage;
use sparekey::storage::faulty::{Outcome, Times};

use crate::inprocess::Setup;
use crate::stage::{ACCOUNT, MOUNT, Stage, codes};
use crate::support::http::{Answer, Client};

const RETRIEVE: &str = "backup-codes/retrieve/github/acme-owner";

/// What must go on without audit and without writes.
fn reads_go_on(stage: &Stage, what: &str) {
    let login = format!("{MOUNT}/accounts/{ACCOUNT}");
    for (client, path) in [
        (&stage.nobody, "sys/health"),
        (&stage.nobody, "sys/seal-status"),
        (&stage.nobody, "sys/leader"),
        (&stage.root, login.as_str()),
        (&stage.root, "backup-codes/accounts?list=true"),
        (&stage.root, "backup-codes/history/github/acme-owner?verify=true"),
        (&stage.root, "backup-codes/roles/admin"),
        (&stage.root, "backup-codes/config"),
        (&stage.root, "auth/token/lookup-self"),
        (&stage.root, "sys/mounts"),
        (&stage.root, "backup-codes/retrieve/x?help=1"),
    ] {
        let answer = client.read(path);
        assert_eq!(answer.status, 200, "{what}: {path}: {}", answer.text());
    }
}

/// Every kind of write; each must fail as ours, and with nothing in it.
fn writes_fail(stage: &Stage, what: &str) {
    let event = stage.idp.set(&stage.event("jane@example.com", stage.now(), &json!({})));
    let wrapped = stage.nobody.header("X-Vault-Wrap-TTL", "60s");
    let writes: Vec<(&str, Answer)> = vec![
        ("retrieve", stage.act("retrieve", ACCOUNT, json!({}))),
        ("retrieve, wrapped", wrapped.write(RETRIEVE, &stage.asserted(json!({})))),
        ("sets", stage.act("sets", ACCOUNT, json!({"codes": codes("f", 4)}))),
        ("enroll", stage.act("enroll", ACCOUNT, json!({}))),
        ("revoke", stage.act("revoke", ACCOUNT, json!({"reason": "x"}))),
        ("event", stage.nobody.write("backup-codes/events/idp", &json!({"set": event}))),
        ("account", stage.root.write("backup-codes/accounts/github/new", &json!({"owner": "x"}))),
        ("delete account", stage.root.delete("backup-codes/accounts/github/spare")),
        ("config", stage.root.write("backup-codes/config", &json!({"clock_skew": "1m"}))),
        ("role", stage.root.write("backup-codes/roles/admin", &json!({"token_ttl": "5m"}))),
        ("delete role", stage.root.delete("backup-codes/roles/narrow")),
        ("login", stage.nobody.write("auth/jwt/login", &json!({"role": "admin", "jwt": stage.jwt(&json!({}))}))),
    ];
    for (write, answer) in writes {
        assert!(matches!(answer.status, 500 | 503), "{what}: {write}: {} {}", answer.status, answer.text());
        let body = answer.json();
        assert_eq!(body.as_object().unwrap().len(), 1, "{what}: {write}: {body}");
        assert!(body["errors"][0].is_string(), "{what}: {write}: {body}");
        for code in codes("a", 8) {
            assert!(!answer.text().contains(&code), "{what}: {write}: {body}");
        }
    }
}

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

#[test]
fn a_store_that_takes_nothing_changes_nothing_and_comes_back() {
    let stage = Stage::new();
    stage.fine("accounts/github/spare", json!({"owner": "x"}));
    let before = stage.world();
    stage.store.fail_writes(Times::Always);
    reads_go_on(&stage, "no writes");
    writes_fail(&stage, "no writes");
    let wrapped = stage.root.header("X-Vault-Wrap-TTL", "60s");
    let answer = wrapped.read("backup-codes/roles/admin");
    assert_eq!(answer.status, 500, "what cannot be put away is not handed out: {}", answer.text());
    assert!(!answer.text().contains("bound_audiences"), "{}", answer.text());
    stage.store.fail_writes(Times::Never);
    assert_eq!(stage.world(), before, "nothing changed");
    assert_eq!(stage.retrieves().data()["slot"], 1, "no code was burnt");
}

#[test]
fn a_store_that_answers_nothing_is_never_taken_for_an_empty_one() {
    let stage = Stage::new();
    let login = stage.login("admin");
    let before = stage.world();
    stage.store.fail_reads(Times::Always);
    stage.nobody.read("sys/health").expect(200);
    stage.nobody.read("sys/seal-status").expect(200);
    writes_fail(&stage, "no reads");
    for client in [&stage.root, &login] {
        for (method, path) in [
            ("GET", "backup-codes/accounts/github/acme-owner"),
            ("LIST", "backup-codes/accounts"),
            ("GET", "backup-codes/history/github/acme-owner"),
            ("GET", "backup-codes/roles/admin"),
            ("LIST", "backup-codes/roles"),
            ("GET", "backup-codes/config"),
            ("GET", "auth/token/lookup-self"),
            ("GET", "sys/mounts"),
            ("POST", "sys/capabilities-self"),
            ("POST", "sys/wrapping/lookup"),
        ] {
            let body = (method == "POST").then_some(&b"{\"token\":\"s.x\",\"paths\":\"sys/mounts\"}"[..]);
            let answer = client.send(method, path, body);
            assert_eq!(answer.status, 500, "{method} {path}: {}", answer.text());
            assert_eq!(answer.json(), json!({"errors": ["internal error"]}), "{method} {path}");
        }
    }
    stage.store.fail_reads(Times::Never);
    assert_eq!(stage.world(), before, "nothing changed");
    login.read("auth/token/lookup-self").expect(200);
    stage.retrieves();
}

#[test]
fn a_slow_store_holds_up_only_who_needs_it() {
    let stage = Stage::new();
    stage.store.delay(Duration::from_millis(250));
    thread::scope(|scope| {
        let slow = scope.spawn(|| stage.act("retrieve", ACCOUNT, json!({})));
        for _ in 0..5 {
            let begun = Instant::now();
            stage.nobody.read("sys/health").expect(200);
            stage.nobody.read("sys/seal-status").expect(200);
            assert!(begun.elapsed() < Duration::from_millis(240), "{:?}", begun.elapsed());
        }
        slow.join().unwrap().expect(200);
    });
    stage.store.delay(Duration::ZERO);
    assert_eq!(stage.remaining(), 7);
}

#[test]
fn a_corrupt_record_is_an_error_and_never_an_absence() {
    let stage = Stage::new();
    stage.store("github/other", &codes("o", 4));
    let before = stage.world();
    let (nobody, root) = (&stage.nobody, &stage.root);
    let retrieve = |account: &str| nobody.write(&format!("{MOUNT}/retrieve/{account}"), &stage.asserted(json!({})));
    for at in [0, 1, 16, 40, usize::MAX] {
        stage.store.corrupt(format!("accounts/{ACCOUNT}"), at);
        let event = stage.idp.set(&stage.event("jane@example.com", stage.now(), &json!({})));
        for (what, answer) in [
            ("read", root.read(&format!("{MOUNT}/accounts/{ACCOUNT}"))),
            ("history", root.read(&format!("{MOUNT}/history/{ACCOUNT}"))),
            ("retrieve", retrieve(ACCOUNT)),
            ("sets", stage.act("sets", ACCOUNT, json!({"codes": codes("n", 4), "cas": 0}))),
            ("enroll", stage.act("enroll", ACCOUNT, json!({}))),
            ("revoke", stage.act("revoke", ACCOUNT, json!({"reason": "x"}))),
            ("event", nobody.write("backup-codes/events/idp", &json!({"set": event}))),
            ("write", root.write(&format!("{MOUNT}/accounts/{ACCOUNT}"), &json!({"owner": "x"}))),
            ("delete", root.delete(&format!("{MOUNT}/accounts/{ACCOUNT}"))),
        ] {
            assert_eq!(answer.status, 500, "byte {at}, {what}: {}", answer.text());
            assert_eq!(answer.json(), json!({"errors": ["internal error"]}), "byte {at}, {what}");
        }
        root.read(&format!("{MOUNT}/accounts/github/other")).expect(200);
        nobody.read("sys/health").expect(200);
        stage.store.heal();
    }
    // The records that every act rests on: no role or issuer is passed over, no default stands in.
    assert_eq!(stage.world(), before, "nothing changed");
    for (key, field) in [
        ("roles/admin", "token_ttl"),
        ("issuers/idp", "clock_skew_leeway"),
        ("config", "clock_skew"),
        ("profiles/escrowed", "reveal_window"),
    ] {
        // Written anew, so that no older reading of it is at hand.
        stage.fine(key, json!({field: "59s"}));
        stage.store.corrupt(key, 30);
        let answer = retrieve(ACCOUNT);
        assert_eq!(answer.status, 500, "{key}: {}", answer.text());
        stage.store.heal();
        assert_eq!(stage.remaining(), 8, "{key}");
    }
    let login = stage.login("admin");
    let tokens = stage.node.run(stage.store.list("tokens/", None, 100)).unwrap();
    tokens.iter().for_each(|token| stage.store.corrupt(format!("tokens/{token}"), 20));
    let answer = login.read("auth/token/lookup-self");
    assert_eq!(answer.status, 500, "a corrupt token is not merely unknown: {}", answer.text());
    stage.store.heal();
    login.read("auth/token/lookup-self").expect(200);
    assert_eq!(retrieve(ACCOUNT).expect(200).data()["slot"], 1);
}

#[test]
fn thirty_two_clients_ask_for_the_last_code_and_one_gets_it() {
    let stage = Stage::empty();
    for round in 0..3 {
        let account = format!("github/last-{round}");
        stage.store(&account, &codes(&format!("r{round}"), 1));
        let bodies: Vec<Value> = (0..32).map(|_| stage.asserted(json!({}))).collect();
        let start = Barrier::new(32);
        let answers: Vec<Answer> = thread::scope(|scope| {
            let clients: Vec<_> = bodies
                .iter()
                .map(|body| {
                    let (start, client) = (&start, &stage.nobody);
                    let path = format!("{MOUNT}/retrieve/{account}");
                    scope.spawn(move || {
                        start.wait();
                        client.write(&path, body)
                    })
                })
                .collect();
            clients.into_iter().map(|client| client.join().unwrap()).collect()
        });
        let code = &codes(&format!("r{round}"), 1)[0];
        let lucky: Vec<_> = answers.iter().filter(|answer| answer.status == 200).collect();
        assert_eq!(lucky.len(), 1, "{:?}", answers.iter().map(|answer| answer.status).collect::<Vec<_>>());
        assert_eq!(lucky[0].data()["code"], *code);
        for answer in answers.iter().filter(|answer| answer.status != 200) {
            assert_eq!(answer.status, 400, "{}", answer.text());
            assert!(answer.error().starts_with("exhausted: "), "{}", answer.text());
        }
        assert_eq!(stage.account(&account)["remaining"], 0);
    }
}

#[test]
fn an_act_comes_to_its_end_though_its_client_hangs_up_and_is_seen_again_by_its_key() {
    let stage = Stage::new();
    let body = stage.asserted(json!({"idempotency_key": "hung-up"}));
    let sent = body.to_string();
    let request = format!("POST /v1/{RETRIEVE} HTTP/1.1\r\nHost: test\r\nContent-Length: {}\r\n\r\n{sent}", sent.len());
    stage.store.delay(Duration::from_millis(60));
    let mut stream = TcpStream::connect(stage.node.address).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    thread::sleep(Duration::from_millis(30));
    drop(stream);
    stage.store.delay(Duration::ZERO);
    let begun = Instant::now();
    while stage.remaining() == 8 {
        assert!(begun.elapsed() < Duration::from_secs(10), "the act was given up with its client");
        thread::sleep(Duration::from_millis(10));
    }
    let history = stage.root.read(&format!("{MOUNT}/history/{ACCOUNT}?verify=true")).expect(200).data();
    let last = history["entries"].as_array().unwrap().last().unwrap().clone();
    assert_eq!((&last["act"], &last["slot"], &history["verified"]), (&json!("retrieve"), &json!(1), &json!(true)));
    let again = stage.nobody.write(RETRIEVE, &body).expect(200).data();
    assert_eq!((&again["code"], &again["repeat"]), (&json!(codes("a", 8)[0]), &json!(true)));
    assert_eq!(stage.remaining(), 7, "it cost one code");
    let lines = stage.audit();
    let disclosed = lines.iter().filter(|line| line["disclosed"] == true);
    assert_eq!(disclosed.count(), 2, "both answers are on the record");
}

#[test]
fn a_store_that_stops_in_the_middle_costs_at_most_the_one_code() {
    for step in 0..6 {
        let stage = Stage::new();
        let body = stage.asserted(json!({"idempotency_key": "k"}));
        let ask = |client: &Client| client.write(RETRIEVE, &body);
        stage.store.freeze_after(step);
        let first = ask(&stage.nobody);
        assert!(matches!(first.status, 200 | 500 | 503), "{step}: {} {}", first.status, first.text());
        stage.nobody.read("sys/health").expect(200);
        stage.store.thaw();
        let second = ask(&stage.nobody).expect(200).data();
        assert_eq!(second["code"], codes("a", 8)[0], "{step}: the same request gets the one code");
        let seen: BTreeSet<String> = [Some(second), (first.status == 200).then(|| first.data())]
            .into_iter()
            .flatten()
            .map(|data| data["code"].as_str().unwrap().to_owned())
            .collect();
        assert_eq!(seen.len(), 1, "{step}");
        assert_eq!(stage.remaining(), 7, "{step}");
        let history = stage.root.read(&format!("{MOUNT}/history/{ACCOUNT}?verify=true")).expect(200).data();
        assert_eq!(history["verified"], true, "{step}");
    }
}

#[test]
fn an_answer_of_the_store_that_gets_lost_is_found_out() {
    for outcome in [Outcome::Written, Outcome::Lost] {
        let stage = Stage::new();
        for (turn, (act, body)) in [
            ("retrieve", json!({})),
            ("sets", json!({"codes": codes("n", 6), "cas": 1})),
            ("enroll", json!({})),
            ("sets", json!({"codes": codes("m", 6), "enrollment": 1})),
            ("revoke", json!({"reason": "x"})),
        ]
        .into_iter()
        .enumerate()
        {
            stage.store.answer_unknown(outcome, Times::Next(1));
            let answer = stage.act(act, ACCOUNT, body);
            assert_eq!(answer.status, 200, "{outcome:?}, {turn}: {act}: {}", answer.text());
        }
        let account = stage.account(ACCOUNT);
        assert_eq!((&account["generation"], &account["enrollment"]["number"]), (&json!(3), &json!(1)), "{outcome:?}");
        let history = stage.root.read(&format!("{MOUNT}/history/{ACCOUNT}?verify=true")).expect(200).data();
        let acts: Vec<&str> =
            history["entries"].as_array().unwrap().iter().map(|entry| entry["act"].as_str().unwrap()).collect();
        assert_eq!(acts, ["store", "retrieve", "store", "enroll", "store", "revoke"], "each once, {outcome:?}");
    }
}
