//! The whole: a server in this process on the embedded store with its audit file, asked over one connection that is kept alive.

use std::sync::Arc;
use std::time::{Duration, Instant};

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, Throughput};
use serde_json::{Value, json};
use sparekey::storage::redb::Redb;

use crate::inprocess::{MOUNT, Node, Setup};
use crate::line::Line;
use crate::support::scene::{AUDIENCE, ISSUER, Scene, codes};
use crate::support::signer::{Signer, credential_change, fresh, now};

const CODES: usize = 16;

/// A retrieval, one into a wrapping, what opens it, an event, a metadata read, and health, which is the way there and back alone.
pub fn all(criterion: &mut Criterion) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let store = Arc::new(Redb::open(&folder.path().join("sparekey.redb")).expect("a store"));
    let (node, root) = Setup { storage: Some(store), ..Setup::default() }.ready();
    let plain = node.client();
    let scene = Scene::with(plain.token(&root), plain, Signer::es256("whole"));
    let mut group = criterion.benchmark_group("whole");
    group.sample_size(10).measurement_time(Duration::from_secs(4));
    let wrapped = [("X-Vault-Wrap-TTL", "120")];
    for (name, headers) in [("retrieve", &[][..]), ("retrieve into a wrapping", &wrapped)] {
        group.bench_function(name, |bench| {
            bench.iter_custom(|rounds| {
                let list: Vec<Vec<u8>> = retrievals(&scene, rounds)
                    .map(|(path, body)| request(&node, "POST", &path, headers, &body.to_string()))
                    .collect();
                ask(&node, &list)
            });
        });
    }
    group.bench_function("unwrap", |bench| {
        bench.iter_custom(|rounds| {
            let list: Vec<Vec<u8>> = retrievals(&scene, rounds)
                .map(|(path, body)| {
                    let answer = node.client().header("X-Vault-Wrap-TTL", "120").write(&path, &body).expect(200).json();
                    let token = answer["wrap_info"]["token"].as_str().expect("a wrapping token");
                    request(&node, "POST", "sys/wrapping/unwrap", &[("X-Vault-Token", token)], "")
                })
                .collect();
            ask(&node, &list)
        });
    });
    group.bench_function("event that ends a set", |bench| {
        bench.iter_custom(|rounds| {
            let domain = hex::encode(fresh());
            let list: Vec<Vec<u8>> = (0..rounds).map(|person| event(&node, &scene, &domain, person)).collect();
            ask(&node, &list)
        });
    });
    scene.store("read", &codes(7, CODES), 0).expect(200);
    let token = [("X-Vault-Token", root.as_str())];
    for (name, path, headers) in [
        ("metadata read, 16 codes", format!("{MOUNT}accounts/read"), &token[..]),
        ("health", "sys/health".to_owned(), &[]),
    ] {
        let one = request(&node, "GET", &path, headers, "");
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

/// Paths and bodies of so many retrievals from new accounts.
fn retrievals(scene: &Scene, rounds: u64) -> impl Iterator<Item = (String, Value)> {
    let prefix = hex::encode(fresh());
    (0..rounds as usize).map(move |index| {
        let account = format!("{prefix}/{}", index / CODES);
        if index % CODES == 0 {
            scene.store(&account, &codes(index as u64, CODES), 0).expect(200);
        }
        (format!("{MOUNT}retrieve/{account}"), scene.request("admin"))
    })
}

/// An event that ends the set of a new account.
fn event(node: &Node, scene: &Scene, domain: &str, person: u64) -> Vec<u8> {
    let email = format!("person-{person}@{domain}.example.com");
    scene.store(&format!("okta/{email}"), &codes(person, CODES), 0).expect(200);
    let claims = credential_change(ISSUER, AUDIENCE, &json!({"format": "email", "email": email}), now());
    let headers = [("Content-Type", "application/secevent+jwt"), ("Accept", "application/json")];
    request(node, "POST", &format!("{MOUNT}events/idp"), &headers, &scene.signer.set(&claims))
}

fn ask(node: &Node, list: &[Vec<u8>]) -> Duration {
    let mut line = Line::to(node.address);
    let begun = Instant::now();
    list.iter().for_each(|request| line.ask(request));
    begun.elapsed()
}

fn request(node: &Node, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Vec<u8> {
    let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let (address, length) = (node.address, body.len());
    format!("{method} /v1/{path} HTTP/1.1\r\nHost: {address}\r\n{headers}Content-Length: {length}\r\n\r\n{body}")
        .into_bytes()
}
