//! The story through the clients that people have: the real `bao`, hvac, node-vault and vaultrs.

mod support;

use std::process::{Command, Stdio};

use serde_json::{Value, json};

use support::bao::Bao;
use support::scene::{AUDIENCE, ISSUER, Scene, codes};
use support::server::{Server, Setup};
use support::signer::{Signer, claims, credential_change, now};

#[test]
fn bao_initialises_unseals_and_seals() {
    let server = Setup::default().uninitialized().start();
    let bao = Bao::new(&server);

    bao.run(&["status"]).exits(2).row("Initialized", "false").row("Sealed", "true");
    bao.run(&["operator", "init", "-status"]).exits(2);
    bao.run(&["operator", "init", "-key-shares=2", "-key-threshold=3"]).refused(400, "threshold");
    let init = bao.json(2, &["operator", "init", "-key-shares=3", "-key-threshold=2"]);
    let keys: Vec<&str> = init["unseal_keys_b64"].as_array().unwrap().iter().map(|key| key.as_str().unwrap()).collect();
    assert_eq!((keys.len(), &init["unseal_threshold"]), (3, &json!(2)));
    bao.run(&["operator", "init"]).refused(400, "already initialized");
    bao.run(&["operator", "init", "-status"]).ok();

    let root = init["root_token"].as_str().unwrap();
    bao.token(root).run(&["read", "backup-codes/config"]).refused(503, "sealed");
    bao.run(&["operator", "unseal", "zzz"]).refused(400, "hex or base64");
    bao.run(&["operator", "unseal", keys[0]]).ok().row("Sealed", "true").row("Unseal Progress", "1/2");
    bao.run(&["operator", "unseal", "-reset"]).ok().row("Unseal Progress", "0/2");
    bao.run(&["operator", "unseal", keys[2]]).ok().row("Unseal Progress", "1/2");
    bao.run(&["operator", "unseal", keys[0]]).ok().row("Sealed", "false");
    bao.run(&["status"]).ok().row("Sealed", "false").row("Total Shares", "3").row("Threshold", "2");

    bao.run(&["operator", "seal"]).refused(403, "permission denied");
    bao.token(root).run(&["operator", "seal"]).ok().says("Success!");
    bao.run(&["status"]).exits(2).row("Sealed", "true");
    bao.token(root).run(&["token", "lookup"]).refused(503, "sealed");
}

#[test]
fn bao_looks_after_keys_and_tokens() {
    let server = Setup::default().uninitialized().start();
    let plain = Bao::new(&server);
    let init = plain.json(2, &["operator", "init", "-key-shares=3", "-key-threshold=2"]);
    let keys: Vec<&str> = init["unseal_keys_b64"].as_array().unwrap().iter().map(|key| key.as_str().unwrap()).collect();
    for key in &keys[..2] {
        plain.run(&["operator", "unseal", key]).ok();
    }
    let bao = plain.token(init["root_token"].as_str().unwrap());

    bao.run(&["operator", "key-status"]).ok().says("Key Term");
    bao.run(&["operator", "rotate"]).ok().says("Success!");
    assert_eq!(bao.json(2, &["operator", "key-status"])["term"], 2);
    plain.run(&["operator", "rotate"]).refused(403, "permission denied");
    bao.run(&["audit", "list"]).ok().says("main/");
    bao.run(&["write", "-f", "backup-codes/config/keys/rotate"]).ok().row("active", "2");
    bao.run(&["write", "-f", "backup-codes/config/keys/rewrap"]).ok().says("state");
    bao.run(&["read", "backup-codes/config/keys/rewrap"]).ok().says("total");
    bao.run(&["read", "backup-codes/config/keys"]).ok().row("active", "2");

    let otp = bao.run(&["operator", "generate-root", "-generate-otp"]).ok().out.trim().to_owned();
    let begun = bao.json(2, &["operator", "generate-root", "-init", &format!("-otp={otp}")]);
    let nonce = format!("-nonce={}", begun["nonce"].as_str().unwrap());
    bao.run(&["operator", "generate-root", "-status"]).ok().row("Started", "true").row("Progress", "0/2");
    bao.run(&["operator", "generate-root", &nonce, keys[0]]).ok().row("Progress", "1/2");
    let done = bao.run(&["operator", "generate-root", &nonce, keys[2]]).ok().row("Complete", "true");
    let encoded = done.cell("Encoded Token").expect("a token");
    let decoded = bao.run(&["operator", "generate-root", &format!("-decode={encoded}"), &format!("-otp={otp}")]).ok();
    let new = plain.token(decoded.out.trim());
    new.run(&["token", "lookup"]).ok().row("policies", "[root]");
    bao.run(&["token", "lookup"]).ok();
    bao.run(&["operator", "generate-root", "-init"]).ok();
    bao.run(&["operator", "generate-root", "-cancel"]).ok().says("Success!");
    bao.run(&["operator", "generate-root", "-status"]).ok().row("Started", "false");
    bao.run(&["operator", "rekey", "-status"]).refused(405, "unsupported operation");

    let accessors = bao.json(1, &["list", "auth/token/accessors"]);
    let accessors: Vec<&str> = accessors.as_array().unwrap().iter().map(|one| one.as_str().unwrap()).collect();
    assert_eq!(accessors.len(), 2);
    let own = bao.json(2, &["token", "lookup"])["data"]["accessor"].as_str().unwrap().to_owned();
    let other = accessors.iter().find(|accessor| **accessor != own).unwrap();
    bao.run(&["token", "lookup", "-accessor", other]).ok().row("display_name", "root");
    bao.run(&["token", "revoke", "-accessor", other]).ok().says("Success!");
    new.run(&["token", "lookup"]).refused(403, "permission denied");

    let wrapped = bao.json(1, &["write", "-wrap-ttl=60s", "sys/wrapping/wrap", "a=b"]);
    let old = wrapped["wrap_info"]["token"].as_str().unwrap();
    let moved = bao.json(1, &["write", "sys/wrapping/rewrap", &format!("token={old}")]);
    bao.run(&["unwrap", old]).refused(400, "wrapping token is not valid");
    bao.run(&["unwrap", moved["wrap_info"]["token"].as_str().unwrap()]).ok().row("a", "b");
}

