//! What `plugin-manifest/build-static.sh` has built starts where there is nothing: in an empty root, as a command, as a vault's plugin and
//! as a server. `SPAREKEY_DIST=target/dist cargo test --test static_binary -- --include-ignored` looks at it. Ignored
//! otherwise, since building it takes minutes (`.ci/run` does).

use std::env;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use support::scene::{Scene, codes};
use support::server::free_address;
use support::signer::Signer;
use support::vault::Vault;

#[path = "support/mod.rs"]
mod support;

/// The folder that the script made. Who asks for these tests without one is told so: they never pass unseen.
fn dist() -> PathBuf {
    let folder =
        env::var_os("SPAREKEY_DIST").expect("SPAREKEY_DIST: the folder that plugin-manifest/build-static.sh made");
    fs::canonicalize(folder).expect("the folder that SPAREKEY_DIST names")
}

/// A root with the program in it, and one folder to write to.
struct Empty {
    root: tempfile::TempDir,
    inside: Vec<&'static str>,
}

impl Empty {
    /// Fails where this user may not change roots.
    fn around(binary: &Path) -> Empty {
        let root = tempfile::tempdir().unwrap();
        fs::copy(binary, root.path().join("sparekey")).unwrap();
        fs::create_dir(root.path().join("data")).unwrap();
        for inside in [vec!["chroot"], vec!["unshare", "--user", "--map-root-user", "chroot"]] {
            let tried = Command::new(inside[0]).args(&inside[1..]).args(["/", "/bin/true"]).output();
            if tried.is_ok_and(|tried| tried.status.success()) {
                return Empty { root, inside };
            }
        }
        panic!("neither root nor user namespaces here, so no program can be started in an empty root");
    }
    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(self.inside[0]);
        command.args(&self.inside[1..]).arg(self.root.path()).arg("/sparekey").args(args);
        command.env_clear().env("PATH", env::var_os("PATH").unwrap()).env("TMPDIR", "/data").stdin(Stdio::null());
        command
    }
    fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().expect("chroot")
    }
}

struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
#[ignore = "needs a static build: plugin-manifest/build-static.sh makes one, SPAREKEY_DIST says where; .ci/run does both"]
fn it_starts_in_an_empty_root() {
    let empty = Empty::around(&dist().join("sparekey"));
    let said = empty.run(&["--version"]);
    assert!(said.status.success(), "{said:?}");
    assert_eq!(String::from_utf8_lossy(&said.stdout).trim(), concat!("sparekey ", env!("CARGO_PKG_VERSION")));
    // The same could not be said of a program that is linked to what this machine has.
    let usual = Empty::around(Path::new(env!("CARGO_BIN_EXE_sparekey")));
    assert!(!usual.run(&["--version"]).status.success(), "the root is not empty");
}

