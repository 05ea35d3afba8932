//! Security Event Tokens through `events/:source`.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use sparekey::engine::request::Operation;
use sparekey::storage::Storage;
use sparekey::storage::faulty::Times;
use sparekey::storage::memory::Memory;
use tokio::task::JoinSet;

use crate::harness::{Bench, CODES, ISS, START, Signer};

#[tokio::test]
async fn an_event_ends_the_set_of_the_account_it_names() {
    let bench = Bench::new().await;
    bench.store("github/acme", &CODES).await;
    bench.store("okta/jane@example.com", &["eeeee-55555", "fffff-66666"]).await;
    bench.wait(3600);
    let event = bench.event("Jane@Example.com", bench.now(), json!({}));
    assert_eq!(bench.send_event(&event).await.status, 202);
    assert_eq!(bench.act("retrieve/github/acme", json!({})).await.word(), "ended");
    let other = bench.act("retrieve/okta/jane@example.com", json!({})).await;
    assert_eq!(other.word(), "ended", "an entry in the map never shields the template's account");
    let history = bench.read("history/github/acme").await;
    let entry = &history["entries"][1];
    assert_eq!((&entry["act"], &entry["actor"]["subject"]), (&json!("event"), &json!("idp")), "{entry}");
    assert_eq!(entry["detail"]["credential_type"], "fido2-roaming");
    let source = bench.read("sources/idp").await;
    assert_eq!(source["counters"]["applied"], 1, "{source}");
}

#[tokio::test]
async fn a_redelivered_or_late_event_is_accepted_and_changes_nothing() {
    let bench = Bench::new().await;
    bench.store("github/acme", &CODES).await;
    bench.wait(3600);
    let event = bench.event("jane@example.com", bench.now(), json!({}));
    bench.send_event(&event).await;
    bench.wait(60);
    let fresh = json!({"codes": ["eeeee-55555", "fffff-66666"], "enrollment": 1});
    assert_eq!(bench.act("sets/github/acme", fresh).await.status, 200);
    bench.wait(86_400);
    assert_eq!(bench.send_event(&event).await.status, 202);
    let late = bench.event("jane@example.com", START + 10, json!({}));
    assert_eq!(bench.send_event(&late).await.status, 202);
    assert!(bench.act("retrieve/github/acme", json!({})).await.code.is_some());
    assert_eq!(bench.read("accounts/github/acme").await["enrollment"]["number"], 2, "the redelivery is no new event");
}

#[tokio::test]
async fn an_event_from_the_future_counts_as_its_receipt() {
    let bench = Bench::new().await;
    bench.store("github/acme", &CODES).await;
    bench.wait(3600);
    let event = bench.event("jane@example.com", bench.now() + 1_000_000, json!({}));
    assert_eq!(bench.send_event(&event).await.status, 202);
    let account = bench.read("accounts/github/acme").await;
    assert_eq!(account["enrollment"]["at"], "2027-01-15T09:00:00.000Z");
    bench.wait(60);
    bench.act("sets/github/acme", json!({"codes": ["eeeee-55555", "fffff-66666"], "enrollment": 1})).await;
    assert!(bench.act("retrieve/github/acme", json!({})).await.code.is_some());
}

#[tokio::test]
async fn a_failed_write_is_an_error_and_the_retry_takes_effect() {
    let bench = Bench::new().await;
    bench.store("github/acme", &CODES).await;
    bench.wait(3600);
    let event = bench.event("jane@example.com", bench.now(), json!({}));
    bench.store.fail_writes(Times::Next(1));
    assert_eq!(bench.send_event(&event).await.status, 500, "a 400 would make the sender stop");
    assert_eq!(bench.send_event(&event).await.status, 202);
    assert_eq!(bench.act("retrieve/github/acme", json!({})).await.word(), "ended");
}

