//! The shipped policies, in a real vault: for every path of the table, what each lets through and what it refuses.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use sparekey::engine::paths::{TABLE, Variable};
use sparekey::engine::request::Operation;

use crate::support::http::{Answer, Client};
use crate::support::scene::{Scene, codes};
use crate::support::server::MOUNT;
use crate::support::signer::Signer;
use crate::support::vault::Vault;
use crate::written;

const POLICIES: [&str; 6] = ["admin", "on-call", "rotator", "verifier", "reviewer", "event-sender"];

fn text(name: &str) -> String {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("plugin-manifest/policies/{name}.hcl"));
    fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

/// A client under each of them.
fn clients(vault: &Vault) -> Vec<Client> {
    POLICIES.iter().map(|name| vault.client().token(&vault.token(name, &text(name)))).collect()
}

/// Whether the vault let a request through to the engine, which may have refused it for reasons of its own.
fn through(answer: &Answer) -> bool {
    !(answer.status == 403 && answer.error().contains("permission denied"))
}

fn send(client: &Client, operation: Operation, path: &str) -> Answer {
    let path = format!("{MOUNT}/{path}");
    match operation {
        Operation::Read => client.read(&path),
        Operation::List => client.list(&path),
        Operation::Update => client.write(&path, &json!({"nothing": true})),
        Operation::Delete => client.delete(&path),
    }
}

/// Every operation on every path, for each policy: the word if the vault lets it through. `names` are tried one after the other
/// as the variable end of a path; a policy lets all of them through or none. An operation that no policy lets through has been
/// forgotten: whoever adds a path decides who may use it.
#[test]
fn each_policy_lets_through_what_the_table_says_and_nothing_else() {
    let vault = Vault::mounted();
    let clients = clients(&vault);
    let mut out = format!("| path | {} |\n|---|{}\n", POLICIES.join(" | "), "---|".repeat(POLICIES.len()));
    for path in TABLE.iter().copied().flatten() {
        let (shown, names) = match path.variable {
            Variable::None => (path.prefix.to_owned(), vec![path.prefix.to_owned()]),
            Variable::Name(name) => (format!("{}/:{name}", path.prefix), vec![format!("{}/none", path.prefix)]),
            Variable::Rest(name) => (
                format!("{}/:{name}", path.prefix),
                vec![format!("{}/none", path.prefix), format!("{}/some/where", path.prefix)],
            ),
        };
        let mut cells = Vec::new();
        let mut forgotten: Vec<&str> = path.operations.iter().map(|op| word(op.operation)).collect();
        for (client, policy) in clients.iter().zip(POLICIES) {
            let mut words = Vec::new();
            for op in path.operations {
                let mut let_through = names.iter().map(|name| through(&send(client, op.operation, name)));
                let first = let_through.next().unwrap();
                assert!(let_through.all(|other| other == first), "{policy}: {shown}");
                if first {
                    words.push(word(op.operation));
                }
            }
            forgotten.retain(|operation| !words.contains(operation));
            cells.push(words.join(", "));
        }
        assert!(forgotten.is_empty(), "no policy under plugin-manifest/policies/ says who may {forgotten:?} {shown}");
        let _ = writeln!(out, "| `{shown}` | {} |", cells.join(" | "));
    }
    written::block("docs/mounting.md", "policies", &out);
}

fn word(operation: Operation) -> &'static str {
    match operation {
        Operation::Read => "read",
        Operation::List => "list",
        Operation::Update => "write",
        Operation::Delete => "delete",
    }
}

