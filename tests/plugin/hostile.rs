//! Messages that no host sends: broken, odd, huge. The process lives, answers in time, and serves the next good request.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use prost::Message;
use serde_json::{Value, json};
use sparekey::plugin::proto::pb::{HandleRequestArgs, HandleRequestReply, Request};
use tokio::task::JoinSet;
use tonic::{Code, Status};

use crate::fake_host::FakeHost;
use crate::host::{Mount, Plugin};
use crate::raw;
use crate::support::corpus::{Dice, broken, good, jwt, messages, odd_request, setup};
use crate::support::scene::{AUDIENCE, ISSUER, codes};
use crate::support::server::BINARY;
use crate::support::signer::Signer;

/// The corpus is the same in every run.
const SEED: u64 = 0x5eed;
/// Broken messages, and odd requests.
const BROKEN: usize = 4_000;
const ODD: usize = 3_000;
/// Messages under way at the same time.
const AT_ONCE: usize = 16;
/// Longest an answer may take; debug builds on a busy machine are slow.
const PATIENCE: Duration = Duration::from_secs(15);
/// Longest answer.
const LONGEST: usize = 4 << 20;
/// What the process may hold more than before, when all is over: what the allocator keeps of bodies as long as may be, not more with every round.
const MEMORY: u64 = 512 << 20;

/// Sets the mount up, again if it must be, with a set for `account`.
async fn set_up(mount: &Mount, signer: &Signer, account: &str, seed: u64) {
    let issuer = json!({"bound_issuer": ISSUER, "jwt_validation_pubkeys": [signer.public_pem()]});
    mount.ask("update", "issuers/good", issuer).await;
    let role = json!({
        "issuers": ["good"], "bound_audiences": [AUDIENCE], "bound_claims": {"groups": ["on-call"]}, "accounts": ["*"],
        "operations": ["retrieve", "store", "verify", "check", "enroll", "revoke"], "max_retrievals": null,
    });
    mount.ask("update", "roles/good", role).await;
    let set = json!({"role": "good", "jwt": jwt(signer), "codes": codes(seed, 4), "profile": "escrowed"});
    mount.ask("update", &format!("sets/{account}"), set).await;
}

async fn retrieve(mount: &Mount, signer: &Signer, account: &str) -> Value {
    let ask = json!({"role": "good", "jwt": jwt(signer), "reason": "locked out"});
    mount.ask("update", &format!("retrieve/{account}"), ask).await["code"].clone()
}

/// What came of one message: how it was answered, or what is wrong with that.
fn judged(what: &str, answer: Result<Vec<u8>, Status>, took: Duration) -> Result<String, String> {
    let bytes = match answer {
        _ if took > PATIENCE => return Err(format!("{what} took {took:?}")),
        // Not a message, no such method or mount, longer than may be: said by the code.
        Err(status) if matches!(status.code(), Code::Internal | Code::NotFound | Code::Unimplemented) => {
            return match status.message().contains("panicked") {
                true => Err(format!("{what}: {status}")),
                false => Ok(format!("{:?}", status.code())),
            };
        }
        Err(status) => return Err(format!("{what}: {status}")),
        Ok(bytes) => bytes,
    };
    if bytes.len() > LONGEST {
        return Err(format!("{what} is answered with {} bytes", bytes.len()));
    }
    if !what.starts_with("/pb.Backend/HandleRequest") {
        return Ok("answered".to_owned());
    }
    let reply = HandleRequestReply::decode(&bytes[..]).map_err(|error| format!("{what}: {error}"))?;
    if let Some(response) = &reply.response {
        // A host ends itself over data that is not JSON.
        serde_json::from_str::<Value>(&response.data).map_err(|error| format!("{what}: {error}"))?;
    }
    match reply.err {
        Some(err) => Ok(format!("error type {}", err.err_type)),
        None => Ok("success".to_owned()),
    }
}

