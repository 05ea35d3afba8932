//! The vault's own word for who asks: issuers of type `host`, and its identity tokens as assertions.

use serde_json::{Value, json};

use crate::support::http::{Answer, Client};
use crate::support::scene::{Scene, codes};
use crate::support::server::MOUNT;
use crate::support::signer::{Signer, claims};
use crate::support::vault::Vault;

/// Who signs for the vault's auth method: not an issuer of ours.
const STAFF: &str = "https://staff.example.com/";
const AUDIENCE: &str = "vault";

/// A vault whose people log in by JWT at `auth/staff`, and whose group `sre` is the provider's `people:sre`.
struct Staffed {
    vault: Vault,
    scene: Scene,
    signer: Signer,
}

impl Staffed {
    fn new() -> Self {
        let vault = Vault::mounted();
        let scene = Scene::with(vault.root(), vault.root(), Signer::es256("k"));
        scene.store("github/acme", &codes(1, 8), 0).expect(200);
        let staffed = Staffed { vault, scene, signer: Signer::es256("staff") };
        let root = staffed.vault.root();
        root.write(
            "sys/policies/acl/desk",
            &json!({"policy": "path \"backup-codes/retrieve/*\" { capabilities = [\"update\"] }"}),
        )
        .expect(204);
        let accessor = staffed.method("staff");
        let group = json!({"name": "sre", "type": "external"});
        let group = root.write("identity/group", &group).expect(200).data()["id"].clone();
        let alias = json!({"name": "people:sre", "mount_accessor": accessor, "canonical_id": group});
        root.write("identity/group-alias", &alias).expect(200);
        let issuer = json!({"type": "host", "mount_accessor": accessor});
        root.write("backup-codes/issuers/staff", &issuer).expect(204);
        let role = json!({
            "issuers": "staff", "bound_claims": {"groups": "sre"}, "accounts": "github/*", "operations": "retrieve",
            "assertion": "login",
        });
        root.write("backup-codes/roles/desk", &role).expect(204);
        staffed
    }
    /// An auth method for tokens of `self.signer`; answers its accessor.
    fn method(&self, path: &str) -> Value {
        let root = self.vault.root();
        root.write(&format!("sys/auth/{path}"), &json!({"type": "jwt"})).expect(204);
        let config = json!({"jwt_validation_pubkeys": [self.signer.public_pem()], "bound_issuer": STAFF});
        root.write(&format!("auth/{path}/config"), &config).expect(204);
        let role = json!({
            "role_type": "jwt", "user_claim": "sub", "bound_audiences": [AUDIENCE], "groups_claim": "groups",
            "claim_mappings": {"acr": "acr", "auth_time": "auth_time"}, "token_policies": ["desk"],
        });
        root.write(&format!("auth/{path}/role/person"), &role).expect(204);
        root.read("sys/auth").expect(200).json()["data"][format!("{path}/")]["accessor"].clone()
    }
    /// Logs `name` in.
    fn login(&self, path: &str, name: &str, groups: &[&str]) -> Client {
        let mut claims = claims(STAFF, name, AUDIENCE);
        claims["groups"] = json!(groups);
        claims["acr"] = json!("phr");
        let body = json!({"role": "person", "jwt": self.signer.jwt(&claims)});
        let auth = self.vault.client().write(&format!("auth/{path}/login"), &body).expect(200).json()["auth"].clone();
        self.vault.client().token(auth["client_token"].as_str().unwrap())
    }
    fn remaining(&self) -> Value {
        self.scene.read("accounts", "github/acme").expect(200).data()["remaining"].clone()
    }
}

fn retrieve(client: &Client, body: Value) -> Answer {
    let mut ask = json!({"reason": "locked out"});
    ask.as_object_mut().unwrap().extend(body.as_object().unwrap().clone());
    client.write(&format!("{MOUNT}/retrieve/github/acme"), &ask)
}

#[test]
fn whoever_logged_in_to_the_vault_acts_without_a_jwt_where_the_role_says_so() {
    let staffed = Staffed::new();
    let jane = staffed.login("staff", "jane", &["people:sre"]);
    let answer = retrieve(&jane, json!({"role": "desk"})).expect(200).data();
    assert_eq!(answer["remaining"], 7);
    let entries = staffed.scene.read("history", "github/acme").expect(200).data()["entries"].clone();
    let actor = &entries[1]["actor"];
    let lookup = jane.read("auth/token/lookup-self").expect(200).data();
    assert_eq!((&actor["subject"], &actor["role"]), (&json!("jane"), &json!("desk")));
    assert_eq!((&actor["entity"], &actor["accessor"]), (&lookup["entity_id"], &lookup["accessor"]));
    assert!(actor["issuer"].as_str().unwrap().starts_with("host:auth_jwt_"), "{actor}");

    // Groups are asked for at every act.
    let bob = staffed.login("staff", "bob", &["people:dev"]);
    let refused = retrieve(&bob, json!({"role": "desk"})).expect(403);
    assert!(refused.error().starts_with("role: claim \"groups\""), "{}", refused.text());
    let group = json!({"member_entity_ids": [bob.read("auth/token/lookup-self").data()["entity_id"]]});
    staffed.vault.root().write("identity/group/name/inside", &group).expect(200);
    staffed.vault.root().write("backup-codes/roles/desk", &json!({"bound_claims": {"groups": "inside"}})).expect(204);
    retrieve(&bob, json!({"role": "desk"})).expect(200);
    assert_eq!(staffed.remaining(), 6);
}

