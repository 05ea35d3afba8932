//! The records in `docs/format.md` are what the store holds after a story of acts. `UPDATE_DOCS=1` writes them anew.

use std::fmt::Write as _;

use minicbor::Decoder;
use minicbor::data::Type;
use serde_json::{Value, json};
use sparekey::auth::Caller;
use sparekey::engine::request::Operation;
use sparekey::storage::{Found, Get, Storage};

use crate::document;
use crate::harness::{Bench, CODES, wrap};

/// CBOR in the diagnostic notation of RFC 8949 section 8, byte strings by their length, long arrays on lines of their own.
fn notation(read: &mut Decoder<'_>, indent: usize) -> String {
    match read.datatype().unwrap() {
        Type::U8 | Type::U16 | Type::U32 | Type::U64 => read.u64().unwrap().to_string(),
        Type::I8 | Type::I16 | Type::I32 | Type::I64 | Type::Int => read.i64().unwrap().to_string(),
        Type::Bool => read.bool().unwrap().to_string(),
        Type::Null => {
            read.null().unwrap();
            "null".to_owned()
        }
        Type::String => format!("{:?}", read.str().unwrap()),
        Type::Bytes => match read.bytes().unwrap() {
            // Only ledger entries are that long: embedded CBOR.
            entry if entry.len() > 64 => format!("<<{}>>", notation(&mut Decoder::new(entry), indent)),
            bytes => format!("h'…{}…'", bytes.len()),
        },
        Type::Array => {
            let length = read.array().unwrap().unwrap();
            let items: Vec<String> = (0..length).map(|_| notation(read, indent + 2)).collect();
            lines("[", items, "]", indent)
        }
        Type::Map => {
            let length = read.map().unwrap().unwrap();
            let items = (0..length).map(|_| format!("{}: {}", notation(read, indent + 2), notation(read, indent + 2)));
            let items = items.collect();
            lines("{", items, "}", indent)
        }
        other => panic!("a record holds {other:?}, which the format does not use"),
    }
}

fn lines(open: &str, items: Vec<String>, close: &str, indent: usize) -> String {
    let flat = items.join(", ");
    if flat.len() + indent < 100 && !flat.contains('\n') {
        return format!("{open}{flat}{close}");
    }
    let pad = " ".repeat(indent + 2);
    format!("{open}\n{pad}{}\n{}{close}", items.join(&format!(",\n{pad}")), " ".repeat(indent))
}

/// Every key below `prefix`.
fn keys(store: &dyn Storage, prefix: String) -> std::pin::Pin<Box<dyn Future<Output = Vec<String>> + '_>> {
    Box::pin(async move {
        let mut found = Vec::new();
        for name in store.list(&prefix, None, 1000).await.unwrap() {
            match name.ends_with('/') {
                true => found.extend(keys(store, format!("{prefix}{name}")).await),
                false => found.push(format!("{prefix}{name}")),
            }
        }
        found
    })
}

/// A key with what is random in it by name.
fn masked(key: &str) -> String {
    key.split('/')
        .map(|part| match (part.len(), part.bytes().all(|byte| byte.is_ascii_hexdigit())) {
            (32, true) => "<account id>",
            (64, true) => "<keyed hash>",
            _ => part,
        })
        .collect::<Vec<_>>()
        .join("/")
}

#[tokio::test]
async fn records_are_stored_as_the_format_draws_them() {
    let bench = Bench::new().await;
    let about = json!({"login_name": "acme-owner", "login_url": "https://github.com/login", "labels": {"tier": "0"}});
    bench.fine("accounts/github/acme", about).await;
    let set = json!({"codes": CODES, "used": [4], "custody": "printed, safe 3", "idempotency_key": "import-1"});
    assert_eq!(bench.act("sets/github/acme", set).await.status, 200);
    let ask = json!({"reason": "phone lost", "ticket": "INC-1", "idempotency_key": "k1"});
    assert_eq!(bench.act("retrieve/github/acme", ask).await.status, 200);
    let mut ask = json!({"reason": "phone lost"});
    ask["jwt"] = json!(bench.jwt(json!({})));
    let wrapped =
        bench.send(Operation::Update, "retrieve/github/acme", ask, Caller::Anonymous, Some(wrap(1, 60))).await;
    assert_eq!((wrapped.status, &wrapped.data), (200, &json!("wrapped")));
    bench.wait(30);
    let said = bench.event("jane@example.com", bench.now() - 7200, json!({}));
    assert_eq!(bench.send_event(&said).await.status, 202);
    assert_eq!(bench.send_event(&bench.event("nobody", bench.now(), json!({}))).await.status, 202);
    bench.engine.settle_counts().await;

    let mut out = String::new();
    for key in keys(&*bench.store, String::new()).await {
        // The host's own records, and the one that the crypto sections draw.
        if key.starts_with("wrapping/") || key == "keyring" {
            continue;
        }
        let found = bench.store.get_many(vec![Get::new(&key)]).await.unwrap().remove(0);
        let Found::Value(bytes, _) = found else { panic!("{key}: {found:?}") };
        assert_eq!(bytes[0], 1, "{key} does not begin with its format");
        let folder = key.split('/').next().unwrap_or_default();
        let shown = match folder {
            "config" | "issuers" | "profiles" | "roles" | "sources" => {
                let value: Value = serde_json::from_slice(&bytes[1..]).unwrap();
                let members: Vec<&str> = value.as_object().unwrap().keys().map(String::as_str).collect();
                format!("JSON, an object: {}", members.join(", "))
            }
            // Its entries hold whole configurations; the account's ledger shows the same shape.
            "config-ledger" => continue,
            _ => {
                let mut read = Decoder::new(&bytes[1..]);
                let shown = notation(&mut read, 0);
                assert_eq!(read.position() + 1, bytes.len(), "{key} has bytes after its end");
                shown
            }
        };
        let _ = writeln!(out, "{}\n01 ‖ {shown}\n", masked(&key));
    }
    document::block("docs/format.md", "records", &format!("```text\n{}\n```", out.trim_end()));
}
