//! Issued sets: made here, shown once, kept as verifiers.

use serde_json::{Value, json};
use sparekey::auth::Caller;
use sparekey::engine::request::Operation;
use sparekey::storage::{Found, Get, Storage};

use crate::harness::{Bench, CODES, INVALID, wrap};

/// Makes a set of an account under `profile`; answers its codes.
pub async fn issue(bench: &Bench, account: &str, profile: &str) -> Vec<String> {
    let answer = bench.act(&format!("sets/{account}"), json!({"profile": profile})).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.codes
}

/// A profile whose codes need no stretching, for tests in which many are presented.
pub async fn plain_profile(bench: &Bench) {
    bench.fine("profiles/plain", json!({"kind": "issued", "length": 24, "verifier": "hmac-sha256"})).await;
}

#[tokio::test]
async fn a_set_is_made_and_its_codes_are_shown_once() {
    let bench = Bench::new().await;
    let answer = bench.act("sets/app/jane", json!({"profile": "issued", "cas": 0, "idempotency_key": "k"})).await;
    assert_eq!((answer.status, &answer.data["generation"], &answer.data["remaining"]), (200, &json!(1), &json!(10)));
    assert_eq!(answer.codes.len(), 10);
    for code in &answer.codes {
        let groups: Vec<&str> = code.split('-').collect();
        assert!(groups.len() == 4 && groups.iter().all(|group| group.len() == 4), "{code}");
        assert!(code.bytes().all(|b| b == b'-' || b"0123456789ABCDEFGHJKMNPQRSTVWXYZ".contains(&b)), "{code}");
    }
    assert!(answer.data.get("codes").is_none(), "codes leave through the box only");
    assert!(answer.warnings.iter().any(|warning| warning.contains("shown this once")), "{answer:?}");
    let again = bench.act("sets/app/jane", json!({"profile": "issued", "cas": 0, "idempotency_key": "k"})).await;
    assert_eq!((again.status, &again.data["generation"], again.codes.len()), (200, &json!(1), 0), "{again:?}");
    assert!(again.warnings[0].contains("not shown again"), "{again:?}");
    let next = bench.act("sets/app/jane", json!({"cas": 1})).await;
    assert_eq!(next.data["superseded"], json!([1]));
    assert!(next.codes.iter().all(|code| !answer.codes.contains(code)));
    let account = bench.read("accounts/app/jane").await;
    assert_eq!((&account["profile"], &account["sets"][1]["kind"]), (&json!("issued"), &json!("issued")));
    assert_eq!(account["sets"][1]["slots"][0]["state"], "held");
    assert_eq!(
        (&account["sets"][0]["slots"][0]["state"], &account["sets"][0]["destroyed"]),
        (&json!("void"), &json!(true))
    );
    assert_eq!(account["sets"][0]["provider"], Value::Null, "there is nobody else to confirm anything");
    assert!(!account["warnings"].as_array().unwrap().contains(&json!("unconfirmed")));
}

#[tokio::test]
async fn the_profile_decides_what_codes_look_like() {
    let bench = Bench::new().await;
    let digits = json!({"kind": "issued", "count": 3, "length": 20, "alphabet": "digits", "group": 5});
    bench.fine("profiles/digits", digits).await;
    let codes = issue(&bench, "a", "digits").await;
    assert_eq!(codes.len(), 3);
    assert!(
        codes.iter().all(|code| code.len() == 23 && code.split('-').all(|part| part.parse::<u32>().is_ok())),
        "{codes:?}"
    );
    let refused = bench.root(Operation::Update, "profiles/weak", json!({"kind": "issued", "length": 12})).await;
    assert_eq!((refused.status, refused.word()), (INVALID, "length"));
    let refused =
        bench.root(Operation::Update, "profiles/weak", json!({"kind": "issued", "verifier": "hmac-sha256"})).await;
    assert_eq!((refused.status, refused.word()), (INVALID, "verifier"));
    let refused = bench.root(Operation::Update, "profiles/issued", json!({"kind": "escrowed"})).await;
    assert!(refused.word() == "kind" && refused.error.contains("cannot be changed"), "{refused:?}");
    let list = bench.root(Operation::List, "profiles/", json!({})).await;
    assert_eq!(list.data["keys"], json!(["digits", "escrowed", "issued"]));
}

#[tokio::test]
async fn what_does_not_fit_the_kind_is_refused_by_its_field() {
    let bench = Bench::new().await;
    for (profile, body, field) in [
        ("issued", json!({"codes": CODES}), "codes"),
        ("issued", json!({"used": [1]}), "used"),
        ("issued", json!({"bound_at": 1_800_000_000}), "bound_at"),
        ("escrowed", json!({}), "codes"),
    ] {
        let mut body = body;
        body["profile"] = json!(profile);
        let answer = bench.act("sets/a", body.clone()).await;
        assert_eq!((answer.status, answer.word()), (INVALID, field), "{body}: {answer:?}");
    }
    assert_eq!(bench.root(Operation::Read, "accounts/a", json!({})).await.status, 404, "nothing was made");
}

#[tokio::test]
async fn nobody_gets_an_issued_code_back() {
    let bench = Bench::new().await;
    issue(&bench, "a", "issued").await;
    for body in [json!({}), json!({"slot": 3}), json!({"idempotency_key": "k"})] {
        let answer = bench.act("retrieve/a", body).await;
        assert_eq!((answer.status, answer.word(), &answer.code), (INVALID, "issued", &None), "{answer:?}");
        assert!(answer.error.contains("nobody can read them back"), "{answer:?}");
    }
    assert_eq!(bench.read("accounts/a").await["remaining"], 10);
}