#[test]
fn the_vault_vouches_for_no_more_than_it_knows() {
    let staffed = Staffed::new();
    let root = staffed.vault.root();
    let jane = staffed.login("staff", "jane", &["people:sre"]);
    let says = |client: &Client, body: Value, words: &str| {
        let refused = retrieve(client, body).expect(403);
        assert!(refused.error().contains(words), "{}", refused.text());
    };
    // Neither the root token nor one that only looks like hers.
    says(&root, json!({"role": "desk"}), "knows no entity");
    let made =
        json!({"policies": ["desk"], "display_name": "staff-jane", "meta": {"role": "person"}, "no_parent": true});
    let made = root.write("auth/token/create", &made).expect(200).json()["auth"]["client_token"].clone();
    says(&staffed.vault.client().token(made.as_str().unwrap()), json!({"role": "desk"}), "knows no entity");
    // A name at another method is another's.
    staffed.method("elsewhere");
    let other = staffed.login("elsewhere", "jane", &["people:sre"]);
    says(&other, json!({"role": "desk"}), "no alias at an auth method");

    // An entity that can log in by both is hers no longer: the vault does not tell by which it did.
    let id = |client: &Client| client.read("auth/token/lookup-self").expect(200).data()["entity_id"].clone();
    let merge =
        json!({"from_entity_ids": [id(&other)], "to_entity_id": id(&jane), "conflicting_alias_ids_to_keep": []});
    root.write("identity/entity/merge", &merge);
    says(&jane, json!({"role": "desk"}), "an alias at an auth method that the role does not trust");

    // What the vault cannot vouch for, no role may seem to ask.
    for (field, value) in
        [("required_acr", json!("phr")), ("max_auth_age", json!("5m")), ("bound_claims", json!({"acr": "phr"}))]
    {
        let refused = root.write("backup-codes/roles/desk", &json!({field: value})).expect(400);
        assert!(refused.error().starts_with(field), "{}", refused.text());
    }
    // A role over signed assertions takes no login for one.
    says(&jane, json!({"role": "on-call"}), "no token stands in");
    // The vault's policies come first.
    let nobody =
        staffed.vault.client().token(&staffed.vault.token("nobody", "path \"x\" { capabilities = [\"read\"] }"));
    says(&nobody, json!({"role": "desk"}), "permission denied");
    assert_eq!(staffed.remaining(), 8);
}

#[test]
fn the_vaults_identity_tokens_are_assertions() {
    let staffed = Staffed::new();
    let (vault, root) = (&staffed.vault, staffed.vault.root());
    // A key, and a role whose tokens are for us and say who it is.
    root.write("identity/oidc/key/backup-codes", &json!({"allowed_client_ids": "*", "algorithm": "ES256"})).expect(204);
    let template = r#"{"name": {{identity.entity.name}}, "groups": {{identity.entity.groups.names}}}"#;
    let role = json!({"key": "backup-codes", "client_id": "sparekey", "ttl": "5m", "template": template});
    root.write("identity/oidc/role/backup-codes", &role).expect(204);
    let policy = "path \"identity/oidc/token/backup-codes\" { capabilities = [\"read\"] }\n\
                  path \"backup-codes/retrieve/*\" { capabilities = [\"update\"] }";
    root.write("sys/policies/acl/desk", &json!({"policy": policy})).expect(204);
    // To us the vault is an issuer like any other.
    let issuer = json!({
        "bound_issuer": format!("{}/v1/identity/oidc", vault.url()),
        "jwks_url": format!("{}/v1/identity/oidc/.well-known/keys", vault.url()),
    });
    root.write("backup-codes/issuers/vault", &issuer).expect(204);
    let role = json!({
        "issuers": "vault", "bound_audiences": "sparekey", "bound_claims": {"groups": "sre"}, "accounts": "*",
        "operations": "retrieve",
    });
    root.write("backup-codes/roles/people", &role).expect(204);

    let jane = staffed.login("staff", "jane", &["people:sre"]);
    let token = |client: &Client| client.read("identity/oidc/token/backup-codes").expect(200).data()["token"].clone();
    let mine = token(&jane);
    retrieve(&jane, json!({"role": "people", "jwt": mine})).expect(200);
    let again = retrieve(&jane, json!({"role": "people", "jwt": mine})).expect(403);
    assert!(again.error().starts_with("assertion"), "{}", again.text());
    let bob = staffed.login("staff", "bob", &[]);
    let refused = retrieve(&bob, json!({"role": "people", "jwt": token(&bob)})).expect(403);
    assert!(refused.error().starts_with("role: "), "{}", refused.text());
}
