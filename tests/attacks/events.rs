//! Security Event Tokens over HTTP, in both forms: what is late, repeated or early is taken without a wrong effect, what is wrong
//! is refused in the protocol's own words, and what cannot be kept is a failure of ours, so that the sender comes again.

use serde_json::{Value, json};
use sparekey::storage::faulty::{Outcome, Times};

use crate::event_table::Sender;
use crate::stage::{ACCOUNT, AUDIENCE, CREDENTIAL_CHANGE, EVENTS, ISS, MOUNT, Stage, codes};
use crate::support::http::Answer;

/// Whose account [`ACCOUNT`] is.
const JANE: &str = "jane@example.com";

/// How an event is sent: in a JSON object, or bare, as RFC 8935 has it.
#[derive(Clone, Copy, Debug)]
enum Form {
    Json,
    Bare,
}

const FORMS: [Form; 2] = [Form::Json, Form::Bare];

fn push(stage: &Stage, form: Form, set: &str) -> Answer {
    push_to(stage, form, "idp", set)
}

fn push_to(stage: &Stage, form: Form, source: &str, set: &str) -> Answer {
    let path = format!("{MOUNT}/events/{source}");
    match form {
        Form::Json => stage.nobody.write(&path, &json!({ "set": set })),
        Form::Bare => {
            let client = stage.nobody.header("Content-Type", "application/secevent+jwt");
            client.header("Accept", "application/json").send("POST", &path, Some(set.as_bytes()))
        }
    }
}

/// Taken: 202 without a body.
fn taken(answer: &Answer, what: &str) {
    assert_eq!((answer.status, answer.text().as_str()), (202, ""), "{what}");
}

/// Refused as RFC 8935 section 2.3 has it.
fn refused(answer: &Answer, err: &str, what: &str) {
    assert_eq!(answer.status, 400, "{what}: {}", answer.text());
    let body = answer.json();
    assert_eq!(body["err"], err, "{what}: {body}");
    assert_eq!(body.as_object().unwrap().len(), 2, "{what}: {body}");
    let description = body["description"].as_str().unwrap();
    assert!(!description.is_empty() && description.len() < 400, "{what}: {description}");
    assert!(!description.chars().any(char::is_control), "{what}: {description:?}");
    assert_eq!(answer.header("content-type"), Some("application/json"), "{what}");
    assert_eq!(answer.header("content-language"), Some("en"), "{what}");
}

fn status(stage: &Stage, account: &str) -> String {
    stage.account(account)["sets"].as_array().unwrap().last().unwrap()["status"].as_str().unwrap().to_owned()
}

fn head(stage: &Stage, account: &str) -> Value {
    stage.root.read(&format!("{MOUNT}/history/{account}")).expect(200).data()["head"].clone()
}

#[test]
fn an_event_ends_the_set_that_was_bound_before_it() {
    for form in FORMS {
        let stage = Stage::new();
        stage.node.wait(std::time::Duration::from_secs(120));
        assert_eq!(status(&stage, ACCOUNT), "active");
        let set = stage.idp.set(&stage.event(JANE, stage.now(), &json!({})));
        taken(&push(&stage, form, &set), "a good event");
        assert_eq!(status(&stage, ACCOUNT), "superseded", "{form:?}");
        let answer = stage.act("retrieve", ACCOUNT, json!({}));
        assert_eq!(answer.status, 400, "{}", answer.text());
        assert!(answer.error().starts_with("ended: "), "{}", answer.text());
    }
}

#[test]
fn late_and_repeated_events_are_taken_and_end_nothing_that_is_newer() {
    for form in FORMS {
        let stage = Stage::new();
        let hour = std::time::Duration::from_secs(3600);
        stage.node.wait(hour);
        let first = stage.idp.set(&stage.event(JANE, stage.now(), &json!({})));
        let delayed = stage.idp.set(&stage.event(JANE, stage.now() - 60, &json!({})));
        taken(&push(&stage, form, &first), "the first");
        assert_eq!(status(&stage, ACCOUNT), "superseded");
        stage.node.wait(hour);
        stage.act("sets", ACCOUNT, json!({"codes": codes("b", 8), "enrollment": 1})).expect(200);
        assert_eq!(status(&stage, ACCOUNT), "active");
        let before = head(&stage, ACCOUNT);
        for _ in 0..3 {
            taken(&push(&stage, form, &first), "the first again");
        }
        assert_eq!(head(&stage, ACCOUNT), before, "a repeat leaves no trace in the account");
        // Other events of the past, never seen before: taken, written down, and without effect on what is newer.
        taken(&push(&stage, form, &delayed), "a delayed one");
        let ancient = stage.event(JANE, 0, &json!({"iat": 1}));
        taken(&push(&stage, form, &stage.idp.set(&ancient)), "one of 1970");
        assert_eq!(status(&stage, ACCOUNT), "active", "{form:?}");
        let number = stage.account(ACCOUNT)["enrollment"]["number"].clone();
        stage.act("retrieve", ACCOUNT, json!({})).expect(200);
        taken(&push(&stage, form, &delayed), "the delayed one again");
        assert_eq!(stage.account(ACCOUNT)["enrollment"]["number"], number);
        assert_eq!(stage.remaining(), 7);
    }
}

