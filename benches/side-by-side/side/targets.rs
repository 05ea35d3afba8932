//! What was aimed at, row by row, and what of the measurements each is held against.

use super::results::Outcome;

/// Connections of most works.
pub const MANY: usize = 64;

/// One thing that must hold.
pub struct Check {
    /// Of what, as it stands behind the figure.
    pub unit: &'static str,
    /// Whether the figure must be at least the bound, or at most.
    pub at_least: bool,
    pub bound: f64,
    pub of: fn(&Outcome) -> Option<f64>,
}

/// A row: every one of `wanted` must hold, each by any of its checks.
pub struct Target {
    pub work: &'static str,
    pub words: &'static str,
    pub beside: &'static str,
    pub wanted: &'static [&'static [Check]],
    /// Figures of the work that stand in the row, mine and the other's: a series (`lane`) or a figure (`=name`).
    pub shown: (&'static str, &'static str),
    /// What stands in the way, where it is known.
    pub reason: &'static str,
}

const fn least(bound: f64, unit: &'static str, of: fn(&Outcome) -> Option<f64>) -> Check {
    Check { unit, at_least: true, bound, of }
}
const fn most(bound: f64, unit: &'static str, of: fn(&Outcome) -> Option<f64>) -> Check {
    Check { unit, at_least: false, bound, of }
}

/// Sparekey's rate beside this lane's. The two of one round are held together: what the machine did then met both.
fn rate(outcome: &Outcome, mine: &str, other: &str, connections: usize) -> Option<f64> {
    let (mine, other) = (outcome.series(mine, connections, false)?, outcome.series(other, connections, false)?);
    let ratios = mine.rounds.iter().zip(&other.rounds).map(|(mine, other)| mine.rate / other.rate);
    Some(super::results::median(ratios.collect()))
}
fn p99(outcome: &Outcome) -> Option<f64> {
    let of = |lane| Some(outcome.series(lane, MANY, false)?.median(|round| round.p99));
    Some(of("sparekey")? / of("openbao")?)
}
fn figures(outcome: &Outcome, mine: &str, other: &str) -> Option<f64> {
    Some(outcome.figure(mine)? / outcome.figure(other)?)
}
fn beside_openbao(outcome: &Outcome) -> Option<f64> {
    rate(outcome, "sparekey", "openbao", MANY)
}

