//! `sparekey import` brings codes into a mount as it brings them into a server of its own.

use std::fs;
use std::process::{Command, Output};

use serde_json::json;

use crate::support::scene::{Scene, codes};
use crate::support::server::{BINARY, MOUNT};
use crate::support::signer::Signer;
use crate::support::vault::Vault;

#[test]
fn a_file_of_codes_goes_into_the_mount_once() {
    let vault = Vault::mounted();
    let scene = Scene::with(vault.root(), vault.root(), Signer::es256("k"));
    let mine = codes(3, 4);
    let file = vault.dir().join("codes.txt");
    fs::write(&file, mine.join("\n")).unwrap();
    let token = vault.token("rotator", &Vault::everything_below(MOUNT));
    let import = |more: &[&str]| -> Output {
        Command::new(BINARY)
            .args(["import", "github/acme", file.to_str().unwrap(), "--role", "automation"])
            .args(more)
            .env_clear()
            .envs([("HOME", vault.dir().to_str().unwrap()), ("BAO_ADDR", &vault.url()), ("BAO_TOKEN", &token)])
            .env("SPAREKEY_JWT", scene.automation())
            .output()
            .expect("the binary runs")
    };
    let said = |output: &Output| {
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
    };

    let dry = import(&["--dry-run"]);
    assert!(dry.status.success(), "{}", said(&dry));
    vault.root().read(&format!("{MOUNT}/accounts/github/acme")).expect(404);
    let stored = import(&["--cas", "0", "--yes"]);
    assert!(stored.status.success(), "{}", said(&stored));
    let again = import(&["--cas", "0", "--yes"]);
    assert!(!again.status.success(), "{}", said(&again));
    for code in &mine {
        assert!(![&dry, &stored, &again].iter().any(|output| said(output).contains(code)), "a code was said");
        let answer = scene.retrieve("github/acme", "alice").expect(200);
        assert_eq!(answer.data()["code"], json!(code));
    }
}
