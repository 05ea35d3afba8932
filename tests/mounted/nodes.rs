//! Three nodes on raft: one writes, the others read and send writes on, and any of them may die.

use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::scene::{AUDIENCE, ISSUER, Scene, codes};
use crate::support::signer::{Signer, credential_change, now};
use crate::support::vault::Vault;

const PATIENCE: Duration = Duration::from_secs(30);

/// Asks until the answer is as it should be; a standby hears of a write a moment after the one who wrote.
fn soon<T: std::fmt::Debug>(what: &str, ask: impl Fn() -> T, right: impl Fn(&T) -> bool) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let answer = ask();
        if right(&answer) {
            return answer;
        }
        assert!(Instant::now() < deadline, "{what}: {answer:?}");
        sleep(Duration::from_millis(50));
    }
}

#[test]
fn standbys_read_and_forward_and_a_new_leader_goes_on() {
    let mut leader = Vault::mounted();
    let standbys = [Vault::standby_of(&leader), Vault::standby_of(&leader)];
    let signer = Signer::es256("k");
    let here = Scene::with(leader.root(), leader.root(), signer.clone());
    let mine = codes(1, 8);
    here.store("okta/jane@example.com", &mine, 0).expect(200);

    for (standby, code) in standbys.iter().zip(&mine) {
        let read = || standby.root().read("backup-codes/accounts/okta/jane@example.com");
        soon("a standby reads", read, |answer| answer.status == 200);
        // A write to a standby is the leader's to do: once, with one assertion.
        let ask = json!({"role": "on-call", "jwt": here.admin("alice"), "reason": "x"});
        let given = standby.root().write("backup-codes/retrieve/okta/jane@example.com", &ask).expect(200);
        assert_eq!(given.data()["code"], json!(code));
        let refused = standby.root().write("backup-codes/retrieve/okta/jane@example.com", &ask).expect(403);
        assert!(refused.error().starts_with("assertion: "), "{}", refused.text());
    }
    let remaining = |vault: &Vault| {
        let answer = vault.root().read("backup-codes/accounts/okta/jane@example.com");
        if answer.status == 200 { answer.data()["remaining"].clone() } else { Value::Null }
    };
    for standby in &standbys {
        soon("a standby hears of it", || remaining(standby), |remaining| *remaining == json!(6));
    }
    answer_by_themselves(&leader, &standbys);
    // Configuration, too: a standby's cache goes with the key that changed.
    let default_role = |vault: &Vault| vault.root().read("backup-codes/config").data()["default_role"].clone();
    assert_eq!(default_role(&standbys[1]), Value::Null);
    standbys[0].root().write("backup-codes/config", &json!({"default_role": "on-call"})).expect(204);
    soon("the other standby hears of it", || default_role(&standbys[1]), |role| *role == json!("on-call"));

    // The leader dies without a word. Another takes over with all that was acknowledged.
    leader.kill();
    let elect = || standbys.iter().find(|standby| standby.client().read("sys/health").status == 200);
    let deadline = Instant::now() + PATIENCE;
    let next = loop {
        match elect() {
            Some(next) => break next,
            None => assert!(Instant::now() < deadline, "nobody took over"),
        }
        sleep(Duration::from_millis(100));
    };
    let other = standbys.iter().find(|standby| standby.url() != next.url()).unwrap();
    let there = Scene::with(next.root(), next.root(), signer.clone());
    let given = next.again(|| there.retrieve("okta/jane@example.com", "bob")).expect(200);
    assert_eq!(given.data()["code"], json!(mine[2]));
    let ask = json!({"role": "on-call", "jwt": there.admin("carol"), "reason": "x"});
    let retrieve = || other.root().write("backup-codes/retrieve/okta/jane@example.com", &ask);
    let given = soon("the standby forwards to the new leader", retrieve, |answer| answer.status != 500);
    assert_eq!(given.expect(200).data()["code"], json!(mine[3]));

    // An event that reaches a standby, without a token.
    let subject = json!({"format": "email", "email": "jane@example.com"});
    let event = signer.set(&credential_change(ISSUER, AUDIENCE, &subject, now()));
    let pushed = other.client().write("backup-codes/events/idp", &json!({"set": event}));
    assert_eq!(pushed.status, 202, "{}", pushed.text());
    let refused = there.retrieve("okta/jane@example.com", "dave").expect(400);
    assert!(refused.error().starts_with("ended"), "{}", refused.text());

    let history = there.read("history", "okta/jane@example.com?verify=true").expect(200).data();
    let acts: Vec<&str> =
        history["entries"].as_array().unwrap().iter().map(|entry| entry["act"].as_str().unwrap()).collect();
    assert_eq!(acts, ["store", "retrieve", "retrieve", "retrieve", "retrieve", "event"], "{history}");
    assert_eq!(history["verified"], true);
}

