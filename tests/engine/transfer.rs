//! Accounts that move from mount to mount: what goes along, that nothing is at both, and that it may be done again.

use serde_json::{Value, json};
use sparekey::domain::moving::Head;
use sparekey::domain::name::AccountName;
use sparekey::engine::request::Operation;
use sparekey::engine::transfer::{Cover, Leave, Parcel};

use crate::harness::{Answer, Bench, CODES};

const TO: &str = "https://vault.example.com:8200/backup-codes";
const OLD: [&str; 2] = ["zzzzz-99999", "yyyyy-88888"];

fn name(text: &str) -> AccountName {
    AccountName::parse(text).unwrap()
}

/// Two mounts; `github/acme` at the first has an ended set, and a live one of which one code has left.
async fn two() -> (Bench, Bench) {
    let (source, target) = (Bench::new().await, Bench::new().await);
    for bench in [&source, &target] {
        let role =
            json!({"operations": ["store", "retrieve", "check", "confirm", "transfer", "enroll", "revoke", "release"]});
        bench.fine("roles/admin", role).await;
    }
    let about = json!({"owner": "platform", "login_name": "acme-owner", "labels": {"tier": "0"}, "protects": ["idp"]});
    source.fine("accounts/github/acme", about).await;
    source.store("github/acme", &OLD).await;
    source.store("github/acme", &CODES).await;
    let first = source.act("retrieve/github/acme", json!({})).await;
    assert_eq!(first.code.as_deref(), Some(CODES[0]), "{first:?}");
    source.wait(1000);
    target.wait(1000);
    (source, target)
}

async fn depart(source: &Bench, account: &str) -> Box<Parcel> {
    match source.engine.depart(&name(account), TO, true, "run").await.unwrap() {
        Leave::Parcel(parcel) => parcel,
        _ => panic!("no parcel"),
    }
}

fn body(parcel: &Parcel) -> Value {
    serde_json::from_slice(&parcel.body(&Cover::default()).unwrap()).unwrap()
}

async fn arrive(target: &Bench, account: &str, parcel: &Parcel) -> Answer {
    target.act(&format!("transfer/{account}"), body(parcel)).await
}

fn there(answer: &Answer) -> Head {
    let mut hash = [0; 32];
    hex::decode_to_slice(answer.data["head"].as_str().unwrap(), &mut hash).unwrap();
    Head { seq: answer.data["seq"].as_u64().unwrap(), hash: hash.into() }
}

/// What must be the same at both ends of the metadata.
fn carried(mut data: Value) -> Value {
    for set in data["sets"].as_array_mut().unwrap() {
        // An ended set's ciphertexts, where some are still kept, stay behind.
        set.as_object_mut().unwrap().remove("destroyed");
    }
    data.as_object_mut().unwrap().remove("warnings");
    data
}

#[tokio::test]
async fn everything_goes_along_and_no_code_is_at_both() {
    let (source, target) = two().await;
    let before = source.read("accounts/github/acme").await;
    let parcel = depart(&source, "github/acme").await;
    assert_eq!((parcel.generation(), parcel.codes(), parcel.used()), (2, 3, 1));

    // Marked: from here on the source gives out none.
    for (path, body) in [("retrieve", json!({})), ("sets", json!({"codes": ["eeeee-55555", "fffff-66666"]}))] {
        let refused = source.act(&format!("{path}/github/acme"), body).await;
        assert_eq!((refused.status, refused.word()), (400, "moved"), "{refused:?}");
    }
    let arrived = arrive(&target, "github/acme", &parcel).await;
    assert_eq!(arrived.status, 200, "{arrived:?}");
    let told = |data: &Value, field: &str| data[field].clone();
    assert_eq!(told(&arrived.data, "remaining"), 3);
    assert_eq!(told(&arrived.data, "unchanged"), false);
    assert_eq!(carried(target.read("accounts/github/acme").await), carried(before));
    source.engine.departed(&name("github/acme"), TO, &there(&arrived), "run").await.unwrap();

    let ended = source.read("accounts/github/acme").await;
    assert_eq!((&ended["sets"][1]["cause"], &ended["sets"][1]["destroyed"]), (&json!("transferred"), &json!(true)));
    // The provider must not kill codes that live on elsewhere; the set before them is another matter.
    source.act("confirm/github/acme", json!({"generation": 1})).await;
    let warnings = source.read("accounts/github/acme").await["warnings"].clone();
    assert!(!warnings.as_array().unwrap().contains(&json!("unconfirmed")), "{warnings}");
    let refused = source.act("retrieve/github/acme", json!({})).await;
    assert!(refused.error.contains("moved: the account was moved to https://vault.example.com"), "{refused:?}");

    // The codes that are left come out there, in their order; the used one never again.
    for code in &CODES[1..] {
        let answer = target.act("retrieve/github/acme", json!({})).await;
        assert_eq!(answer.code.as_deref(), Some(*code), "{answer:?}");
    }
    assert_eq!(target.act("retrieve/github/acme", json!({})).await.word(), "exhausted");
}

