//! The whole: a server in this process on the embedded store with its audit file, asked over one connection that is kept alive.

use std::sync::Arc;
use std::time::{Duration, Instant};

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, Throughput};
use serde_json::{Value, json};
use sparekey::storage::redb::Redb;

use crate::inprocess::{MOUNT, Node, Setup};
use crate::line::Line;
use crate::support::scene::{Scene, codes};
use crate::support::signer::{Signer, fresh};

const CODES: usize = 16;

/// A retrieval, a metadata read, and health, which is the way there and back alone.
pub fn all(criterion: &mut Criterion) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let store = Arc::new(Redb::open(&folder.path().join("sparekey.redb")).expect("a store"));
    let (node, root) = Setup { storage: Some(store), ..Setup::default() }.ready();
    let plain = node.client();
    let scene = Scene::with(plain.token(&root), plain, Signer::es256("whole"));
    let mut group = criterion.benchmark_group("whole");
    group.sample_size(10).measurement_time(Duration::from_secs(4));
    group.bench_function("retrieve", |bench| {
        bench.iter_custom(|rounds| {
            let prefix = hex::encode(fresh());
            let list: Vec<Vec<u8>> = (0..rounds as usize)
                .map(|index| {
                    let account = format!("{prefix}/{}", index / CODES);
                    if index % CODES == 0 {
                        scene.store(&account, &codes(index as u64, CODES), 0).expect(200);
                    }
                    request(&node, "POST", &format!("{MOUNT}retrieve/{account}"), None, Some(scene.request("admin")))
                })
                .collect();
            ask(&node, &list)
        });
    });
    scene.store("read", &codes(7, CODES), 0).expect(200);
    for (name, path, token) in [
        ("metadata read, 16 codes", format!("{MOUNT}accounts/read"), Some(&*root)),
        ("health", "sys/health".to_owned(), None),
    ] {
        let one = request(&node, "GET", &path, token, None);
        group.bench_function(name, |bench| {
            bench.iter_custom(|rounds| ask(&node, &vec![one.clone(); rounds as usize]));
        });
    }
    history(&mut group, &node, &scene, &root);
    group.finish();
}

/// A long history, verified; `limit=1` tells one entry of it and verifies as many.
fn history(group: &mut BenchmarkGroup<'_, WallTime>, node: &Node, scene: &Scene, root: &str) {
    const ENTRIES: usize = 1000;
    scene.store("long", &codes(8, CODES), 0).expect(200);
    for number in 1..ENTRIES {
        scene
            .act(
                "enroll",
                "long",
                json!({"role": "automation", "jwt": scene.automation(), "enrollment_id": number.to_string()}),
            )
            .expect(200);
    }
    let client = node.client().token(root);
    let read = |query: &str| client.read(&format!("{MOUNT}history/long?{query}")).expect(200).body.len();
    group.throughput(Throughput::Bytes(read("limit=1000") as u64));
    for (name, query) in [
        ("history of a thousand entries, verified and told", "verify=true&limit=1000"),
        ("history of a thousand entries, verified, one told", "verify=true&limit=1"),
        ("history of a thousand entries, told", "limit=1000"),
    ] {
        group.bench_function(name, |bench| bench.iter(|| read(query)));
    }
}

fn ask(node: &Node, list: &[Vec<u8>]) -> Duration {
    let mut line = Line::to(node.address);
    let begun = Instant::now();
    list.iter().for_each(|request| line.ask(request));
    begun.elapsed()
}

fn request(node: &Node, method: &str, path: &str, token: Option<&str>, body: Option<Value>) -> Vec<u8> {
    let body = body.map(|body| json!(body).to_string()).unwrap_or_default();
    let token = token.map(|token| format!("X-Vault-Token: {token}\r\n")).unwrap_or_default();
    let (address, length) = (node.address, body.len());
    format!("{method} /v1/{path} HTTP/1.1\r\nHost: {address}\r\n{token}Content-Length: {length}\r\n\r\n{body}")
        .into_bytes()
}