#[test]
fn an_event_of_the_future_counts_from_its_receipt() {
    for form in FORMS {
        let stage = Stage::new();
        stage.node.wait(std::time::Duration::from_secs(120));
        let received = stage.now();
        for at in [json!(received + 86_400), json!(253_402_300_799_i64), json!(u64::MAX), json!(1e300)] {
            let mut event = stage.event(JANE, 0, &json!({}));
            event["events"][CREDENTIAL_CHANGE]["event_timestamp"] = at.clone();
            taken(&push(&stage, form, &stage.idp.set(&event)), &at.to_string());
        }
        assert_eq!(status(&stage, ACCOUNT), "superseded");
        stage.node.wait(std::time::Duration::from_secs(120));
        let number = stage.account(ACCOUNT)["enrollment"]["number"].clone();
        stage.act("sets", ACCOUNT, json!({"codes": codes("b", 8), "enrollment": number})).expect(200);
        assert_eq!(status(&stage, ACCOUNT), "active", "tomorrow's event does not reach tomorrow's set");
        stage.act("retrieve", ACCOUNT, json!({})).expect(200);
    }
}

#[test]
fn wrong_events_are_refused_in_the_protocols_own_words() {
    let stage = Stage::new();
    stage.node.wait(std::time::Duration::from_secs(120));
    let now = stage.now();
    let sender = Sender { signer: &stage.idp, issuer: ISS, audience: EVENTS, assertions: AUDIENCE, email: JANE, now };
    let (good, wrong) = (sender.good(), sender.wrong());
    assert!(wrong.len() >= 50);
    let before = stage.world()[&format!("accounts/{ACCOUNT}")].clone();
    for (what, err, set) in &wrong {
        for form in FORMS {
            let mark = stage.audit_len();
            let answer = push(&stage, form, set);
            refused(&answer, err, &format!("{what}, {form:?}"));
            let lines = stage.answered_since(mark);
            assert_eq!(lines.len(), 1, "{what}");
            assert_eq!(lines[0]["error"], answer.json()["description"], "{what}: on the record");
            assert_eq!(lines[0]["response"]["status"], 400, "{what}");
        }
    }
    for form in FORMS {
        refused(&push_to(&stage, form, "nobody", &good), "access_denied", "an unknown source");
        refused(&push_to(&stage, form, "IDP", &good), "access_denied", "a source in capitals");
        refused(&push_to(&stage, form, "i%20dp", &good), "access_denied", "a source with a space");
    }
    for body in [json!({}), json!({"set": null}), json!({"set": 7}), json!({"set": [good]}), json!({"SET": good})] {
        refused(&stage.nobody.write(&format!("{MOUNT}/events/idp"), &body), "invalid_request", &body.to_string());
    }
    let media = stage.nobody.header("Content-Type", "application/secevent+jwt");
    let answer = media.send("POST", &format!("{MOUNT}/events/idp"), Some(b"\xff\xfe.\xff.\xff"));
    refused(&answer, "invalid_request", "bytes that are no text");
    let account = stage.world()[&format!("accounts/{ACCOUNT}")].clone();
    assert_eq!(account, before, "nothing changed");
    stage.retrieves();
    taken(&push(&stage, Form::Bare, &good), "the good one");
    assert_eq!(status(&stage, ACCOUNT), "superseded");
}

