//! What is done to a server of its own, done to the mount: wrong events, odd spellings, other accounts, crowds. The vault's own checks come
//! first here, so it may refuse with another status; what is asked is that nothing gets through, nothing moves, and a good request
//! beside it is served.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use crate::event_table::Sender;
use crate::path_table::{SIDE_DOORS, spellings};
use crate::support::crowd::{CROWD, together};
use crate::support::http::{Answer, Client};
use crate::support::scene::{AUDIENCE, ISSUER, Scene, codes};
use crate::support::server::MOUNT;
use crate::support::signer::{Signer, now};
use crate::support::vault::Vault;

const ACCOUNT: &str = "github/acme-owner";
const VICTIM: &str = "okta/victim";
const JANE: &str = "okta/jane@example.com";
const RETRIEVE: &str = "backup-codes/retrieve/github/acme-owner";
/// The audience of events, which is not that of assertions.
const EVENTS: &str = "https://sparekey.example.com/events";

/// A vault with codes in three accounts, a role over one folder, and a source of events.
struct Stage {
    vault: Vault,
    root: Client,
    scene: Scene,
}

impl Stage {
    fn new(held: usize) -> Stage {
        let vault = Vault::mounted();
        let root = vault.root();
        let scene = Scene::with(root.clone(), root.clone(), Signer::es256("k1"));
        for (seed, account) in (1..).zip([ACCOUNT, VICTIM, JANE]) {
            scene.store(account, &codes(seed, held), 0).expect(200);
        }
        let narrow = json!({
            "issuers": ["idp"], "bound_audiences": [AUDIENCE], "bound_claims": {"groups": ["on-call"]},
            "accounts": ["github/*"], "operations": ["retrieve", "store", "enroll", "revoke", "release", "verify", "check"],
            "require_reason": false,
        });
        root.write(&format!("{MOUNT}/roles/narrow"), &narrow).expect(204);
        root.write(
            &format!("{MOUNT}/sources/idp"),
            &json!({"bound_audiences": [EVENTS], "critical_subject_members": ["robot"]}),
        )
        .expect(204);
        Stage { vault, root, scene }
    }
    /// A body that would get a code of any account below `github/`.
    fn body(&self) -> Value {
        json!({"role": "narrow", "jwt": self.scene.admin("alice")})
    }
    fn read(&self, path: &str) -> Value {
        let answer = self.root.read(&format!("{MOUNT}/{path}"));
        assert!(matches!(answer.status, 200 | 404), "{path}: {}", answer.text());
        answer.json()["data"].clone()
    }
    /// All accounts with their ledgers, and all that is set.
    fn world(&self) -> Vec<Value> {
        let mut world: Vec<Value> =
            ["accounts", "roles", "issuers", "profiles", "sources", "accounts/github", "accounts/okta"]
                .map(|folder| self.read(&format!("{folder}?list=true")))
                .into();
        for account in [ACCOUNT, VICTIM, JANE] {
            world.extend([
                self.read(&format!("accounts/{account}")),
                self.read(&format!("history/{account}"))["head"].clone(),
            ]);
        }
        world.push(self.read("config/history")["head"].clone());
        world
    }
    fn remaining(&self) -> u64 {
        self.read(&format!("accounts/{ACCOUNT}"))["remaining"].as_u64().unwrap()
    }
    /// The good request beside every table.
    fn retrieves(&self) {
        self.root.write(RETRIEVE, &self.body()).expect(200);
    }
    fn verified(&self) {
        assert_eq!(self.read(&format!("history/{ACCOUNT}?verify=true"))["verified"], true);
    }
    fn sender(&self) -> Sender<'_> {
        let now = now() as i64;
        Sender {
            signer: &self.scene.signer,
            issuer: ISSUER,
            audience: EVENTS,
            assertions: AUDIENCE,
            email: "jane@example.com",
            now,
        }
    }
    /// Somebody without a token pushes an event.
    fn push(&self, source: &str, set: &str) -> Answer {
        self.vault.client().write(&format!("{MOUNT}/events/{source}"), &json!({ "set": set }))
    }
    fn status(&self) -> Value {
        self.read(&format!("accounts/{JANE}"))["sets"].as_array().unwrap().last().unwrap()["status"].clone()
    }
}

