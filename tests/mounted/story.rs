//! The story, told by `bao` to a real vault: what works standalone works mounted.

use serde_json::{Value, json};

use crate::support::scene::{AUDIENCE, ISSUER, codes};
use crate::support::signer::{Signer, claims, credential_change, now};
use crate::support::vault::Vault;

#[test]
fn bao_plays_the_story() {
    let vault = Vault::mounted();
    let signer = Signer::es256("idp-1");
    let bao = vault.bao();

    // Whom we trust, and who may do what.
    bao.run(&["secrets", "list"]).ok().says("backup-codes/");
    bao.file("idp.pem", &signer.public_pem());
    let issuer = format!("bound_issuer={ISSUER}");
    bao.run(&["write", "backup-codes/issuers/idp", &issuer, "jwt_validation_pubkeys=@idp.pem"])
        .ok()
        .says("Success! Data written to: backup-codes/issuers/idp");
    let role = |operations: &[&str], more: Value| {
        let mut role =
            json!({"issuers": "idp", "bound_audiences": AUDIENCE, "accounts": "*", "operations": operations});
        role.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        role.to_string()
    };
    bao.file("on-call.json", &role(&["retrieve"], json!({"bound_claims": {"groups": "on-call"}})));
    bao.file("automation.json", &role(&["store", "enroll", "revoke"], json!({"bound_subject": "rotator"})));
    bao.run(&["write", "backup-codes/roles/on-call", "@on-call.json"]).ok();
    bao.run(&["write", "backup-codes/roles/automation", "@automation.json"]).ok();
    bao.run(&["write", "backup-codes/roles/typo", "operatoins=retrieve"]).refused(400, "operatoins");
    bao.run(&["list", "backup-codes/roles"]).ok().says("automation\n").says("on-call\n");
    let audience = format!("bound_audiences={AUDIENCE}");
    let template = "account_template=okta/{{email}}";
    bao.run(&["write", "backup-codes/sources/idp", "type=caep", "issuer=idp", &audience, template]).ok();

    // A set goes in; not a second time.
    let mine = codes(7, 3);
    let store = |codes: &[String], more: Value| {
        let jwt = signer.jwt(&claims(ISSUER, "rotator", AUDIENCE));
        let mut set = json!({"role": "automation", "jwt": jwt, "codes": codes});
        set.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        bao.file("set.json", &set.to_string());
        bao.run(&["write", "backup-codes/sets/okta/jane@example.com", "@set.json"])
    };
    let bound = now() - 3_600;
    store(&mine, json!({"cas": 0, "bound_at": bound})).ok().row("generation", "1").row("remaining", "3");
    store(&mine, json!({"cas": 0, "bound_at": bound})).refused(400, "cas");

    // One code comes out to one assertion, and leaves no lease.
    let admin = |name: &str| {
        let mut claims = claims(ISSUER, name, AUDIENCE);
        claims["groups"] = json!(["on-call"]);
        bao.file(&format!("{name}.jwt"), &signer.jwt(&claims));
    };
    let retrieve = "backup-codes/retrieve/okta/jane@example.com";
    admin("alice");
    let answer = bao.json(1, &["write", retrieve, "role=on-call", "jwt=@alice.jwt", "reason=phone lost"]);
    assert_eq!((&answer["data"]["code"], &answer["data"]["slot"]), (&json!(mine[0]), &json!(1)));
    assert_eq!((&answer["data"]["remaining"], &answer["lease_id"]), (&json!(2), &json!("")));
    assert_eq!(vault.leases("backup-codes"), Value::Null);
    bao.run(&["write", retrieve, "role=on-call", "jwt=@alice.jwt", "reason=phone lost"]).refused(403, "assertion");
    bao.run(&["write", retrieve, "role=on-call", "jwt=@rotator.jwt", "reason=x"]).exits(1);
    // The vault's root token stands in for no assertion.
    bao.run(&["write", retrieve, "role=on-call", "reason=phone lost"]).refused(403, "no token stands in for it");

    // One code comes out wrapped; the vault's wrapping lives no longer than the window.
    admin("bob");
    let wrap = |ttl: &str| format!("-wrap-ttl={ttl}");
    let ask = ["role=on-call", "jwt=@bob.jwt", "reason=phone lost"];
    let line = |ttl: &str| {
        let mut line = vec!["write".to_owned(), wrap(ttl), retrieve.to_owned()];
        line.extend(ask.map(str::to_owned));
        line
    };
    let (long, right) = (line("2h"), line("60s"));
    bao.run(&long.iter().map(String::as_str).collect::<Vec<_>>()).refused(400, "wrap");
    let wrapped = bao.json(1, &right.iter().map(String::as_str).collect::<Vec<_>>());
    let token = wrapped["wrap_info"]["token"].as_str().expect("a wrapping token");
    assert!(wrapped["data"].is_null(), "{wrapped}");
    assert_eq!(bao.json(1, &["unwrap", token])["data"]["code"], json!(mine[1]));
    bao.run(&["unwrap", token]).refused(400, "wrapping token is not valid or does not exist");
    // Asked again with its key, what left wrapped is shown to nobody, wrapped or bare: one code, one wrapping.
    admin("dave");
    let keyed = ["role=on-call", "jwt=@dave.jwt", "reason=phone lost", "idempotency_key=night"];
    let ask = |options: &[&'static str]| [&["write"], options, &[retrieve], &keyed[..]].concat();
    let wrapped = bao.json(1, &ask(&["-wrap-ttl=60s"]));
    let again = bao.json(1, &ask(&[]));
    assert_eq!((&again["data"]["done"], &again["data"]["code"]), (&json!(true), &Value::Null), "{again}");
    assert!(again["warnings"][0].as_str().unwrap().contains("in that wrapping only"), "{again}");
    let second = bao.json(1, &ask(&["-wrap-ttl=60s"]));
    let second = bao.json(1, &["unwrap", second["wrap_info"]["token"].as_str().expect("a wrapping token")]);
    assert_eq!((&second["data"]["done"], &second["data"]["code"]), (&json!(true), &Value::Null), "{second}");
    let first = bao.json(1, &["unwrap", wrapped["wrap_info"]["token"].as_str().expect("a wrapping token")]);
    assert_eq!(first["data"]["code"], json!(mine[2]));

    // MFA was enrolled again: the event comes without a token, and the old set is over.
    let subject = json!({"format": "email", "email": "jane@example.com"});
    let event = signer.set(&credential_change(ISSUER, AUDIENCE, &subject, now()));
    let pushed = vault.client().write("backup-codes/events/idp", &json!({"set": event}));
    assert_eq!((pushed.status, pushed.text().as_str()), (202, ""), "{pushed:?}");
    let forged = Signer::es256("idp-1").set(&credential_change(ISSUER, AUDIENCE, &subject, now()));
    let refused = vault.client().write("backup-codes/events/idp", &json!({"set": forged})).expect(400).json();
    assert_eq!(refused["err"], "authentication_failed", "{refused}");
    admin("carol");
    bao.run(&["write", retrieve, "role=on-call", "jwt=@carol.jwt", "reason=phone lost"]).refused(400, "ended");

    // Automation brings the new set, and says which enrollment it knows of.
    let fresh = codes(8, 3);
    store(&fresh, json!({"cas": 1})).refused(400, "enrollment");
    store(&fresh, json!({"cas": 1, "enrollment": 1})).ok().row("generation", "2");
    let answer = bao.json(1, &["write", retrieve, "role=on-call", "jwt=@carol.jwt", "reason=phone lost"]);
    assert_eq!(answer["data"]["code"], json!(fresh[0]));

    // The record speaks: who acted, and whom the vault let through.
    let history = bao.json(1, &["read", "backup-codes/history/okta/jane@example.com", "verify=true"])["data"].clone();
    let entries = history["entries"].as_array().unwrap();
    let acts: Vec<&str> = entries.iter().map(|entry| entry["act"].as_str().unwrap()).collect();
    assert_eq!(acts, ["store", "retrieve", "retrieve", "retrieve", "event", "store", "retrieve"], "{history}");
    assert_eq!(history["verified"], true);
    let actor = &entries[1]["actor"];
    assert_eq!(
        (&actor["subject"], &actor["face"], &actor["role"]),
        (&json!("alice"), &json!("mounted"), &json!("on-call"))
    );
    let accessor = vault.root().read("auth/token/lookup-self").data()["accessor"].clone();
    assert_eq!((&actor["accessor"], &entries[1]["remote"]), (&accessor, &json!("127.0.0.1")));
    assert_eq!(entries[4]["actor"].get("accessor"), None, "the event came without a token");

    // Neither the vault's audit nor its log nor its store knows a code.
    let everything = [vault.audit().into_bytes(), vault.log().into_bytes(), store_bytes(&vault)].concat();
    for code in mine.iter().chain(&fresh) {
        for spelling in [code.clone(), code.replace('-', "")] {
            let found = everything.windows(spelling.len()).any(|window| window == spelling.as_bytes());
            assert!(!found, "{spelling} was left behind");
        }
    }
}

fn store_bytes(vault: &Vault) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut folders = vec![vault.dir().join("raft")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap().flatten() {
            match entry.file_type().unwrap().is_dir() {
                true => folders.push(entry.path()),
                false => bytes.extend(std::fs::read(entry.path()).unwrap()),
            }
        }
    }
    assert!(bytes.len() > 10_000, "the store is where it is looked for");
    bytes
}

#[test]
fn help_and_the_vaults_own_openapi_document_have_the_table() {
    let vault = Vault::mounted();
    let bao = vault.bao();
    bao.run(&["path-help", "backup-codes"]).ok().says("retrieve/:account");
    bao.run(&["path-help", "backup-codes/sets/x"]).ok().says("idempotency_key");
    let document = vault.root().read("sys/internal/specs/openapi").expect(200).json();
    let paths = document["paths"].as_object().unwrap();
    for path in ["config", "config/history", "issuers/{name}", "accounts/", "accounts/{account}", "retrieve/{account}"]
    {
        assert!(paths.contains_key(&format!("/backup-codes/{path}")), "{path} is not in the document");
    }
    assert_eq!(paths["/backup-codes/events/{source}"]["x-vault-unauthenticated"], true);
}