/// Another node changes what this one has in memory of the event's source.
#[tokio::test]
async fn an_event_is_judged_by_what_there_is_and_not_by_what_was_remembered() {
    let inner: Arc<dyn Storage> = Arc::new(Memory::new());
    let bench = Bench::over(inner.clone()).await;
    let elsewhere = bench.beside(inner);
    bench.store("okta/joe@example.com", &CODES).await;
    bench.store("moved/joe@example.com", &["eeeee-55555", "fffff-66666"]).await;
    bench.wait(3600);
    let event = || bench.event("joe@example.com", bench.now(), json!({}));
    let number = async |account: &str| bench.read(&format!("accounts/{account}")).await["enrollment"]["number"].clone();
    assert_eq!(bench.send_event(&event()).await.status, 202);
    bench.store.reset_counts();
    assert_eq!(bench.send_event(&event()).await.status, 202);
    assert_eq!(bench.store.counts().get_many, 1, "what it is judged by is read along with its account");
    assert_eq!(number("okta/joe@example.com").await, 2);

    let moved = json!({"account_template": "moved/{{email}}"});
    bench.fine_through(&elsewhere, Operation::Update, "sources/idp", moved).await;
    assert_eq!(bench.send_event(&event()).await.status, 202);
    assert_eq!(number("okta/joe@example.com").await, 2, "its source has another account for it");
    assert_eq!(number("moved/joe@example.com").await, 1);

    let stranger = json!({"jwt_validation_pubkeys": [Signer::es256("k1").public_pem()]});
    bench.fine_through(&elsewhere, Operation::Update, "issuers/idp", stranger).await;
    assert_eq!(bench.send_event(&event()).await.status, 400, "its issuer has another key");
    assert_eq!(number("moved/joe@example.com").await, 1);
    let back = json!({"jwt_validation_pubkeys": [bench.idp.public_pem()]});
    bench.fine_through(&elsewhere, Operation::Update, "issuers/idp", back).await;
    assert_eq!(bench.send_event(&event()).await.status, 202, "what is refused by memory alone is not refused");
    assert_eq!(number("moved/joe@example.com").await, 2);

    bench.fine_through(&elsewhere, Operation::Delete, "sources/idp", json!({})).await;
    assert_eq!(bench.send_event(&event()).await.status, 400, "there is no such receiver");
    assert_eq!(number("moved/joe@example.com").await, 2);
}

#[tokio::test(start_paused = true)]
async fn events_that_come_together_are_counted_together() {
    let bench = Arc::new(Bench::new().await);
    bench.store.delay(Duration::from_millis(2));
    bench.store.reset_counts();
    let mut senders = JoinSet::new();
    for number in 0..32 {
        let (bench, event) = (bench.clone(), bench.event(&format!("user{number}@example.com"), bench.now(), json!({})));
        senders.spawn(async move { bench.send_event(&event).await.status });
    }
    assert!(senders.join_all().await.iter().all(|status| *status == 202));
    let writes = bench.store.counts().put_all;
    assert_eq!(writes, 32, "one for each event: nobody waits for the counter");
    assert_eq!(bench.read("sources/idp").await["counters"]["applied"], 32, "none is forgotten");
    assert_eq!(bench.store.counts().put_all, 33, "one for the counter of all");
}

#[tokio::test(start_paused = true)]
async fn what_nobody_asks_for_is_counted_soon() {
    let inner: Arc<dyn Storage> = Arc::new(Memory::new());
    let bench = Bench::over(inner.clone()).await;
    let counted = async || inner.list("source-state/", None, 10).await.unwrap();
    bench.send_event(&bench.event("joe@example.com", bench.now(), json!({}))).await;
    assert_eq!(counted().await, [""; 0], "it waits for others");
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(counted().await, ["idp"]);
    // Not only the first time.
    bench.store.reset_counts();
    bench.send_event(&bench.event("joe@example.com", bench.now() + 1, json!({}))).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(bench.store.counts().put_all, 2);
    assert_eq!(bench.read("sources/idp").await["counters"]["applied"], 2);
}

#[tokio::test(start_paused = true)]
async fn what_waits_to_be_counted_is_written_before_the_store_is_closed() {
    let bench = Bench::new().await;
    bench.send_event(&bench.event("joe@example.com", bench.now(), json!({}))).await;
    bench.store.reset_counts();
    bench.engine.settle_counts().await;
    assert_eq!(bench.store.counts().put_all, 1);
    bench.engine.settle_counts().await;
    assert_eq!(bench.store.counts().put_all, 1, "it was all");
    assert_eq!(bench.read("sources/idp").await["counters"]["applied"], 1);
}

