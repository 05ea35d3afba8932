//! One code for one request, whoever else asks, whoever hangs up, and wherever the store stops.

use std::collections::BTreeSet;
use std::io::Write;
use std::net::TcpStream;
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sparekey::storage::faulty::{Outcome, Times};

use super::RETRIEVE;
use crate::stage::{ACCOUNT, MOUNT, Stage, codes};
use crate::support::http::{Answer, Client};

#[test]
fn thirty_two_clients_ask_for_the_last_code_and_one_gets_it() {
    let stage = Stage::empty();
    for round in 0..3 {
        let account = format!("github/last-{round}");
        stage.store(&account, &codes(&format!("r{round}"), 1));
        let bodies: Vec<Value> = (0..32).map(|_| stage.asserted(json!({}))).collect();
        let start = Barrier::new(32);
        let answers: Vec<Answer> = thread::scope(|scope| {
            let clients: Vec<_> = bodies
                .iter()
                .map(|body| {
                    let (start, client) = (&start, &stage.nobody);
                    let path = format!("{MOUNT}/retrieve/{account}");
                    scope.spawn(move || {
                        start.wait();
                        client.write(&path, body)
                    })
                })
                .collect();
            clients.into_iter().map(|client| client.join().unwrap()).collect()
        });
        let code = &codes(&format!("r{round}"), 1)[0];
        let lucky: Vec<_> = answers.iter().filter(|answer| answer.status == 200).collect();
        assert_eq!(lucky.len(), 1, "{:?}", answers.iter().map(|answer| answer.status).collect::<Vec<_>>());
        assert_eq!(lucky[0].data()["code"], *code);
        for answer in answers.iter().filter(|answer| answer.status != 200) {
            assert_eq!(answer.status, 400, "{}", answer.text());
            assert!(answer.error().starts_with("exhausted: "), "{}", answer.text());
        }
        assert_eq!(stage.account(&account)["remaining"], 0);
    }
}

#[test]
fn an_act_comes_to_its_end_though_its_client_hangs_up_and_is_seen_again_by_its_key() {
    let stage = Stage::new();
    let body = stage.asserted(json!({"idempotency_key": "hung-up"}));
    let sent = body.to_string();
    let request = format!("POST /v1/{RETRIEVE} HTTP/1.1\r\nHost: test\r\nContent-Length: {}\r\n\r\n{sent}", sent.len());
    stage.store.delay(Duration::from_millis(60));
    let mut stream = TcpStream::connect(stage.node.address).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    thread::sleep(Duration::from_millis(30));
    drop(stream);
    stage.store.delay(Duration::ZERO);
    let begun = Instant::now();
    while stage.remaining() == 8 {
        assert!(begun.elapsed() < Duration::from_secs(10), "the act was given up with its client");
        thread::sleep(Duration::from_millis(10));
    }
    let history = stage.root.read(&format!("{MOUNT}/history/{ACCOUNT}?verify=true")).expect(200).data();
    let last = history["entries"].as_array().unwrap().last().unwrap().clone();
    assert_eq!((&last["act"], &last["slot"], &history["verified"]), (&json!("retrieve"), &json!(1), &json!(true)));
    let again = stage.nobody.write(RETRIEVE, &body).expect(200).data();
    assert_eq!((&again["code"], &again["repeat"]), (&json!(codes("a", 8)[0]), &json!(true)));
    assert_eq!(stage.remaining(), 7, "it cost one code");
    let lines = stage.audit();
    let disclosed = lines.iter().filter(|line| line["disclosed"] == true);
    assert_eq!(disclosed.count(), 2, "both answers are on the record");
}

#[test]
fn a_store_that_stops_in_the_middle_costs_at_most_the_one_code() {
    for step in 0..6 {
        let stage = Stage::new();
        let body = stage.asserted(json!({"idempotency_key": "k"}));
        let ask = |client: &Client| client.write(RETRIEVE, &body);
        stage.store.freeze_after(step);
        let first = ask(&stage.nobody);
        assert!(matches!(first.status, 200 | 500 | 503), "{step}: {} {}", first.status, first.text());
        stage.nobody.read("sys/health").expect(200);
        stage.store.thaw();
        let second = ask(&stage.nobody).expect(200).data();
        assert_eq!(second["code"], codes("a", 8)[0], "{step}: the same request gets the one code");
        let seen: BTreeSet<String> = [Some(second), (first.status == 200).then(|| first.data())]
            .into_iter()
            .flatten()
            .map(|data| data["code"].as_str().unwrap().to_owned())
            .collect();
        assert_eq!(seen.len(), 1, "{step}");
        assert_eq!(stage.remaining(), 7, "{step}");
        let history = stage.root.read(&format!("{MOUNT}/history/{ACCOUNT}?verify=true")).expect(200).data();
        assert_eq!(history["verified"], true, "{step}");
    }
}

#[test]
fn an_answer_of_the_store_that_gets_lost_is_found_out() {
    for outcome in [Outcome::Written, Outcome::Lost] {
        let stage = Stage::new();
        for (turn, (act, body)) in [
            ("retrieve", json!({})),
            ("sets", json!({"codes": codes("n", 6), "cas": 1})),
            ("enroll", json!({})),
            ("sets", json!({"codes": codes("m", 6), "enrollment": 1})),
            ("revoke", json!({"reason": "x"})),
        ]
        .into_iter()
        .enumerate()
        {
            stage.store.answer_unknown(outcome, Times::Next(1));
            let answer = stage.act(act, ACCOUNT, body);
            assert_eq!(answer.status, 200, "{outcome:?}, {turn}: {act}: {}", answer.text());
        }
        let account = stage.account(ACCOUNT);
        assert_eq!((&account["generation"], &account["enrollment"]["number"]), (&json!(3), &json!(1)), "{outcome:?}");
        let history = stage.root.read(&format!("{MOUNT}/history/{ACCOUNT}?verify=true")).expect(200).data();
        let acts: Vec<&str> =
            history["entries"].as_array().unwrap().iter().map(|entry| entry["act"].as_str().unwrap()).collect();
        assert_eq!(acts, ["store", "retrieve", "store", "enroll", "store", "revoke"], "each once, {outcome:?}");
    }
}
