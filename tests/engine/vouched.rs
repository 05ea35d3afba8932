//! Issuers of type `host`: what the vault that mounts us vouches for, and no more.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::Mutex;

use serde_json::{Value, json};
use sparekey::auth::Caller;
use sparekey::auth::host::{HostAlias, HostIdentity, Identities, Looking};
use sparekey::engine::request::Operation;
use sparekey::error::Error;
use sparekey::plugin::HostStorage;
use sparekey::storage::Storage;
use sparekey::storage::memory::Memory;

use crate::fake_host::FakeHost;
use crate::harness::{Answer, Bench, CODES};

/// A vault's entities by id; without any it does not answer.
#[derive(Default)]
struct Vault(Mutex<BTreeMap<String, HostIdentity>>);

impl Vault {
    /// An entity with these aliases (auth method, name) and groups.
    fn knows(&self, id: &str, aliases: &[(&str, &str)], groups: &[&str]) {
        let aliases = aliases.iter().map(|(mount_accessor, name)| HostAlias {
            mount_accessor: (*mount_accessor).to_owned(),
            name: (*name).to_owned(),
        });
        let identity = HostIdentity {
            entity_id: id.to_owned(),
            disabled: false,
            aliases: aliases.collect(),
            groups: groups.iter().map(|name| (*name).to_owned()).collect(),
        };
        self.0.lock().unwrap().insert(id.to_owned(), identity);
    }
    fn disable(&self, id: &str) {
        self.0.lock().unwrap().get_mut(id).unwrap().disabled = true;
    }
}

impl Identities for Vault {
    fn look_up<'a>(&'a self, entity_id: &'a str) -> Looking<'a> {
        let known = self.0.lock().unwrap();
        let found = match known.is_empty() {
            true => Err(Error::unavailable("the vault does not say who you are; try again")),
            false => Ok(known.get(entity_id).cloned()),
        };
        Box::pin(async move { found })
    }
}

fn entity(id: &str) -> Caller {
    // The display name is chosen by whoever makes the token.
    Caller::Host { entity_id: id.to_owned(), accessor: "accessor".to_owned(), display_name: "jwt-jane".to_owned() }
}

/// A bench in a vault with entities `jane` and others, issuers `okta` and `ldap` of type host, and role `desk` over the first.
async fn mounted() -> (Bench, Arc<Vault>) {
    mounted_on(Arc::new(Memory::new())).await
}

async fn mounted_on(store: Arc<dyn Storage>) -> (Bench, Arc<Vault>) {
    let vault = Arc::new(Vault::default());
    vault.knows("jane", &[("auth_okta", "jane")], &["sre", "everybody"]);
    let bench = Bench::over(store).await.vouched_for(vault.clone());
    bench.store("a", &CODES).await;
    for name in ["okta", "ldap"] {
        let issuer = json!({"type": "host", "mount_accessor": format!("auth_{name}")});
        bench.fine(&format!("issuers/{name}"), issuer).await;
    }
    bench.fine("roles/desk", role(json!({}))).await;
    (bench, vault)
}

fn role(changes: Value) -> Value {
    let mut role = json!({
        "issuers": "okta", "bound_claims": {"groups": "sre"}, "accounts": "*", "operations": "retrieve,revoke,store",
        "assertion": "login", "require_reason": false,
    });
    role.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    role
}

async fn act(bench: &Bench, path: &str, body: Value, caller: Caller) -> Answer {
    bench.send(Operation::Update, path, body, caller, None).await
}

async fn retrieve(bench: &Bench, caller: Caller) -> Answer {
    act(bench, "retrieve/a", json!({"role": "desk"}), caller).await
}

#[tokio::test]
async fn whoever_logged_in_by_the_named_method_acts_under_the_role() {
    let (bench, _) = mounted().await;
    // As often as they are let: nothing is used up.
    for code in &CODES[..2] {
        let answer = retrieve(&bench, entity("jane")).await;
        assert_eq!((answer.status, answer.code.as_deref()), (200, Some(*code)), "{answer:?}");
    }
    let history = bench.read("history/a").await;
    let actor = &history["entries"][1]["actor"];
    assert_eq!((&actor["subject"], &actor["issuer"]), (&json!("jane"), &json!("host:auth_okta")));
    assert_eq!((&actor["role"], &actor["entity"]), (&json!("desk"), &json!("jane")));
}