#[tokio::test(start_paused = true)]
async fn what_was_on_its_way_to_the_counter_when_somebody_went_away_is_counted_with_the_next() {
    // The reader, for whom it is written, goes away between any two calls of the store.
    for patience in (25..).step_by(50) {
        let bench = Bench::new().await;
        bench.send_event(&bench.event("joe@example.com", bench.now(), json!({}))).await;
        bench.store.delay(Duration::from_millis(50));
        let read = tokio::time::timeout(Duration::from_millis(patience), bench.read("sources/idp")).await;
        assert_eq!(bench.read("sources/idp").await["counters"]["applied"], 1, "after {patience} ms");
        if read.is_ok() {
            assert!(patience > 150, "it went away in between");
            break;
        }
    }
}

#[tokio::test]
async fn one_event_reaches_every_account_of_its_subject_even_after_a_failure_in_between() {
    let bench = Bench::new().await;
    let subjects = json!({"subjects": {"email:jane@example.com": ["a", "b", "c"]}});
    bench.fine("sources/idp", subjects).await;
    for account in ["a", "b", "c"] {
        let codes = [format!("{account}{account}{account}-11111"), format!("{account}{account}{account}-22222")];
        bench.store(account, &[&codes[0], &codes[1]]).await;
    }
    bench.wait(3600);
    let event = bench.event("jane@example.com", bench.now(), json!({}));
    bench.store.freeze_after(3);
    assert!(bench.send_event(&event).await.status >= 500);
    bench.store.thaw();
    assert_eq!(bench.send_event(&event).await.status, 202);
    for account in ["a", "b", "c"] {
        assert_eq!(bench.act(&format!("retrieve/{account}"), json!({})).await.word(), "ended", "{account}");
        assert_eq!(bench.read(&format!("accounts/{account}")).await["enrollment"]["number"], 1, "{account}");
    }
}

#[tokio::test]
async fn unmapped_events_stay_listed() {
    let bench = Bench::new().await;
    bench.fine("sources/idp", json!({"account_template": null})).await;
    let event = bench.event("stranger@example.com", bench.now(), json!({}));
    assert_eq!(bench.send_event(&event).await.status, 202);
    assert_eq!(bench.send_event(&event).await.status, 202);
    let source = bench.read("sources/idp").await;
    assert_eq!(source["counters"]["unmapped"], 1);
    assert_eq!(source["unmapped"][0]["subjects"][0], "email:stranger@example.com", "{source}");
}

#[tokio::test]
async fn a_template_makes_a_stub_and_an_unknown_change_quarantines() {
    let bench = Bench::new().await;
    bench.store("okta/joe@example.com", &CODES).await;
    bench.wait(3600);
    let url = "https://schemas.openid.net/secevent/caep/event-type/credential-change";
    let odd = json!({"events": {url: {"credential_type": "neural-lace", "change_type": "create", "event_timestamp": bench.now()}}});
    let event = bench.event("joe@example.com", bench.now(), odd);
    assert_eq!(bench.send_event(&event).await.status, 202);
    assert_eq!(bench.act("retrieve/okta/joe@example.com", json!({})).await.word(), "quarantined");
    let event = bench.event("new@example.com", bench.now(), json!({}));
    assert_eq!(bench.send_event(&event).await.status, 202);
    assert_eq!(bench.read("accounts/okta/new@example.com").await["enrollment"]["number"], 1);
}

#[tokio::test]
async fn a_password_change_is_written_down_and_touches_no_set() {
    let bench = Bench::new().await;
    bench.store("github/acme", &CODES).await;
    bench.wait(3600);
    let url = "https://schemas.openid.net/secevent/caep/event-type/credential-change";
    let password = json!({"events": {url: {"credential_type": "password", "change_type": "update", "event_timestamp": bench.now()}}});
    let event = bench.event("jane@example.com", bench.now(), password);
    assert_eq!(bench.send_event(&event).await.status, 202);
    assert!(bench.act("retrieve/github/acme", json!({})).await.code.is_some());
    assert_eq!(bench.read("history/github/acme").await["entries"][1]["detail"]["effect"], "notify");
}

