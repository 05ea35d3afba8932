//! The table of wrong JWTs, asked of both faces: refused with the same words, by the vault's client, too; the good ones are taken.

use std::collections::BTreeSet;

use serde_json::json;

use crate::jwt_table::{ACCOUNT, table};
use crate::support::http::{Answer, Client};
use crate::support::scene::{Scene, codes};
use crate::support::server::{MOUNT, Server};
use crate::support::signer::{Signer, now};
use crate::support::vault::Vault;

/// The sentence of a refusal without the id of its request, which differs.
fn sentence(answer: &Answer) -> String {
    plain(&answer.error())
}

fn plain(error: &str) -> String {
    error.split(" (request ").next().unwrap_or_default().trim().to_owned()
}

#[test]
fn every_wrong_assertion_is_refused_through_the_mount_as_it_is_standalone() {
    let (server, vault) = (Server::start(), Vault::mounted());
    let table = table(now() as i64);
    let set = codes(1, table.good.len() + 10);
    for root in [server.root(), vault.root()] {
        let scene = Scene::with(root.clone(), root.clone(), Signer::es256("k"));
        scene.store(ACCOUNT, &set, 0).expect(200);
        for (name, issuer) in &table.issuers {
            root.write(&format!("{MOUNT}/issuers/{name}"), issuer).expect(204);
        }
        root.write(&format!("{MOUNT}/roles/table"), &table.role).expect(204);
    }
    let path = format!("{MOUNT}/retrieve/{ACCOUNT}");
    let ask = |client: &Client, token: &str| client.write(&path, &json!({"role": "table", "jwt": token}));

    assert!(table.good.len() >= 20, "{}", table.good.len());
    // First, since some are close to their end.
    for (number, (name, token)) in table.good.iter().enumerate() {
        for client in [server.root(), vault.root()] {
            let answer = ask(&client, token);
            assert_eq!(
                (answer.status, &answer.data()["code"]),
                (200, &json!(set[number])),
                "{name}: {}",
                answer.text()
            );
        }
    }

    assert!(table.bad.len() >= 200, "{}", table.bad.len());
    let bao = vault.bao();
    let mut reasons = BTreeSet::new();
    for bad in &table.bad {
        let [ours, theirs] = [server.root(), vault.root()].map(|client| ask(&client, &bad.token).expect(403));
        let said = sentence(&ours);
        assert!(said.starts_with("assertion: ") || said.starts_with("role: "), "{}: {said}", bad.name);
        assert_eq!(sentence(&theirs), said, "{}", bad.name);
        // A client for each takes its time: one for each reason. A file brings every byte as it is.
        if reasons.insert(bad.reason) {
            let body = json!({"role": "table", "jwt": bad.token});
            bao.file("ask.json", &body.to_string());
            let refused = bao.run(&["write", &path, "@ask.json"]).refused(403, &said);
            let told = refused.err.rsplit("* ").next().unwrap_or_default();
            assert_eq!(plain(told), said, "{}: {}", bad.name, refused.err);
        }
    }
    assert!(reasons.len() >= 20, "{reasons:?}");
    // None of them cost a code.
    for root in [server.root(), vault.root()] {
        let account = root.read(&format!("{MOUNT}/accounts/{ACCOUNT}")).expect(200).data();
        assert_eq!(account["remaining"], set.len() - table.good.len(), "{account}");
    }
}