pub const ALL: &[Target] = &[
    Target {
        work: "retrieve",
        words: "retrieve, an ES256 assertion each, redb",
        beside: "KV v2 write with `cas`, raft",
        wanted: &[
            &[
                least(6.0, "× the rate", beside_openbao),
                least(0.8, "× the floor", |outcome| rate(outcome, "sparekey", "floor", MANY)),
            ],
            &[most(0.25, "× its p99", p99)],
            &[least(1.5, "× at one connection", |outcome| rate(outcome, "sparekey", "openbao", 1))],
        ],
        shown: ("sparekey", "openbao"),
        reason: "",
    },
    Target {
        work: "retrieve-login",
        words: "retrieve by login claims, redb",
        beside: "the same",
        wanted: &[
            &[least(10.0, "× the rate", beside_openbao)],
            &[least(0.45, "× hyper and redb's group commit", |outcome| rate(outcome, "sparekey", "commit", MANY))],
        ],
        shown: ("sparekey", "openbao"),
        reason: "",
    },
    Target {
        work: "metadata",
        words: "account metadata read",
        beside: "KV v2 metadata read",
        wanted: &[
            &[least(8.0, "× the rate", beside_openbao)],
            &[least(0.45, "× bare hyper", |outcome| rate(outcome, "sparekey", "hyper", MANY))],
        ],
        shown: ("sparekey", "openbao"),
        reason: "",
    },
    Target {
        work: "verify-hmac",
        words: "verify, issued, 112 bits, durable",
        beside: "TOTP validate, not durable",
        wanted: &[&[least(3.0, "× the rate", beside_openbao)]],
        shown: ("sparekey", "openbao"),
        reason: "",
    },
    Target {
        work: "verify-argon2id",
        words: "verify, issued, argon2id",
        beside: "argon2id alone, as many threads",
        wanted: &[
            &[least(0.9, "× the bare hash", |outcome| {
                let mine = outcome.series("sparekey", 32, false)?;
                Some(mine.median(|round| round.rate) / outcome.figure("bare")?)
            })],
            &[most(2.0, "× others' p99 meanwhile", |outcome| figures(outcome, "reads-meanwhile", "reads-alone"))],
        ],
        shown: ("sparekey@32", "=bare"),
        reason: "",
    },
    Target {
        work: "login",
        words: "JWT login, service token",
        beside: "auth/jwt/login, service token",
        wanted: &[
            &[
                least(10.0, "× the rate", beside_openbao),
                least(0.8, "× the floor", |outcome| rate(outcome, "sparekey", "floor", MANY)),
            ],
            &[least(2.0, "× its batch token", |outcome| rate(outcome, "sparekey", "openbao-batch", MANY))],
        ],
        shown: ("sparekey", "openbao"),
        reason: "",
    },
    Target {
        work: "wrap",
        words: "wrap and unwrap of a retrieve",
        beside: "sys/wrapping wrap and unwrap",
        wanted: &[&[least(15.0, "× the rate", beside_openbao)]],
        shown: ("sparekey", "openbao"),
        reason: "",
    },
    Target {
        work: "event",
        words: "CAEP event that ends a set, durable",
        beside: "KV v2 write with `cas`",
        wanted: &[&[least(5.0, "× the rate", beside_openbao)]],
        shown: ("sparekey", "openbao"),
        reason: "After its own durable write an event waits for a second one: its source counts it, together with all that wait at that moment.",
    },
    Target {
        work: "import",
        words: "import of a set of ten codes",
        beside: "KV v2 write with `cas`",
        wanted: &[&[least(4.0, "× the rate", beside_openbao)]],
        shown: ("sparekey", "openbao"),
        reason: "",
    },
    Target {
        work: "postgres",
        words: "retrieve on PostgreSQL, one node",
        beside: "KV v2 write with `cas`, the same PostgreSQL",
        wanted: &[&[least(4.0, "× the rate", beside_openbao)]],
        shown: ("sparekey", "openbao"),
        reason: "",
    },
    Target {
        work: "mounted",
        words: "retrieve mounted, `host` issuer",
        beside: "KV v2 write with `cas`, the same host",
        wanted: &[&[least(0.5, "× the rate", beside_openbao)]],
        shown: ("sparekey", "openbao"),
        reason: "",
    },
    Target {
        work: "mounted",
        words: "metadata read mounted",
        beside: "KV v2 metadata read, the same host",
        wanted: &[&[least(0.4, "× the rate", |outcome| rate(outcome, "sparekey-metadata", "openbao-metadata", MANY))]],
        shown: ("sparekey-metadata", "openbao-metadata"),
        reason: "",
    },
    Target {
        work: "memory",
        words: "resident memory at 64 connections after the acts",
        beside: "the same of OpenBao",
        wanted: &[
            &[most(0.2, "× its memory", |outcome| figures(outcome, "sparekey", "openbao"))],
            &[most(1.1, "× of the middle of the run at its end", |outcome| outcome.figure("growth"))],
        ],
        shown: ("=sparekey", "=openbao"),
        reason: "",
    },
    Target {
        work: "start",
        words: "start to first answer, redb, full",
        beside: "raft, as many secrets",
        wanted: &[&[most(0.05, "× its time", |outcome| figures(outcome, "sparekey", "openbao"))]],
        shown: ("=sparekey", "=openbao"),
        reason: "",
    },
    Target {
        work: "size",
        words: "release binary, stripped",
        beside: "OpenBao's",
        wanted: &[&[most(0.1, "× its size", |outcome| figures(outcome, "sparekey", "openbao"))]],
        shown: ("=sparekey", "=openbao"),
        reason: "One binary has both faces: HTTP, TLS, gRPC, PostgreSQL's protocol, the command line.",
    },
    Target {
        work: "audit",
        words: "`audit verify`",
        beside: "`sha256sum` of the same bytes",
        wanted: &[&[least(0.5, "× its speed", |outcome| figures(outcome, "verify", "sum"))]],
        shown: ("=verify", "=sum"),
        reason: "",
    },
    Target {
        work: "audit",
        words: "`history?verify`",
        beside: "`sha256sum` of the same bytes",
        wanted: &[
            &[least(0.5, "× its speed", |outcome| figures(outcome, "history", "history-sum"))],
            &[least(0.5, "× its speed with one entry told", |outcome| {
                figures(outcome, "history-untold", "history-sum")
            })],
        ],
        shown: ("=history", "=history-sum"),
        reason: "Each entry is read from the store, opened, computed anew, told in JSON and sent; `limit=1` verifies as many and tells one.",
    },
];

impl Check {
    /// The bound in words.
    pub fn bound(&self) -> String {
        format!("{} {} {}", if self.at_least { "≥" } else { "≤" }, self.bound, self.unit)
    }
    /// What was reached, if it was measured.
    pub fn reached(&self, outcome: &Outcome) -> Option<f64> {
        (self.of)(outcome).filter(|value| value.is_finite())
    }
    pub fn met(&self, outcome: &Outcome) -> bool {
        let reached = self.reached(outcome);
        reached.is_some_and(|value| if self.at_least { value >= self.bound } else { value <= self.bound })
    }
}

impl Target {
    /// Whether everything holds.
    pub fn met(&self, outcome: &Outcome) -> bool {
        outcome.void.is_none() && self.wanted.iter().all(|any| any.iter().any(|check| check.met(outcome)))
    }
}