#[tokio::test]
async fn tokens_that_do_not_stand_are_refused_with_the_protocols_error_and_change_nothing() {
    let bench = Bench::new().await;
    bench.store("github/acme", &CODES).await;
    bench.wait(3600);
    let now = bench.now();
    let event = |over: Value| bench.event("jane@example.com", now, over);
    let claims = |over: Value| {
        let mut claims = json!({
            "iss": ISS, "aud": "https://sparekey.example.com/events", "iat": now, "jti": "x",
            "sub_id": {"format": "email", "email": "jane@example.com"},
            "events": {"https://schemas.openid.net/secevent/caep/event-type/credential-change":
                {"credential_type": "app", "change_type": "create", "event_timestamp": now}},
        });
        claims.as_object_mut().unwrap().extend(over.as_object().unwrap().clone());
        claims
    };
    let forged = Signer::es256("k1").set(&claims(json!({})));
    let mut altered = event(json!({}));
    altered.truncate(altered.len() - 4);
    altered.push_str("AAAA");
    let two = json!({"events": {
        "https://schemas.openid.net/secevent/caep/event-type/credential-change": {"credential_type": "app", "change_type": "create"},
        "https://schemas.openid.net/secevent/caep/event-type/session-revoked": {}}});
    for (name, set, err) in [
        ("wrong typ", bench.idp.jwt(&claims(json!({}))), "invalid_request"),
        ("sub present", event(json!({"sub": "jane"})), "invalid_request"),
        ("wrong audience", event(json!({"aud": "https://other.example.com"})), "invalid_audience"),
        ("no audience", event(json!({"aud": null})), "invalid_audience"),
        ("wrong issuer", event(json!({"iss": "https://evil.example.com"})), "invalid_issuer"),
        ("no jti", event(json!({"jti": null})), "invalid_request"),
        ("no events", event(json!({"events": {}})), "invalid_request"),
        ("two events", event(two), "invalid_request"),
        ("forged", forged, "authentication_failed"),
        ("altered", altered, "authentication_failed"),
        ("not a token", "hello".to_owned(), "invalid_request"),
        ("empty", String::new(), "invalid_request"),
    ] {
        let answer = bench.send_event(&set).await;
        assert_eq!((answer.status, &answer.data["err"]), (400, &json!(err)), "{name}: {answer:?}");
        assert!(
            !answer.data["description"].as_str().unwrap().contains("role"),
            "a sender knows of no roles: {answer:?}"
        );
    }
    let critical = json!({"critical_subject_members": ["colour"]});
    bench.fine("sources/idp", critical).await;
    let device = json!({"sub_id": {"format": "complex", "user": {"format": "email", "email": "jane@example.com"},
        "colour": {"format": "opaque", "id": "red"}}});
    let answer = bench.send_event(&event(device)).await;
    assert_eq!(answer.status, 400, "unknown critical member: {answer:?}");
    assert!(bench.act("retrieve/github/acme", json!({})).await.code.is_some());
}

#[tokio::test]
async fn a_right_event_takes_effect_whatever_the_configuration_says_of_profiles() {
    let bench = Bench::new().await;
    bench.fine("config", json!({"default_profile": "missing"})).await;
    let event = bench.event("new@example.com", bench.now(), json!({}));
    assert_eq!(bench.send_event(&event).await.status, 202);
    assert_eq!(bench.read("accounts/okta/new@example.com").await["enrollment"]["number"], 1);
    let source = bench.root(Operation::Delete, "issuers/idp", json!({})).await;
    assert_eq!(source.status, 204);
    let event = bench.event("new@example.com", bench.now(), json!({}));
    assert_eq!(bench.send_event(&event).await.status, 500, "a 400 would make the sender stop");
}

/// It was cut off before it reached anybody, and its source tells now of one account where it told of two.
#[tokio::test]
async fn an_event_that_was_cut_off_reaches_its_account_though_the_mapping_changed() {
    let bench = Bench::new().await;
    bench.store("one", &CODES).await;
    bench.fine("sources/idp", json!({"subjects": {"email:jane@example.com": ["one", "two"]}})).await;
    bench.wait(3600);
    let event = bench.event("jane@example.com", bench.now(), json!({}));
    bench.store.freeze_after(1);
    assert!(bench.send_event(&event).await.status >= 500);
    bench.store.thaw();
    assert_eq!(bench.act("retrieve/one", json!({})).await.status, 200, "it was not acknowledged");
    bench.fine("sources/idp", json!({"subjects": {"email:jane@example.com": ["one"]}, "account_template": ""})).await;
    for _ in 0..2 {
        assert_eq!(bench.send_event(&event).await.status, 202);
        assert_eq!(bench.act("retrieve/one", json!({})).await.word(), "ended");
    }
    assert_eq!(bench.read("accounts/one").await["enrollment"]["number"], 1);
}
