//! The binary is missing, altered, mute, talks nonsense or crashes: the vault and its other mounts go on, and the right binary brings everything
//! back. Sums and versions that do not fit are said to be so.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::thread::{scope, sleep};
use std::time::{Duration, Instant};

use serde_json::json;
use sha2::{Digest, Sha256};

use crate::support::scene::{Scene, codes};
use crate::support::server::{BINARY, MOUNT};
use crate::support::signer::Signer;
use crate::support::vault::{PLUGIN, Vault};

/// Stands where the plugin stands, and is the plugin but for what `mode` says: so it can go wrong with a sum that is right.
const STAND_IN: &str = r#"#!/bin/sh
case $(cat "${0%/*}/../mode" 2>/dev/null) in
hangs) exec sleep 600 ;;
crashes) exit 3 ;;
babbles) echo "good morning"; exec sleep 600 ;;
esac
exec "${0%/*}/real"
"#;

/// A vault with the engine, another engine beside it, and a set of codes.
fn vault_with_a_stand_in() -> (Vault, Scene) {
    let vault = Vault::bare();
    fs::copy(BINARY, vault.plugins().join("real")).unwrap();
    let script = vault.dir().join("stand-in");
    fs::write(&script, STAND_IN).unwrap();
    fs::set_permissions(&script, PermissionsExt::from_mode(0o755)).unwrap();
    vault.install(&script);
    vault.register();
    vault.enable(MOUNT);
    vault.root().write("sys/mounts/kv", &json!({"type": "kv"})).expect(204);
    vault.root().write("kv/a", &json!({"a": 1})).expect(204);
    let scene = Scene::with(vault.root(), vault.root(), Signer::es256("k"));
    scene.store("github/acme", &codes(1, 12), 0).expect(200);
    (vault, scene)
}

#[test]
fn whatever_becomes_of_the_binary_the_vault_unseals_and_the_right_one_brings_everything_back() {
    let (mut vault, scene) = vault_with_a_stand_in();
    let (place, mode) = (vault.plugins().join(PLUGIN), vault.dir().join("mode"));
    for (number, what) in ["crashes", "babbles", "is missing", "is altered", "may not be run"].into_iter().enumerate() {
        vault.enable("spare");
        vault.kill();
        let permissions = |mode| fs::set_permissions(&place, PermissionsExt::from_mode(mode)).unwrap();
        match what {
            "is missing" => fs::remove_file(&place).unwrap(),
            "is altered" => fs::write(&place, [STAND_IN, "# \n"].concat()).unwrap(),
            "may not be run" => permissions(0o644),
            _ => fs::write(&mode, what).unwrap(),
        }
        vault.boot();
        vault.unseal();
        // Others do not notice; we are not there, and no answer of ours is made up.
        assert_eq!(vault.root().read("kv/a").expect(200).data()["a"], 1, "{what}");
        for answer in [scene.read("accounts", "github/acme"), scene.retrieve("github/acme", "alice")] {
            let said = answer.expect(404).error();
            assert!(said.contains("backend is nil"), "{what}: {said}");
        }
        let log = vault.log();
        assert!(log.contains("[ERROR]") && log.contains("sparekey"), "{what}: the log says nothing");
        // The vault ends no mount that has had no engine since it was unsealed (seen in OpenBao 2.7.2; others report it, too). It says
        // so, and keeps the mount.
        let refused = vault.root().delete("sys/mounts/spare").expect(400);
        assert!(refused.error().contains("cannot write to storage during setup"), "{what}: {}", refused.text());

        let _ = fs::remove_file(&mode);
        vault.install(&vault.dir().join("stand-in"));
        permissions(0o755);
        vault.root().write("sys/plugins/reload/backend", &json!({"plugin": PLUGIN})).expect(200);
        let answer = vault.again(|| scene.retrieve("github/acme", "alice")).expect(200);
        assert_eq!(answer.data()["code"], codes(1, 12)[number], "after it {what}");
        vault.root().delete("sys/mounts/spare").expect(204);
    }
    let history = scene.read("history", "github/acme?verify=true").expect(200).data();
    assert_eq!((&history["verified"], history["entries"].as_array().unwrap().len()), (&json!(true), 6));
}

