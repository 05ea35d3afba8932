//! The usual cast: a trusted issuer, an on-call role, an automation role and an event source, set up over HTTP.

use serde_json::{Value, json};
use sparekey::crypto::inherited::Origin;
use sparekey::crypto::secret::Key;
use sparekey::domain::code::canonical;

use super::http::{Answer, Client};
use super::server::{MOUNT, Server};
use super::signer::{Signer, claims, credential_change, now};

/// The issuer's `iss`.
pub const ISSUER: &str = "https://idp.example.com/";
/// The audience that roles and sources ask for.
pub const AUDIENCE: &str = "https://sparekey.example.com/";

/// A set-up engine: who signs, and how the engine is reached.
pub struct Scene {
    /// The identity provider's key.
    pub signer: Signer,
    root: Client,
    plain: Client,
}

impl Scene {
    /// Sets up issuer `idp`, roles `on-call` (retrieve) and `automation` (store, enroll, revoke, release) over all
    /// accounts, and source `idp` whose events about `email:X@example.com` are about account `okta/X@example.com`.
    pub fn new(server: &Server) -> Self {
        Self::with(server.root(), server.client(), Signer::es256("idp-1"))
    }
    /// The same through these clients (the first with the right to administer), for this signer.
    pub fn with(root: Client, plain: Client, signer: Signer) -> Self {
        let scene = Scene { signer, root, plain };
        let write = |path: &str, body: Value| {
            let answer = scene.root.write(&format!("{MOUNT}/{path}"), &body);
            assert!(answer.status == 204 || answer.status == 200, "{path}: {} {}", answer.status, answer.text());
        };
        write("issuers/idp", json!({"bound_issuer": ISSUER, "jwt_validation_pubkeys": [scene.signer.public_pem()]}));
        write(
            "roles/on-call",
            json!({
                "issuers": ["idp"], "bound_audiences": [AUDIENCE], "bound_claims": {"groups": ["on-call"]},
                "accounts": ["*"], "operations": ["retrieve", "read", "list", "history"], "max_retrievals": null,
            }),
        );
        write(
            "roles/automation",
            json!({
                "issuers": ["idp"], "bound_audiences": [AUDIENCE], "bound_subject": "rotator",
                "accounts": ["*"], "operations": ["store", "enroll", "revoke", "release", "read", "list", "history"],
            }),
        );
        write(
            "sources/idp",
            json!({
                "type": "caep", "issuer": "idp", "bound_audiences": [AUDIENCE], "account_template": "okta/{{email}}",
            }),
        );
        scene
    }

    /// The same cast, reached by other clients: another node of the same engine.
    pub fn through(&self, root: Client, plain: Client) -> Self {
        Scene { signer: self.signer.clone(), root, plain }
    }

