//! The examples of `docs/api.md` are answers of the engine: this plays them and compares. `UPDATE_DOCS=1` writes them anew.

use std::fmt::Write as _;

use serde_json::{Value, json};
use sparekey::auth::Caller;
use sparekey::engine::request::Operation;

use crate::document;
use crate::harness::Bench;

/// Plays requests and writes down what they came to.
struct Play {
    bench: Bench,
    out: String,
    ids: u32,
    /// The codes that were made last: random, so the document shows others.
    made: Vec<String>,
}

/// Stands for a code that was made.
const SHOWN: &str = "7KQ2-9M2P-XW4T-B8HD";

impl Play {
    fn id(&mut self) -> String {
        self.ids += 1;
        format!("6ba7b810-9dad-41d1-80b4-{:012}", self.ids)
    }
    /// An act under a fresh assertion. Asserts the status, so that the example is the one that is meant.
    async fn act(&mut self, title: &str, path: &str, body: Value, status: u16) -> Value {
        let mut sent = body.clone();
        sent["jwt"] = json!(self.bench.jwt(json!({})));
        let mut shown = body;
        shown["jwt"] = json!("eyJ…");
        self.play(title, Operation::Update, path, (sent, shown), Caller::Anonymous, status).await
    }
    /// An act that presents the first of the codes that were made.
    async fn present(&mut self, title: &str, path: &str) -> Value {
        let sent = json!({"code": self.made[0], "jwt": self.bench.jwt(json!({}))});
        let shown = json!({"code": SHOWN, "jwt": "eyJ…"});
        self.play(title, Operation::Update, path, (sent, shown), Caller::Anonymous, 200).await
    }
    async fn read(&mut self, title: &str, path: &str) -> Value {
        let root = Caller::Root { accessor: "root".into() };
        self.play(title, Operation::Read, path, (json!({}), json!({})), root, 200).await
    }
    async fn play(
        &mut self,
        title: &str,
        operation: Operation,
        path: &str,
        (sent, shown): (Value, Value),
        caller: Caller,
        status: u16,
    ) -> Value {
        let id = self.id();
        let mut answer = self.bench.send_as(&id, operation, path, sent, caller, None).await;
        assert_eq!(answer.status, status, "{title}: {answer:?}");
        let method = if operation == Operation::Update { "POST" } else { "GET" };
        let body = if operation == Operation::Update { format!("\n{}", pretty(&shown)) } else { String::new() };
        let _ = writeln!(self.out, "{title}\n\n```text\n{method} {path}{body}\n\n{status}");
        if let Some(code) = &answer.code {
            answer.data["code"] = json!(code);
        }
        if !answer.codes.is_empty() {
            answer.data["codes"] = json!([SHOWN, "…"]);
            self.made = answer.codes.clone();
        }
        match (answer.status, answer.error.as_str()) {
            (200, _) => drop(writeln!(self.out, "{}", pretty(&json!({"data": masked(&answer.data)})))),
            (_, "") => {}
            (_, error) => drop(writeln!(self.out, "{}", pretty(&json!({"errors": [error]})))),
        }
        for warning in &answer.warnings {
            let _ = writeln!(self.out, "warning: {warning}");
        }
        let _ = writeln!(self.out, "```\n");
        answer.data
    }
}

/// JSON with short lists and objects on one line.
fn pretty(value: &Value) -> String {
    fn write(value: &Value, indent: usize, out: &mut String) {
        let flat = value.to_string();
        let pad = " ".repeat(indent + 2);
        match value {
            Value::Object(map) if flat.len() + indent > 96 => {
                out.push_str("{\n");
                for (index, (name, value)) in map.iter().enumerate() {
                    let _ = write!(out, "{pad}\"{name}\": ");
                    write(value, indent + 2, out);
                    out.push_str(if index + 1 < map.len() { ",\n" } else { "\n" });
                }
                out.push_str(&" ".repeat(indent));
                out.push('}');
            }
            Value::Array(items) if flat.len() + indent > 96 => {
                out.push_str("[\n");
                for (index, value) in items.iter().enumerate() {
                    out.push_str(&pad);
                    write(value, indent + 2, out);
                    out.push_str(if index + 1 < items.len() { ",\n" } else { "\n" });
                }
                out.push_str(&" ".repeat(indent));
                out.push(']');
            }
            _ => out.push_str(&flat),
        }
    }
    let mut out = String::new();
    write(value, 0, &mut out);
    out
}

