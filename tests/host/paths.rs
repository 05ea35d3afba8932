//! Paths: who may learn of them, what help says, what events and conventions come to.

use serde_json::{Value, json};

use super::inprocess::Setup;
use super::support::http::Answer;
use super::{role, scene, token};

fn keys(value: &Value) -> Vec<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

#[test]
fn help_is_there_for_whoever_holds_a_token() {
    let (node, root) = Setup::default().ready();
    let scene = scene(&node, &root);
    role(&node, &root, "desk", &["read"]);
    let desk = node.client().token(&token(&node, &scene, "desk"));
    assert_eq!(node.client().read("sys/mounts?help=1").expect(403).error(), "permission denied");
    for (path, says) in [
        ("backup-codes?help=1", "retrieve/:account"),
        ("backup-codes/?help=true", "retrieve/:account"),
        ("backup-codes/retrieve/a/b?help=1", "Dispenses one code"),
        ("sys?help=1", "sys/mounts"),
        ("auth/token?help=1", "auth/token/lookup-self"),
        ("sys/mounts/x?help=1", "Tell of one mount"),
    ] {
        let told = desk.read(path).expect(200).json();
        assert_eq!(keys(&told), ["help", "openapi", "see_also"]);
        assert!(told["help"].as_str().unwrap().contains(says), "{path}: {}", told["help"]);
    }
    desk.send("HELP", "sys/mounts", None).expect(200);
    for path in ["backup-codes/nope?help=1", "sys/nope?help=1"] {
        let refused = desk.read(path).expect(404);
        assert_eq!(refused.error(), "1 error occurred:\n\t* unsupported path\n\n", "{path}");
    }
}

#[test]
fn the_description_lists_every_path_and_nothing_without_a_token() {
    let (node, root) = Setup::default().ready();
    let none = node.client().read("sys/internal/specs/openapi").expect(200).json();
    assert_eq!(none["paths"], json!({}));
    let all = node.client().token(&root).write("sys/internal/specs/openapi", &json!({})).expect(200).json();
    let paths = all["paths"].as_object().unwrap();
    for path in ["/sys/mounts", "/sys/mounts/{path}", "/auth/jwt/login", "/backup-codes/retrieve/{account}"] {
        assert!(paths.contains_key(path), "{path} is missing: {:?}", paths.keys());
    }
    let mut ids: Vec<&str> = paths
        .values()
        .flat_map(|item| item.as_object().unwrap().values())
        .filter_map(|operation| operation["operationId"].as_str())
        .collect();
    let count = ids.len();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), count, "operation ids are unique");
    assert!(count > 30);
}

#[test]
fn events_need_no_token_and_mind_none() {
    let (node, root) = Setup::default().ready();
    let scene = scene(&node, &root);
    assert_eq!(scene.enrolled_again("jane@example.com").expect(202).body, b"");
    let push = |answer: Answer| (answer.status, answer.json());
    let garbage = node.client().token("s.nonsense").write("backup-codes/events/idp", &json!({"set": "a.b.c"}));
    let (status, told) = push(garbage);
    assert_eq!((status, keys(&told)), (400, vec!["description", "err"]));
    let unknown = node.client().write("backup-codes/events/nope", &json!({"set": "a.b.c"}));
    assert!((400..500).contains(&unknown.status), "{}", unknown.text());
    let read = node.client().read("backup-codes/events/idp").expect(405);
    assert_eq!(read.error(), "1 error occurred:\n\t* unsupported operation\n\n");
}

#[test]
fn namespaces_other_than_the_root_are_not_here() {
    let (node, root) = Setup::default().ready();
    let admin = node.client().token(&root);
    for name in ["", "/", "root", "root/"] {
        admin.header("X-Vault-Namespace", name).read("sys/mounts").expect(200);
    }
    let refused = admin.header("X-Vault-Namespace", "team/").read("sys/mounts").expect(404);
    assert_eq!(refused.error(), "namespace not found");
    node.client().header("X-Vault-Namespace", "team/").read("sys/health").expect(200);
}

#[test]
fn unknown_fields_and_queries_are_warned_of() {
    let (node, root) = Setup::default().ready();
    let admin = node.client().token(&root);
    let told = admin.read("sys/mounts?zzz=1").expect(200).json();
    assert_eq!(told["warnings"], json!(["Endpoint ignored these unrecognized parameters: [zzz]"]));
    let told = admin.write("sys/capabilities-self", &json!({"path": "a", "b": 1, "a": 2})).expect(200).json();
    assert_eq!(told["warnings"], json!(["Endpoint ignored these unrecognized parameters: [a b]"]));
    assert_eq!(told["capabilities"], json!(["root"]));
    let none = admin.write("sys/capabilities-self", &json!({})).expect(400);
    assert_eq!(none.error(), "paths must be supplied");
}

#[test]
fn lists_take_every_spelling_and_an_empty_one_is_404() {
    let (node, root) = Setup::default().ready();
    let admin = node.client().token(&root);
    assert_eq!(admin.list("backup-codes/accounts").expect(404).json(), json!({"errors": []}));
    admin.write("backup-codes/accounts/a/b", &json!({})).expect(204);
    for answer in [
        admin.list("backup-codes/accounts"),
        admin.list("backup-codes/accounts/"),
        admin.read("backup-codes/accounts?list=true"),
        admin.read("backup-codes/accounts/?list=1"),
        admin.read("backup-codes/accounts?list=True"),
    ] {
        assert_eq!(answer.expect(200).data(), json!({"keys": ["a/"]}));
    }
    admin.read("backup-codes/accounts?list=xyz").expect(400);
}
