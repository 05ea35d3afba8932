//! One thing grows and everything else stays: what does an act cost then?

use std::time::Instant;

use serde_json::{Value, json};

use crate::probe::{busy, cost, memory, p50_p99, read, scattered, sent};

use crate::support::scene::{AUDIENCE, ISSUER, codes};
use crate::table::{Row, Table};
use crate::traffic::{Prepared, Run, send_all};
use crate::world::{World, person};
use crate::{Options, Store};

/// Accounts of ten codes that probes take from.
const POOL: u32 = 2_000;
/// Requests of a probe at one connection.
const PROBES: u32 = 300;

/// A ledger of 10 to 100,000 entries: one account is changed again and again.
pub async fn ledger(options: &Options, table: &mut Table) {
    let world = World::start(options.storage);
    let account = "github/busy";
    let body =
        |codes: &[String]| json!({"role": "automation", "jwt": world.scene.automation(), "codes": codes, "cas": 0});
    sent(&world, 1, vec![world.post("sets", account, &body(&codes(1, 512)))]).await;
    for entries in [10u64, 100, 1_000, 10_000, 100_000].into_iter().filter(|step| *step <= u64::from(options.most)) {
        let mut here = head(&world, account);
        let began = Instant::now();
        let grown = entries.saturating_sub(here);
        while here < entries {
            let list: Vec<Prepared> = (here..entries.min(here + 2_000))
                .map(|turn| {
                    world.administer(&format!("accounts/{account}"), &json!({"labels": {"turn": turn.to_string()}}))
                })
                .collect();
            sent(&world, 1, list).await;
            here = head(&world, account);
        }
        let spent = began.elapsed();
        let mut row = vec![("entries", json!(entries))];
        let change = if grown == 0 { 0.0 } else { spent.as_secs_f64() * 1000.0 / grown as f64 };
        row.push(("a change, ms", json!(change)));
        // Few: every one is an entry too, and takes a code.
        timed(
            &world,
            &mut row,
            ["retrieve p50 ms", "p99 ms", "server µs"],
            (0..80).map(|index| world.retrieve(account, index)),
        )
        .await;
        timed(
            &world,
            &mut row,
            ["metadata p50 ms", "p99 ms", "server µs"],
            (0..PROBES).map(|_| world.metadata(account)),
        )
        .await;
        let page = |after: u64| world.get(&format!("history/{account}?after={after}&limit=100"));
        let last = here.saturating_sub(100);
        timed(&world, &mut row, ["history, last 100, p50 ms", "p99 ms", "server µs"], (0..50).map(|_| page(last)))
            .await;
        timed(&world, &mut row, ["history, first 100, p50 ms", "p99 ms", "server µs"], (0..50).map(|_| page(0))).await;
        let began = Instant::now();
        let verified = read(&world, &format!("history/{account}?verify=true&limit=1"));
        assert_eq!(verified["verified"], true, "{verified}");
        row.push(("history?verify, ms", json!(began.elapsed().as_secs_f64() * 1000.0)));
        row.push(("memory MB", json!(memory(world.server.pid().unwrap_or_default()).0)));
        table.row("ledger", row);
    }
}

fn head(world: &World, account: &str) -> u64 {
    read(world, &format!("history/{account}?limit=1"))["head"]["seq"].as_u64().expect("a head")
}

/// Sets of 10 to 512 codes.
pub async fn set(options: &Options, table: &mut Table) {
    let world = World::start(options.storage);
    for count in [10usize, 50, 100, 256, 512] {
        let name = |index: u32| format!("sets/{count}/{index}");
        let store = |index: u32| {
            let codes = codes(u64::from(index) + count as u64 * 1_000, count);
            let body = json!({"role": "automation", "jwt": world.scene.automation(), "codes": codes, "cas": 0});
            world.post("sets", &name(index), &body)
        };
        let mut row = vec![("codes", json!(count))];
        let before = world.store_bytes();
        timed(&world, &mut row, ["import p50 ms", "p99 ms", "server µs"], (0..PROBES).map(store)).await;
        row.push(("store, KB a set", json!(world.store_bytes().saturating_sub(before) / 1024 / u64::from(PROBES))));
        let retrievals = (0..PROBES * 2).map(|index| world.retrieve(&name(index % PROBES), index));
        timed(&world, &mut row, ["retrieve p50 ms", "p99 ms", "server µs"], retrievals).await;
        timed(
            &world,
            &mut row,
            ["metadata p50 ms", "p99 ms", "server µs"],
            (0..PROBES).map(|index| world.metadata(&name(index))),
        )
        .await;
        table.row("set", row);
    }
}

