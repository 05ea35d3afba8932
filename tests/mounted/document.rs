//! `docs/mounting.md`: what it tells people to type works as it stands there.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use crate::support::provision;
use crate::support::server::BINARY;
use crate::support::vault::Vault;

#[test]
fn the_commands_of_the_document_lead_from_a_bare_vault_to_a_code() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = fs::read_to_string(root.join("docs/mounting.md")).unwrap();
    let commands = text.split("```sh\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    assert!(commands.lines().count() <= 10, "in at most ten commands");
    let readme = fs::read_to_string(root.join("README.md")).unwrap();
    assert!(readme.contains(&format!("```sh\n{commands}```")), "the README shows the same commands");

    let vault = Vault::bare();
    let home = vault.dir().join("person");
    fs::create_dir_all(home.join("bin")).unwrap();
    symlink(provision::bao(), home.join("bin/bao")).unwrap();
    symlink(BINARY, home.join("sparekey")).unwrap();
    symlink(root.join("plugin-manifest"), home.join("plugin-manifest")).unwrap();
    let output = Command::new("sh")
        .arg("-euc")
        .arg(commands.replace("/etc/openbao/plugins", &vault.plugins().display().to_string()))
        .env_clear()
        .env("PATH", format!("{}:/usr/bin:/bin", home.join("bin").display()))
        .env("HOME", &home)
        .env("BAO_ADDR", vault.url())
        .env("BAO_TOKEN", vault.root_token())
        .current_dir(&home)
        .output()
        .expect("sh");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    let row = |words: [&str; 2]| said.lines().any(|line| line.split_whitespace().eq(words));
    assert!(row(["code", "12345-abcde"]), "{said}");
    assert!(row(["verified", "true"]), "{said}");
}
