//! Who may do what: default deny, roles bound every operation, refusals do not tell whether an account exists.

use serde_json::json;
use sparekey::auth::Caller;
use sparekey::engine::request::Operation;
use sparekey::storage::Storage as _;

use crate::harness::{Bench, CODES};

/// Logs in as jane under a role.
async fn login(bench: &Bench, role: &str) -> Caller {
    let login = bench.engine.login(Some(role), &bench.jwt(json!({})), None).await.unwrap();
    Caller::Login { accessor: "a".into(), role: role.into(), assertion: login.assertion }
}

#[tokio::test]
async fn nothing_without_an_assertion() {
    let bench = Bench::new().await;
    bench.store("a", &CODES).await;
    for path in ["sets/a", "retrieve/a", "enroll/a", "revoke/a", "release/a"] {
        let body = json!({"role": "admin", "codes": ["eeeee-55555"], "reason": "x"});
        for caller in [Caller::Anonymous, Caller::Root { accessor: "r".into() }] {
            let answer = bench.send(Operation::Update, path, body.clone(), caller, None).await;
            assert_eq!((answer.status, answer.word()), (403, "assertion"), "{path}: {answer:?}");
        }
    }
    let unknown = bench.act("retrieve/a", json!({"role": "nope"})).await;
    assert_eq!((unknown.status, unknown.word()), (403, "role"));
}

#[tokio::test]
async fn configuration_and_metadata_need_root_or_a_role_that_says_so() {
    let bench = Bench::new().await;
    bench.store("a", &CODES).await;
    let paths = [
        (Operation::Read, "config"),
        (Operation::Update, "config"),
        (Operation::Read, "roles/admin"),
        (Operation::List, "roles/"),
        (Operation::Delete, "roles/admin"),
        (Operation::Update, "issuers/x"),
        (Operation::Update, "accounts/a"),
        (Operation::Delete, "accounts/a"),
        (Operation::Read, "accounts/a"),
        (Operation::List, "accounts/"),
        (Operation::Read, "history/a"),
        (Operation::Read, "config/history"),
        (Operation::Read, "report/posture"),
        (Operation::Read, "report/usage"),
        (Operation::Read, "report/access"),
    ];
    for (operation, path) in paths {
        let answer = bench.send(operation, path, json!({}), Caller::Anonymous, None).await;
        assert_eq!((answer.status, answer.error.as_str()), (403, "permission denied"), "{operation:?} {path}");
    }
    let jane = login(&bench, "admin").await;
    for (operation, path) in paths {
        let answer = bench.send(operation, path, json!({}), jane.clone(), None).await;
        let metadata = matches!(path, "accounts/a" | "accounts/" | "history/a")
            && matches!(operation, Operation::Read | Operation::List);
        assert_eq!(answer.status == 403, !metadata, "{operation:?} {path}: {answer:?}");
    }
    bench.fine("roles/admin", json!({"operations": ["administer"]})).await;
    assert_eq!(bench.send(Operation::Read, "config", json!({}), jane.clone(), None).await.status, 200);
    let answer = bench.send(Operation::Read, "accounts/a", json!({}), jane, None).await;
    assert_eq!(answer.status, 403, "the role as it is now: {answer:?}");
}

#[tokio::test]
async fn an_account_outside_the_role_is_403_whether_or_not_it_exists() {
    let bench = Bench::new().await;
    bench.store("github/acme", &CODES).await;
    bench.fine("roles/admin", json!({"accounts": ["okta/*"]})).await;
    let here = bench.act("retrieve/github/acme", json!({})).await;
    let nowhere = bench.act("retrieve/github/nobody", json!({})).await;
    let stripped = |text: &str| text.split(" (request").next().unwrap().to_owned();
    assert_eq!((here.status, stripped(&here.error)), (nowhere.status, stripped(&nowhere.error)));
    assert_eq!(here.status, 403);
    let jane = login(&bench, "admin").await;
    for path in ["accounts/github/acme", "accounts/github/nobody", "history/github/acme"] {
        assert_eq!(bench.send(Operation::Read, path, json!({}), jane.clone(), None).await.status, 403, "{path}");
    }
}