/// 1 to 10,000 roles.
pub async fn roles(options: &Options, table: &mut Table) {
    let world = pool(options.storage).await;
    let wary = "github/protects";
    let about = json!({"protects": ["another-issuer"]});
    sent(&world, 1, vec![world.administer(&format!("accounts/{wary}"), &about)]).await;
    let mut here = 0;
    for count in [1u32, 10, 100, 1_000, 10_000].into_iter().filter(|step| *step <= options.most) {
        let began = Instant::now();
        let list =
            (here..count).map(|number| world.administer(&format!("roles/role-{number}"), &role(&["idp"]))).collect();
        sent(&world, 1, list).await;
        let made = began.elapsed().as_secs_f64() * 1000.0 / f64::from(count - here);
        here = count;
        let mut row = vec![("roles", json!(count)), ("write of a role, ms", json!(made))];
        retrievals(&world, &mut row, ["one role, p50 ms", "p99 ms", "server µs"], count, |_| {
            ("role-0".into(), ISSUER.into())
        })
        .await;
        let any = |index: u32| (format!("role-{}", index * 7_919 % count), ISSUER.into());
        retrievals(&world, &mut row, ["any role, p50 ms", "p99 ms", "server µs"], count + 1, any).await;
        timed(
            &world,
            &mut row,
            ["LIST of 100, p50 ms", "p99 ms", "server µs"],
            (0..50).map(|_| world.get("roles?list=true&limit=100")),
        )
        .await;
        let protecting = (0..50).map(|_| world.metadata(wary));
        timed(&world, &mut row, ["metadata with protects, p50 ms", "p99 ms", "server µs"], protecting).await;
        row.push(("memory MB", json!(memory(world.server.pid().unwrap_or_default()).0)));
        table.row("roles", row);
    }
}