#[test]
#[ignore = "needs a static build: plugin-manifest/build-static.sh makes one, SPAREKEY_DIST says where; .ci/run does both"]
fn a_vault_that_starts_it_there_is_answered() {
    let empty = Empty::around(&dist().join("sparekey"));
    let host = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let child = empty
        .command(&[])
        .env("VAULT_BACKEND_PLUGIN", "6669da05-b1c8-4f49-97d9-c8e5bed98e20")
        .env("PLUGIN_PROTOCOL_VERSIONS", "5")
        .env("PLUGIN_CLIENT_CERT", host.cert.pem())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut child = Ended(child);
    let mut line = String::new();
    BufReader::new(child.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let parts: Vec<&str> = line.trim().split('|').collect();
    assert_eq!((parts[..3].join("|").as_str(), parts[4], parts.len()), ("1|5|unix", "grpc", 6), "{line:?}");
    assert!(empty.root.path().join(parts[3].trim_start_matches('/')).exists(), "{line:?}");
}

#[test]
#[ignore = "needs a static build: plugin-manifest/build-static.sh makes one, SPAREKEY_DIST says where; .ci/run does both"]
fn it_serves_there() {
    let empty = Empty::around(&dist().join("sparekey"));
    let address = free_address();
    let config = format!(
        "mount_path = \"backup-codes/\"\nlistener \"tcp\" {{\n  address = \"{address}\"\n  tls_disable = true\n}}\n\
         storage \"redb\" {{\n  path = \"/data/store.redb\"\n}}\nseal \"shamir\" {{}}\n\
         audit \"file\" \"main\" {{\n  options = {{ file_path = \"/data/audit.log\" }}\n}}\n"
    );
    fs::write(empty.root.path().join("data/sparekey.hcl"), config).unwrap();
    let _server = Ended(empty.command(&["server", "--config", "/data/sparekey.hcl"]).spawn().unwrap());
    let client = support::http::Client::new(address);
    let deadline = Instant::now() + Duration::from_secs(30);
    while client.try_send("GET", "sys/health", None).is_err() {
        assert!(Instant::now() < deadline, "it does not listen");
        std::thread::sleep(Duration::from_millis(20));
    }
    let init = client.write("sys/init", &json!({"secret_shares": 1, "secret_threshold": 1})).expect(200).json();
    client.write("sys/unseal", &json!({"key": init["keys"][0]})).expect(200);
    let root = client.token(init["root_token"].as_str().unwrap());
    let scene = Scene::with(root, client, Signer::es256("k"));
    scene.store("github/acme", &codes(1, 2), 0).expect(200);
    assert_eq!(scene.retrieve("github/acme", "alice").expect(200).data()["code"], json!(codes(1, 2)[0]));
}

#[test]
#[ignore = "needs a static build: plugin-manifest/build-static.sh makes one, SPAREKEY_DIST says where; .ci/run does both"]
fn a_real_vault_mounts_it() {
    let dist = dist();
    let vault = Vault::bare();
    vault.install(&dist.join("sparekey"));
    vault.register();
    vault.enable("backup-codes");
    let scene = Scene::with(vault.root(), vault.root(), Signer::es256("k"));
    scene.store("github/acme", &codes(1, 2), 0).expect(200);
    assert_eq!(scene.retrieve("github/acme", "alice").expect(200).data()["code"], json!(codes(1, 2)[0]));
}

#[test]
#[ignore = "needs a static build: plugin-manifest/build-static.sh makes one, SPAREKEY_DIST says where; .ci/run does both"]
fn sums_and_bill_of_materials_are_beside_it_and_are_its_own() {
    let dist = dist();
    let sum = |name: &str| hex::encode(Sha256::digest(fs::read(dist.join(name)).unwrap()));
    let names = ["sparekey", "sparekey.cdx.json"];
    let lines: String = names.iter().map(|name| format!("{}  {name}\n", sum(name))).collect();
    assert_eq!(fs::read_to_string(dist.join("SHA256SUMS")).unwrap(), lines);
    let bill: Value = serde_json::from_slice(&fs::read(dist.join("sparekey.cdx.json")).unwrap()).unwrap();
    let described = &bill["metadata"]["component"];
    assert_eq!((&bill["bomFormat"], &described["name"]), (&json!("CycloneDX"), &json!("sparekey")));
    assert_eq!(described["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(described["hashes"][0]["content"], json!(sum("sparekey")));
    let components = bill["components"].as_array().unwrap();
    for name in ["aes-gcm", "rustls", "redb", "tonic"] {
        let found = components.iter().find(|one| one["name"] == name).unwrap_or_else(|| panic!("{name} is in it"));
        assert!(found["hashes"][0]["content"].as_str().is_some_and(|sum| sum.len() == 64), "{found}");
        assert!(!found["licenses"].as_array().unwrap().is_empty(), "{found}");
    }
    let test_only = ["proptest", "insta"].into_iter().find(|name| components.iter().any(|one| one["name"] == *name));
    assert_eq!(test_only, None, "what only tests use is not in the binary");
}
