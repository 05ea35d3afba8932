//! Tokens: their lives, their ends, and that nothing of them lies in the store.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use sparekey::storage::Storage;
use sparekey::storage::memory::Memory;

use super::inprocess::Setup;
use super::{log_in, lookup, role, scene, text, token};

#[test]
fn a_login_token_lives_as_long_as_its_role_says_and_no_longer() {
    let (node, root) = Setup::default().ready();
    let scene = scene(&node, &root);
    role(&node, &root, "desk", &["read"]);
    let answer = log_in(&node, &scene, "desk").expect(200).json();
    assert_eq!(answer["auth"]["lease_duration"], 600);
    assert_eq!(answer["auth"]["policies"], json!(["default", "desk"]));
    assert_eq!(answer["auth"]["metadata"], json!({"role": "desk", "subject": "desk"}));
    let client = node.client().token(&text(&answer["auth"]["client_token"]));
    node.wait(Duration::from_secs(599));
    assert_eq!(lookup(&client).expect(200).data()["ttl"], 1);
    node.wait(Duration::from_secs(1));
    assert_eq!(lookup(&client).expect(403).error(), "permission denied");
    assert_eq!(client.write("auth/token/renew-self", &json!({})).expect(403).error(), "permission denied");
}

#[test]
fn renewal_goes_on_from_now_up_to_the_longest_life() {
    let (node, root) = Setup::default().ready();
    let scene = scene(&node, &root);
    role(&node, &root, "desk", &["read"]);
    let client = node.client().token(&token(&node, &scene, "desk"));
    node.wait(Duration::from_secs(300));
    let renewed = client.write("auth/token/renew-self", &json!({"increment": 0})).expect(200).json();
    assert_eq!((&renewed["auth"]["lease_duration"], &renewed["warnings"]), (&json!(600), &json!(null)));
    assert!(lookup(&client).expect(200).data()["last_renewal_time"].is_u64());
    let renewed = client.write("auth/token/renew-self", &json!({"increment": "99h"})).expect(200).json();
    assert_eq!(renewed["auth"]["lease_duration"], 3300);
    let warning = "TTL of \"99h\" exceeded the effective max_ttl of \"1h\"; TTL value is capped accordingly";
    assert_eq!(renewed["warnings"], json!([warning]));
    node.wait(Duration::from_secs(3299));
    let renewed = client.write("auth/token/renew-self", &json!({})).expect(200).json();
    assert_eq!(renewed["auth"]["lease_duration"], 1);
    node.wait(Duration::from_secs(1));
    lookup(&client).expect(403);
}

#[test]
fn a_token_whose_role_is_gone_is_not_renewed() {
    let (node, root) = Setup::default().ready();
    let scene = scene(&node, &root);
    role(&node, &root, "desk", &["read"]);
    let client = node.client().token(&token(&node, &scene, "desk"));
    node.client().token(&root).delete("backup-codes/roles/desk").expect(204);
    let refused = client.write("auth/token/renew-self", &json!({})).expect(500);
    let why = "1 error occurred:\n\t* failed to renew entry: role desk does not exist during renewal\n\n";
    assert_eq!(refused.error(), why);
    lookup(&client).expect(200);
}

#[test]
fn revocation_counts_from_the_next_request_on() {
    let (node, root) = Setup::default().ready();
    let scene = scene(&node, &root);
    role(&node, &root, "desk", &["read"]);
    let admin = node.client().token(&root);
    let one = token(&node, &scene, "desk");
    lookup(&node.client().token(&one)).expect(200);
    node.client().token(&one).write("auth/token/revoke-self", &json!({})).expect(204);
    lookup(&node.client().token(&one)).expect(403);

    let two = token(&node, &scene, "desk");
    admin.write("auth/token/revoke", &json!({"token": two})).expect(204);
    lookup(&node.client().token(&two)).expect(403);
    admin.write("auth/token/revoke", &json!({"token": two})).expect(204);
    admin.write("auth/token/revoke", &json!({"token": "s.nonsense"})).expect(204);
    assert_eq!(admin.write("auth/token/revoke", &json!({})).expect(400).error(), "missing token ID");
    assert_eq!(admin.write("auth/token/renew", &json!({"token": two})).expect(400).error(), "token not found");
    assert_eq!(admin.write("auth/token/renew", &json!({"token": root})).expect(400).error(), "invalid lease ID");

    admin.write("auth/token/revoke-self", &json!({})).expect(204);
    lookup(&admin).expect(403);
}

