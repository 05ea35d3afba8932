//! Several nodes over one store, all of them active: whatever one of them acknowledged counts at the others with the next
//! request.

#[path = "../inprocess/mod.rs"]
mod inprocess;
#[path = "../support/mod.rs"]
mod support;

use std::collections::BTreeSet;
use std::sync::Arc;

use inprocess::{MOUNT, Node, Setup};
use serde_json::{Value, json};
use sparekey::storage::memory::Memory;
use sparekey::storage::{Found, Get, Storage};
use support::http::Client;
use support::scene::{AUDIENCE, ISSUER, Scene, codes};
use support::signer::{Signer, claims, now};

/// Three nodes that were unsealed by the same shares, and the usual cast.
struct Cluster {
    nodes: Vec<Node>,
    root: String,
    shares: Vec<String>,
    scene: Scene,
}

impl Cluster {
    fn start() -> Cluster {
        let storage: Arc<dyn Storage> = Arc::new(Memory::new());
        let start = |number: usize| {
            let node = Some(format!("node-{number}"));
            Setup { storage: Some(Arc::clone(&storage)), node, ..Setup::default() }.start()
        };
        let nodes: Vec<Node> = (1..=3).map(start).collect();
        let plain = nodes[0].client();
        let born = plain.write("sys/init", &json!({"secret_shares": 3, "secret_threshold": 2})).expect(200).json();
        let shares: Vec<String> = texts(&born["keys"]);
        let root = born["root_token"].as_str().expect("a root token").to_owned();
        for node in &nodes {
            unseal(node, &shares);
        }
        let scene = Scene::with(nodes[0].client().token(&root), plain, Signer::es256("idp-1"));
        Cluster { nodes, root, shares, scene }
    }
    fn plain(&self, node: usize) -> Client {
        self.nodes[node].client()
    }
    fn root(&self, node: usize) -> Client {
        self.plain(node).token(&self.root)
    }
    /// The cast as it meets this node.
    fn at(&self, node: usize) -> Scene {
        self.scene.through(self.root(node), self.plain(node))
    }
}

fn unseal(node: &Node, shares: &[String]) {
    for share in &shares[..2] {
        node.client().write("sys/unseal", &json!({ "key": share })).expect(200);
    }
}

fn texts(list: &Value) -> Vec<String> {
    list.as_array().expect("a list").iter().map(|text| text.as_str().expect("a text").to_owned()).collect()
}

fn code(answer: &Value) -> String {
    answer["data"]["code"].as_str().unwrap_or_else(|| panic!("no code: {answer}")).to_owned()
}

#[test]
fn a_code_leaves_once_whichever_nodes_are_asked() {
    let cluster = Cluster::start();
    cluster.at(0).store("github/acme-owner", &codes(1, 12), 0).expect(200);
    let given: Vec<Option<String>> = std::thread::scope(|scope| {
        let callers: Vec<_> = (0..30)
            .map(|caller| {
                let scene = cluster.at(caller % 3);
                scope.spawn(move || {
                    let answer = scene.retrieve("github/acme-owner", &format!("admin-{caller}"));
                    match answer.status {
                        200 => Some(code(&answer.json())),
                        400 if answer.text().contains("exhausted") => None,
                        _ => panic!("{} {}", answer.status, answer.text()),
                    }
                })
            })
            .collect();
        callers.into_iter().map(|caller| caller.join().expect("a caller")).collect()
    });
    let given: Vec<String> = given.into_iter().flatten().collect();
    assert_eq!(given.len(), 12);
    assert_eq!(given.iter().cloned().collect::<BTreeSet<_>>(), codes(1, 12).into_iter().collect());
    let history = cluster.root(2).read(&format!("{MOUNT}history/github/acme-owner?verify=true")).expect(200).json();
    assert_eq!(history["data"]["verified"], true);
}

#[test]
fn one_assertion_is_one_code_and_a_key_shows_it_again_elsewhere() {
    let cluster = Cluster::start();
    cluster.at(0).store("github/acme-owner", &codes(2, 4), 0).expect(200);
    let body = cluster.scene.request("jane");
    let first = cluster.at(1).act("retrieve", "github/acme-owner", body.clone()).expect(200).json();
    let refused = cluster.at(2).act("retrieve", "github/acme-owner", body);
    assert_eq!(refused.status, 403, "the assertion was used at another node: {}", refused.text());

    let mut keyed = cluster.scene.request("jane");
    keyed["idempotency_key"] = json!("once-more");
    let second = cluster.at(0).act("retrieve", "github/acme-owner", keyed.clone()).expect(200).json();
    assert_ne!(code(&first), code(&second));
    keyed["jwt"] = json!(cluster.scene.admin("jane"));
    let again = cluster.at(2).act("retrieve", "github/acme-owner", keyed).expect(200).json();
    assert_eq!((code(&again), &again["data"]["repeat"]), (code(&second), &json!(true)));
    assert_eq!(cluster.at(1).read("accounts", "github/acme-owner").json()["data"]["remaining"], 2);
}

