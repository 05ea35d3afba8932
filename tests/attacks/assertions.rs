//! Every wrong JWT of the table through `retrieve` and through `auth/jwt/login`, next to the good ones.

use std::collections::HashMap;

use serde_json::{Value, json};
use sparekey::clock::Clock;

use crate::jwt_table::{self, Table, table};
use crate::stage::{MOUNT, Stage, codes};

const RETRIEVE: &str = "backup-codes/retrieve/github/acme-owner";

fn set_up() -> (Stage, Table) {
    let stage = Stage::empty();
    let table = table(stage.node.clock.now().secs());
    for (name, issuer) in &table.issuers {
        stage.fine(&format!("issuers/{name}"), issuer.clone());
    }
    stage.fine("roles/table", table.role.clone());
    stage.store(jwt_table::ACCOUNT, &codes("a", table.good.len() + 8));
    (stage, table)
}

#[test]
fn every_good_assertion_is_taken() {
    let (stage, table) = set_up();
    assert!(table.good.len() >= 20);
    let mut seen = Vec::new();
    for (name, jwt) in &table.good {
        let body = json!({"role": "table", "jwt": jwt});
        let answer = stage.nobody.write(RETRIEVE, &body);
        assert_eq!(answer.status, 200, "{name}: {}", answer.text());
        seen.push(answer.data()["code"].as_str().unwrap().to_owned());
        let answer = stage.nobody.write("auth/jwt/login", &body);
        assert_eq!(answer.status, 200, "{name}: {}", answer.text());
        let token = answer.json()["auth"]["client_token"].as_str().unwrap().to_owned();
        stage.nobody.token(&token).read("auth/token/lookup-self").expect(200);
    }
    assert_eq!(seen, codes("a", table.good.len()), "each another code, lowest first");
}

#[test]
fn every_wrong_assertion_is_refused_by_name_and_on_the_record() {
    let (stage, table) = set_up();
    let held = codes("a", table.good.len() + 8);
    let before = stage.world();
    let mark = stage.audit_len();
    let mut said = HashMap::new();
    assert!(table.bad.len() >= 200, "{}", table.bad.len());
    for bad in &table.bad {
        let body = json!({"role": "table", "jwt": bad.token});
        let answer = stage.nobody.write(RETRIEVE, &body);
        assert_eq!(answer.status, 403, "{}: {}", bad.name, answer.text());
        let sentence = answer.error();
        let of_role = matches!(bad.reason, "BoundClaim" | "BoundClaimMissing" | "BoundClaimType" | "TooOld");
        let layer = if of_role { "role: " } else { "assertion: " };
        assert!(sentence.starts_with(layer), "{} is not told by its layer: {sentence}", bad.name);
        assert_eq!(answer.json(), json!({"errors": [sentence]}), "{}", bad.name);
        assert!(sentence.len() < 320 && !sentence.chars().any(char::is_control), "{}: {sentence:?}", bad.name);
        assert!(held.iter().all(|code| !sentence.contains(code.as_str())), "{}", bad.name);
        let (_, id) = sentence.rsplit_once(" (request ").unwrap_or_else(|| panic!("{}: {sentence}", bad.name));
        said.insert(id.trim_end_matches(')').to_owned(), (&bad.name, sentence.clone()));

        let answer = stage.nobody.write("auth/jwt/login", &body);
        assert!(matches!(answer.status, 400 | 403), "{}: {} {}", bad.name, answer.status, answer.text());
        assert!(answer.json().get("auth").is_none() && !answer.text().contains("client_token"), "{}", bad.name);
        assert!(!answer.error().is_empty() && answer.error().len() < 400, "{}: {}", bad.name, answer.text());
    }
    assert_eq!(said.len(), table.bad.len(), "every refusal has an id of its own");

    let answered = stage.answered_since(mark);
    let of = |path: &str| answered.iter().filter(|line| line["request"]["path"] == path).collect::<Vec<&Value>>();
    for line in of(RETRIEVE) {
        let id = line["request"]["id"].as_str().unwrap();
        let (name, sentence) = said.remove(id).unwrap_or_else(|| panic!("a line of no request: {line}"));
        assert_eq!(line["response"]["status"], 403, "{name}");
        assert_eq!(line["error"], json!(sentence), "{name}: the record says what the caller was told");
        assert!(line.get("disclosed").is_none(), "{name}");
    }
    assert!(said.is_empty(), "not on the record: {said:?}");
    let logins = of("auth/jwt/login");
    assert_eq!(logins.len(), table.bad.len());
    assert!(logins.iter().all(|line| line["response"]["status"].as_u64() >= Some(400) && line["error"].is_string()));

    assert_eq!(stage.world(), before, "nothing changed");
    let answer = stage.nobody.write(RETRIEVE, &json!({"role": "table", "jwt": table.good[0].1}));
    assert_eq!(answer.expect(200).data()["remaining"], table.good.len() + 7, "and the good one is still taken");
}