#[test]
fn others_tokens_are_for_those_who_administer() {
    let (node, root) = Setup::default().ready();
    let scene = scene(&node, &root);
    role(&node, &root, "desk", &["read"]);
    role(&node, &root, "chief", &["administer"]);
    let (desk, chief) = (token(&node, &scene, "desk"), token(&node, &scene, "chief"));
    let (as_desk, as_chief) = (node.client().token(&desk), node.client().token(&chief));
    for path in ["auth/token/lookup", "auth/token/renew", "auth/token/revoke"] {
        for other in [&*root, &*chief, "s.nonsense"] {
            let refused = as_desk.write(path, &json!({"token": other})).expect(403);
            assert_eq!(refused.error(), "1 error occurred:\n\t* permission denied\n\n", "{path}");
        }
    }
    assert_eq!(as_desk.write("auth/token/lookup", &json!({"token": desk})).expect(200).data()["id"], desk);
    assert_eq!(as_desk.write("auth/token/lookup", &json!({})).expect(200).data()["id"], desk);
    assert_eq!(as_chief.write("auth/token/lookup", &json!({"token": desk})).expect(200).data()["id"], desk);
    assert_eq!(as_chief.write("auth/token/lookup", &json!({"token": "s.x"})).expect(403).error(), "bad token");
    let renewed = as_chief.write("auth/token/renew", &json!({"token": desk, "increment": 60})).expect(200).json();
    assert_eq!((&renewed["auth"]["client_token"], &renewed["auth"]["lease_duration"]), (&json!(desk), &json!(60)));
    as_chief.write("auth/token/revoke", &json!({"token": desk})).expect(204);
    lookup(&as_desk).expect(403);
}

#[test]
fn an_accessor_names_a_token_for_those_who_administer() {
    let (node, root) = Setup::default().ready();
    let scene = scene(&node, &root);
    role(&node, &root, "desk", &["read"]);
    let admin = node.client().token(&root);
    let auth = log_in(&node, &scene, "desk").expect(200).json()["auth"].clone();
    let (desk, accessor) = (node.client().token(&text(&auth["client_token"])), text(&auth["accessor"]));
    let body = json!({"accessor": accessor});
    for path in ["auth/token/lookup-accessor", "auth/token/revoke-accessor"] {
        desk.write(path, &body).expect(403);
        assert_eq!(admin.write(path, &json!({})).expect(400).error(), "missing accessor");
    }
    let told = admin.write("auth/token/lookup-accessor", &body).expect(200).data();
    assert_eq!((&told["accessor"], &told["id"]), (&json!(accessor), &json!("")));
    admin.write("auth/token/revoke-accessor", &body).expect(204);
    lookup(&desk).expect(403);
    let again = admin.write("auth/token/revoke-accessor", &body).expect(200).json();
    assert_eq!(again["warnings"], json!(["No token found with this accessor"]));
    let refused = admin.write("auth/token/lookup-accessor", &body).expect(400);
    assert_eq!(refused.error(), "1 error occurred:\n\t* invalid accessor\n\n");
}

#[test]
fn what_a_role_allows_counts_as_it_is_now() {
    let (node, root) = Setup::default().ready();
    let scene = scene(&node, &root);
    role(&node, &root, "chief", &["administer"]);
    let client = node.client().token(&token(&node, &scene, "chief"));
    client.read("sys/mounts").expect(200);
    role(&node, &root, "chief", &["read"]);
    assert_eq!(client.read("sys/mounts").expect(403).error(), "1 error occurred:\n\t* permission denied\n\n");
    assert_eq!(client.read("sys/nope").expect(403).error(), "1 error occurred:\n\t* permission denied\n\n");
    assert_eq!(client.read("nomount/x").expect(403).error(), "1 error occurred:\n\t* permission denied\n\n");
    let asked = json!({"paths": ["sys/mounts", "auth/token/lookup-self", "backup-codes/config", "nomount/x"]});
    let told = client.write("sys/capabilities-self", &asked).expect(200).json();
    assert_eq!(told["data"]["sys/mounts"], json!(["deny"]));
    assert_eq!(told["data"]["auth/token/lookup-self"], json!(["read", "update"]));
    assert_eq!(told["data"]["backup-codes/config"], json!(["deny"]));
    assert_eq!(told["data"]["nomount/x"], json!(["deny"]));
    assert_eq!(told["sys/mounts"], told["data"]["sys/mounts"]);
}