#[test]
fn an_enrollment_told_to_one_node_ends_the_set_at_all() {
    let cluster = Cluster::start();
    cluster.at(0).store("okta/jane@example.com", &codes(3, 3), 0).expect(200);
    cluster.at(1).retrieve("okta/jane@example.com", "on-call-1").expect(200);
    assert_eq!(cluster.at(2).enrolled_again("jane@example.com").status, 202);
    for node in 0..3 {
        let refused = cluster.at(node).retrieve("okta/jane@example.com", "on-call-1");
        assert_eq!(refused.status, 400, "{}", refused.text());
    }
    // A wrapped code of the former set, unwrapped at a node that had no part in any of it.
    let scene = cluster.at(0);
    let body = json!({
        "role": "automation", "jwt": scene.automation(), "codes": codes(4, 3), "enrollment": 1,
    });
    scene.act("sets", "okta/jane@example.com", body).expect(200);
    let client = cluster.plain(0).header("X-Vault-Wrap-TTL", "60s");
    let path = format!("{MOUNT}retrieve/okta/jane@example.com");
    let wrapped = client.write(&path, &scene.request("on-call-2")).expect(200).json();
    let token = wrapped["wrap_info"]["token"].as_str().expect("a wrapping token").to_owned();
    let revoke = json!({"role": "automation", "jwt": scene.automation(), "reason": "the laptop is lost"});
    cluster.at(1).act("revoke", "okta/jane@example.com", revoke).expect(200);
    let refused = cluster.plain(2).token(&token).write("sys/wrapping/unwrap", &json!({}));
    assert_eq!(refused.status, 400, "{}", refused.text());
    assert!(!codes(4, 3).iter().any(|code| refused.text().contains(code)));
}

#[test]
fn a_revoked_token_and_a_changed_role_count_everywhere_with_the_next_request() {
    let cluster = Cluster::start();
    let role = json!({
        "issuers": ["idp"], "bound_audiences": [AUDIENCE], "bound_subject": "reader", "accounts": ["*"],
        "operations": ["read", "list"], "token_ttl": "10m", "token_max_ttl": "1h",
    });
    cluster.root(0).write(&format!("{MOUNT}roles/reader"), &role).expect(204);
    cluster.at(0).store("github/acme-owner", &codes(5, 3), 0).expect(200);
    let jwt = || cluster.scene.signer.jwt(&claims(ISSUER, "reader", AUDIENCE));
    let log_in = |node: usize| {
        let answer = cluster.plain(node).write("auth/jwt/login", &json!({"role": "reader", "jwt": jwt()}));
        answer.expect(200).json()["auth"]["client_token"].as_str().expect("a token").to_owned()
    };
    let account = format!("{MOUNT}accounts/github/acme-owner");
    let token = log_in(0);
    for node in 0..3 {
        cluster.plain(node).token(&token).read(&account).expect(200);
    }
    cluster.plain(1).token(&token).write("auth/token/revoke-self", &json!({})).expect(204);
    for node in [0, 2, 1] {
        cluster.plain(node).token(&token).read(&account).expect(403);
    }

    let token = log_in(2);
    cluster.plain(1).token(&token).read(&account).expect(200);
    cluster.root(0).write(&format!("{MOUNT}roles/reader"), &json!({"accounts": ["okta/*"]})).expect(204);
    for node in [1, 2, 0] {
        cluster.plain(node).token(&token).read(&account).expect(403);
    }

    // A role that one node learnt of by using it is gone with its deletion elsewhere.
    cluster.at(1).retrieve("github/acme-owner", "jane").expect(200);
    cluster.root(2).delete(&format!("{MOUNT}roles/on-call")).expect(204);
    assert_eq!(cluster.at(1).retrieve("github/acme-owner", "jane").status, 403);
}