#[tokio::test]
async fn lists_show_only_what_the_role_covers() {
    let bench = Bench::new().await;
    for (index, account) in ["github/acme", "github/other", "okta/x", "zed"].iter().enumerate() {
        bench.store(account, &[&format!("code{index}-11111"), &format!("code{index}-22222")]).await;
    }
    let list = |answer: crate::harness::Answer| answer.data["keys"].clone();
    let root = bench.root(Operation::List, "accounts/", json!({})).await;
    assert_eq!(list(root), json!(["github/", "okta/", "zed"]));
    bench.fine("roles/admin", json!({"accounts": ["github/acme", "z*"]})).await;
    let jane = login(&bench, "admin").await;
    let top = bench.send(Operation::List, "accounts/", json!({}), jane.clone(), None).await;
    assert_eq!(list(top), json!(["github/", "zed"]));
    let folder = bench.send(Operation::List, "accounts/github", json!({}), jane.clone(), None).await;
    assert_eq!(list(folder), json!(["acme"]));
    let paged = bench.root(Operation::List, "accounts/", json!({"limit": "1", "after": "github/"})).await;
    assert_eq!(list(paged), json!(["okta/"]));
}

#[tokio::test]
async fn a_login_acts_under_its_own_role_and_retrieves_only_where_the_role_allows() {
    let bench = Bench::new().await;
    bench.store("a", &CODES).await;
    let jane = login(&bench, "admin").await;
    let send = |body| bench.send(Operation::Update, "retrieve/a", body, jane.clone(), None);
    let other = send(json!({"role": "else"})).await;
    assert_eq!((other.status, other.word()), (403, "role"), "{other:?}");
    let without = send(json!({})).await;
    assert_eq!(without.status, 403, "{without:?}");
    bench.fine("roles/admin", json!({"assertion": "login", "single_use": false})).await;
    assert!(send(json!({})).await.code.is_some());
    let revoke = bench.send(Operation::Update, "revoke/a", json!({"reason": "x"}), jane.clone(), None).await;
    assert_eq!(revoke.status, 200, "login claims suffice elsewhere: {revoke:?}");
}

#[tokio::test]
async fn wrong_names_are_refused_with_the_right_spelling() {
    let bench = Bench::new().await;
    for (path, said) in [
        ("retrieve/GitHub/Acme", "the right spelling is github/acme"),
        ("retrieve/github/../acme", "segments of a-z"),
        ("retrieve/", "unsupported operation"),
        ("retrieve/github//acme", "segments of a-z"),
    ] {
        let answer = bench.act(path, json!({})).await;
        assert!(answer.status >= 400 && answer.error.contains(said), "{path}: {answer:?}");
    }
}

#[tokio::test]
async fn what_is_not_built_is_refused_by_name() {
    let bench = Bench::new().await;
    for path in ["issue/a", "approvals/x"] {
        let answer = bench.act(path, json!({})).await;
        assert!(answer.status == 404 && answer.error.contains("not built yet"), "{path}: {answer:?}");
    }
    assert_eq!(bench.act("nonsense", json!({})).await.error, "unsupported path");
}

#[tokio::test]
async fn capabilities_follow_the_role() {
    let bench = Bench::new().await;
    let root = Caller::Root { accessor: "r".into() };
    assert_eq!(bench.engine.capabilities(&root, "retrieve/a").await.unwrap(), ["root"]);
    let jane = login(&bench, "admin").await;
    for (path, expected) in [
        ("retrieve/a", vec!["update"]),
        ("accounts/a", vec!["list", "read"]),
        ("config", vec!["deny"]),
        ("nonsense", vec!["deny"]),
        ("events/idp", vec!["update"]),
    ] {
        assert_eq!(bench.engine.capabilities(&jane, path).await.unwrap(), expected, "{path}");
    }
}

/// Neither the role nor the folder is read name by name.
#[tokio::test]
async fn a_list_for_a_role_that_covers_little_of_a_large_folder_reads_little() {
    let bench = Bench::new().await;
    let bytes = vec![1];
    for some in (0..3_000).collect::<Vec<u32>>().chunks(500) {
        let write = |number: &u32| {
            sparekey::storage::Write::create(
                format!("accounts/okta/u{number:04}"),
                bytes.clone(),
                &sparekey::random::OsRandom,
            )
        };
        bench.store.put_all(some.iter().map(write).collect()).await.unwrap();
    }
    bench
        .fine("roles/admin", json!({"accounts": ["okta/u2999", "okta/u123*", "github/*"], "operations": ["list"]}))
        .await;
    let jane = login(&bench, "admin").await;
    bench.store.reset_counts();
    let answer = bench.send(Operation::List, "accounts/okta/", json!({}), jane.clone(), None).await;
    let mut wanted: Vec<String> = (1230..1240).map(|number| format!("u{number}")).collect();
    wanted.push("u2999".into());
    assert_eq!(answer.data["keys"], json!(wanted), "{answer:?}");
    let counts = bench.store.counts();
    assert!(counts.get_many <= 2 && counts.list <= 2, "{counts:?}");
    let answer = bench.send(Operation::List, "accounts/okta/", json!({"after": "u1237", "limit": 2}), jane, None).await;
    assert_eq!(answer.data["keys"], json!(["u1238", "u1239"]), "{answer:?}");
}