#[tokio::test]
async fn a_new_set_may_be_made_right_after_an_enrollment() {
    let bench = Bench::new().await;
    issue(&bench, "a", "issued").await;
    bench.wait(60);
    let told = bench.act("enroll/a", json!({"enrollment_id": "e1"})).await;
    assert_eq!(told.data["superseded"], json!([1]));
    let answer = bench.act("sets/a", json!({"cas": 1})).await;
    assert_eq!((answer.status, answer.codes.len()), (200, 10), "made now, they are newer than any event: {answer:?}");
    assert_eq!(bench.read("accounts/a").await["active_generation"], 2);
    let stale = bench.act("sets/a", json!({"enrollment": 7})).await;
    assert_eq!((stale.status, stale.word()), (INVALID, "enrollment"));
}

/// Every stored byte, barrier and all below left out.
pub async fn stored_bytes(bench: &Bench) -> Vec<u8> {
    let mut all = Vec::new();
    let mut folders = vec![String::new()];
    while let Some(folder) = folders.pop() {
        for name in bench.store.list(&folder, None, 1000).await.unwrap() {
            let key = format!("{folder}{name}");
            if name.ends_with('/') {
                folders.push(key);
                continue;
            }
            all.extend_from_slice(key.as_bytes());
            if let Found::Value(bytes, _) = bench.store.get_many(vec![Get::new(&key)]).await.unwrap().remove(0) {
                all.extend(bytes);
            }
        }
    }
    all
}

/// The spellings under which a code could lie about.
pub fn spellings(code: &str) -> Vec<Vec<u8>> {
    let bare = code.replace('-', "");
    let mut all = Vec::new();
    for text in [code.to_owned(), bare.clone(), bare.to_lowercase(), code.to_lowercase()] {
        all.push(hex::encode(&text).into_bytes());
        all.push(base64::Engine::encode(&base64::engine::general_purpose::STANDARD_NO_PAD, &text).into_bytes());
        all.push(text.into_bytes());
    }
    all
}

#[tokio::test]
async fn the_store_holds_verifiers_only() {
    let bench = Bench::new().await;
    plain_profile(&bench).await;
    let mut codes = issue(&bench, "stretched", "issued").await;
    codes.extend(issue(&bench, "plain", "plain").await);
    codes.extend(bench.act("sets/stretched", json!({"cas": 1})).await.codes);
    let bytes = stored_bytes(&bench).await;
    for code in &codes {
        for spelling in spellings(code) {
            assert!(!bytes.windows(spelling.len()).any(|window| window == spelling), "{code} lies in the store");
        }
    }
    assert!(bytes.windows(9).any(|window| window == b"stretched"), "the search itself must be able to find");
}

#[tokio::test]
async fn a_role_that_wants_codes_wrapped_makes_none_bare() {
    let bench = Bench::new().await;
    bench.fine("roles/admin", json!({"wrap": "required"})).await;
    let refused = bench.act("sets/a", json!({"profile": "issued"})).await;
    assert_eq!((refused.status, refused.codes.len()), (403, 0), "{refused:?}");
    assert!(refused.error.contains("must be wrapped"), "{refused:?}");
    let body = json!({"profile": "issued", "jwt": bench.jwt(json!({}))});
    let made = bench.send(Operation::Update, "sets/a", body, Caller::Anonymous, Some(wrap(1, 60))).await;
    assert_eq!((made.status, made.codes.len()), (200, 10), "the host wraps what the box holds");
    assert_eq!(bench.act("sets/b", json!({"codes": CODES})).await.status, 200, "an import gives nothing out");
}

#[tokio::test]
async fn free_text_that_holds_an_issued_code_is_refused_in_any_spelling() {
    let bench = Bench::new().await;
    plain_profile(&bench).await;
    let stretched = issue(&bench, "stretched", "issued").await;
    let plain = issue(&bench, "plain", "plain").await;
    for (account, codes) in [("stretched", &stretched), ("plain", &plain)] {
        let bare = codes[3].replace('-', "").to_lowercase().replace('0', "o").replace('1', "l");
        let spaced = codes[3].replace('-', " ");
        for text in [codes[3].clone(), format!("she read {spaced} to the desk"), format!("code {bare}.")] {
            let answer = bench.act(&format!("revoke/{account}"), json!({"reason": text})).await;
            assert_eq!((answer.status, answer.word()), (INVALID, "reason"), "{account} {text}: {answer:?}");
            assert!(answer.error.contains("contains a code"), "{answer:?}");
        }
        let label =
            bench.root(Operation::Update, &format!("accounts/{account}"), json!({"labels": {"a": codes[0]}})).await;
        assert_eq!((label.status, label.word()), (INVALID, "labels"), "{label:?}");
        let fine = json!({"reason": "phone lost, INC-4711, called +49 30 1234567 and confirmed"});
        assert_eq!(bench.act(&format!("revoke/{account}"), fine).await.status, 200);
    }
}

#[tokio::test]
async fn an_issued_code_does_not_come_back_as_an_imported_one() {
    let bench = Bench::new().await;
    let codes = issue(&bench, "a", "issued").await;
    bench.fine("accounts/a", json!({"profile": "escrowed"})).await;
    let answer = bench.act("sets/a", json!({"codes": ["aaaaa-11111", codes[4].to_lowercase()]})).await;
    assert_eq!((answer.status, answer.word()), (INVALID, "known-codes"), "{answer:?}");
    assert!(answer.error.contains("codes 2 of this list"), "{answer:?}");
}