/// What a standby only reads it reads in a process of its own, and says what the leader says, whose process may stand still.
fn answer_by_themselves(leader: &Vault, standbys: &[Vault]) {
    let account = "okta/jane@example.com";
    let reads = [
        ("GET", format!("accounts/{account}")),
        ("GET", format!("history/{account}?verify=true")),
        ("LIST", "accounts/okta".to_owned()),
        ("GET", "roles/on-call".to_owned()),
        ("GET", "config/history?limit=5".to_owned()),
        ("GET", "report/access?prefix=okta".to_owned()),
        ("GET", "report/usage?format=csv".to_owned()),
    ];
    let said = |vault: &Vault| -> Vec<Value> {
        let answer = |(method, path): &(&str, String)| vault.root().send(method, &format!("backup-codes/{path}"), None);
        let timeless = |mut data: Value| {
            data.as_object_mut().expect("an object").remove("at");
            data
        };
        reads.iter().map(|read| timeless(answer(read).expect(200).data())).collect()
    };
    let wanted = said(leader);
    for standby in standbys {
        soon("a standby says the same", || said(standby), |said| *said == wanted);
    }
    leader.pause_plugin(true);
    let alone: Vec<Vec<Value>> = standbys.iter().map(said).collect();
    leader.pause_plugin(false);
    assert!(alone.iter().all(|said| *said == wanted), "{alone:#?}");
}

/// The node that answers as the active one.
fn active<'v>(nodes: &'v [Vault], not: Option<&str>) -> &'v Vault {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let other = |node: &&Vault| not != Some(node.url().as_str());
        let is_active = |node: &&Vault| node.client().read("sys/health").status == 200;
        if let Some(node) = nodes.iter().filter(other).find(is_active) {
            return node;
        }
        assert!(Instant::now() < deadline, "nobody took over");
        sleep(Duration::from_millis(50));
    }
}

/// Every node has the role in memory. It is changed on one, and counts at once for the acts of whichever node is active.
#[test]
fn a_role_that_was_changed_counts_for_the_next_act_of_whichever_node_is_active() {
    let leader = Vault::mounted();
    let standbys = [Vault::standby_of(&leader), Vault::standby_of(&leader)];
    let nodes: Vec<Vault> = [leader].into_iter().chain(standbys).collect();
    let signer = Signer::es256("k");
    let scene = |node: &Vault| Scene::with(node.root(), node.root(), signer.clone());
    let here = scene(&nodes[0]);
    here.store("github/acme", &codes(1, 16), 0).expect(200);
    let acts = |node: &Vault| {
        let ask = json!({"role": "on-call", "jwt": here.admin("alice"), "reason": "x"});
        node.again(|| node.root().write("backup-codes/retrieve/github/acme", &ask)).status
    };
    let change = |node: &Vault, group: &str| {
        let role = json!({"bound_claims": {"groups": [group]}});
        node.again(|| node.root().write("backup-codes/roles/on-call", &role)).expect(204);
    };
    for _ in 0..2 {
        let now = active(&nodes, None);
        for node in &nodes {
            soon("the role is read", || node.root().read("backup-codes/roles/on-call").status, |status| *status == 200);
        }
        assert_eq!(acts(now), 200);
        // Through a node that only passes it on.
        let standby = nodes.iter().find(|node| node.url() != now.url()).unwrap();
        change(standby, "nobody");
        assert_eq!(acts(now), 403);
        now.root().write("sys/step-down", &json!({}));
        let next = active(&nodes, Some(&now.url()));
        assert_eq!(acts(next), 403, "the next node does not know the old role any more");
        change(next, "on-call");
        assert_eq!(acts(next), 200);
    }
}
