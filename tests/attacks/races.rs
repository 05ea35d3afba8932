//! Many at once, each with a claim of its own on the same thing.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use crate::stage::{ACCOUNT, MOUNT, Stage, codes};
use crate::support::crowd::{CROWD, together};
use crate::support::http::Answer;

const RETRIEVE: &str = "backup-codes/retrieve/github/acme-owner";
fn given(answers: &[Answer]) -> Vec<String> {
    let given = answers.iter().filter(|answer| answer.status == 200);
    given.map(|answer| answer.data()["code"].as_str().unwrap().to_owned()).collect()
}

fn verified(stage: &Stage) {
    let history = stage.root.read(&format!("{MOUNT}/history/{ACCOUNT}?verify=true")).expect(200).data();
    assert_eq!(history["verified"], true);
}

#[test]
fn one_assertion_in_many_hands_gives_one_code() {
    let stage = Stage::new();
    for over in [json!({}), json!({"jti": null})] {
        let before = stage.remaining();
        let body = json!({"jwt": stage.jwt(&over)});
        let answers = together(|_| stage.nobody.write(RETRIEVE, &body));
        assert_eq!(given(&answers).len(), 1, "{:?}", answers.iter().map(|it| it.status).collect::<Vec<_>>());
        for answer in answers.iter().filter(|answer| answer.status != 200) {
            assert_eq!(answer.status, 403, "{}", answer.text());
            assert!(answer.error().starts_with("assertion: "), "{}", answer.text());
        }
        assert_eq!(stage.remaining(), before - 1);
        stage.node.wait(Duration::from_secs(1));
    }
    verified(&stage);
}

#[test]
fn one_request_sent_many_times_costs_one_code_and_shows_the_same() {
    let stage = Stage::new();
    let body = stage.asserted(json!({"idempotency_key": "once"}));
    let answers = together(|_| stage.nobody.write(RETRIEVE, &body).expect(200));
    let given = given(&answers);
    assert_eq!(given.len(), CROWD);
    assert_eq!(given.into_iter().collect::<BTreeSet<_>>().len(), 1);
    assert_eq!(answers.iter().filter(|answer| answer.data()["repeat"] == false).count(), 1, "all but one are repeats");
    assert_eq!(stage.remaining(), 7);
    // The same key in another's hand is another key.
    let jwts: Vec<String> = (0..CROWD).map(|who| stage.jwt(&json!({"sub": format!("admin-{who}")}))).collect();
    let ask = |who: usize| stage.nobody.write(RETRIEVE, &json!({"idempotency_key": "once", "jwt": jwts[who]}));
    let others = together(ask);
    let codes: BTreeSet<String> = self::given(&others).into_iter().collect();
    assert_eq!(codes.len(), 7, "each another code, until none is left");
    assert_eq!(self::given(&others).len(), 7);
    verified(&stage);
}

#[test]
fn a_wrapping_token_opens_once() {
    let stage = Stage::new();
    let wrapping = stage.nobody.header("X-Vault-Wrap-TTL", "60s");
    let wrapped = wrapping.write(RETRIEVE, &stage.asserted(json!({}))).expect(200).json();
    let token = wrapped["wrap_info"]["token"].as_str().unwrap();
    let answers = together(|who| match who % 2 {
        0 => stage.nobody.token(token).write("sys/wrapping/unwrap", &json!({})),
        _ => stage.root.write("sys/wrapping/unwrap", &json!({"token": token})),
    });
    assert_eq!(given(&answers), [codes("a", 8)[0].clone()]);
    for answer in answers.iter().filter(|answer| answer.status != 200) {
        assert!(matches!(answer.status, 400 | 403), "{} {}", answer.status, answer.text());
    }
    // What is no code opens once as well.
    let wrapped = stage.root.header("X-Vault-Wrap-TTL", "60s").read("backup-codes/roles/admin").expect(200).json();
    let token = wrapped["wrap_info"]["token"].as_str().unwrap();
    let answers = together(|_| stage.nobody.token(token).write("sys/wrapping/unwrap", &json!({})));
    assert_eq!(answers.iter().filter(|answer| answer.status == 200).count(), 1);
    verified(&stage);
}