#[test]
fn bao_plays_the_story() {
    play(&Server::start());
}

#[test]
fn bao_plays_the_story_on_postgresql() {
    let storage = support::postgres::shared().storage(&support::postgres::table());
    play(&Setup::default().storage(storage).start());
}

fn play(server: &Server) {
    let signer = Signer::es256("idp-1");
    let bao = Bao::new(server);

    // Who is asking.
    bao.run(&["login", "nonsense"]).exits(2);
    bao.run(&["login", server.root_token()]).ok().says("You are now authenticated").row("token_policies", "[\"root\"]");
    bao.run(&["token", "lookup"]).ok().row("display_name", "root").row("policies", "[root]").row("ttl", "0s");
    bao.run(&["secrets", "list"]).ok().says("backup-codes/");
    bao.run(&["auth", "list"]).ok().says("jwt/").says("token/");

    // Whom we trust, and who may do what.
    bao.file("idp.pem", &signer.public_pem());
    let issuer = format!("bound_issuer={ISSUER}");
    bao.run(&["write", "backup-codes/issuers/idp", &issuer, "jwt_validation_pubkeys=@idp.pem"])
        .ok()
        .says("Success! Data written to: backup-codes/issuers/idp");
    let role = |operations: &str, more: Value| {
        let mut role = json!({
            "issuers": "idp", "bound_audiences": AUDIENCE, "accounts": "*",
            "operations": operations.split(' ').collect::<Vec<_>>(),
        });
        role.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        role.to_string()
    };
    bao.file("on-call.json", &role("retrieve read", json!({"bound_claims": {"groups": "on-call"}})));
    bao.file("automation.json", &role("store enroll revoke", json!({"bound_subject": "rotator"})));
    bao.run(&["write", "backup-codes/roles/on-call", "@on-call.json"]).ok();
    bao.run(&["write", "backup-codes/roles/automation", "@automation.json"]).ok();
    bao.run(&["write", "backup-codes/roles/typo", "operatoins=retrieve"]).refused(400, "operatoins");
    bao.run(&["list", "backup-codes/roles"]).ok().says("automation\n").says("on-call\n");
    assert_eq!(bao.json(1, &["read", "backup-codes/roles/on-call"])["data"]["bound_audiences"], json!([AUDIENCE]));
    let audience = format!("bound_audiences={AUDIENCE}");
    bao.run(&[
        "write",
        "backup-codes/sources/idp",
        "type=caep",
        "issuer=idp",
        &audience,
        "account_template=okta/{{email}}",
    ])
    .ok();

    // A set goes in; not a second time.
    let mine = codes(7, 3);
    let account = "backup-codes/sets/okta/jane@example.com";
    let listed: Vec<String> = mine.iter().map(|code| format!("codes={code}")).collect();
    let [first, second, third] = &listed[..] else { panic!("three codes") };
    let bound = format!("bound_at={}", now() - 3_600);
    bao.file("rotator.jwt", &signer.jwt(&claims(ISSUER, "rotator", AUDIENCE)));
    bao.run(&["write", account, "role=automation", "jwt=@rotator.jwt", first, second, third, "cas=0", &bound])
        .ok()
        .row("generation", "1")
        .row("count", "3")
        .row("remaining", "3");
    bao.run(&["write", account, "role=automation", "jwt=@rotator.jwt", first, second, third, "cas=0"])
        .refused(400, "cas");

    // One code comes out to one assertion.
    let admin = |name: &str| {
        let mut claims = claims(ISSUER, name, AUDIENCE);
        claims["groups"] = json!(["on-call"]);
        bao.file(&format!("{name}.jwt"), &signer.jwt(&claims));
    };
    let retrieve = "backup-codes/retrieve/okta/jane@example.com";
    admin("alice");
    let answer = bao.json(1, &["write", retrieve, "role=on-call", "jwt=@alice.jwt", "reason=phone lost"]);
    assert_eq!((&answer["data"]["code"], &answer["data"]["slot"]), (&json!(mine[0]), &json!(1)));
    assert_eq!(answer["data"]["remaining"], 2);
    bao.run(&["write", retrieve, "role=on-call", "jwt=@alice.jwt", "reason=phone lost"]).refused(403, "");
    bao.run(&["write", retrieve, "role=on-call", "jwt=@rotator.jwt", "reason=phone lost"]).refused(403, "");
    bao.run(&["write", retrieve, "role=on-call", "reason=phone lost"]).refused(403, "");

    // One code comes out wrapped.
    admin("bob");
    let wrapped =
        bao.json(1, &["write", "-wrap-ttl=60s", retrieve, "role=on-call", "jwt=@bob.jwt", "reason=phone lost"]);
    assert_eq!(wrapped["wrap_info"]["creation_path"], "backup-codes/retrieve/okta/jane@example.com");
    assert_eq!((&wrapped["data"], &wrapped["wrap_info"]["ttl"]), (&Value::Null, &json!(60)));
    let token = wrapped["wrap_info"]["token"].as_str().unwrap();
    let given = format!("token={token}");
    bao.run(&["write", "sys/wrapping/lookup", &given]).ok().row("creation_ttl", "1m");
    assert_eq!(bao.json(1, &["unwrap", token])["data"]["code"], json!(mine[1]));
    bao.run(&["unwrap", token]).refused(400, "wrapping token is not valid or does not exist");

    // MFA was enrolled again: what is left of the set is dead.
    let subject = json!({"format": "email", "email": "jane@example.com"});
    let event = signer.set(&credential_change(ISSUER, AUDIENCE, &subject, now()));
    let event = format!("set={event}");
    bao.run(&["write", "backup-codes/events/idp", &event]).ok();
    admin("carol");
    bao.run(&["write", retrieve, "role=on-call", "jwt=@carol.jwt", "reason=phone lost"]).refused(400, "");

    // What is left to see.
    bao.run(&["list", "backup-codes/accounts"]).ok().says("okta/\n");
    bao.run(&["list", "backup-codes/accounts/okta"]).ok().says("jane@example.com\n");
    let account = bao.json(1, &["read", "backup-codes/accounts/okta/jane@example.com"]);
    assert!(!account.to_string().contains(&mine[2]), "a code in the metadata: {account}");
    let history = bao.json(1, &["read", "backup-codes/history/okta/jane@example.com", "verify=true"]);
    let acts: Vec<&str> =
        history["data"]["entries"].as_array().unwrap().iter().map(|entry| entry["act"].as_str().unwrap()).collect();
    assert_eq!(acts, ["store", "retrieve", "retrieve", "unwrap", "event"]);
    assert_eq!(history["data"]["verified"], true);
    bao.run(&["read", "backup-codes/accounts/nobody"]).exits(2);

    // Taking back what was set up.
    bao.run(&["delete", "backup-codes/roles/on-call"])
        .ok()
        .says("Success! Data deleted (if it existed) at: backup-codes/roles/on-call");
    let gone = bao.run(&["read", "backup-codes/roles/on-call"]).exits(2);
    assert!(gone.err.contains("No value found at backup-codes/roles/on-call"), "{gone:?}");
    bao.run(&["list", "backup-codes/profiles"]).ok().says("escrowed\n");
}