#[tokio::test]
async fn the_ledger_there_names_the_ledger_here() {
    let (source, target) = two().await;
    let parcel = depart(&source, "github/acme").await;
    let arrived = arrive(&target, "github/acme", &parcel).await;
    source.engine.departed(&name("github/acme"), TO, &there(&arrived), "run").await.unwrap();
    let history = |answer: Answer| answer.data["entries"].as_array().unwrap().clone();
    let verify = json!({"verify": "true"});
    let here = source.root(Operation::Read, "history/github/acme", verify.clone()).await;
    let gone = target.root(Operation::Read, "history/github/acme", verify).await;
    assert_eq!((&here.data["verified"], &gone.data["verified"]), (&json!(true), &json!(true)));
    let (here, gone) = (history(here), history(gone));
    let [mark, end] = &here[here.len() - 2..] else { panic!("{here:?}") };
    let arrival = &gone[0];
    assert_eq!((&arrival["act"], &arrival["detail"]["source"]["head"]), (&json!("transfer"), &mark["hash"]));
    assert_eq!(arrival["detail"]["source"]["seq"], mark["seq"]);
    assert_eq!((&mark["detail"]["leaves"], &end["detail"]["left"]), (&json!(TO), &json!(TO)));
    assert_eq!(end["detail"]["there"]["head"], arrival["hash"]);
}

#[tokio::test]
async fn codes_of_every_generation_stay_known() {
    let (source, target) = two().await;
    let parcel = depart(&source, "github/acme").await;
    arrive(&target, "github/acme", &parcel).await;
    for old in [&OLD[..], &CODES[..1], &["ZZZZZ 99999", "new-code-1"]] {
        let refused = target.act("sets/github/acme", json!({"codes": old})).await;
        assert_eq!((refused.status, refused.word()), (400, "known-codes"), "{refused:?}");
    }
    let text = target.act("revoke/github/acme", json!({"reason": "found zzzzz-99999 in a mail"})).await;
    assert_eq!((text.status, text.word()), (400, "reason"), "{text:?}");
    for (code, generation, state) in [(OLD[1], 1, "void"), (CODES[0], 2, "dispensed"), (CODES[3], 2, "held")] {
        let found = target.act("check/github/acme", json!({"code": code})).await;
        assert_eq!(found.data["match"], true, "{found:?}");
        assert_eq!((&found.data["generation"], &found.data["state"]), (&json!(generation), &json!(state)), "{found:?}");
    }
    // A second move takes them along again.
    let third = Bench::new().await;
    third.fine("roles/admin", json!({"operations": ["store", "transfer"]})).await;
    third.wait(1000);
    target.store("github/acme", &["eeeee-55555", "fffff-66666"]).await;
    let on = depart(&target, "github/acme").await;
    assert_eq!(arrive(&third, "github/acme", &on).await.data["generation"], 3);
    for old in [OLD[0], CODES[2], "eeeee-55555"] {
        let refused = third.act("sets/github/acme", json!({"codes": [old, "another-code-1"]})).await;
        assert_eq!(refused.word(), "known-codes", "{old}: {refused:?}");
    }
}

#[tokio::test]
async fn it_may_be_sent_again_and_changes_nothing() {
    let (source, target) = two().await;
    let parcel = depart(&source, "github/acme").await;
    assert!(parcel.is_fresh());
    arrive(&target, "github/acme", &parcel).await;
    target.act("retrieve/github/acme", json!({})).await;
    // The answer was lost: the same parcel again, and the code that has left meanwhile stays gone.
    let again = depart(&source, "github/acme").await;
    assert!(!again.is_fresh());
    let answer = arrive(&target, "github/acme", &again).await;
    assert_eq!((&answer.data["unchanged"], &answer.data["remaining"]), (&json!(true), &json!(2)), "{answer:?}");
    source.engine.departed(&name("github/acme"), TO, &there(&answer), "run").await.unwrap();
    assert!(matches!(
        source.engine.depart(&name("github/acme"), TO, true, "run").await.unwrap(),
        Leave::Gone { to } if to == TO
    ));
    let next = target.act("retrieve/github/acme", json!({})).await;
    assert_eq!(next.code.as_deref(), Some(CODES[2]));
}

