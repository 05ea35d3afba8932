//! schemathesis: a client that writes itself from the OpenAPI document. Whatever it sends, nothing fails on the server's side, every
//! status is described, and every answer is as described.
//!
//! Longer by hand: `OPENAPI_SECONDS=600 OPENAPI_SEED=1 cargo test --test openapi_client -- --nocapture`. With more than a minute the
//! systematic phase (every boundary of every field) runs, too.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

mod support;

use support::provision;
use support::scene::{AUDIENCE, ISSUER, codes};
use support::server::Server;
use support::signer::{Signer, claims, now};

/// What every request of a path with this in it is left out for, and why.
const LEFT_OUT: [(&str, &str); 1] = [("/auth/token/revoke-self", "it would take away the token that all others use")];

fn number(variable: &str, otherwise: u64) -> u64 {
    std::env::var(variable).ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}

#[test]
fn a_client_made_from_the_description_finds_no_failure_and_no_breach_of_it() {
    let client = provision::schemathesis();
    let server = Server::start();
    let cast = cast(&server);
    let document = server.root().read("sys/internal/specs/openapi").expect(200).json();
    let file = server.dir().join("openapi.json");
    fs::write(&file, document.to_string()).unwrap();
    let report = server.dir().join("report.json");

    let seconds = number("OPENAPI_SECONDS", 0);
    let (phases, examples) = if seconds > 60 { ("coverage,fuzzing", "200") } else { ("fuzzing", "12") };
    let mut run = Command::new(client.join("bin/st"));
    run.arg("run").arg(&file).args(["--url", &format!("{}/v1", server.url())]);
    run.args(["--header", &format!("X-Vault-Token: {}", server.root_token())]);
    run.args(["--phases", phases, "--max-examples", examples, "--seed", &number("OPENAPI_SEED", 7).to_string()]);
    run.args([
        "--checks",
        "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance",
        "--continue-on-failure",
        "--no-shrink",
        "--suppress-health-check=all",
        "--warnings=off",
        "--report=json",
    ]);
    run.arg("--report-json-path").arg(&report);
    if seconds > 0 {
        run.args(["--max-time", &seconds.to_string()]);
    }
    for (path, _) in LEFT_OUT {
        run.args(["--exclude-path", path]);
    }
    let hooks = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/schemathesis");
    run.env("PYTHONPATH", &hooks).env("PYTHONDONTWRITEBYTECODE", "1").env("SCHEMATHESIS_HOOKS", "hooks");
    run.env("SPAREKEY_CAST", cast.to_string()).env("NO_PROXY", "127.0.0.1").current_dir(server.dir());
    let output = run.output().expect("schemathesis starts");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    if seconds > 0 {
        eprintln!("{said}");
    }
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));

    // It did get in: acts were done, not only refused.
    let acts = |account: &str| -> Vec<String> {
        let history = server.root().read(&format!("backup-codes/history/{account}?limit=1000")).expect(200).json();
        let entries = history["data"]["entries"].as_array().unwrap().clone();
        entries.iter().map(|entry| entry["act"].as_str().unwrap().to_owned()).collect()
    };
    let done: std::collections::BTreeSet<String> =
        cast["accounts"].as_array().unwrap().iter().flat_map(|name| acts(name.as_str().unwrap())).collect();
    assert!(done.len() >= 4, "only {done:?} came about:\n{said}");
    assert!(!server.log().contains("panicked"), "{}", server.log());
    assert_eq!(server.root().read("sys/health").status, 200);
}

/// An issuer, a role that may do everything, one set of each kind; an assertion of somebody with that role.
fn cast(server: &Server) -> Value {
    let signer = Signer::es256("idp-1");
    let root = server.root();
    let issuer = json!({"bound_issuer": ISSUER, "jwt_validation_pubkeys": [signer.public_pem()]});
    root.write("backup-codes/issuers/idp", &issuer).expect(204);
    let role = json!({
        "issuers": ["idp"], "bound_audiences": [AUDIENCE], "bound_subject": "anybody", "accounts": ["*"],
        "operations": [
            "store", "retrieve", "outcome", "verify", "check", "enroll", "revoke", "release", "confirm", "read", "list", "history",
        ],
        "single_use": false, "require_reason": false, "max_retrievals": null, "max_assertion_age": "2h",
    });
    root.write("backup-codes/roles/everything", &role).expect(204);
    // Good for as long as somebody lets it run by hand.
    let mut anybody = claims(ISSUER, "anybody", AUDIENCE);
    anybody["exp"] = json!(now() + 7_200);
    let jwt = signer.jwt(&anybody);
    let store = |account: &str, more: Value| {
        let mut body = json!({"role": "everything", "jwt": jwt});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        root.write(&format!("backup-codes/sets/{account}"), &body).expect(200);
    };
    store("team/escrowed", json!({"codes": codes(1, 40), "bound_at": now() - 3_600}));
    store("team/issued", json!({"profile": "issued"}));
    json!({"jwt": jwt, "role": "everything", "accounts": ["team/escrowed", "team/issued"]})
}