/// Nothing of the vault itself, no other mount, and what a policy is for works to its end.
#[test]
fn each_policy_suffices_for_its_work_and_for_nothing_beside_it() {
    let vault = Vault::mounted();
    vault.enable("other");
    let scene = Scene::with(vault.root(), vault.root(), Signer::es256("k"));
    let [admin, on_call, rotator, verifier, reviewer, sender] =
        clients(&vault).try_into().unwrap_or_else(|_| panic!("six"));
    for (client, policy) in [&admin, &on_call, &rotator, &verifier, &reviewer, &sender].into_iter().zip(POLICIES) {
        for path in ["other/config", "sys/mounts", "sys/policies/acl", "auth/token/accessors", "identity/entity"] {
            assert!(!through(&client.read(path)), "{policy} reads {path}");
            assert!(!through(&client.write(path, &json!({}))), "{policy} writes {path}");
        }
    }

    let mine = codes(1, 3);
    let set = |enrollment: Value| json!({"role": "automation", "jwt": scene.automation(), "codes": mine, "cas": 0, "enrollment": enrollment});
    admin.write("backup-codes/accounts/github/acme", &json!({"owner": "jane@example.com"})).expect(204);
    let told =
        sender.write("backup-codes/enroll/github/acme", &json!({"role": "automation", "jwt": scene.automation()}));
    assert_eq!(told.expect(200).data()["enrollment"], 1);
    let known = rotator.read("backup-codes/accounts/github/acme").expect(200).data();
    rotator.write("backup-codes/sets/github/acme", &set(known["enrollment"]["number"].clone())).expect(200);
    assert_eq!(on_call.list("backup-codes/accounts/github").expect(200).data()["keys"], json!(["acme"]));
    let given = on_call.write("backup-codes/retrieve/github/acme", &scene.request("alice")).expect(200).data();
    assert_eq!(given["code"], json!(mine[0]));
    let more = |role: &str, operations: Value| {
        vault.root().write(&format!("backup-codes/roles/{role}"), &json!({"operations": operations})).expect(204);
    };
    more("on-call", json!(["retrieve", "outcome", "check"]));
    more("automation", json!(["store", "revoke", "confirm", "verify"]));
    let word = json!({"role": "on-call", "jwt": scene.admin("alice"), "slot": 1, "outcome": "worked"});
    on_call.write("backup-codes/outcome/github/acme", &word).expect(200);
    let found = json!({"role": "on-call", "jwt": scene.admin("alice"), "code": mine[1]});
    assert_eq!(on_call.write("backup-codes/check/github/acme", &found).expect(200).data()["slot"], 2);
    assert_eq!(admin.write("backup-codes/check/github/acme", &found).expect(200).data()["slot"], 2);
    let revoke = json!({"role": "automation", "jwt": scene.automation(), "reason": "leaked", "cause": "compromise"});
    on_call.write("backup-codes/revoke/github/acme", &revoke).expect(200);
    let gone = json!({"role": "automation", "jwt": scene.automation(), "generation": 1});
    assert_eq!(rotator.write("backup-codes/confirm/github/acme", &gone).expect(200).data()["provider"], "confirmed");

    // A login page takes codes that were made here.
    let make = json!({"role": "automation", "jwt": scene.automation(), "profile": "issued", "cas": 0});
    let made = rotator.write("backup-codes/sets/login/jane", &make).expect(200).data()["codes"][0].clone();
    let typed = json!({"role": "automation", "jwt": scene.automation(), "code": made});
    assert_eq!(verifier.write("backup-codes/verify/login/jane", &typed).expect(200).data()["valid"], true);
    let history = reviewer.read("backup-codes/history/github/acme?verify=true").expect(200).data();
    assert_eq!(history["verified"], true);
    assert_eq!(reviewer.read("backup-codes/config/history?verify=true").expect(200).data()["verified"], true);

    // An account on its way to another: the admin who set it up gets no code, whatever the assertion.
    assert!(!through(&admin.write("backup-codes/retrieve/github/acme", &scene.request("alice"))));
    // And without any token events still come in: the signature is the proof.
    assert_eq!(vault.client().write("backup-codes/events/idp", &json!({"set": "x"})).status, 400);
}

#[test]
fn the_files_are_written_as_the_comment_in_them_says() {
    let vault = Vault::mounted();
    let bao = vault.bao();
    for name in POLICIES {
        let command = text(name).lines().find_map(|line| line.strip_prefix("#   bao ").map(str::to_owned)).unwrap();
        let file = format!("{}/{}", env!("CARGO_MANIFEST_DIR"), command.rsplit(' ').next().unwrap());
        let words: Vec<&str> = command.split(' ').collect();
        bao.run(&[&words[..3], &[file.as_str()]].concat()).ok().says("Success!");
        assert_eq!(words[2], format!("backup-codes-{name}"));
    }
}