fn given(answers: &[Answer]) -> Vec<String> {
    let given = answers.iter().filter(|answer| answer.status == 200);
    given.map(|answer| answer.data()["code"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn wrong_events_are_refused_in_the_protocols_own_words_and_right_ones_end_what_is_older() {
    let stage = Stage::new(4);
    let before = stage.world();
    let sender = stage.sender();
    let wrong = sender.wrong();
    assert!(wrong.len() >= 50);
    let refused = |answer: &Answer, err: &str, what: &str| {
        assert_eq!(answer.status, 400, "{what}: {}", answer.text());
        let body = answer.json();
        assert_eq!((&body["err"], body.as_object().unwrap().len()), (&json!(err), 2), "{what}: {body}");
        assert!(
            body["description"].as_str().is_some_and(|text| !text.is_empty() && text.len() < 400),
            "{what}: {body}"
        );
    };
    for (what, err, set) in &wrong {
        refused(&stage.push("idp", set), err, what);
    }
    for source in ["nobody", "IDP", "i%20dp"] {
        refused(&stage.push(source, &sender.good()), "access_denied", source);
    }
    assert_eq!(stage.world(), before, "nothing changed");

    // Taken: the set that was bound an hour ago is over. Repeated, late and ancient ones end nothing that is newer.
    let at = |ago: i64| {
        let mut event = sender.event(&json!({}));
        event["events"][crate::event_table::CREDENTIAL_CHANGE]["event_timestamp"] = json!(sender.now - ago);
        stage.scene.signer.set(&event)
    };
    let taken = |set: &str| stage.push("idp", set).expect(202);
    let first = at(1_800);
    taken(&first);
    assert_eq!(stage.status(), "superseded");
    let refusal = stage.scene.retrieve(JANE, "alice").expect(400);
    assert!(refusal.error().starts_with("ended: "), "{}", refusal.text());
    let next = json!({"role": "automation", "jwt": stage.scene.automation(), "codes": codes(9, 4), "enrollment": 1});
    stage.scene.act("sets", JANE, next).expect(200);
    let head = || stage.read(&format!("history/{JANE}"))["head"].clone();
    let before = head();
    taken(&first);
    assert_eq!(head(), before, "a repeat leaves no trace");
    taken(&at(2_400));
    taken(&at(sender.now));
    assert_eq!(stage.status(), "active");
    assert_eq!(stage.scene.retrieve(JANE, "alice").expect(200).data()["code"], json!(codes(9, 4)[0]));
}

#[test]
fn no_spelling_and_no_side_door_reaches_an_account_and_what_is_out_of_reach_is_not_told_apart() {
    let stage = Stage::new(4);
    let before = stage.world();
    let all: Vec<String> = [1, 2, 3].iter().flat_map(|seed| codes(*seed, 4)).collect();
    let spellings = spellings();
    let targets =
        spellings.iter().map(|(target, _)| target.as_str()).chain(SIDE_DOORS.iter().map(|(target, _)| *target));
    let mut tried = 0;
    for target in targets.filter(|target| *target != "backup-codes/config/keys/rotate") {
        let answer = stage.root.send("POST", target, Some(stage.body().to_string().as_bytes()));
        let text = answer.text();
        // The vault itself cannot hand a path that is no text to a plugin, and says so with its own 500.
        let no_text = answer.status == 500 && text.contains("string field contains invalid UTF-8");
        assert!((300..500).contains(&answer.status) || no_text, "{target}: {} {text}", answer.status);
        assert!(!all.iter().any(|code| text.contains(code.as_str())), "{target}: {text}");
        tried += 1;
    }
    assert!(tried > 80, "{tried}");
    for method in ["GET", "LIST", "DELETE", "PATCH", "SCAN", "TRACE", "POSTX", "RETRIEVE"] {
        let answer = stage.root.send(method, RETRIEVE, Some(stage.body().to_string().as_bytes()));
        assert!((400..500).contains(&answer.status), "{method}: {} {}", answer.status, answer.text());
    }
    let in_the_query = format!("backup-codes/accounts/{ACCOUNT}?jwt={}", stage.scene.admin("alice"));
    assert!(stage.root.read(&in_the_query).expect(400).error().starts_with("jwt: "));
    assert_eq!(stage.world(), before, "nothing changed");
    stage.retrieves();

    // Acts that the role does not cover: the same answer whether there is an account, whatever was asked of it.
    let seen = |act: &str, account: &str, body: &Value, jwt: &Option<String>| {
        let mut body = body.clone();
        body["role"] = json!("narrow");
        jwt.iter().for_each(|jwt| body["jwt"] = json!(jwt));
        let answer = stage.root.write(&format!("{MOUNT}/{act}/{account}"), &body);
        let error = answer.error();
        (answer.status, error.split(" (request ").next().unwrap_or_default().replace(account, "NAME"))
    };
    let acts = [
        ("retrieve", json!({"slot": 1})),
        ("retrieve", json!({"idempotency_key": "k", "reason": codes(2, 4)[0]})),
        ("sets", json!({"codes": codes(2, 4), "cas": 1})),
        ("sets", json!({"codes": codes(8, 4), "profile": "no-such-profile"})),
        ("enroll", json!({"enrollment_id": "e"})),
        ("revoke", json!({"reason": "x", "generation": 1})),
        ("release", json!({"reason": "x"})),
        ("verify", json!({"code": codes(2, 4)[0]})),
        ("check", json!({"code": codes(2, 4)[0]})),
    ];
    let before = stage.world();
    for (act, body) in &acts {
        for jwt in [Some(stage.scene.admin("alice")), Some(stage.scene.automation()), Some("a.b.c".to_owned()), None] {
            let there = seen(act, VICTIM, body, &jwt);
            assert_eq!(there.0, 403, "{act}: {there:?}");
            assert_eq!(seen(act, "okta/nobody", body, &jwt), there, "{act}");
        }
    }
    assert_eq!(stage.world(), before, "nothing changed");
}

#[test]
fn of_a_crowd_that_asks_for_one_thing_one_gets_it() {
    let stage = Stage::new(200);
    let (vault, root) = (&stage.vault, &stage.root);

    // One assertion in many hands.
    let (before, body) = (stage.remaining(), stage.body());
    let answers = together(|_| root.write(RETRIEVE, &body));
    assert_eq!(given(&answers).len(), 1, "{:?}", answers.iter().map(|it| it.status).collect::<Vec<_>>());
    for answer in answers.iter().filter(|answer| answer.status != 200) {
        assert!(answer.status == 403 && answer.error().starts_with("assertion: "), "{}", answer.text());
    }
    assert_eq!(stage.remaining(), before - 1);

    // One request sent many times.
    let mut body = stage.body();
    body["idempotency_key"] = json!("once");
    let answers = together(|_| root.write(RETRIEVE, &body).expect(200));
    assert_eq!(given(&answers).into_iter().collect::<BTreeSet<_>>().len(), 1);
    assert_eq!(answers.iter().filter(|answer| answer.data()["repeat"] == false).count(), 1, "all but one are repeats");
    assert_eq!(stage.remaining(), before - 2);

    // One wrapping token.
    let wrapped = root.header("X-Vault-Wrap-TTL", "60s").write(RETRIEVE, &stage.body()).expect(200).json();
    let token = wrapped["wrap_info"]["token"].as_str().unwrap();
    let answers = together(|who| match who % 2 {
        0 => vault.client().token(token).write("sys/wrapping/unwrap", &json!({})),
        _ => root.write("sys/wrapping/unwrap", &json!({"token": token})),
    });
    assert_eq!(given(&answers), [codes(1, 200)[2].clone()]);

    // One generation that many know.
    let bodies: Vec<Value> = (0..CROWD as u64)
        .map(|who| {
            let jwt = stage.scene.automation();
            json!({"role": "automation", "jwt": jwt, "codes": codes(50 + who, 200), "cas": 1, "bound_at": now() - 3_600})
        })
        .collect();
    let answers = together(|who| root.write(&format!("{MOUNT}/sets/{ACCOUNT}"), &bodies[who]));
    assert_eq!(answers.iter().filter(|answer| answer.status == 200).count(), 1);
    for answer in answers.iter().filter(|answer| answer.status != 200) {
        assert!(answer.error().starts_with("cas-mismatch: "), "{} {}", answer.status, answer.text());
    }
    let account = stage.read(&format!("accounts/{ACCOUNT}"));
    assert_eq!((&account["generation"], &account["active_generation"]), (&json!(2), &json!(2)));
    stage.verified();
}

/// Invariant 3 under load: a request that is sent after an event was acknowledged gets nothing of the old set.
#[test]
fn once_an_event_is_acknowledged_no_code_leaves_the_mount() {
    let stage = Stage::new(200);
    let acknowledged = AtomicBool::new(false);
    let path = format!("{MOUNT}/retrieve/{JANE}");
    let asking: Vec<Vec<Value>> = (0..4).map(|_| (0..30).map(|_| stage.scene.request("alice")).collect()).collect();
    let (early, late): (Vec<Answer>, Vec<Answer>) = thread::scope(|scope| {
        let clients: Vec<_> = asking
            .iter()
            .map(|bodies| {
                let (stage, acknowledged, path) = (&stage, &acknowledged, &path);
                scope.spawn(move || {
                    let (mut early, mut late) = (Vec::new(), Vec::new());
                    for body in bodies {
                        let was_over = acknowledged.load(Ordering::SeqCst);
                        let answer = stage.root.write(path, body);
                        if was_over { late.push(answer) } else { early.push(answer) }
                    }
                    (early, late)
                })
            })
            .collect();
        thread::sleep(Duration::from_millis(30));
        stage.push("idp", &stage.sender().good()).expect(202);
        acknowledged.store(true, Ordering::SeqCst);
        let all: Vec<_> = clients.into_iter().map(|client| client.join().unwrap()).collect();
        let (early, late): (Vec<_>, Vec<_>) = all.into_iter().unzip();
        (early.into_iter().flatten().collect(), late.into_iter().flatten().collect())
    });
    assert!(!given(&early).is_empty() && late.len() > 10, "{} early, {} late", early.len(), late.len());
    for answer in &late {
        assert!(answer.status == 400 && answer.error().starts_with("ended: "), "{} {}", answer.status, answer.text());
    }
    assert_eq!(stage.read(&format!("history/{JANE}?verify=true"))["verified"], true);
}
