//! What `list` promises.

use sparekey::storage::{StorageError, Write};

use crate::backends::Backend;

async fn fill(backend: &Backend, keys: &[&str]) {
    let writes = keys.iter().map(|key| Write::create(*key, b"v".to_vec(), &backend.random)).collect();
    backend.store.put_all(writes).await.unwrap();
}

pub async fn one_level_sorted_by_bytes(backend: &Backend) {
    fill(
        backend,
        &[
            "accounts/okta/jane@example.com",
            "accounts/okta/bob@example.com",
            "accounts/okta/eu/ann@example.com",
            "accounts/github/acme-owner",
            "accounts/github/acme/deep/er",
            "accounts/zeta",
            "accounts/B",
            "accounts/_",
            "config",
        ],
    )
    .await;
    assert_eq!(backend.list("", None, 100).await, ["accounts/", "config"]);
    assert_eq!(backend.list("accounts/", None, 100).await, ["B", "_", "github/", "okta/", "zeta"]);
    assert_eq!(backend.list("accounts/okta/", None, 100).await, ["bob@example.com", "eu/", "jane@example.com"]);
    assert_eq!(backend.list("accounts/github/acme/", None, 100).await, ["deep/"]);
    assert_eq!(backend.list("accounts/none/", None, 100).await, Vec::<String>::new());
}

pub async fn a_key_that_is_also_a_folder(backend: &Backend) {
    // The byte order of the names around the slash: - and . before it, 0 after it.
    fill(backend, &["a/x", "a/x/1", "a/x/2", "a/x-y", "a/x.y", "a/x0", "a/x-y/1", "a/w/1"]).await;
    let expected = ["w/", "x", "x-y", "x-y/", "x.y", "x/", "x0"];
    assert_eq!(backend.list("a/", None, 100).await, expected);
    for (place, after) in expected.iter().enumerate() {
        assert_eq!(backend.list("a/", Some(after), 100).await, expected[place + 1..], "after {after}");
    }
}

pub async fn pages_join_to_the_whole(backend: &Backend) {
    let keys: Vec<String> = (0..120).map(|n| format!("p/{}/{}", n % 40, n)).collect();
    let plain: Vec<String> = (0..40).map(|n| format!("p/{n}")).collect();
    fill(backend, &keys.iter().chain(&plain).map(String::as_str).collect::<Vec<_>>()).await;
    let whole = backend.list("p/", None, usize::MAX).await;
    assert_eq!(whole.len(), 80);
    assert!(whole.is_sorted());
    for limit in [1, 7, 80] {
        let mut pages: Vec<String> = Vec::new();
        loop {
            let page = backend.list("p/", pages.last().map(String::as_str), limit).await;
            assert!(page.len() <= limit);
            if page.is_empty() {
                break;
            }
            pages.extend(page);
        }
        assert_eq!(pages, whole);
    }
}

pub async fn limits(backend: &Backend) {
    fill(backend, &["l/a", "l/b", "l/c"]).await;
    assert_eq!(backend.list("l/", None, 0).await, Vec::<String>::new());
    assert_eq!(backend.list("l/", None, 2).await, ["a", "b"]);
    assert_eq!(backend.list("l/", None, 3).await, ["a", "b", "c"]);
    assert_eq!(backend.list("l/", Some("c"), 3).await, Vec::<String>::new());
}

pub async fn prefixes_do_not_leak_into_neighbours(backend: &Backend) {
    fill(backend, &["set/1", "sets/1/1", "sets/10/1", "sets/2/1", "sets0/1", "sets-old/1", "sets"]).await;
    assert_eq!(backend.list("sets/", None, 100).await, ["1/", "10/", "2/"]);
    assert_eq!(backend.list("sets/1/", None, 100).await, ["1"]);
    assert_eq!(backend.list("set/", None, 100).await, ["1"]);
    assert_eq!(backend.list("", None, 100).await, ["set/", "sets", "sets-old/", "sets/", "sets0/"]);
    assert_eq!(backend.list("sets/2/", Some("9"), 100).await, Vec::<String>::new());
}

pub async fn after_need_not_exist(backend: &Backend) {
    fill(backend, &["n/b", "n/d/1", "n/f"]).await;
    assert_eq!(backend.list("n/", Some(""), 100).await, ["b", "d/", "f"]);
    assert_eq!(backend.list("n/", Some("a"), 100).await, ["b", "d/", "f"]);
    assert_eq!(backend.list("n/", Some("c"), 100).await, ["d/", "f"]);
    assert_eq!(backend.list("n/", Some("d"), 100).await, ["d/", "f"]);
    assert_eq!(backend.list("n/", Some("d/"), 100).await, ["f"]);
    assert_eq!(backend.list("n/", Some("d/0"), 100).await, ["f"]);
    assert_eq!(backend.list("n/", Some("d/1"), 100).await, ["f"]);
    assert_eq!(backend.list("n/", Some("z"), 100).await, Vec::<String>::new());
}

pub async fn a_prefix_must_be_a_folder(backend: &Backend) {
    fill(backend, &["accounts/a"]).await;
    let error = backend.store.list("accounts", None, 100).await.unwrap_err();
    assert!(matches!(&error, StorageError::Failed(_)), "{error:?}");
    assert!(error.to_string().contains("must be empty or end in /"), "{error}");
}

pub async fn deleted_keys_are_gone(backend: &Backend) {
    fill(backend, &["d/a/1", "d/b"]).await;
    let revision = backend.revision("d/a/1").await;
    backend.store.put_all(vec![Write::delete("d/a/1", revision)]).await.unwrap();
    assert_eq!(backend.list("d/", None, 100).await, ["b"]);
}
