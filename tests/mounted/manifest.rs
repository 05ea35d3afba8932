//! Registering: the manifest tells what is true of the binary, and the script brings it into a vault, once or again.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use serde_json::{Value, json};

use crate::support::provision;
use crate::support::scene::{Scene, codes};
use crate::support::server::BINARY;
use crate::support::signer::Signer;
use crate::support::vault::{PLUGIN, Vault};

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/plugin-manifest");

fn told(args: &[&str]) -> Value {
    let output = Command::new(BINARY).args(["plugin", "manifest"]).args(args).output().expect("it runs");
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice(&output.stdout).expect("JSON")
}

#[test]
fn the_manifest_is_the_binarys_own() {
    let mut told = told(&[]);
    let sum = told.as_object_mut().unwrap().remove("sha256").unwrap();
    assert_eq!(sum, sha256(Path::new(BINARY)));
    let kept: Value = serde_json::from_slice(&fs::read(format!("{FOLDER}/manifest.json")).unwrap()).unwrap();
    assert_eq!(kept, told, "write plugin-manifest/manifest.json anew: sparekey plugin manifest | jq 'del(.sha256)'");
    assert_eq!(told["unauthenticated_paths"], json!(["events/+"]));
}

fn sha256(path: &Path) -> String {
    use sha2::Digest;
    hex::encode(sha2::Sha256::digest(fs::read(path).unwrap()))
}

/// Runs `register.sh ARGS BINARY PLUGIN_DIRECTORY` with the root token.
fn register(vault: &Vault, args: &[&str], binary: &Path) -> String {
    let output = Command::new("sh")
        .arg(format!("{FOLDER}/register.sh"))
        .args(args)
        .args([binary, &vault.plugins()])
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("BAO_CLI", provision::bao())
        .env("BAO_ADDR", vault.url())
        .env("BAO_TOKEN", vault.root_token())
        .env("HOME", vault.dir())
        .output()
        .expect("sh");
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    said
}

/// Another build, as far as its sum tells.
fn newer(vault: &Vault, number: u8) -> PathBuf {
    let newer = vault.dir().join(format!("newer-{number}"));
    fs::copy(BINARY, &newer).unwrap();
    let mut bytes = fs::read(&newer).unwrap();
    bytes.push(number);
    fs::write(&newer, bytes).unwrap();
    newer
}

#[test]
fn the_script_registers_mounts_repeats_and_upgrades() {
    let vault = Vault::bare();
    let run = |args: &[&str], binary: &Path| register(&vault, args, binary);
    assert!(run(&[], Path::new(BINARY)).contains("Enabled the sparekey secrets engine at: backup-codes/"));
    let scene = Scene::with(vault.root(), vault.root(), Signer::es256("k"));
    let mine = codes(1, 2);
    scene.store("github/acme", &mine, 0).expect(200);
    let before = vault.plugin_pids();

    // Again: nothing happens to what runs.
    let said = run(&[], Path::new(BINARY));
    assert!(!said.contains("installed") && !said.contains("Enabled"), "{said}");
    assert_eq!(vault.plugin_pids(), before);
    assert_eq!(scene.retrieve("github/acme", "alice").expect(200).data()["code"], json!(mine[0]));

    // Another build, as far as its sum tells: the mount goes over to it with all it had.
    let newer = newer(&vault, 1);
    assert!(run(&["--upgrade"], &newer).contains("installed"));
    assert_eq!(sha256(&vault.plugins().join(PLUGIN)), sha256(&newer));
    assert_eq!(vault.again(|| scene.retrieve("github/acme", "bob")).expect(200).data()["code"], json!(mine[1]));
    assert_ne!(vault.plugin_pids(), before);
}

#[test]
fn a_missing_or_altered_binary_leaves_the_vault_working_and_the_right_one_brings_everything_back() {
    let mut vault = Vault::mounted();
    let scene = Scene::with(vault.root(), vault.root(), Signer::es256("k"));
    let mine = codes(1, 3);
    scene.store("github/acme", &mine, 0).expect(200);
    let place = vault.plugins().join(PLUGIN);

    // Altered under a running vault: the process that runs goes on, a new one is refused.
    fs::write(vault.dir().join("bad"), b"#!/bin/sh\nexit 3\n").unwrap();
    vault.install(&vault.dir().join("bad"));
    scene.retrieve("github/acme", "alice").expect(200);
    vault.kill_plugin();
    let refused = vault.root().read("backup-codes/config");
    assert_eq!(refused.status, 500, "{}", refused.text());
    vault.root().read("sys/mounts").expect(200);

    // Gone while the vault starts: it unseals all the same.
    fs::remove_file(&place).unwrap();
    vault.kill();
    vault.boot();
    vault.unseal();
    vault.root().read("sys/mounts").expect(200);
    assert_ne!(vault.root().read("backup-codes/config").status, 200);

    vault.install(Path::new(BINARY));
    vault.root().write("sys/plugins/reload/backend", &json!({"plugin": PLUGIN})).expect(200);
    assert_eq!(vault.again(|| scene.retrieve("github/acme", "bob")).expect(200).data()["code"], json!(mine[1]));
}