#[tokio::test]
async fn what_happened_at_the_source_after_the_mark_comes_too_unless_the_target_went_on() {
    let (source, target) = two().await;
    let parcel = depart(&source, "github/acme").await;
    arrive(&target, "github/acme", &parcel).await;
    // Somebody started the source again, and an event came.
    source.act("enroll/github/acme", json!({"reason": "new phone"})).await;
    let later = depart(&source, "github/acme").await;
    let answer = arrive(&target, "github/acme", &later).await;
    assert_eq!((answer.status, &answer.data["unchanged"]), (200, &json!(false)), "{answer:?}");
    assert_eq!(target.read("accounts/github/acme").await["enrollment"]["number"], 1);
    assert_eq!(target.act("retrieve/github/acme", json!({})).await.word(), "ended");
    // The older parcel is refused, and so is a newer one once something was done here.
    assert_eq!(arrive(&target, "github/acme", &parcel).await.word(), "exists");
    let fresh = json!({"codes": ["eeeee-55555", "fffff-66666"], "enrollment": 1});
    assert_eq!(target.act("sets/github/acme", fresh).await.status, 200);
    source.act("enroll/github/acme", json!({"reason": "another phone"})).await;
    let newest = depart(&source, "github/acme").await;
    let refused = arrive(&target, "github/acme", &newest).await;
    assert_eq!((refused.status, refused.word()), (400, "exists"), "what was done here was overwritten: {refused:?}");
}

#[tokio::test]
async fn an_account_that_is_here_is_not_overwritten_and_one_that_was_only_heard_of_is_filled() {
    let (source, target) = two().await;
    source.store("github/other", &["eeeee-55555", "fffff-66666"]).await;
    target.store("github/acme", &["eeeee-55555", "fffff-66666"]).await;
    let parcel = depart(&source, "github/acme").await;
    let refused = arrive(&target, "github/acme", &parcel).await;
    assert_eq!((refused.status, refused.word()), (400, "exists"), "{refused:?}");
    assert_eq!(target.read("accounts/github/acme").await["remaining"], 2);
    // Back as it was.
    source.engine.stay(&name("github/acme"), "refused there", "run").await.unwrap();
    assert_eq!(source.act("retrieve/github/acme", json!({})).await.code.as_deref(), Some(CODES[1]));

    // An event came here first: its mark holds for what arrives later.
    target.wait(1000);
    target.act("enroll/github/other", json!({"reason": "new phone"})).await;
    let parcel = depart(&source, "github/other").await;
    assert_eq!(arrive(&target, "github/other", &parcel).await.status, 200);
    assert_eq!(target.act("retrieve/github/other", json!({})).await.word(), "ended");
    assert_eq!(target.read("accounts/github/other").await["enrollment"]["number"], 1);
}

#[tokio::test]
async fn a_tombstone_and_a_stub_go_along() {
    let (source, target) = two().await;
    source.store("github/gone", &["eeeee-55555", "fffff-66666"]).await;
    source.act("revoke/github/gone", json!({"reason": "left"})).await;
    let deleted = source.root(Operation::Delete, "accounts/github/gone", json!({})).await;
    assert_eq!(deleted.status, 204, "{deleted:?}");
    source.act("enroll/github/stub", json!({"reason": "new phone"})).await;
    for account in ["github/gone", "github/stub"] {
        let parcel = depart(&source, account).await;
        let answer = arrive(&target, account, &parcel).await;
        assert_eq!((answer.status, &answer.data["remaining"]), (200, &json!(0)), "{answer:?}");
        let again = arrive(&target, account, &parcel).await;
        assert_eq!(again.data["unchanged"], true, "{again:?}");
    }
    assert_eq!(target.root(Operation::Read, "accounts/github/gone", json!({})).await.status, 404);
    let refused = target.act("sets/github/gone", json!({"codes": ["eeeee-55555", "another-one-1"]})).await;
    assert_eq!(refused.word(), "known-codes", "{refused:?}");
    target.store("github/gone", &["ggggg-77777", "hhhhh-88888"]).await;
    assert_eq!(target.read("accounts/github/gone").await["generation"], 2);
    let owed = target.act("sets/github/stub", json!({"codes": ["ggggg-77777", "hhhhh-88888"]})).await;
    assert_eq!(owed.word(), "enrollment", "{owed:?}");
}