/// Ends everything that the vault has started: what an operator does to a plugin that says nothing for a minute.
fn end_children(vault: &Vault) -> usize {
    let children = vault.children();
    for pid in &children {
        let pid = rustix::process::Pid::from_raw(*pid).unwrap();
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
    }
    children.len()
}

#[test]
fn a_plugin_that_never_answers_holds_up_its_own_mounts_only_and_is_replaced_like_any_other() {
    let (mut vault, scene) = vault_with_a_stand_in();
    let mode = vault.dir().join("mode");
    fs::write(&mode, "hangs").unwrap();
    // While the vault is open: the requests of the mount wait, others do not.
    assert_eq!(end_children(&vault), 1);
    scope(|threads| {
        let waiting = threads.spawn(|| vault.again(|| scene.retrieve("github/acme", "alice")));
        let until = Instant::now() + Duration::from_secs(2);
        while Instant::now() < until {
            let asked = Instant::now();
            vault.root().read("kv/a").expect(200);
            assert!(asked.elapsed() < Duration::from_secs(1), "another mount waited {:?}", asked.elapsed());
            sleep(Duration::from_millis(50));
        }
        assert!(!waiting.is_finished(), "it does not hang");
        fs::remove_file(&mode).unwrap();
        end_children(&vault);
        // The one that waited is told, or was given the next process.
        let waited = waiting.join().unwrap();
        assert!(matches!(waited.status, 200 | 500), "{}", waited.text());
        let left = if waited.status == 200 { 11 } else { 12 };
        assert_eq!(vault.again(|| scene.read("accounts", "github/acme")).expect(200).data()["remaining"], left);
    });
    // At unsealing the vault waits a minute for each start; once what hangs is ended it unseals without us.
    fs::write(&mode, "hangs").unwrap();
    vault.kill();
    vault.boot();
    let ended = std::sync::atomic::AtomicBool::new(false);
    scope(|threads| {
        threads.spawn(|| {
            while !ended.load(std::sync::atomic::Ordering::Relaxed) {
                end_children(&vault);
                sleep(Duration::from_millis(100));
            }
        });
        vault.unseal();
        ended.store(true, std::sync::atomic::Ordering::Relaxed);
    });
    vault.root().read("kv/a").expect(200);
    scene.retrieve("github/acme", "alice").expect(404);
    fs::remove_file(&mode).unwrap();
    vault.root().write("sys/plugins/reload/backend", &json!({"plugin": PLUGIN})).expect(200);
    vault.again(|| scene.retrieve("github/acme", "alice")).expect(200);
}

#[test]
fn a_mount_whose_binary_broke_while_the_vault_was_open_can_be_disabled() {
    let (vault, scene) = vault_with_a_stand_in();
    fs::write(vault.dir().join("mode"), "crashes").unwrap();
    end_children(&vault);
    // First the end of the process shows, then that it cannot be started again.
    vault.again(|| scene.retrieve("github/acme", "alice")).expect(500);
    assert!(scene.retrieve("github/acme", "alice").expect(500).text().contains("Unrecognized remote plugin message"));
    vault.root().read("kv/a").expect(200);
    vault.root().delete(&format!("sys/mounts/{MOUNT}")).expect(204);
    let refused = vault.root().write(&format!("sys/mounts/{MOUNT}"), &json!({"type": PLUGIN})).expect(400);
    assert!(refused.text().contains("Unrecognized remote plugin message"), "{}", refused.text());
    fs::remove_file(vault.dir().join("mode")).unwrap();
    vault.enable(MOUNT);
    assert_eq!(vault.root().list(&format!("{MOUNT}/accounts")).status, 404, "it begins anew");
}

