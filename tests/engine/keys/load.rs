//! Re-wrapping that dies, and while everything goes on.

use super::*;

/// The engine dies after each number of single writes in turn; another one goes on where it stood.
#[tokio::test]
async fn a_rewrapping_goes_on_where_it_died() {
    for together in [true, false] {
        for writes in 0..60 {
            let inner = if together { Memory::new() } else { Memory::sequential() };
            let mut bench = Bench::over(Arc::new(inner)).await;
            populate(&bench).await;
            rotate(&bench).await;
            bench.wait(600);
            bench.store.freeze_after(writes);
            let mut survived = false;
            for _ in 0..20 {
                let answer = bench.root(Operation::Update, REWRAP, json!({"batch": 4})).await;
                survived = answer.data["state"] == "done";
                if answer.status != 200 || survived {
                    break;
                }
            }
            bench.store.thaw();
            bench.restart();
            finish(&bench, 50).await;
            let moment = format!("after {writes} writes, together: {together}");
            assert!(states_are(&states(&bench).await, &[(1, "retired"), (2, "active")]), "{moment}");
            for name in ["a", "github/acme-owner", "archive", "z"] {
                let answer = bench.act(&format!("retrieve/{name}"), json!({})).await;
                assert_eq!(answer.status, 200, "{moment}: {name}: {answer:?}");
            }
            let history = bench.root(Operation::Read, "config/history", json!({"verify": true})).await.data;
            assert_eq!(history["verified"], true, "{moment}");
            if survived {
                assert!(writes > 5, "dies at no write at all");
                break;
            }
        }
    }
}

/// Clients store and retrieve while keys are rotated and re-wrapped by engines that die at any moment.
async fn under_load(accounts: usize, least: u64) {
    let bench = Arc::new(Bench::new().await);
    // Ended sets keep their keys for a while, in the record and in the archive.
    bench.fine("profiles/escrowed", json!({"destroy_after": "72h"})).await;
    let over = Arc::new(AtomicBool::new(false));
    let clients: Vec<_> =
        (0..accounts).map(|number| tokio::spawn(client(bench.clone(), number, over.clone()))).collect();
    let (mut rewraps, mut kills, mut rotations) = (0, 0, 0);
    while rewraps < least {
        rotate(&bench).await;
        rotations += 1;
        bench.wait(LONGEST_REQUEST.as_secs() as i64);
        bench.fine(REWRAP, json!({"batch": 1})).await;
        loop {
            // Another process over the same store: it is gone before it is done, more often than not.
            let engine = bench.another();
            let dying = tokio::spawn(async move { while turn(&engine, 7).await.unwrap_or(false) {} });
            let mut chance = [0u8];
            OsRandom.fill(&mut chance);
            for _ in 0..chance[0] {
                tokio::task::yield_now().await;
            }
            dying.abort();
            kills += usize::from(dying.await.is_err());
            let progress = bench.read(REWRAP).await;
            match progress["state"].as_str().unwrap() {
                "done" => {
                    rewraps += progress["rewrapped"].as_u64().unwrap();
                    break;
                }
                "waiting" => bench.wait(progress["eta"].as_i64().unwrap()),
                "running" => {
                    turn(&bench.engine, 7).await.unwrap();
                }
                other => panic!("{other}: {progress}"),
            }
        }
        bench.wait(24 * 3600);
        turn(&bench.engine, 1).await.unwrap();
        let found = states(&bench).await;
        assert_eq!(found.len(), 1, "older keys are gone: {found:?}");
    }
    over.store(true, Ordering::Relaxed);
    let mut retrieved = 0;
    for client in clients {
        retrieved += client.await.unwrap();
    }
    assert!(kills > 0 && retrieved > accounts, "{kills} kills, {retrieved} codes");
    println!(
        "{rewraps} keys wrapped anew in {rotations} rotations, {kills} kills, {retrieved} codes retrieved meanwhile"
    );
}

/// Stores sets and takes every code out again, in order, each once.
async fn client(bench: Arc<Bench>, number: usize, over: Arc<AtomicBool>) -> usize {
    let mut retrieved = 0;
    for round in 0.. {
        let codes: Vec<String> =
            ["aaaaa", "bbbbb", "ccccc"].iter().map(|end| format!("c{number}x{round}-{end}")).collect();
        act(&bench, &format!("sets/load/{number}"), json!({"codes": codes})).await;
        for code in &codes {
            let answer = act(&bench, &format!("retrieve/load/{number}"), json!({})).await;
            assert_eq!(answer.code.as_ref(), Some(code), "{answer:?}");
            retrieved += 1;
            tokio::task::yield_now().await;
        }
        if over.load(Ordering::Relaxed) {
            break;
        }
    }
    retrieved
}

/// An act; once more where the clock was moved past the assertion's end between its making and its use.
async fn act(bench: &Bench, path: &str, body: Value) -> Answer {
    for _ in 0..100 {
        let answer = bench.act(path, body.clone()).await;
        if answer.status != 403 {
            assert_eq!(answer.status, 200, "{path}: {answer:?}");
            return answer;
        }
    }
    panic!("{path}: refused again and again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rotation_under_load_loses_nothing() {
    under_load(8, 40).await;
}

/// By hand: `cargo test --test engine ten_thousand -- --ignored --nocapture`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "by hand: it takes its time; the short form runs with the suite"]
async fn ten_thousand_rewraps_under_load_with_kills_lose_nothing() {
    under_load(24, 10_000).await;
}
