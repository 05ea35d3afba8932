//! Whoever may not touch an account is not told whether there is one: the answers are the same byte by byte, but for what is fresh
//! in every answer.

use serde_json::{Value, json};

use crate::stage::{MOUNT, Stage, codes};
use crate::support::http::{Answer, Client};

/// An answer without what is fresh in each: the date, and the request's id.
fn seen(answer: &Answer, name: &str) -> (u16, Vec<(String, String)>, String) {
    let mut headers: Vec<(String, String)> = answer
        .headers
        .iter()
        .map(|(name, value)| (name.to_ascii_lowercase(), value.clone()))
        .filter(|(name, _)| name != "date")
        .collect();
    headers.sort();
    let mut text = answer.text();
    if let Some(at) = text.find("(request ") {
        let id = text[at + 9..].split(')').next().unwrap().to_owned();
        assert_eq!(id.len(), 36, "{text}");
        text = text.replace(&id, "ID");
    }
    if let Some(id) = serde_json::from_str::<Value>(&text).ok().and_then(|v| Some(v["request_id"].as_str()?.to_owned()))
    {
        text = text.replace(&id, "ID");
    }
    (answer.status, headers, text.replace(name, "NAME"))
}

/// Accounts out of reach, in every state, and one that was never there. Their names have one length.
const STATES: [&str; 6] =
    ["okta/holding", "okta/emptied", "okta/revoked", "okta/stubbed", "okta/deleted", "okta/blocked"];
const ABSENT: &str = "okta/missing";

fn set_up() -> Stage {
    let stage = Stage::new();
    stage.fine("profiles/careful", json!({"on_enrollment": "quarantine"}));
    for account in &STATES[..3] {
        stage.store(account, &codes(&account[5..7], 2));
    }
    for _ in 0..2 {
        stage.act("retrieve", "okta/emptied", json!({})).expect(200);
    }
    stage.act("revoke", "okta/revoked", json!({"reason": "x"})).expect(200);
    stage.act("enroll", "okta/stubbed", json!({})).expect(200);
    stage.fine("accounts/okta/deleted", json!({"owner": "x"}));
    stage.root.delete(&format!("{MOUNT}/accounts/okta/deleted")).expect(204);
    let careful = json!({"codes": codes("bl", 2), "profile": "careful"});
    stage.act("sets", "okta/blocked", careful).expect(200);
    stage.act("enroll", "okta/blocked", json!({})).expect(200);
    stage
}

#[test]
fn acts_out_of_reach_answer_the_same_whatever_is_there() {
    let stage = set_up();
    let narrow = stage.login("narrow");
    let wrapped = stage.nobody.header("X-Vault-Wrap-TTL", "60s");
    let before = stage.world();
    let acts: Vec<(&str, Value)> = vec![
        ("retrieve", json!({})),
        ("retrieve", json!({"slot": 1})),
        ("retrieve", json!({"slot": 500})),
        ("retrieve", json!({"idempotency_key": "k"})),
        ("retrieve", json!({"reason": codes("ho", 2)[0]})),
        ("sets", json!({"codes": codes("ho", 2)})),
        ("sets", json!({"codes": codes("nw", 4), "cas": 0})),
        ("sets", json!({"codes": codes("nw", 4), "cas": 1, "enrollment": 1})),
        ("sets", json!({"codes": codes("nw", 4), "profile": "careful"})),
        ("sets", json!({"codes": codes("nw", 4), "profile": "no-such-profile"})),
        ("sets", json!({"codes": codes("nw", 4), "bound_at": "2001-01-01T00:00:00Z"})),
        ("enroll", json!({"enrollment_id": "e"})),
        ("revoke", json!({"reason": "x"})),
        ("revoke", json!({"reason": "x", "generation": 1})),
        ("release", json!({"reason": "x", "generation": 1})),
    ];
    for (act, body) in &acts {
        for (who, client) in [("nobody", &stage.nobody), ("a login", &narrow), ("a wrapper", &wrapped)] {
            let ask = |account: &str, jwt: Option<String>| {
                let mut body = body.clone();
                body["role"] = json!("narrow");
                if let Some(jwt) = jwt {
                    body["jwt"] = json!(jwt);
                }
                seen(&client.write(&format!("{MOUNT}/{act}/{account}"), &body), account)
            };
            for (what, jwt) in [
                ("good", Some(stage.jwt(&json!({})))),
                ("of another team", Some(stage.jwt(&json!({"team": "hr"})))),
                ("expired", Some(stage.jwt(&json!({"exp": 1})))),
                ("nonsense", Some("a.b.c".to_owned())),
                ("absent", None),
            ] {
                let wanted = ask(ABSENT, jwt.clone());
                assert_eq!(wanted.0, 403, "{act} by {who}, {what} assertion: {}", wanted.2);
                for account in STATES {
                    assert_eq!(
                        ask(account, jwt.clone()),
                        wanted,
                        "{act} {body} to {account} by {who}, {what} assertion"
                    );
                }
            }
        }
    }
    assert_eq!(stage.world(), before, "nothing changed");
    // The same acts within reach do tell the accounts apart.
    let tell = |account: &str| stage.act("retrieve", account, json!({"role": "admin"})).error();
    assert!(tell("okta/emptied").starts_with("exhausted: "), "{}", tell("okta/emptied"));
    assert!(tell(ABSENT).starts_with("no-set: "), "{}", tell(ABSENT));
    stage.act("retrieve", "okta/holding", json!({"role": "admin"})).expect(200);
}