#[tokio::test]
async fn nobody_else_does() {
    let (bench, vault) = mounted().await;
    vault.knows("bob", &[("auth_okta", "bob")], &["everybody"]);
    vault.knows("eve", &[("auth_ldap", "jane")], &["sre"]);
    vault.knows("two", &[("auth_okta", "jane"), ("auth_userpass", "jane")], &["sre"]);
    vault.knows("bare", &[], &["sre"]);
    vault.knows("off", &[("auth_okta", "off")], &["sre"]);
    vault.disable("off");
    for (id, layer, says) in [
        ("", "assertion", "no entity"),
        ("nobody", "assertion", "no entity"),
        ("off", "assertion", "no entity"),
        ("bare", "assertion", "no alias"),
        ("eve", "assertion", "no alias"),
        ("two", "assertion", "does not trust"),
        ("bob", "role", "claim \"groups\""),
    ] {
        let answer = retrieve(&bench, entity(id)).await;
        assert_eq!((answer.status, answer.word()), (403, layer), "{id}: {answer:?}");
        assert!(answer.error.contains(says), "{id}: {}", answer.error);
    }
    // The vault's root token has no entity, and no token of another kind stands in.
    for caller in [Caller::Root { accessor: "r".into() }, Caller::Anonymous] {
        assert_eq!(retrieve(&bench, caller).await.status, 403);
    }
    assert_eq!(bench.read("accounts/a").await["remaining"], 4);
}

#[tokio::test]
async fn an_entity_counts_where_the_role_trusts_every_method_it_can_log_in_by() {
    let (bench, vault) = mounted().await;
    bench.fine("roles/desk", json!({"issuers": "okta,ldap", "bound_claims": null, "bound_subject": "jane"})).await;
    vault.knows("both", &[("auth_ldap", "j.doe"), ("auth_okta", "jane")], &[]);
    // The role's order decides who it is.
    assert_eq!(retrieve(&bench, entity("both")).await.status, 200);
    bench.fine("roles/desk", json!({"issuers": "ldap,okta"})).await;
    let answer = retrieve(&bench, entity("both")).await;
    assert_eq!((answer.status, answer.word()), (403, "role"), "{answer:?}");
}

#[tokio::test]
async fn the_role_decides_whether_the_vaults_word_suffices() {
    let (bench, _) = mounted().await;
    bench.fine("roles/desk", json!({"assertion": null})).await;
    let refused = retrieve(&bench, entity("jane")).await;
    assert!(refused.status == 403 && refused.error.contains("JWT in the request itself"), "{refused:?}");
    // Elsewhere it suffices by default.
    let revoke = act(&bench, "revoke/a", json!({"role": "desk", "reason": "lost"}), entity("jane")).await;
    assert_eq!(revoke.status, 200, "{revoke:?}");
}