#[test]
fn strange_but_well_formed_events_are_taken() {
    let stage = Stage::new();
    stage.node.wait(std::time::Duration::from_secs(120));
    let now = stage.now();
    let verification = "https://schemas.openid.net/secevent/ssf/event-type/verification";
    let updated = "https://schemas.openid.net/secevent/ssf/event-type/stream-updated";
    for form in FORMS {
        for (what, over) in [
            ("an unknown event", json!({"events": {"https://example.com/strange": {"a": 1}}})),
            ("unknown members", json!({"txn": "1", "x": {"y": []}, "events": {"urn:x": {}}})),
            ("a verification", json!({"events": {verification: {"state": "abc"}}})),
            ("a paused stream", json!({"events": {updated: {"status": "paused"}}})),
            ("an unknown person", json!({"sub_id": {"format": "opaque", "id": "nobody"}})),
            ("a phone number", json!({"sub_id": {"format": "phone_number", "phone_number": "+1"}})),
            ("several audiences", json!({"aud": ["https://other.example.com", EVENTS], "events": {"urn:x": {}}})),
        ] {
            let set = stage.idp.set(&stage.event(JANE, now, &over));
            taken(&push(&stage, form, &set), what);
            assert_eq!(status(&stage, ACCOUNT), "active", "{what}");
        }
    }
    // A template makes an account of an address only if the address is a name.
    for address in ["../victim@x", "a/b@x", "*@x", "A\u{0}@x", "{{email}}@x"] {
        let answer = push(&stage, Form::Json, &stage.idp.set(&stage.event(address, now, &json!({}))));
        assert!(matches!(answer.status, 202 | 400), "{address:?}: {} {}", answer.status, answer.text());
    }
    let listed = stage.root.list(&format!("{MOUNT}/accounts")).expect(200).data()["keys"].clone();
    assert_eq!(listed, json!(["github/"]), "no account came of it");
    taken(&push(&stage, Form::Json, &stage.idp.set(&stage.event("Bob@Example.com", now, &json!({})))), "bob");
    assert_eq!(stage.account("okta/bob@example.com")["enrollment"]["number"], 1, "a stub remembers");
}

#[test]
fn what_cannot_be_kept_is_our_failure_and_comes_again() {
    for form in FORMS {
        let stage = Stage::new();
        stage.node.wait(std::time::Duration::from_secs(120));
        let set = stage.idp.set(&stage.event(JANE, stage.now(), &json!({})));
        stage.store.fail_writes(Times::Always);
        for _ in 0..2 {
            let answer = push(&stage, form, &set);
            assert!(answer.status >= 500, "{form:?}: {} {}", answer.status, answer.text());
            assert!(answer.json().get("err").is_none(), "no err: the sender must not give up");
        }
        stage.store.fail_writes(Times::Never);
        stage.store.fail_reads(Times::Always);
        let answer = push(&stage, form, &set);
        assert!(answer.status >= 500, "{form:?}: {} {}", answer.status, answer.text());
        stage.store.fail_reads(Times::Never);
        assert_eq!(status(&stage, ACCOUNT), "active", "nothing was acknowledged, nothing done");
        stage.retrieves();
        // The store's answer gets lost: what was written or not is found out, or the sender comes again.
        for outcome in [Outcome::Lost, Outcome::Written] {
            stage.store.answer_unknown(outcome, Times::Next(1));
            let answer = push(&stage, form, &set);
            assert!(answer.status == 202 || answer.status >= 500, "{}", answer.text());
            stage.store.answer_unknown(outcome, Times::Never);
        }
        taken(&push(&stage, form, &set), "the same event once the store works");
        assert_eq!(status(&stage, ACCOUNT), "superseded");
        let before = head(&stage, ACCOUNT);
        taken(&push(&stage, form, &set), "and again");
        assert_eq!(head(&stage, ACCOUNT), before);
    }
}

#[test]
fn an_event_needs_its_record_too() {
    let stage = Stage::new();
    stage.node.wait(std::time::Duration::from_secs(120));
    let set = stage.idp.set(&stage.event(JANE, stage.now(), &json!({})));
    let aside = stage.node.path().with_extension("aside");
    std::fs::rename(stage.node.path(), &aside).unwrap();
    let answer = push(&stage, Form::Bare, &set);
    assert_eq!(answer.status, 500, "{}", answer.text());
    assert_eq!(status(&stage, ACCOUNT), "active");
    std::fs::rename(&aside, stage.node.path()).unwrap();
    taken(&push(&stage, Form::Bare, &set), "once it can be recorded");
    assert_eq!(status(&stage, ACCOUNT), "superseded");
}
