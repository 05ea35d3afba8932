//! When keys are fetched, and when not.

use super::*;

#[tokio::test]
async fn ten_thousand_strange_key_ids_cause_one_fetch_per_cooldown() {
    let pair = Pair::p256();
    let fake = Fake::serving(&[(&pair, "k1")]);
    let desk = Desk::jwks(&fake);
    let good = Desk::token(&pair, Some("k1"));
    desk.verify(&good).await.unwrap();
    assert_eq!(fake.count(), 1);
    for round in 0..3 {
        desk.pass(COOLDOWN);
        for number in 0..3_334 {
            let strange = Desk::token(&pair, Some(&format!("strange-{round}-{number}")));
            assert_eq!(desk.verify(&strange).await, Err(Refusal::NoKey { pinned: false }));
        }
        assert_eq!(fake.count(), 2 + round);
        desk.verify(&good).await.unwrap();
    }
}

#[tokio::test]
async fn failures_and_empty_answers_count_and_never_evict() {
    let pair = Pair::p256();
    let fake = Fake::serving(&[(&pair, "k1")]);
    let desk = Desk::jwks(&fake);
    let good = Desk::token(&pair, Some("k1"));
    desk.verify(&good).await.unwrap();
    let bodies: [Answer; 8] = [
        Err("refused".into()),
        Ok(b"{\"keys\":[]}".to_vec()),
        Ok(b"{}".to_vec()),
        Ok(b"<html>".to_vec()),
        Ok(b"[]".to_vec()),
        Ok(b"{\"keys\":{}}".to_vec()),
        Ok(b"{\"keys\":[{\"kty\":\"oct\",\"k\":\"AAAA\",\"kid\":\"strange\"}]}".to_vec()),
        Ok(b"{\"keys\":[{\"kty\":\"RSA\",\"n\":\"AQ\",\"e\":\"AQAB\"}]}".to_vec()),
    ];
    for (round, body) in bodies.into_iter().enumerate() {
        fake.set(move |_| body.clone());
        desk.pass(COOLDOWN);
        let strange = Desk::token(&pair, Some("strange"));
        for _ in 0..20 {
            assert_eq!(desk.verify(&strange).await, Err(Refusal::NoKey { pinned: false }));
        }
        assert_eq!(fake.count(), 2 + round);
        desk.verify(&good).await.unwrap();
    }
}

#[tokio::test]
async fn a_provider_that_is_down_is_asked_once_per_cooldown() {
    let pair = Pair::p256();
    let fake = Fake::new(|_| Err("connection refused".into()));
    let desk = Desk::jwks(&fake);
    let token = Desk::token(&pair, Some("k1"));
    for _ in 0..1000 {
        assert_eq!(desk.verify(&token).await, Err(Refusal::KeysUnavailable));
    }
    assert_eq!(fake.count(), 1);
    let set = key_set(&[(&pair, "k1")]);
    fake.set(move |_| Ok(set.clone()));
    assert_eq!(desk.verify(&token).await, Err(Refusal::KeysUnavailable));
    desk.pass(COOLDOWN);
    desk.verify(&token).await.unwrap();
    assert_eq!(fake.count(), 2);
}

#[tokio::test]
async fn keys_are_read_while_newer_ones_are_fetched() {
    let pair = Pair::p256();
    let fake = Fake::serving(&[(&pair, "k1")]);
    let desk = Desk::jwks(&fake);
    let good = Desk::token(&pair, Some("k1"));
    desk.verify(&good).await.unwrap();
    desk.pass(FRESH - COOLDOWN);
    desk.verify(&good).await.unwrap();
    settle().await;
    assert_eq!(fake.count(), 1, "not before its time");
    let gate = fake.close();
    desk.pass(COOLDOWN);
    for _ in 0..50 {
        desk.verify(&good).await.unwrap();
        settle().await;
    }
    assert_eq!(fake.count(), 2, "one fetch is under way and holds nobody up");
    gate.add_permits(1);
    settle().await;
    desk.verify(&good).await.unwrap();
    settle().await;
    assert_eq!(fake.count(), 2, "and made the keys fresh");
}

#[tokio::test]
async fn many_first_callers_share_one_fetch() {
    let pair = Pair::p256();
    let fake = Fake::serving(&[(&pair, "k1")]);
    let desk = Arc::new(Desk::jwks(&fake));
    let gate = fake.close();
    let good = Desk::token(&pair, Some("k1"));
    let callers: Vec<_> = (0..64)
        .map(|_| {
            let (desk, good) = (Arc::clone(&desk), good.clone());
            tokio::spawn(async move { desk.verify(&good).await.map(drop) })
        })
        .collect();
    settle().await;
    gate.add_permits(1);
    for caller in callers {
        assert_eq!(caller.await.unwrap(), Ok(()));
    }
    assert_eq!(fake.count(), 1);
}

#[tokio::test]
async fn a_caller_who_hangs_up_does_not_stop_the_fetch() {
    let pair = Pair::p256();
    let fake = Fake::serving(&[(&pair, "k1")]);
    let desk = Arc::new(Desk::jwks(&fake));
    let gate = fake.close();
    let good = Desk::token(&pair, Some("k1"));
    let caller = tokio::spawn({
        let (desk, good) = (Arc::clone(&desk), good.clone());
        async move { desk.verify(&good).await.map(drop) }
    });
    settle().await;
    caller.abort();
    assert!(caller.await.unwrap_err().is_cancelled());
    gate.add_permits(1);
    settle().await;
    desk.verify(&good).await.unwrap();
    assert_eq!(fake.count(), 1);
}

#[tokio::test]
async fn a_fetcher_that_panics_does_not_block_the_next_fetch() {
    let pair = Pair::p256();
    let set = key_set(&[(&pair, "k1")]);
    let fake = Fake::new(|_| panic!("on purpose"));
    let desk = Desk::jwks(&fake);
    let good = Desk::token(&pair, Some("k1"));
    assert_eq!(desk.verify(&good).await, Err(Refusal::KeysUnavailable));
    *fake.answer.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) = Box::new(move |_| Ok(set.clone()));
    fake.answer.clear_poison();
    desk.pass(COOLDOWN);
    desk.verify(&good).await.unwrap();
}

#[tokio::test]
async fn a_clock_that_is_set_back_does_not_stop_fetches() {
    let pair = Pair::p256();
    let fake = Fake::new(|_| Err("down".into()));
    let desk = Desk::jwks(&fake);
    let good = Desk::token(&pair, Some("k1"));
    assert_eq!(desk.verify(&good).await, Err(Refusal::KeysUnavailable));
    desk.clock.set(Timestamp::from_secs(NOW - 1));
    let set = key_set(&[(&pair, "k1")]);
    fake.set(move |_| Ok(set.clone()));
    desk.verify(&good).await.unwrap();
}