#[test]
fn bao_explains_every_path() {
    let server = Server::start();
    let bao = Bao::new(&server).token(server.root_token());
    for path in ["config", "issuers/idp", "roles", "sets/github/acme-owner", "retrieve/github/acme-owner", "history/x"]
    {
        bao.run(&["path-help", &format!("backup-codes/{path}")]).ok().says("Request:").says("Needs ");
    }
    bao.run(&["path-help", "backup-codes/nonsense"]).exits(2);
    Bao::new(&server).run(&["path-help", "backup-codes/config"]).refused(403, "permission denied");
}

#[test]
fn bao_lives_with_a_login_token() {
    let server = Server::start();
    let scene = Scene::new(&server);
    let bao = Bao::new(&server);
    scene.store("github/acme-owner", &codes(1, 2), 0).expect(200);

    bao.file("alice.jwt", &scene.admin("alice"));
    let login = bao.run(&["write", "auth/jwt/login", "role=on-call", "jwt=@alice.jwt"]).ok();
    let token = login.cell("token").expect("a token");
    login.row("token_renewable", "true").row("token_meta_role", "on-call");
    bao.run(&["write", "auth/jwt/login", "role=nobody", "jwt=@alice.jwt"]).refused(400, "nobody");
    bao.run(&["write", "auth/jwt/login", "role=on-call", "jwt=nonsense"]).refused(400, "");

    bao.run(&["login", &token]).ok().says("You are now authenticated");
    let lookup = bao.json(2, &["token", "lookup"]);
    assert_eq!((&lookup["data"]["id"], &lookup["data"]["path"]), (&json!(token), &json!("auth/jwt/login")));
    bao.run(&["read", "backup-codes/accounts/github/acme-owner"]).ok().row("remaining", "2");
    bao.run(&["write", "backup-codes/roles/mine", "accounts=*"]).refused(403, "administer");
    bao.run(&["token", "capabilities", "backup-codes/accounts/github/acme-owner"]).ok().says("read");
    bao.run(&["token", "capabilities", "backup-codes/roles/mine"]).ok().says("deny");

    bao.run(&["token", "renew"]).ok().row("token", &token);
    bao.run(&["token", "renew", "-increment=30m"]).ok().row("token_renewable", "true");
    let root = bao.token(server.root_token());
    root.run(&["token", "lookup", "s.nonsense"]).refused(403, "bad token");
    root.run(&["token", "renew"]).refused(400, "");
    bao.run(&["token", "revoke", "-self"]).ok().says("Success! Revoked token");
    bao.run(&["token", "lookup"]).refused(403, "permission denied");
    bao.run(&["read", "backup-codes/accounts/github/acme-owner"]).refused(403, "permission denied");

    bao.file("bob.jwt", &scene.admin("bob"));
    let other =
        bao.run(&["write", "auth/jwt/login", "role=on-call", "jwt=@bob.jwt"]).ok().cell("token").expect("a token");
    root.run(&["token", "revoke", &other]).ok();
    root.run(&["token", "lookup", &other]).refused(403, "bad token");
}

