//! Every stage of a request by itself, and the whole beside them: `cargo bench --bench stages`, `… -- jwt` for some of them.
//! docs/performance.md holds the sum of a retrieval's stages against the whole.

#[path = "../../tests/inprocess/mod.rs"]
mod inprocess;
#[path = "../../tests/support/keys.rs"]
mod keys;
#[path = "../../tests/cost/line.rs"]
mod line;
#[path = "../../tests/support/mod.rs"]
mod support;

mod audit;
mod crypto;
mod domain;
mod http;
mod jwt;
mod ledger;
mod store;
mod whole;

use criterion::{criterion_group, criterion_main};

criterion_group!(
    stages,
    http::all,
    jwt::all,
    domain::all,
    crypto::all,
    ledger::all,
    store::all,
    audit::all,
    whole::all
);
criterion_main!(stages);
