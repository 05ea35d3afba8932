//! Reports in a real vault: under the reviewer's policy, by `bao` and by our own command; requests as the vault's audit names them.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::support::scene::{Scene, codes};
use crate::support::server::{BINARY, MOUNT};
use crate::support::signer::Signer;
use crate::support::vault::Vault;

#[test]
fn a_reviewer_reads_reports_and_the_requests_are_those_of_the_vaults_audit() {
    let vault = Vault::mounted();
    let scene = Scene::with(vault.root(), vault.root(), Signer::es256("idp-1"));
    scene.store("github/acme", &codes(1, 10), 0).expect(200);
    scene.store("okta/jane@example.com", &codes(2, 10), 0).expect(200);
    scene.retrieve("github/acme", "alice").expect(200);

    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("plugin-manifest/policies/reviewer.hcl");
    let token = vault.token("reviewer", &std::fs::read_to_string(file).expect("the policy"));
    let reviewer = vault.client().token(&token);
    let page = reviewer.read(&format!("{MOUNT}/report/posture?limit=1")).expect(200).data();
    assert_eq!((&page["accounts"][0]["account"], &page["next"]), (&"github/acme".into(), &"github/acme".into()));
    let page = reviewer.read(&format!("{MOUNT}/report/posture?limit=1&after=github/acme&only=owes")).expect(200).data();
    assert_eq!(page["accounts"], Value::Array(Vec::new()));

    let output = Command::new(BINARY)
        .args(["report", "usage", "--json", "--act", "retrieve"])
        .env_clear()
        .envs([("VAULT_ADDR", vault.url().as_str()), ("VAULT_TOKEN", token.as_str())])
        .output()
        .expect("the command runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let acts: Vec<Value> = serde_json::from_slice(&output.stdout).expect("one array");
    assert_eq!(
        (acts.len(), &acts[0]["actor"]["subject"], &acts[0]["actor"]["face"]),
        (1, &"alice".into(), &"mounted".into())
    );
    let audit = vault.audit();
    let lines = audit.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let paths: Vec<String> = lines
        .filter(|line| line["request"]["id"] == acts[0]["request_id"])
        .map(|line| line["request"]["path"].as_str().unwrap_or_default().to_owned())
        .collect();
    assert_eq!(paths, [format!("{MOUNT}/retrieve/github/acme"), format!("{MOUNT}/retrieve/github/acme")]);

    let onlooker =
        vault.client().token(&vault.token("nothing", "path \"backup-codes/accounts/*\" { capabilities = [\"read\"] }"));
    onlooker.read(&format!("{MOUNT}/report/access")).expect(403);
    let csv = vault.bao().run(&["read", "-field=csv", "backup-codes/report/access", "format=csv"]);
    csv.ok().says("account,owner,profile,retrieval,could,").says("github/acme,").says("on-call");
}