    /// A fresh assertion of an on-call admin.
    pub fn admin(&self, subject: &str) -> String {
        let mut claims = claims(ISSUER, subject, AUDIENCE);
        claims["groups"] = json!(["on-call"]);
        self.signer.jwt(&claims)
    }
    /// A fresh assertion of the automation that stores sets.
    pub fn automation(&self) -> String {
        self.signer.jwt(&claims(ISSUER, "rotator", AUDIENCE))
    }
    /// Stores `codes` for `account`, expecting generation `cas`; they were the provider's an hour ago, so that an event of
    /// now is clearly later.
    pub fn store(&self, account: &str, codes: &[String], cas: u64) -> Answer {
        let body = json!({
            "role": "automation", "jwt": self.automation(), "codes": codes, "cas": cas, "bound_at": now() - 3_600,
        });
        self.act("sets", account, body)
    }
    /// Asks for one code with a fresh assertion of `subject`.
    pub fn retrieve(&self, account: &str, subject: &str) -> Answer {
        self.act("retrieve", account, self.request(subject))
    }
    /// The body of such a request.
    pub fn request(&self, subject: &str) -> Value {
        json!({"role": "on-call", "jwt": self.admin(subject), "reason": "locked out"})
    }
    /// `POST BASE/ACCOUNT` without a token.
    pub fn act(&self, base: &str, account: &str, body: Value) -> Answer {
        self.plain.write(&format!("{MOUNT}/{base}/{account}"), &body)
    }
    /// The same, where the server may die at any moment.
    pub fn try_act(&self, base: &str, account: &str, body: &Value) -> std::io::Result<Answer> {
        self.plain.try_write(&format!("{MOUNT}/{base}/{account}"), body)
    }
    /// A write below `/v1/` with the right to administer, where the server may die at any moment.
    pub fn try_administer(&self, path: &str, body: &Value) -> std::io::Result<Answer> {
        self.root.try_write(path, body)
    }
    /// `GET BASE/ACCOUNT` with the right to administer.
    pub fn read(&self, base: &str, account: &str) -> Answer {
        self.root.read(&format!("{MOUNT}/{base}/{account}"))
    }
    /// Pushes a signed event that says the person enrolled again just now.
    pub fn enrolled_again(&self, email: &str) -> Answer {
        let subject = json!({"format": "email", "email": email});
        self.push(&self.signer.set(&credential_change(ISSUER, AUDIENCE, &subject, now())))
    }
    /// The same as a vault takes it: in JSON.
    pub fn enrolled_again_in_json(&self, email: &str) -> Answer {
        let subject = json!({"format": "email", "email": email});
        let set = self.signer.set(&credential_change(ISSUER, AUDIENCE, &subject, now()));
        self.plain.write(&format!("{MOUNT}/events/idp"), &json!({"set": set}))
    }
    /// Pushes these very bytes as a Security Event Token (RFC 8935).
    pub fn push(&self, set: &str) -> Answer {
        let client = self.plain.header("Content-Type", "application/secevent+jwt").header("Accept", "application/json");
        client.send("POST", &format!("{MOUNT}/events/idp"), Some(set.as_bytes()))
    }
}

/// `count` codes such as a provider prints, all different for every `seed`.
pub fn codes(seed: u64, count: usize) -> Vec<String> {
    // A fixed permutation of numbers, so that codes look random and never repeat.
    (0..count as u64)
        .map(|index| {
            let number = (seed.wrapping_mul(1_000) + index).wrapping_mul(0x9e37_79b9_7f4a_7c15) & 0x00ff_ffff_ffff;
            format!("{:05x}-{:05x}", number >> 20, number & 0xf_ffff)
        })
        .collect()
}

/// What `transfer/` takes: an account of another mount with one code left of two.
pub fn moving_in() -> Value {
    parcel("mmmmm-12345", [7; 16])
}

/// The same with this code left, for an account that had this id there.
pub fn parcel(code: &str, account_id: [u8; 16]) -> Value {
    let (at, id) = ("2026-01-01T12:00:00.000Z", hex::encode(account_id));
    let (origin, key) = (Origin { mount_id: [1; 16], account_id }, Key::from_bytes([5; 32].into()));
    let plain = canonical(code);
    let print = hex::encode(origin.fingerprinter(&key).print(plain.as_bytes()));
    json!({
        "source": {"mount_id": "01".repeat(16), "account_id": id, "seq": 3, "head": "02".repeat(32)},
        "state": {
            "profile": "escrowed", "owner": "platform", "login_name": "", "login_url": "", "protects": [], "labels": {"tier": "0"},
            "created_at": at, "deleted_at": null, "generation": 1, "bound_at": at,
            "enrollment": {
                "number": 0, "ended_before": null, "doubtful_before": null, "latest": null, "source": null,
                "released_through": null,
            },
            "owes": null, "failures": null,
            "sets": [{
                "generation": 1, "kind": "escrowed", "ended": null, "stored_at": at, "stored_by": "rotator", "bound_at": at,
                "confirmed_at": null, "custody": null, "keeping": null, "failures": null,
                "slots": [{"state": "used"}, {"state": "held"}],
            }],
            "fingerprints": [{
                "mount_id": "01".repeat(16), "account_id": id,
                "generations": [{
                    "generation": 1, "until": null, "prints": ["03".repeat(16), print], "lengths": [plain.len()],
                }],
            }],
        },
        "codes": [code],
        "fingerprint_keys": ["05".repeat(32)],
    })
}