#[test]
fn keys_that_one_node_rotates_are_used_by_all() {
    let cluster = Cluster::start();
    cluster.at(0).store("github/acme-owner", &codes(6, 6), 0).expect(200);
    cluster.at(2).retrieve("github/acme-owner", "jane").expect(200);

    // The barrier's key: what a node writes under the new one, the others read.
    cluster.root(1).write("sys/rotate", &json!({})).expect(204);
    cluster.root(1).write(&format!("{MOUNT}profiles/kept"), &json!({"kind": "escrowed"})).expect(204);
    for node in [0, 2] {
        cluster.root(node).read(&format!("{MOUNT}profiles/kept")).expect(200);
        assert_eq!(cluster.root(node).read("sys/key-status").expect(200).json()["term"], 2);
        cluster.at(node).retrieve("github/acme-owner", "jane").expect(200);
    }

    // The key that wraps: new sets are under the new one, wherever they are stored.
    cluster.root(2).write(&format!("{MOUNT}config/keys/rotate"), &json!({})).expect(200);
    for node in 0..3 {
        cluster.at(node).store(&format!("github/of-node-{node}"), &codes(10 + node as u64, 3), 0).expect(200);
        cluster.at((node + 1) % 3).retrieve(&format!("github/of-node-{node}"), "jane").expect(200);
    }
    let wrapped = |node: usize| {
        let keys = cluster.root(node).read(&format!("{MOUNT}config/keys")).expect(200).json();
        assert_eq!(keys["data"]["active"], 2);
        // Each node counts what it wrapped and adds it to the store's number now and then: the counts may differ for a while.
        let states = keys["data"]["generations"].as_array().expect("generations").iter();
        states.map(|key| json!([key["generation"], key["state"]])).collect::<Vec<_>>()
    };
    for node in 0..3 {
        assert_eq!(wrapped(node), [json!([1, "decrypt-only"]), json!([2, "active"])]);
    }

    // A node that starts afterwards opens all of it.
    cluster.root(0).write("sys/seal", &json!({})).expect(204);
    unseal(&cluster.nodes[0], &cluster.shares);
    cluster.at(0).retrieve("github/of-node-2", "jane").expect(200);
}

#[test]
fn wrong_codes_and_shares_are_counted_across_nodes() {
    let cluster = Cluster::start();
    let write = |path: &str, body: Value| cluster.root(0).write(&format!("{MOUNT}{path}"), &body);
    let role = json!({
        "issuers": ["idp"], "bound_audiences": [AUDIENCE], "bound_subject": "portal", "accounts": ["*"],
        "operations": ["store", "verify"],
    });
    write("roles/portal", role).expect(204);
    write("profiles/quick", json!({"kind": "issued", "length": 24, "verifier": "hmac-sha256", "max_failures": 6}))
        .expect(204);
    let portal = || cluster.scene.signer.jwt(&claims(ISSUER, "portal", AUDIENCE));
    let body = json!({"role": "portal", "jwt": portal(), "profile": "quick", "cas": 0});
    let made = cluster.at(0).act("sets", "portal/jane", body).expect(200).json();
    let good = texts(&made["data"]["codes"]);
    let verify = |node: usize, code: &str| {
        let body = json!({"role": "portal", "jwt": portal(), "code": code});
        cluster.at(node).act("verify", "portal/jane", body).expect(200).json()["data"].clone()
    };
    assert_eq!(verify(1, &good[0])["valid"], true);
    assert_eq!(verify(2, &good[0])["valid"], false, "consumed at another node");
    let mut wrong = good[1].clone().into_bytes();
    wrong[0] = if wrong[0] == b'A' { b'B' } else { b'A' };
    let wrong = String::from_utf8(wrong).expect("text");
    for guess in 0..5 {
        assert_eq!(verify(guess % 3, &wrong)["valid"], false);
    }
    for node in 0..3 {
        let locked = verify(node, &good[1]);
        assert_eq!(locked["valid"], false, "{locked}");
        assert!(locked["retry_after"].as_u64().is_some_and(|wait| wait > 0), "{locked}");
    }

    // A subject's share of retrievals is one share, not one a node.
    write("roles/on-call", json!({"max_retrievals": 2, "per": "1h"})).expect(204);
    cluster.at(0).store("github/acme-owner", &codes(7, 8), 0).expect(200);
    let statuses: Vec<u16> = (0..4).map(|n| cluster.at(n % 3).retrieve("github/acme-owner", "jane").status).collect();
    assert_eq!(statuses, [200, 200, 429, 429]);
}

#[test]
fn events_and_imports_meet_at_different_nodes() {
    let cluster = Cluster::start();
    // The event comes first, to one node; the job that fetched its codes before comes to another.
    assert_eq!(cluster.at(0).enrolled_again("joe@example.com").status, 202);
    let stale = cluster.at(1).act(
        "sets",
        "okta/joe@example.com",
        json!({"role": "automation", "jwt": cluster.scene.automation(), "codes": codes(8, 3), "cas": 0}),
    );
    assert_eq!(stale.status, 400, "{}", stale.text());
    let bound = json!({
        "role": "automation", "jwt": cluster.scene.automation(), "codes": codes(8, 3), "bound_at": now() - 3_600,
    });
    let refused = cluster.at(2).act("sets", "okta/joe@example.com", bound);
    assert_eq!(refused.status, 400, "{}", refused.text());
    let fresh = json!({
        "role": "automation", "jwt": cluster.scene.automation(), "codes": codes(9, 3), "enrollment": 1,
    });
    cluster.at(1).act("sets", "okta/joe@example.com", fresh).expect(200);
    cluster.at(2).retrieve("okta/joe@example.com", "jane").expect(200);
}