#[test]
fn hvac_plays_the_story() {
    let mut python = Command::new(support::provision::python());
    python.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/story.py"));
    tells_the_story(python);
}

#[test]
fn node_vault_plays_the_story() {
    let (node, modules) = support::clients::node_vault();
    let mut story = Command::new(node);
    story.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients/node-vault/story.js")).env("NODE_PATH", modules);
    // No proxy stands between this machine and itself.
    story.env("NO_PROXY", "127.0.0.1").env_remove("VAULT_TOKEN").env_remove("VAULT_NAMESPACE");
    tells_the_story(story);
}

#[test]
fn vaultrs_plays_the_story() {
    let mut story = Command::new(support::clients::vaultrs());
    story.env("NO_PROXY", "127.0.0.1").env_remove("VAULT_TOKEN").env_remove("VAULT_NAMESPACE");
    tells_the_story(story);
}

/// Hands the program a new server and the cast, and hears it out.
fn tells_the_story(mut program: Command) {
    let server = Setup::default().uninitialized().start();
    let signer = Signer::rs256("idp-1");
    let assertion = |subject: &str, group: &str| {
        let mut claims = claims(ISSUER, subject, AUDIENCE);
        claims["groups"] = json!([group]);
        signer.jwt(&claims)
    };
    let subject = json!({"format": "email", "email": "jane@example.com"});
    let cast = json!({
        "url": server.url(), "issuer": ISSUER, "audience": AUDIENCE, "pem": signer.public_pem(),
        "codes": codes(3, 4), "bound_at": now() - 3_600,
        "store": assertion("rotator", "machines"),
        "admins": [assertion("alice", "on-call"), assertion("bob", "on-call"), assertion("carol", "on-call")],
        "login": assertion("dave", "on-call"),
        "event": signer.set(&credential_change(ISSUER, AUDIENCE, &subject, now())),
    });
    let started = program.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut program = started.unwrap_or_else(|error| panic!("{program:?} does not start: {error}"));
    serde_json::to_writer(program.stdin.take().expect("its input"), &cast).expect("the cast is handed over");
    let output = program.wait_with_output().expect("the program ends");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.ends_with("the story is told\n"), "{said}");
}