#[test]
fn reads_out_of_reach_answer_the_same_whatever_is_there() {
    let stage = set_up();
    let narrow = stage.login("narrow");
    let bad = stage.nobody.token("s.aaaaaaaaaaaaaaaaaaaaaaaa");
    let clients: [(&str, &Client); 3] = [("nobody", &stage.nobody), ("a login", &narrow), ("a bad token", &bad)];
    for (who, client) in clients {
        for (method, path) in [
            ("GET", "accounts"),
            ("GET", "history"),
            ("DELETE", "accounts"),
            ("POST", "accounts"),
            ("GET", "retrieve"),
            ("GET", "sets"),
            ("HELP", "accounts"),
        ] {
            let ask = |account: &str| {
                let body = (method == "POST").then_some(&b"{\"owner\":\"x\"}"[..]);
                seen(&client.send(method, &format!("{MOUNT}/{path}/{account}"), body), account)
            };
            let wanted = ask(ABSENT);
            let helped = method == "HELP" && who == "a login";
            assert!(matches!(wanted.0, 403 | 405) || helped, "{method} {path} by {who}: {} {}", wanted.0, wanted.2);
            for account in STATES {
                assert_eq!(ask(account), wanted, "{method} {path}/{account} by {who}");
            }
        }
        let capable = |account: &str| {
            let body = json!({"paths": [format!("{MOUNT}/retrieve/{account}"), format!("{MOUNT}/accounts/{account}")]});
            seen(&client.write("sys/capabilities-self", &body), account)
        };
        for account in STATES {
            assert_eq!(capable(account), capable(ABSENT), "capabilities on {account} of {who}");
        }
    }
    let listed = narrow.list(&format!("{MOUNT}/accounts/okta"));
    assert_eq!((listed.status, listed.json()), (404, json!({"errors": []})), "a folder out of reach is no folder");
    let none = narrow.list(&format!("{MOUNT}/accounts/nowhere"));
    assert_eq!(seen(&listed, "okta"), seen(&none, "nowhere"));
    // Within reach they differ.
    let admin = stage.login("admin");
    admin.read(&format!("{MOUNT}/accounts/okta/holding")).expect(200);
    admin.read(&format!("{MOUNT}/accounts/{ABSENT}")).expect(404);
}

#[test]
fn a_token_that_never_was_and_one_that_is_over_look_alike() {
    let stage = Stage::new();
    let over = stage.login("admin");
    over.write("auth/token/revoke-self", &json!({})).expect(204);
    let never = stage.nobody.token("s.aaaaaaaaaaaaaaaaaaaaaaaa");
    for (method, path) in [
        ("GET", "auth/token/lookup-self"),
        ("GET", "backup-codes/accounts/github/acme-owner"),
        ("GET", "sys/mounts"),
        ("POST", "sys/wrapping/lookup"),
        ("POST", "sys/wrapping/unwrap"),
        ("POST", "backup-codes/retrieve/github/acme-owner"),
    ] {
        let ask = |client: &Client| {
            let body = stage.asserted(json!({})).to_string();
            seen(&client.send(method, path, (method == "POST").then_some(body.as_bytes())), "-")
        };
        assert_eq!(ask(&over), ask(&never), "{method} {path}");
        assert!(matches!(ask(&over).0, 400 | 403), "{method} {path}: {:?}", ask(&over));
    }
}