#[test]
fn tokens_survive_a_restart_and_nothing_of_them_lies_in_the_store() {
    let storage: Arc<dyn Storage> = Arc::new(Memory::new());
    let first = Setup { storage: Some(Arc::clone(&storage)), ..Setup::default() }.start();
    let born = first.client().write("sys/init", &json!({"secret_shares": 1, "secret_threshold": 1})).expect(200).json();
    let (root, share) = (text(&born["root_token"]), text(&born["keys"][0]));
    first.client().write("sys/unseal", &json!({"key": share})).expect(200);
    let scene = scene(&first, &root);
    role(&first, &root, "desk", &["read"]);
    let answer = log_in(&first, &scene, "desk").expect(200).json();
    let (token, accessor) = (text(&answer["auth"]["client_token"]), text(&answer["auth"]["accessor"]));
    let folder = first.folder();
    first.run(first.host.shut_down(Duration::from_secs(5)));
    drop(first);

    let second = Setup { storage: Some(Arc::clone(&storage)), folder: Some(folder), ..Setup::default() }.start();
    lookup(&second.client().token(&token)).expect(503);
    second.client().write("sys/unseal", &json!({"key": share})).expect(200);
    let told = lookup(&second.client().token(&token)).expect(200).data();
    assert_eq!((&told["accessor"], &told["display_name"]), (&json!(accessor), &json!("jwt-desk")));
    lookup(&second.client().token(&root)).expect(200);
    second.client().token(&token).write("auth/token/revoke-self", &json!({})).expect(204);
    lookup(&second.client().token(&token)).expect(403);

    let secrets = [&token, &accessor, &root, &share];
    for (key, value) in second.run(everything(&*storage)) {
        for secret in secrets {
            let bytes = secret.as_bytes();
            assert!(!key.contains(secret.as_str()), "{key}");
            assert!(!value.windows(bytes.len()).any(|window| window == bytes), "{key} holds a secret");
        }
    }
}

/// Every key and value beneath the barrier.
async fn everything(storage: &dyn Storage) -> Vec<(String, Vec<u8>)> {
    use sparekey::storage::{Found, Get};
    let mut folders = vec![String::new()];
    let mut all = Vec::new();
    while let Some(folder) = folders.pop() {
        for name in storage.list(&folder, None, 10_000).await.unwrap() {
            let key = format!("{folder}{name}");
            if key.ends_with('/') {
                folders.push(key);
                continue;
            }
            if let Found::Value(value, _) = storage.get_many(vec![Get::new(key.clone())]).await.unwrap().remove(0) {
                all.push((key, value));
            }
        }
    }
    assert!(all.len() > 5, "the store was read");
    all
}

#[test]
fn what_is_over_is_tidied_away_a_day_later() {
    let storage: Arc<dyn Storage> = Arc::new(Memory::new());
    let (node, root) = Setup { storage: Some(Arc::clone(&storage)), ..Setup::default() }.ready();
    let scene = scene(&node, &root);
    role(&node, &root, "desk", &["read"]);
    let before = node.run(everything(&*storage)).len();
    token(&node, &scene, "desk");
    let wrapping = node.client().token(&root).header("X-Vault-Wrap-TTL", "60");
    wrapping.write("sys/wrapping/wrap", &json!({"a": 1})).expect(200);
    assert_eq!(node.run(everything(&*storage)).len(), before + 3);
    node.wait(Duration::from_secs(3600));
    assert_eq!(node.run(node.host.tidy(|| true)).unwrap(), 0, "a wrong clock must not remove anything at once");
    node.wait(Duration::from_secs(86_400));
    assert_eq!(node.run(node.host.tidy(|| false)).unwrap(), 0, "told to stop it looks at nothing");
    assert_eq!(node.run(node.host.tidy(|| true)).unwrap(), 2);
    assert_eq!(node.run(everything(&*storage)).len(), before);
    let told = node.client().token(&root).read("sys/metrics?format=prometheus").expect(200).text();
    for line in [
        "sparekey_swept_total{kind=\"token\"} 1",
        "sparekey_swept_total{kind=\"wrapping\"} 1",
        "sparekey_swept_total{kind=\"claim\"} 0",
        "sparekey_sweep_failures_total 0",
    ] {
        assert!(told.lines().any(|found| found == line), "{line} in\n{told}");
    }
    // The server begins with a sweep of its own, which counts if it found the store open already.
    let sweeps = told.lines().find_map(|line| line.strip_prefix("sparekey_sweeps_total ")).map(str::parse::<u64>);
    assert!(matches!(sweeps, Some(Ok(3 | 4))), "{sweeps:?}");
    lookup(&node.client().token(&root)).expect(200);
}