/// Sends everything, some at a time; how it was answered and what is wrong.
async fn send_all(
    plugin: &Plugin,
    mount: &Mount,
    all: Vec<(&'static str, String, Vec<u8>)>,
) -> (BTreeMap<String, usize>, Vec<String>) {
    let (mut answers, mut wrong) = (BTreeMap::new(), Vec::new());
    let mut under_way = JoinSet::new();
    let mut rest = all.into_iter();
    loop {
        while under_way.len() < AT_ONCE {
            let Some((method, about, bytes)) = rest.next() else { break };
            let (channel, request) = (plugin.channel.clone(), mount.named(bytes));
            under_way.spawn(async move {
                let began = Instant::now();
                let answer = raw::call(&channel, method, request).await;
                judged(&format!("{method} {about}"), answer, began.elapsed())
            });
        }
        match under_way.join_next().await {
            Some(judged) => match judged.expect("it does not panic") {
                Ok(how) => *answers.entry(how).or_default() += 1,
                Err(what) => wrong.push(what),
            },
            None => return (answers, wrong),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn broken_odd_and_huge_messages_end_nothing_and_the_next_good_request_is_served() {
    let mut plugin = Plugin::start(Path::new(BINARY)).await;
    let (hosts, signer) = ([FakeHost::with_transactions(), FakeHost::with_transactions()], Signer::es256("k"));
    let (target, bystander) = (plugin.mount(&hosts[0]).await, plugin.mount(&hosts[1]).await);
    for mount in [&target, &bystander] {
        set_up(mount, &signer, "before", 1).await;
    }
    assert_eq!(retrieve(&target, &signer, "before").await, json!(codes(1, 4)[0]));
    let before = plugin.memory();

    let (dice, good) = (Dice::new(SEED), good(&signer));
    let templates = messages(&good);
    let mut all = Vec::new();
    for number in 0..BROKEN {
        let (method, message) = dice.pick(&templates);
        let other = &dice.pick(&templates).1;
        all.push((*method, format!("broken {number}"), broken(&dice, message.clone(), other)));
    }
    for number in 0..ODD {
        let request = odd_request(&dice, &good);
        let about = format!("odd {number}: {} {:?} {:.200}", request.operation, request.path, request.data);
        let method = ["/pb.Backend/HandleRequest", "/pb.Backend/HandleExistenceCheck"][usize::from(dice.below(8) == 0)];
        all.push((method, about, HandleRequestArgs { storage_id: 0, request: Some(request) }.encode_to_vec()));
    }
    // As much as the host's own bound lets through, and no message at all.
    let huge = Request { data: "x".repeat(32 << 20), ..good[10].clone() };
    all.push((
        "/pb.Backend/HandleRequest",
        "huge".into(),
        HandleRequestArgs { storage_id: 0, request: Some(huge) }.encode_to_vec(),
    ));
    all.push(("/pb.Backend/HandleRequest", "empty".into(), Vec::new()));
    // Mounts whose host never says where it is: all are given up after a while, together.
    all.extend((0..AT_ONCE as u32).map(|id| ("/pb.Backend/Setup", "of nobody".to_owned(), setup(1_000 + id))));

    let (answers, wrong) = send_all(&plugin, &target, all).await;
    println!("{answers:?}, {} wrong; {} MiB, then {} MiB", wrong.len(), before >> 20, plugin.memory() >> 20);
    assert!(wrong.is_empty(), "{} of {}: {:#?}", wrong.len(), BROKEN + ODD, &wrong[..wrong.len().min(20)]);
    // They went in deep enough to be refused by the engine, and some went through.
    for how in ["success", "error type 7", "error type 8", "error type 3", "Internal"] {
        assert!(answers.get(how).is_some_and(|count| *count >= 20), "too few {how}: {answers:?}");
    }
    let said = plugin.said();
    for line in said.lines() {
        let line: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        assert!(line["@message"].is_string() && line["@level"].is_string(), "{line}");
        // An internal error is one that nobody foresaw, but for this one: a source that was written with a wrong name in it.
        let foreseen = line["error"].as_str().is_some_and(|error| error.contains("(cause: the source's issuer"));
        assert!(line["@level"] != "error" || foreseen, "{line}");
    }
    assert!(plugin.memory() < before + MEMORY, "{} MiB, before {} MiB", plugin.memory() >> 20, before >> 20);

    // The next good requests: at the mount that was shot at, and at the one beside it.
    assert!(plugin.lives());
    set_up(&target, &signer, "after", 2).await;
    assert_eq!(retrieve(&target, &signer, "after").await, json!(codes(2, 4)[0]));
    assert_eq!(retrieve(&bystander, &signer, "before").await, json!(codes(1, 4)[0]));
    let history = target.ask("read", "history/before", json!({"verify": true})).await;
    assert_eq!(history["verified"], true, "{history}");
    assert_eq!((hosts[0].left_open(), hosts[0].strays()), (0, Vec::new()));
}