#[test]
fn a_wrong_sum_and_a_wrong_version_are_said_to_be_so_and_nothing_is_lost() {
    let vault = Vault::mounted();
    let scene = Scene::with(vault.root(), vault.root(), Signer::es256("k"));
    scene.store("github/acme", &codes(1, 2), 0).expect(200);
    // Altered while it runs: what runs goes on, what is started again is refused until the right file is back.
    fs::rename(vault.plugins().join(PLUGIN), vault.dir().join("kept")).unwrap();
    let altered = [&fs::read(BINARY).unwrap()[..], b"x"].concat();
    fs::write(vault.dir().join("altered"), altered).unwrap();
    fs::set_permissions(vault.dir().join("altered"), PermissionsExt::from_mode(0o755)).unwrap();
    vault.install(&vault.dir().join("altered"));
    scene.read("accounts", "github/acme").expect(200);
    end_children(&vault);
    let refused = vault.again(|| scene.retrieve("github/acme", "alice")).expect(500);
    assert!(refused.text().contains("checksums did not match"), "{}", refused.text());
    let enable = |path: &str, body: serde_json::Value| vault.root().write(&format!("sys/mounts/{path}"), &body);
    let refused = enable("other", json!({"type": PLUGIN})).expect(400);
    assert!(refused.text().contains("checksums did not match"), "{}", refused.text());
    vault.install(&vault.dir().join("kept"));
    let answer = vault.again(|| scene.retrieve("github/acme", "alice")).expect(200);
    assert_eq!(answer.data()["code"], codes(1, 2)[0]);

    let refused = enable("other", json!({"type": PLUGIN, "config": {"plugin_version": "v9.9.9"}})).expect(400);
    assert!(refused.text().contains("v9.9.9"), "{}", refused.text());
    assert_eq!(vault.root().read("sys/mounts").expect(200).data()["other/"], json!(null));
    let refused = vault.root().write(&format!("sys/mounts/{MOUNT}/tune"), &json!({"plugin_version": "v9.9.9"}));
    assert!(refused.clone().expect(400).text().contains("v9.9.9"), "{}", refused.text());
    let answer = scene.retrieve("github/acme", "alice").expect(200);
    assert_eq!(answer.data()["code"], codes(1, 2)[1]);
}

#[test]
fn two_versions_serve_side_by_side_and_a_mount_changes_over() {
    let vault = Vault::bare();
    let bao = vault.bao();
    let sum = hex::encode(Sha256::digest(fs::read(BINARY).unwrap()));
    for version in ["v1.0.0", "v2.0.0"] {
        let command = format!("sparekey-{version}");
        fs::copy(BINARY, vault.plugins().join(&command)).unwrap();
        let (version, command) = (format!("-version={version}"), format!("-command={command}"));
        bao.run(&["plugin", "register", &format!("-sha256={sum}"), &version, &command, "secret", PLUGIN]).ok();
    }
    for (path, version) in [(MOUNT, "v1.0.0"), ("second", "v2.0.0")] {
        bao.run(&["secrets", "enable", &format!("-path={path}"), &format!("-plugin-version={version}"), PLUGIN]).ok();
    }
    let running = || {
        let named = |version: &str| vault.children_named(&format!("sparekey-{version}")).len();
        [named("v1.0.0"), named("v2.0.0")]
    };
    assert_eq!(running(), [1, 1], "each version is a process of its own");
    let scene = Scene::with(vault.root(), vault.root(), Signer::es256("k"));
    scene.store("github/acme", &codes(1, 3), 0).expect(200);
    assert_eq!(scene.retrieve("github/acme", "alice").expect(200).data()["code"], codes(1, 3)[0]);
    assert_eq!(vault.root().list("second/accounts").status, 404);

    // The mount changes over, with all it has, and back.
    for (version, number, processes) in [("v2.0.0", 1, [0, 1]), ("v1.0.0", 2, [1, 1])] {
        bao.run(&["secrets", "tune", &format!("-plugin-version={version}"), MOUNT]).ok();
        bao.run(&["plugin", "reload", &format!("-mounts={MOUNT}/")]).ok();
        let answer = vault.again(|| scene.retrieve("github/acme", "alice")).expect(200);
        assert_eq!(answer.data()["code"], codes(1, 3)[number], "{version}");
        vault.again(|| vault.root().read("second/config")).expect(200);
        assert_eq!(running(), processes, "{version}");
    }
    let history = scene.read("history", "github/acme?verify=true").expect(200).data();
    assert_eq!(history["verified"], true, "{history}");
}
