//! What the face does: a request's bytes become a call, an answer becomes bytes.

use std::hint::black_box;

use criterion::{BatchSize, Criterion};
use http_body_util::BodyExt as _;
use hyper::Request;
use serde_json::{Map, Value, json};
use sparekey::engine::paths;
use sparekey::engine::request::Operation;
use sparekey::host::answer::{Answer, Data, Envelope};
use sparekey::http::{render, wire};

/// All of it.
pub fn all(bench: &mut Criterion) {
    let head = Request::post("/v1/backup-codes/retrieve/github/acme-owner")
        .header("host", "127.0.0.1:8200")
        .header("x-vault-request", "true")
        .header("content-type", "application/json")
        .body(())
        .expect("a request");
    let (parts, ()) = head.into_parts();
    // A JWT is about as long.
    let body =
        json!({"role": "on-call", "jwt": "e".repeat(550), "reason": "locked out", "ticket": "INC-1742"}).to_string();
    bench.bench_function("http/head and body of a retrieve", |run| {
        run.iter(|| {
            let call = wire::head(black_box(&parts), None).is_ok();
            (call, wire::body(&parts.headers, black_box(body.as_bytes())).is_ok())
        });
    });
    bench.bench_function("http/route", |run| {
        run.iter(|| paths::find(black_box("retrieve/github/acme-owner"), Operation::Update).is_ok());
    });
    let data = json!({
        "account": "github/acme-owner", "login_name": "acme-owner", "login_url": "https://github.com/login", "code": "7k2d9-xm4tp",
        "slot": 3, "generation": 2, "remaining": 13, "regenerate_by": "2026-07-02T12:00:00.000Z", "repeat": false,
    });
    answer(bench, "http/answer of a retrieve", data);
    let slots: Vec<Value> =
        (1..=16).map(|slot| json!({"slot": slot, "state": "held", "at": null, "by": null, "outcome": null})).collect();
    let data = json!({"account": "github/acme-owner", "owner": "platform", "remaining": 16, "sets": [{"generation": 1, "slots": slots}]});
    answer(bench, "http/answer of a metadata read, 16 codes", data);
}

fn answer(bench: &mut Criterion, name: &str, data: Value) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let fields: Map<String, Value> = data.as_object().cloned().unwrap_or_default();
    let made = || Answer::Logical(Box::new(Envelope::around(Data::Fields(fields.clone()))));
    bench.bench_function(name, |run| {
        run.iter_batched(
            made,
            |answer| {
                runtime.block_on(render::reply(answer).into_body().collect()).map(|body| body.to_bytes().len()).ok()
            },
            BatchSize::SmallInput,
        );
    });
}