/// 1 to 1,000 issuers, each with a role of its own, and a role that takes them all.
pub async fn issuers(options: &Options, table: &mut Table) {
    let world = pool(options.storage).await;
    let pem = world.scene.signer.public_pem();
    let iss = |number: u32| format!("https://idp-{number}.example.com/");
    let mut here = 0;
    for count in [1u32, 10, 100, 1_000].into_iter().filter(|step| *step <= options.most) {
        for number in here..count {
            let issuer = json!({"bound_issuer": iss(number), "jwt_validation_pubkeys": [pem]});
            let name = format!("idp-{number}");
            let list = vec![
                world.administer(&format!("issuers/{name}"), &issuer),
                world.administer(&format!("roles/at-{number}"), &role(&[&name])),
            ];
            sent(&world, 1, list).await;
        }
        here = count;
        let mut row = vec![("issuers", json!(count))];
        let any = |index: u32| (format!("at-{}", index * 7_919 % count), iss(index * 7_919 % count));
        retrievals(&world, &mut row, ["roles of one issuer, p50 ms", "p99 ms", "server µs"], count, any).await;
        row.push(("memory MB", json!(memory(world.server.pid().unwrap_or_default()).0)));
        table.row("issuers", row);
    }
    // How many issuers one role takes is limited.
    for count in [1u32, 4, 16, 64, 256].into_iter().filter(|count| *count <= here) {
        let names: Vec<String> = (0..count).map(|number| format!("idp-{number}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        sent(&world, 1, vec![world.administer(&format!("roles/of-{count}"), &role(&names))]).await;
        let mut row = vec![("issuers of one role", json!(count))];
        let any = |index: u32| (format!("of-{count}"), iss(index % count));
        retrievals(&world, &mut row, ["p50 ms", "p99 ms", "server µs"], count + 7, any).await;
        table.row("issuers of one role", row);
    }
}

/// 1 to 512 connections.
pub async fn connections(options: &Options, table: &mut Table) {
    let world = pool(options.storage).await;
    for (turn, count) in (0..=9).map(|power| (power, 1u32 << power)).filter(|(_, count)| *count <= options.most) {
        // A pool of 20,000 codes has 1,800 for each of ten steps.
        let requests = 1_800;
        let reads = (0..requests * 2).map(|index| world.metadata(&person(index % POOL))).collect();
        let before = busy(&world);
        let mut reads = sent(&world, count, reads).await;
        let cost_of_read = cost(&world, before, &reads);
        let lot = (0..requests).map(|index| world.retrieve(&person((index + turn * requests) % POOL), index)).collect();
        let before = busy(&world);
        let mut lot = sent(&world, count, lot).await;
        let cost_of_retrieve = cost(&world, before, &lot);
        let ((p50, p99), (read, read_99)) = (p50_p99(&mut lot), p50_p99(&mut reads));
        table.row(
            "connections",
            vec![
                ("connections", json!(count)),
                ("retrieve a second", json!(lot.rate() as u64)),
                ("p50 ms", p50),
                ("p99 ms", p99),
                ("server µs", cost_of_retrieve),
                ("metadata a second", json!(reads.rate() as u64)),
                ("metadata p50 ms", read),
                ("metadata p99 ms", read_99),
                ("metadata: server µs", cost_of_read),
                ("memory MB", json!(memory(world.server.pid().unwrap_or_default()).0)),
            ],
        );
    }
}

/// 1 to 3 nodes over one PostgreSQL, at 64 connections together.
pub async fn nodes(table: &mut Table) {
    let world = pool(Store::Postgres).await;
    let mut nodes = vec![world.address()];
    let mut others = Vec::new();
    for count in 1..=3u32 {
        if count > 1 {
            others.push(world.server.another());
            nodes.extend(others.last().map(|node| node.address()));
        }
        let take = |works: Vec<Prepared>| {
            let mut shares: Vec<Vec<Prepared>> = nodes.iter().map(|_| Vec::new()).collect();
            works.into_iter().enumerate().for_each(|(index, work)| shares[index % nodes.len()].push(work));
            shares
        };
        let mut row = vec![("nodes", json!(count))];
        let works = (0..5_000).map(|index| world.retrieve(&person((index + count * 5_000) % POOL), index)).collect();
        spread(&mut row, ["retrieve a second", "p50 ms", "p99 ms"], &nodes, take(works)).await;
        let works = (0..10_000).map(|index| world.metadata(&person(index % POOL))).collect();
        spread(&mut row, ["metadata a second", "metadata p50 ms", "metadata p99 ms"], &nodes, take(works)).await;
        table.row("nodes", row);
    }
}

async fn spread(row: &mut Row, names: [&'static str; 3], nodes: &[std::net::SocketAddr], shares: Vec<Vec<Prepared>>) {
    let began = Instant::now();
    let mut sending = tokio::task::JoinSet::new();
    for (node, share) in nodes.iter().zip(shares) {
        sending.spawn(send_all(*node, 64 / nodes.len(), share));
    }
    let mut all = Run::default();
    for run in sending.join_all().await {
        all.add(run);
    }
    all.elapsed = began.elapsed();
    assert!(all.wrong.is_none(), "VOID: {:?}", all.wrong);
    let (p50, p99) = p50_p99(&mut all);
    row.extend([(names[0], json!(all.rate() as u64)), (names[1], p50), (names[2], p99)]);
}

/// A server with accounts to take from.
async fn pool(store: Store) -> World {
    let world = World::start(store);
    let jwt = world.scene.automation();
    sent(&world, 64, (0..POOL).map(|account| world.store_ten(account, &jwt)).collect()).await;
    world
}

/// Retrievals at one connection from accounts of the pool, each under the role and with the issuer that `who` names.
async fn retrievals(
    world: &World,
    row: &mut Row,
    names: [&'static str; 3],
    seed: u32,
    who: impl Fn(u32) -> (String, String),
) {
    let accounts: Vec<u32> = scattered(POOL, PROBES, seed).collect();
    let list = accounts.iter().zip(0..).map(|(account, index)| {
        let (role, issuer) = who(index);
        world.retrieve_under(&role, &world.admin(index, &issuer), &person(*account))
    });
    timed(world, row, names, list).await;
}

async fn timed(world: &World, row: &mut Row, names: [&'static str; 3], list: impl Iterator<Item = Prepared>) {
    let list = list.collect();
    let before = busy(world);
    let mut run = sent(world, 1, list).await;
    let cost = cost(world, before, &run);
    let (p50, p99) = p50_p99(&mut run);
    row.extend([(names[0], p50), (names[1], p99), (names[2], cost)]);
}

fn role(issuers: &[&str]) -> Value {
    json!({
        "issuers": issuers, "bound_audiences": [AUDIENCE], "bound_claims": {"groups": ["on-call"]},
        "accounts": ["*"], "operations": ["retrieve"], "max_retrievals": null,
    })
}