/// Hashes under keys that are made anew for every run.
fn masked(value: &Value) -> Value {
    match value {
        Value::String(text) if text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit()) => {
            json!("… 64 hex digits …")
        }
        Value::Array(items) => items.iter().map(masked).collect(),
        Value::Object(map) => map.iter().map(|(name, value)| (name.clone(), masked(value))).collect(),
        other => other.clone(),
    }
}

#[tokio::test]
async fn the_examples_of_the_reference_are_answers_of_the_engine() {
    let bench = Bench::new().await;
    let about = json!({
        "owner": "platform team", "login_name": "acme-owner", "login_url": "https://github.com/sessions/two-factor",
    });
    bench.fine("accounts/github/acme-owner", about).await;
    bench.wait(60);
    let mut play = Play { bench, out: String::new(), ids: 0, made: Vec::new() };
    let codes = json!(["1b2c3-d4e5f", "6a7b8-c9d0e", "f1a2b-3c4d5", "e6f7a-8b9c0"]);
    play.act(
        "A set is stored.",
        "sets/github/acme-owner",
        json!({"codes": codes, "cas": 0, "custody": "printed, safe 3"}),
        200,
    )
    .await;
    play.bench.wait(3600);
    let ask = json!({"reason": "phone lost", "ticket": "INC-4711", "idempotency_key": "inc-4711"});
    play.act("One code leaves.", "retrieve/github/acme-owner", ask.clone(), 200).await;
    play.act("The same caller with the same key sees the same code again.", "retrieve/github/acme-owner", ask, 200)
        .await;
    let refused = json!({"slot": 1, "outcome": "refused", "note": "already used, says the provider"});
    play.act("The provider refused it: an alarm.", "outcome/github/acme-owner", refused, 200).await;
    play.bench.wait(600);
    let told = json!({"occurred_at": play.bench.now() - 5, "method": "fido2-roaming", "enrollment_id": "enr-7"});
    play.act("MFA was enrolled again: the old set dies.", "enroll/github/acme-owner", told, 200).await;
    play.act("Nothing of it leaves any more.", "retrieve/github/acme-owner", json!({"reason": "again"}), 400).await;
    play.bench.wait(60);
    let fresh = json!(["0aa1b-2cc3d", "4ee5f-6aa7b", "8cc9d-0ee1f", "2aa3b-4cc5d"]);
    let stale = json!({"codes": fresh, "cas": 1});
    play.act("A new set must say that its codes are newer than that.", "sets/github/acme-owner", stale, 400).await;
    let named = json!({"codes": fresh, "cas": 1, "enrollment": 1});
    play.act("It does.", "sets/github/acme-owner", named, 200).await;
    let note = json!({"generation": 1, "note": "codes regenerated there"});
    play.act("The provider has killed the old codes too.", "confirm/github/acme-owner", note, 200).await;
    play.read("What is known of the account, never a code.", "accounts/github/acme-owner").await;
    play.act(
        "An operator ends a set.",
        "revoke/github/acme-owner",
        json!({"reason": "file left on a shared drive", "cause": "compromise"}),
        200,
    )
    .await;
    let history = json!({"after": 3, "limit": 1, "verify": true});
    let root = Caller::Root { accessor: "root".into() };
    let path = "history/github/acme-owner?after=3&limit=1&verify=true";
    let id = play.id();
    let answer = play.bench.send_as(&id, Operation::Read, "history/github/acme-owner", history, root, None).await;
    assert_eq!((answer.status, &answer.data["verified"]), (200, &json!(true)), "{answer:?}");
    let shown = pretty(&json!({"data": masked(&answer.data)}));
    let _ = writeln!(
        play.out,
        "The ledger, one entry of it, and whether the whole chain holds.\n\n```text\nGET {path}\n\n200\n{shown}\n```"
    );
    play.out.push('\n');
    let name = "app/jane@example.com";
    play.act("A set is made here, and shown this once.", &format!("sets/{name}"), json!({"profile": "issued"}), 200)
        .await;
    play.present("Is this code one of hers?", &format!("check/{name}")).await;
    play.present("She types it: it is accepted.", &format!("verify/{name}")).await;
    play.present("It is not accepted again.", &format!("verify/{name}")).await;
    document::block("docs/api.md", "examples", &play.out);
}