#[tokio::test]
async fn the_two_kinds_of_word_do_not_mix() {
    let (bench, _) = mounted().await;
    // A JWT under a role over the vault's identities, and the other way round.
    let sent = act(&bench, "retrieve/a", json!({"role": "desk", "jwt": bench.jwt(json!({}))}), entity("jane")).await;
    assert!(sent.status == 403 && sent.error.contains("send no jwt"), "{sent:?}");
    let unsent = act(&bench, "retrieve/a", json!({"role": "admin"}), entity("jane")).await;
    assert!(unsent.status == 403 && unsent.error.contains("no token stands in"), "{unsent:?}");

    // In one role: refused when it is written, and, should an issuer change afterwards, when it is used.
    let write = async |path: &str, body: Value| bench.root(Operation::Update, path, body).await;
    let mixed = write("roles/mixed", role(json!({"issuers": "okta,idp", "bound_audiences": "sparekey"}))).await;
    assert!(mixed.status == 400 && mixed.error.starts_with("issuers: "), "{mixed:?}");
    let demanding = write("roles/desk", json!({"required_acr": "phr"})).await;
    assert!(demanding.status == 400 && demanding.error.starts_with("required_acr: "), "{demanding:?}");
    let early = write("roles/early", role(json!({"issuers": "later"}))).await;
    assert!(early.status == 400 && early.error.starts_with("bound_audiences: "), "{early:?}");
    let source = write(
        "sources/x",
        json!({"type": "caep", "issuer": "okta", "bound_audiences": "a", "account_template": "{{email}}"}),
    )
    .await;
    assert!(source.status == 400 && source.error.starts_with("issuer: "), "{source:?}");

    bench.fine("issuers/second", json!({"type": "host", "mount_accessor": "auth_second"})).await;
    bench.fine("roles/desk", json!({"issuers": "okta,second"})).await;
    assert_eq!(bench.root(Operation::Delete, "issuers/second", json!({})).await.status, 204);
    let keys = json!({"bound_issuer": "https://other.example.com", "jwt_validation_pubkeys": [bench.idp.public_pem()]});
    bench.fine("issuers/second", keys).await;
    let refused = retrieve(&bench, entity("jane")).await;
    assert!(refused.status == 403 && refused.error.contains("do not mix"), "{refused:?}");
    // An issuer that became one of type host makes a role with audiences useless, not lax.
    assert_eq!(bench.root(Operation::Delete, "issuers/idp", json!({})).await.status, 204);
    bench.fine("issuers/idp", json!({"type": "host", "mount_accessor": "auth_okta"})).await;
    let refused = act(&bench, "revoke/a", json!({"role": "admin", "reason": "lost"}), entity("jane")).await;
    assert!(refused.status == 403 && refused.error.contains("audience"), "{refused:?}");
}

#[tokio::test]
async fn where_no_vault_mounts_us_it_is_refused_by_name() {
    let bench = Bench::new().await;
    bench.store("a", &CODES).await;
    bench.fine("issuers/okta", json!({"type": "host", "mount_accessor": "auth_okta"})).await;
    bench.fine("roles/desk", role(json!({}))).await;
    for body in [json!({"role": "desk"}), json!({"role": "desk", "jwt": bench.jwt(json!({}))})] {
        for caller in [Caller::Anonymous, Caller::Root { accessor: "r".into() }, entity("jane")] {
            let answer = act(&bench, "retrieve/a", body.clone(), caller).await;
            assert!(answer.status == 403 && answer.error.contains("only when mounted"), "{answer:?}");
        }
    }
    let login = bench.engine.login(Some("desk"), &bench.jwt(json!({})), None).await.err().unwrap();
    assert!(login.public().contains("only when mounted"), "{login}");
}

#[tokio::test]
async fn a_vault_that_does_not_answer_is_no_leave() {
    let (bench, vault) = mounted().await;
    vault.0.lock().unwrap().clear();
    let answer = retrieve(&bench, entity("jane")).await;
    assert_eq!(answer.status, 503, "{answer:?}");
    assert_eq!(bench.read("accounts/a").await["remaining"], 4);
}

/// Nothing is claimed. Who the caller is is asked for beside, once for each act.
#[tokio::test]
async fn an_act_by_the_vaults_word_is_five_calls_on_its_storage() {
    let host = FakeHost::with_transactions();
    let store = HostStorage::new(host.client());
    store.try_to_write().await.unwrap();
    let (bench, _) = mounted_on(Arc::new(store)).await;
    let retrieve = || bench.send(Operation::Update, "retrieve/a", json!({"role": "desk"}), entity("jane"), None);
    // The first after a change of the configuration learns that it changed, the second reads what is held from then on.
    for _ in 0..2 {
        assert_eq!(retrieve().await.status, 200);
    }
    host.calls();
    assert_eq!(retrieve().await.status, 200);
    let mut calls = host.calls();
    calls.sort();
    assert_eq!(calls, ["BeginTx", "Commit", "Get accounts/a", "Get configuration-stamp", "Put accounts/a"]);
}