#[test]
fn clients_and_balancers_are_told_that_every_node_leads() {
    let cluster = Cluster::start();
    for node in &cluster.nodes {
        node.run(node.host.report_node()).expect("it is reported");
    }
    for node in 0..3 {
        cluster.plain(node).read("sys/health").expect(200);
        let leader = cluster.plain(node).read("sys/leader").expect(200).json();
        assert_eq!((&leader["ha_enabled"], &leader["is_self"]), (&json!(true), &json!(true)));
        let listed = cluster.root(node).read("sys/ha-status").expect(200).json();
        let names = |nodes: &Value| -> Vec<String> {
            nodes.as_array().expect("nodes").iter().map(|node| node["hostname"].to_string()).collect()
        };
        assert_eq!(names(&listed["nodes"]), ["\"node-1\"", "\"node-2\"", "\"node-3\""]);
        assert_eq!(listed["nodes"], listed["data"]["nodes"]);
        assert!(listed["nodes"].as_array().expect("nodes").iter().all(|node| node["active_node"] == true));
    }
    cluster.plain(0).read("sys/ha-status").expect(403);
    // A node that says nothing for long is listed no more; one that is sealed is out of the balancer's rotation.
    let (quiet, told) = (&cluster.nodes[0], &cluster.nodes[1]);
    told.wait(std::time::Duration::from_secs(601));
    told.run(told.host.report_node()).expect("it is reported");
    let listed = cluster.root(1).read("sys/ha-status").expect(200).json();
    assert_eq!(listed["nodes"].as_array().expect("nodes").len(), 1);
    cluster.root(0).write("sys/seal", &json!({})).expect(204);
    assert_eq!(quiet.client().read("sys/health").status, 503);
    assert_eq!(quiet.client().read("sys/leader").json()["is_self"], false);
    cluster.root(1).read(&format!("{MOUNT}config")).expect(200);
}

#[test]
fn one_node_at_a_time_tidies_and_all_of_them_may() {
    let cluster = Cluster::start();
    let token = |name: &str| format!("turns/{name}");
    let written = || cluster.nodes[0].run(cluster.nodes[0].storage.get_many(vec![Get::new(token("sweep"))])).unwrap();
    assert_eq!(written(), [Found::Absent]);
    for node in &cluster.nodes {
        let before = written();
        assert_eq!(node.run(node.host.tidy(|| true)).expect("it is tidied"), 0);
        assert_ne!(written(), before, "each took its turn and ended it");
    }
    // A node that says no at once keeps nobody from it.
    cluster.nodes[1].run(cluster.nodes[1].host.tidy(|| false)).expect("it is tidied");
    cluster.nodes[2].run(cluster.nodes[2].host.tidy(|| true)).expect("it is tidied");
}

#[test]
fn each_node_has_audit_files_of_its_own_and_equal_values_look_equal() {
    let cluster = Cluster::start();
    cluster.at(0).store("github/acme-owner", &codes(10, 6), 0).expect(200);
    for node in 0..3 {
        cluster.at(node).retrieve("github/acme-owner", "jane").expect(200);
    }
    let lines = |node: &Node| std::fs::read_to_string(node.audit()).expect("an audit file");
    let mut hashed = BTreeSet::new();
    for node in &cluster.nodes {
        let text = lines(node);
        for alarm in ["missing", "shorter", "replaced", "altered", "unanchored"] {
            assert!(!text.contains(&format!("\"cause\":\"{alarm}\"")), "{alarm}: {text}");
        }
        assert_eq!(text.matches("\"cause\":").count(), 1, "one start each");
        let act = text.lines().find(|line| line.contains("retrieve/github/acme-owner")).expect("an act");
        let entry: Value = serde_json::from_str(act).expect("JSON");
        hashed.insert(entry.pointer("/request/data/reason").expect("a reason").to_string());
    }
    assert_eq!(hashed.len(), 1, "the same reason has the same HMAC at every node: {hashed:?}");
    assert!(hashed.iter().all(|hash| hash.contains("hmac-sha256:")), "{hashed:?}");
}
