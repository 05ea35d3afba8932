//! What deciding costs: an account's record read, changed and written back, without storage and without assertions.

use std::hint::black_box;

use criterion::{BatchSize, Criterion};
use minicbor::bytes::ByteArray;
use sparekey::crypto::envelope::{Place, seal_set};
use sparekey::crypto::keyring::Keyring;
use sparekey::crypto::secret::CodeText;
use sparekey::domain::account::{Account, Claimed};
use sparekey::domain::profile::Profile;
use sparekey::domain::set::{Handout, Kind, Provider, Set, Slot, Status};
use sparekey::domain::time::Timestamp;
use sparekey::engine::record::{Record, decode, encode};
use sparekey::ledger::chain::Chain;
use sparekey::ledger::entry::{Actor, Entry};
use sparekey::random::SeededRandom;
use zeroize::Zeroizing;

const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

/// An entry as a retrieval leaves it.
pub fn entry(act: &str) -> Entry {
    Entry {
        seq: 0,
        at: NOW,
        act: act.to_owned(),
        actor: Actor {
            subject: "jane@example.com".into(),
            issuer: "https://idp.example.com".into(),
            role: "oncall".into(),
            face: "http".into(),
            ..Actor::default()
        },
        request_id: "7b1c5a2e-52a4-4c07-a3cf-0d6c5b1f9d10".into(),
        reason: Some("locked out".into()),
        ticket: None,
        generation: Some(1),
        slot: Some(1),
        remote: Some("192.0.2.7".into()),
        repeat: false,
        detail: None,
        operation: [7; 16].into(),
    }
}

/// An account with one set of ten codes and a full recent ledger.
pub fn record(keyring: &Keyring, random: &SeededRandom) -> Record {
    let codes: Vec<CodeText> = (0..10).map(|n| CodeText::new(Zeroizing::new(format!("abcde-{n:05}")))).collect();
    let mut account = Account::stub([1; 16], NOW);
    account.profile = Profile::ESCROWED.to_owned();
    let place = Place { account_id: &[1; 16], set_id: &[2; 16], generation: 1 };
    let slots: Vec<(u32, &CodeText)> = (1u32..).zip(&codes).collect();
    let (dek, sealed) = seal_set(keyring, &place, &slots, random).expect("a set");
    let set = Set {
        id: ByteArray::from([2; 16]),
        generation: 1,
        kind: Kind::Escrowed,
        status: Status::Live,
        stored_at: NOW,
        bound_at: NOW,
        provider: Provider::Unconfirmed,
        custody: None,
        repeat: None,
        stored_by: "ci".into(),
        slots: sealed.into_iter().map(|(_, code)| Slot::Held(code)).collect(),
        dek: Some(dek),
        keeping: None,
        failures: None,
    };
    account.admit(set, &Profile::default(), NOW);
    let mut record = Record { account, ledger: Chain::default() };
    for _ in 0..40 {
        record.log(keyring, entry("retrieve"));
    }
    record
}

fn handout() -> Handout {
    let until = Timestamp::from_secs(1_800_000_300);
    Handout {
        at: NOW,
        by: "jane@example.com".into(),
        until,
        repeat: None,
        claim: Some([3; 32].into()),
        role: "oncall".into(),
        outcome: None,
    }
}

/// All of it.
pub fn all(criterion: &mut Criterion) {
    let random = SeededRandom::new(1);
    let keyring = Keyring::generate(NOW, &random);
    let profile = Profile::default();
    let start = record(&keyring, &random);
    let bytes = encode(&start);
    criterion.bench_function(&format!("record: decode {} bytes", bytes.len()), |bench| {
        bench.iter(|| decode::<Record>("accounts/a", black_box(&bytes)).expect("a record"));
    });
    criterion.bench_function("record: encode", |bench| bench.iter(|| encode(black_box(&start))));
    criterion.bench_function("account: plan an import", |bench| {
        let claimed = Claimed { cas: Some(1), ..Claimed::default() };
        bench.iter(|| {
            start.account.plan(black_box(claimed), NOW, std::time::Duration::from_secs(30), &profile).expect("a plan")
        });
    });
    criterion.bench_function("account: settle, choose, dispense, owe, log", |bench| {
        bench.iter_batched(
            || start.clone(),
            |mut record| {
                record.account.settle(NOW);
                let (generation, slot) = record.account.choose(&profile, None, NOW).expect("a slot");
                let code = record
                    .account
                    .change_slot(generation, slot, |held| held.dispense(slot, handout()))
                    .expect("a code");
                record.account.owe(generation, &profile, NOW);
                record.log(&keyring, entry("retrieve"));
                (record, code)
            },
            BatchSize::SmallInput,
        );
    });
}
