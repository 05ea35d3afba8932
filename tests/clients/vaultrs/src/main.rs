//! The story through vaultrs. Reads the cast (addresses, assertions, codes) as JSON from standard input.
//!
//! vaultrs reads every answer into types: a member that is missing, or of another type, is an error. So each call here also says
//! that the answer has all that a strict client wants.

use rustify_derive::Endpoint;
use serde_json::{Value, json};
use vaultrs::client::{VaultClient, VaultClientSettingsBuilder};
use vaultrs::error::ClientError;
use vaultrs::sys::{self, ServerStatus};
use vaultrs::{api, auth, kv1, token};

/// A write that this client has no name for.
#[derive(Debug, Endpoint)]
#[endpoint(path = "{self.path}", method = "POST", response = "Value")]
struct Write {
    #[endpoint(skip)]
    path: String,
    #[endpoint(raw)]
    data: Vec<u8>,
}

fn write(path: &str, fields: &Value) -> Write {
    Write { path: format!("backup-codes/{path}"), data: fields.to_string().into_bytes() }
}

async fn put(client: &VaultClient, path: &str, fields: &Value) -> Result<(), ClientError> {
    api::exec_with_empty(client, write(path, fields)).await
}

/// The status of a refusal, and words in its errors.
fn refused<T>(answer: Result<T, ClientError>, status: u16, words: &str) {
    match answer {
        Err(ClientError::APIError { code, errors }) => {
            assert_eq!(code, status, "{errors:?}");
            assert!(errors.join("; ").contains(words), "{errors:?}");
        }
        Err(other) => panic!("not refused by the server: {other:?}"),
        Ok(_) => panic!("not refused: {words}"),
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let cast: Value = serde_json::from_reader(std::io::stdin()).expect("the cast");
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    let client = |token: &str| {
        let settings = VaultClientSettingsBuilder::default().address(text(&cast["url"])).token(token).build();
        VaultClient::new(settings.expect("settings")).expect("a client")
    };

    // Born, opened.
    let nobody = client("");
    assert!(matches!(sys::status(&nobody).await, Ok(ServerStatus::UNINITIALIZED)));
    let born = sys::start_initialization(&nobody, 3, 2, None).await.expect("initialised");
    assert_eq!((born.keys.len(), born.keys_base64.len()), (3, 3));
    assert!(matches!(sys::status(&nobody).await, Ok(ServerStatus::SEALED)));
    for key in &born.keys[..2] {
        sys::unseal(&nobody, Some(key.clone()), None, None).await.expect("taken");
    }
    assert!(!sys::health(&nobody).await.expect("healthy").performance_standby);
    refused(token::lookup_self(&nobody).await, 403, "");
    let root = client(&born.root_token);
    assert_eq!(token::lookup_self(&root).await.expect("root").path, "auth/token/root");
    assert!(sys::mount::list(&root).await.expect("mounts").contains_key("backup-codes/"));
    assert!(sys::auth::list(&root).await.expect("methods").contains_key("jwt/"));

    // Whom we trust, who may do what.
    let issuer = json!({"bound_issuer": cast["issuer"], "jwt_validation_pubkeys": [cast["pem"]]});
    put(&root, "issuers/idp", &issuer).await.expect("an issuer");
    let role = |more: Value| {
        let mut role = json!({"issuers": ["idp"], "bound_audiences": [cast["audience"]], "accounts": ["okta/*"]});
        role.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        role
    };
    let on_call = role(json!({"bound_claims": {"groups": ["on-call"]}, "operations": ["retrieve", "read"]}));
    put(&root, "roles/on-call", &on_call).await.expect("a role");
    let automation = role(json!({"bound_subject": "rotator", "operations": ["store"]}));
    put(&root, "roles/automation", &automation).await.expect("a role");
    let source = json!({
        "type": "caep", "issuer": "idp", "bound_audiences": [cast["audience"]], "account_template": "okta/{{email}}",
    });
    put(&root, "sources/idp", &source).await.expect("a source");
    let read: Value = kv1::get(&root, "backup-codes", "roles/on-call").await.expect("the role");
    put(&root, "roles/on-call", &read).await.expect("written back");
    assert_eq!(kv1::get::<Value>(&root, "backup-codes", "roles/on-call").await.expect("the role"), read);
    let mut roles = kv1::list(&root, "backup-codes", "roles").await.expect("a list").data.keys;
    roles.sort();
    assert_eq!(roles, ["automation", "on-call"]);
    refused(kv1::get::<Value>(&root, "backup-codes", "roles/nobody").await, 404, "");
    refused(put(&root, "roles/typo", &json!({"operatoins": "x"})).await, 400, "operatoins");

    // A set goes in, once.
    let account = "okta/jane@example.com";
    let set = json!({
        "role": "automation", "jwt": cast["store"], "codes": cast["codes"], "cas": 0, "bound_at": cast["bound_at"],
    });
    let sets = format!("sets/{account}");
    let stored = api::exec_with_result(&nobody, write(&sets, &set)).await.expect("stored");
    assert_eq!((&stored["generation"], &stored["count"]), (&json!(1), &json!(4)));
    refused(api::exec_with_result(&nobody, write(&sets, &set)).await, 400, "cas");

    // One code comes out; the assertion is spent.
    let retrieve = format!("retrieve/{account}");
    let ask = |jwt: &Value| json!({"role": "on-call", "jwt": jwt, "reason": "phone lost"});
    let first = api::exec_with_result(&nobody, write(&retrieve, &ask(&cast["admins"][0]))).await.expect("a code");
    assert_eq!((&first["code"], &first["remaining"]), (&cast["codes"][0], &json!(3)));
    refused(api::exec_with_result(&nobody, write(&retrieve, &ask(&cast["admins"][0]))).await, 403, "");
    refused(api::exec_with_result(&root, write(&retrieve, &ask(&Value::Null))).await, 403, "");

    // One code comes out wrapped. This client always asks for an hour, which the profile must allow.
    let asked = write(&retrieve, &ask(&cast["admins"][1]));
    assert!(matches!(api::wrap(&nobody, asked).await, Err(ClientError::APIError { code: 400, .. })));
    put(&root, "profiles/escrowed", &json!({"reveal_window": "1h"})).await.expect("a longer window");
    let wrapped = api::wrap(&nobody, write(&retrieve, &ask(&cast["admins"][1]))).await.expect("a wrapping");
    let looked_up = sys::wrapping::lookup(&root, &wrapped.info.token).await.expect("a lookup");
    assert_eq!(looked_up.creation_path, format!("backup-codes/{retrieve}"));
    let opened: Value = sys::wrapping::unwrap(&root, Some(&wrapped.info.token)).await.expect("opened");
    assert_eq!(opened["code"], cast["codes"][1]);
    refused(sys::wrapping::unwrap::<Value>(&root, Some(&wrapped.info.token)).await, 400, "wrapping token is not valid");

    // Logged in, one sees what the role shows, and no more.
    let login =
        auth::oidc::login(&nobody, "jwt", &text(&cast["login"]), Some("on-call".into())).await.expect("a login");
    let metadata = login.metadata.expect("metadata");
    assert_eq!(metadata.get("role").map(String::as_str), Some("on-call"));
    let mine = client(&login.client_token);
    let seen: Value = kv1::get(&mine, "backup-codes", &format!("accounts/{account}")).await.expect("the account");
    assert_eq!(seen["remaining"], 2);
    let codes = cast["codes"].as_array().expect("codes");
    assert!(!codes.iter().any(|code| seen.to_string().contains(&text(code))));
    assert_eq!(token::lookup_self(&mine).await.expect("a lookup").path, "auth/jwt/login");
    assert_eq!(token::renew_self(&mine, None).await.expect("renewed").client_token, login.client_token);
    refused(put(&mine, "roles/mine", &json!({"accounts": "*"})).await, 403, "administer");
    token::revoke_self(&mine).await.expect("revoked");
    refused(token::lookup_self(&mine).await, 403, "");

    // MFA was enrolled again.
    put(&nobody, "events/idp", &json!({"set": cast["event"]})).await.expect("taken");
    refused(api::exec_with_result(&nobody, write(&retrieve, &ask(&cast["admins"][2]))).await, 400, "");
    let history: Value = kv1::get(&root, "backup-codes", &format!("history/{account}")).await.expect("the history");
    let acts: Vec<&Value> = history["entries"].as_array().expect("entries").iter().map(|entry| &entry["act"]).collect();
    assert_eq!(acts, ["store", "retrieve", "retrieve", "unwrap", "event"]);

    // Taken back, closed.
    kv1::delete(&root, "backup-codes", "roles/on-call").await.expect("deleted");
    sys::seal(&root).await.expect("sealed");
    refused(kv1::get::<Value>(&root, "backup-codes", "config").await, 503, "sealed");
    println!("the story is told");
}