#[test]
fn an_upgrade_under_load_loses_no_request_that_is_sent_once_more() {
    let vault = Vault::bare();
    register(&vault, &[], Path::new(BINARY));
    let scene = Scene::with(vault.root(), vault.root(), Signer::es256("k"));
    let mine = codes(1, 512);
    scene.store("github/acme", &mine, 0).expect(200);
    let (over, repeated, given) = (AtomicBool::new(false), AtomicUsize::new(0), Mutex::new(Vec::new()));
    thread::scope(|scope| {
        for client in 0..3 {
            let (scene, over, repeated, given) = (&scene, &over, &repeated, &given);
            scope.spawn(move || {
                for number in 0.. {
                    if over.load(Ordering::Relaxed) {
                        break;
                    }
                    let mut ask = scene.request("alice");
                    ask["idempotency_key"] = json!(format!("{client}-{number}"));
                    let mut answer = scene.act("retrieve", "github/acme", ask.clone());
                    if answer.error().starts_with("exhausted") {
                        break;
                    }
                    if answer.status != 200 {
                        assert_eq!(answer.status, 500, "{}", answer.text());
                        repeated.fetch_add(1, Ordering::Relaxed);
                        answer = scene.act("retrieve", "github/acme", ask);
                    }
                    given.lock().unwrap().push(answer.expect(200).data()["code"].as_str().unwrap().to_owned());
                }
            });
        }
        for number in 1..=3 {
            let before = given.lock().unwrap().len();
            while given.lock().unwrap().len() < before + 5 && given.lock().unwrap().len() < mine.len() {
                thread::sleep(std::time::Duration::from_millis(5));
            }
            register(&vault, &["--upgrade"], &newer(&vault, number));
        }
        over.store(true, Ordering::Relaxed);
    });
    let mut given = given.into_inner().unwrap();
    let count = given.len();
    given.sort();
    given.dedup();
    assert_eq!(given.len(), count, "a code came out twice");
    let account = scene.read("accounts", "github/acme").expect(200).data();
    assert_eq!(account["remaining"], json!(mine.len() - count), "a code went and nobody has it");
    eprintln!("{count} codes, {} requests were sent twice", repeated.into_inner());
}

#[test]
fn the_stanza_of_a_configuration_file_registers_it() {
    let mut vault = Vault::bare();
    vault.install(Path::new(BINARY));
    let stanza = |args: &[&str]| {
        let output = Command::new(BINARY).args(["plugin", "stanza"]).args(args).output().expect("it runs");
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    vault.more_configuration(&stanza(&[]));
    vault.kill();
    vault.boot();
    vault.unseal();
    let version = format!("v{}", env!("CARGO_PKG_VERSION"));
    let entry = format!("sys/plugins/catalog/secret/{PLUGIN}?version={version}");
    let entry = vault.root().read(&entry).expect(200).data();
    assert_eq!((&entry["sha256"], &entry["command"]), (&json!(sha256(Path::new(BINARY))), &json!("sparekey")));
    let bao = vault.bao();
    bao.run(&["secrets", "enable", "-path=backup-codes", PLUGIN]).ok();
    bao.run(&["secrets", "list", "-detailed"]).ok().says(&version);
    let scene = Scene::with(vault.root(), vault.root(), Signer::es256("k"));
    scene.store("github/acme", &codes(1, 2), 0).expect(200);

    // A stanza for another file: the mount is not started, the log says why, and the right one brings everything back.
    vault.kill();
    vault.more_configuration(&stanza(&["--binary", &format!("{FOLDER}/manifest.json")]));
    vault.boot();
    vault.unseal();
    assert_ne!(scene.retrieve("github/acme", "alice").status, 200);
    assert!(vault.log().contains("checksums did not match"), "{}", vault.log());
    vault.kill();
    vault.more_configuration(&stanza(&[]));
    vault.boot();
    vault.unseal();
    let answer = vault.again(|| scene.retrieve("github/acme", "alice")).expect(200);
    assert_eq!(answer.data()["code"], json!(codes(1, 2)[0]));

    let image = stanza(&["--image", "registry.example.com/security/sparekey"]);
    for line in [
        "plugin_auto_download = true",
        "image = \"registry.example.com/security/sparekey\"",
        "binary_name = \"sparekey\"",
    ] {
        assert!(image.contains(line), "{image}");
    }
}

#[test]
fn started_by_a_person_or_for_another_protocol_it_says_so() {
    let started = |environment: &[(&str, &str)]| {
        let output = Command::new(BINARY).env_clear().envs(environment.iter().copied()).output().expect("it runs");
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned(), output.stdout)
    };
    let cookie = ("VAULT_BACKEND_PLUGIN", "6669da05-b1c8-4f49-97d9-c8e5bed98e20");
    let (code, said, printed) = started(&[cookie, ("PLUGIN_PROTOCOL_VERSIONS", "3,4")]);
    assert_eq!((code, printed.as_slice()), (Some(1), &b""[..]));
    let line: Value = serde_json::from_str(said.trim()).expect("one line of JSON");
    assert!(line["@message"].as_str().unwrap().contains("speaks 5 only"), "{line}");
    let (code, said, _) = started(&[("VAULT_BACKEND_PLUGIN", "another")]);
    assert!(code == Some(1) && said.contains("Usage"), "{said}");
}