/// A parcel whose codes stand in each other's slots, or are other ones, is not taken in: the provider asks for code number 2.
#[tokio::test]
async fn codes_that_are_not_those_of_the_fingerprints_are_refused_and_nothing_is_stored() {
    let (source, target) = two().await;
    let good = body(&*depart(&source, "github/acme").await);
    let mut changed = good.clone();
    let codes = changed["codes"].as_array_mut().unwrap();
    assert_eq!(codes.len(), 3);
    codes.swap(0, 2);
    let refused = target.act("transfer/github/acme", changed).await;
    assert_eq!((refused.status, refused.word()), (400, "codes"), "{refused:?}");
    assert!(
        refused.error.contains("1, 3 are not the codes") && refused.error.contains("nothing was taken in"),
        "{refused:?}"
    );
    assert!(!CODES.iter().any(|code| refused.error.contains(code)), "{refused:?}");
    assert_eq!(target.root(Operation::Read, "accounts/github/acme", json!({})).await.status, 404);
    assert_eq!(target.root(Operation::Read, "history/github/acme", json!({})).await.status, 404);
    let taken = target.act("transfer/github/acme", good).await;
    assert_eq!((taken.status, &taken.data["remaining"]), (200, &json!(3)), "{taken:?}");
}

#[tokio::test]
async fn issued_sets_stay_and_what_cannot_be_is_refused() {
    let (source, target) = two().await;
    source.act("sets/desk/jane", json!({"profile": "issued"})).await;
    let leave = source.engine.depart(&name("desk/jane"), TO, true, "run").await.unwrap();
    assert!(matches!(leave, Leave::Issued { generation: 1 }));
    assert!(matches!(source.engine.depart(&name("nobody"), TO, true, "run").await.unwrap(), Leave::Nothing));
    let good = body(&*depart(&source, "github/acme").await);
    assert!(matches!(
        source.engine.depart(&name("github/acme"), "elsewhere", true, "run").await.unwrap(),
        Leave::Elsewhere { to } if to == TO
    ));
    let without = |pointer: &str, value: Value| {
        let mut body = good.clone();
        *body.pointer_mut(pointer).unwrap() = value;
        body
    };
    for (wrong, field) in [
        (without("/source", json!({"mount_id": "aa"})), "source"),
        (without("/state/profile", json!("nowhere")), "profile"),
        (without("/state/profile", json!("issued")), "profile"),
        (without("/state/generation", json!(1)), "state"),
        (without("/state/sets/0/ended", json!(null)), "state"),
        (without("/state/sets/1/kind", json!("issued")), "state"),
        (without("/state/sets/1/slots", json!([])), "state"),
        (without("/state/sets/0/slots/0", json!({"state": "held"})), "state"),
        (without("/state/sets/0/ended/cause", json!("boredom")), "state"),
        (without("/state/owner", json!("x".repeat(2000))), "state"),
        (without("/state/created_at", json!("yesterday")), "state"),
        (without("/codes", json!([CODES[1]])), "codes"),
        (without("/codes", json!([CODES[1], CODES[2], CODES[2]])), "codes"),
        (without("/codes", json!([CODES[1], CODES[2], 7])), "codes"),
        (without("/codes/1", json!("eeeee-55556")), "codes"),
        (without("/fingerprint_keys/0", json!("07".repeat(32))), "codes"),
        (without("/state/fingerprints/0/account_id", json!("07".repeat(16))), "codes"),
        (without("/state/fingerprints/0/generations/1/lengths", json!([9])), "codes"),
        (without("/state/fingerprints/0/generations/1/until", json!("2036-01-01T12:00:00.000Z")), "state"),
        (without("/state/fingerprints/0/generations/1/prints", json!([])), "state"),
        (without("/state/fingerprints/0/generations/1/generation", json!(7)), "state"),
        (without("/fingerprint_keys", json!([])), "fingerprint_keys"),
        (without("/fingerprint_keys/0", json!("zz")), "fingerprint_keys"),
    ] {
        let refused = target.act("transfer/github/acme", wrong).await;
        assert_eq!((refused.status, refused.word()), (400, field), "{refused:?}");
        assert!(!CODES.iter().any(|code| refused.error.contains(code)), "{refused:?}");
    }
    let own = source.act("transfer/github/acme", good.clone()).await;
    assert_eq!((own.status, own.word()), (400, "source"), "{own:?}");
    let role = json!({"operations": ["store", "retrieve"]});
    target.fine("roles/admin", role).await;
    let denied = target.act("transfer/github/acme", good).await;
    assert_eq!(denied.status, 403, "{denied:?}");
    assert_eq!(target.root(Operation::Read, "accounts/github/acme", json!({})).await.status, 404);
}