#[test]
fn no_other_act_takes_a_wrong_assertion_either() {
    let (stage, table) = set_up();
    let mut role = table.role.clone();
    role["operations"] = json!(["store", "retrieve", "enroll", "revoke", "release"]);
    stage.fine("roles/table", role);
    let before = stage.world();
    let acts = [
        ("sets", json!({"codes": codes("b", 3)})),
        ("enroll", json!({"method": "app"})),
        ("revoke", json!({"reason": "x"})),
        ("release", json!({"reason": "x"})),
    ];
    for bad in &table.bad {
        let (act, body) = &acts[bad.name.len() % acts.len()];
        let mut body = body.clone();
        body["role"] = json!("table");
        body["jwt"] = json!(bad.token);
        let answer = stage.nobody.write(&format!("{MOUNT}/{act}/{}", jwt_table::ACCOUNT), &body);
        assert_eq!(answer.status, 403, "{act}, {}: {}", bad.name, answer.text());
    }
    assert_eq!(stage.world(), before, "nothing changed");
    let (act, mut body) = acts[0].clone();
    body["role"] = json!("table");
    body["jwt"] = json!(table.good[0].1);
    stage.nobody.write(&format!("{MOUNT}/{act}/{}", jwt_table::ACCOUNT), &body).expect(200);
}

#[test]
fn nothing_stands_in_for_an_assertion() {
    let stage = Stage::new();
    let before = stage.remaining();
    let path = "backup-codes/retrieve/github/acme-owner";
    let jwt = stage.jwt(&json!({}));
    let login = stage.login("admin");
    for (name, client, body) in [
        ("nothing", &stage.nobody, json!({})),
        ("root", &stage.root, json!({})),
        ("root and null", &stage.root, json!({"jwt": null})),
        ("root and an empty text", &stage.root, json!({"jwt": ""})),
        ("a login, whose role wants a JWT in the request", &login, json!({})),
        ("a JWT as bearer", &stage.nobody.header("Authorization", &format!("Bearer {jwt}")), json!({})),
        ("a JWT as token", &stage.nobody.token(&jwt), json!({})),
        ("a JWT under another name", &stage.nobody, json!({"token": jwt, "JWT": jwt, "assertion": jwt})),
        ("a JWT in a list", &stage.root, json!({"jwt": [jwt]})),
        ("a JWT in an object", &stage.root, json!({"jwt": {"jwt": jwt}})),
    ] {
        let answer = client.write(path, &body);
        assert!(matches!(answer.status, 400 | 403), "{name}: {} {}", answer.status, answer.text());
        assert_eq!(stage.remaining(), before, "{name}");
    }
    stage.nobody.write(path, &json!({"jwt": jwt})).expect(200);
    let answer = stage.nobody.write(path, &json!({"jwt": jwt}));
    assert_eq!(answer.status, 403, "the same JWT again: {}", answer.text());
    assert_eq!(stage.remaining(), before - 1);
}