#[test]
fn of_many_imports_that_know_the_same_generation_one_comes_in() {
    let stage = Stage::new();
    let bodies: Vec<Value> =
        (0..CROWD).map(|who| stage.asserted(json!({"codes": codes(&format!("i{who}x"), 4), "cas": 1}))).collect();
    let answers = together(|who| stage.nobody.write(&format!("{MOUNT}/sets/{ACCOUNT}"), &bodies[who]));
    assert_eq!(answers.iter().filter(|answer| answer.status == 200).count(), 1);
    for answer in answers.iter().filter(|answer| answer.status != 200) {
        assert!(answer.error().starts_with("cas-mismatch: "), "{} {}", answer.status, answer.text());
    }
    let account = stage.account(ACCOUNT);
    assert_eq!((&account["generation"], &account["active_generation"]), (&json!(2), &json!(2)));
    verified(&stage);
}

/// Invariant 3 under load: a request that is sent after an event was acknowledged gets nothing of the old set.
#[test]
fn once_an_event_is_acknowledged_no_code_leaves_whoever_asks() {
    for round in 0..4 {
        let stage = Stage::empty();
        stage.store(ACCOUNT, &codes("a", 200));
        stage.node.wait(Duration::from_secs(120));
        let set = stage.idp.set(&stage.event("jane@example.com", stage.now(), &json!({})));
        let acknowledged = AtomicBool::new(false);
        let asking: Vec<Vec<Value>> = (0..4).map(|_| (0..20).map(|_| stage.asserted(json!({}))).collect()).collect();
        let late: Vec<Answer> = thread::scope(|scope| {
            let clients: Vec<_> = asking
                .iter()
                .map(|bodies| {
                    let (stage, acknowledged) = (&stage, &acknowledged);
                    scope.spawn(move || {
                        let mut late = Vec::new();
                        for body in bodies {
                            let was_over = acknowledged.load(Ordering::SeqCst);
                            let answer = stage.nobody.write(RETRIEVE, body);
                            if was_over {
                                late.push(answer);
                            }
                        }
                        late
                    })
                })
                .collect();
            thread::sleep(Duration::from_millis(5 * round));
            stage.nobody.write("backup-codes/events/idp", &json!({"set": set})).expect(202);
            acknowledged.store(true, Ordering::SeqCst);
            clients.into_iter().flat_map(|client| client.join().unwrap()).collect()
        });
        for answer in &late {
            assert_eq!(answer.status, 400, "{}", answer.text());
            assert!(answer.error().starts_with("ended: "), "{}", answer.text());
        }
        assert_eq!(stage.act("retrieve", ACCOUNT, json!({})).status, 400);
        verified(&stage);
    }
}

#[test]
fn what_was_asked_while_the_server_is_sealed_costs_nothing() {
    let stage = Stage::new();
    let bodies: Vec<Value> = (0..CROWD).map(|_| stage.asserted(json!({}))).collect();
    let answers = together(|who| match who {
        CROWD_SEALS => stage.root.write("sys/seal", &json!({})),
        who => stage.nobody.write(RETRIEVE, &bodies[who]),
    });
    assert_eq!(answers[CROWD_SEALS].status, 204, "{}", answers[CROWD_SEALS].text());
    for answer in answers.iter().filter(|answer| !matches!(answer.status, 200 | 204)) {
        assert!(matches!(answer.status, 400 | 503), "{} {}", answer.status, answer.text());
    }
    let given: Vec<&Answer> = answers.iter().filter(|answer| answer.status == 200).collect();
    let seen: BTreeSet<String> = given.iter().map(|it| it.data()["code"].as_str().unwrap().to_owned()).collect();
    assert_eq!(seen.len(), given.len(), "none twice");
    for path in ["backup-codes/accounts/github/acme-owner", "sys/mounts", "no/such/path"] {
        let answer = stage.root.read(path).expect(503);
        assert_eq!(answer.error(), "Vault is sealed");
        assert!(answer.header("retry-after").is_some());
    }
    let answer = stage.nobody.write(RETRIEVE, &bodies[0]).expect(503);
    assert!(!answer.text().contains("request"), "{}", answer.text());
    stage.nobody.read("sys/health").expect(503);
    stage.nobody.read("sys/seal-status").expect(200);
    // Every code that was given stands on the record, which was closed in order.
    let lines = stage.audit();
    let disclosed = lines.iter().filter(|line| line["disclosed"] == true).count();
    assert_eq!(disclosed, given.len());
    assert_eq!(lines.last().unwrap()["type"], "checkpoint");
}

/// Who of the crowd seals.
const CROWD_SEALS: usize = CROWD / 2;
