//! `examples/automation/`: the job, as its unit starts it, against a real vault, with everything that may go wrong on the way.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::support::provision;
use crate::support::scene::{ISSUER, Scene, codes};
use crate::support::server::free_address;
use crate::support::signer::{Signer, claims};
use crate::support::vault::Vault;

const ACCOUNT: &str = "okta/jane@example.com";
const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/automation");

/// A vault that the job can log in to, and a provider that prints its next page of codes when it is asked.
struct Job {
    vault: Vault,
    scene: Scene,
    home: PathBuf,
}

impl Job {
    fn new() -> Job {
        let vault = Vault::mounted();
        let root = vault.root();
        let scene = Scene::with(root.clone(), root.clone(), Signer::es256("idp-1"));
        root.write("sys/auth/jwt", &json!({"type": "jwt"})).expect(204);
        let config = json!({"jwt_validation_pubkeys": [scene.signer.public_pem()], "bound_issuer": ISSUER});
        root.write("auth/jwt/config", &config).expect(204);
        let home = vault.dir().join("job");
        fs::create_dir_all(home.join("bin")).unwrap();
        symlink(provision::bao(), home.join("bin/bao")).unwrap();
        symlink(Path::new(env!("CARGO_MANIFEST_DIR")).join("plugin-manifest"), home.join("plugin-manifest")).unwrap();
        let job = Job { vault, scene, home };
        job.shell(&block("## What the vault and the engine must know"));
        let jwt = job.scene.signer.jwt(&claims(ISSUER, "rotator", "backup-codes"));
        fs::write(job.home.join("jwt"), jwt).unwrap();
        for page in 1..=4 {
            fs::write(job.home.join(format!("page.{page}")), codes(page, 6).join("\n") + "\n").unwrap();
        }
        let provider = "#!/bin/sh\nset -eu\n[ \"$1\" = jane@example.com ]\ncd \"${0%/*}\"\nnext=$(($(cat made 2>/dev/null || echo 0) + 1))\n\
                        echo $next >made\ncat page.$next\n";
        fs::write(job.home.join("new-codes"), provider).unwrap();
        fs::set_permissions(job.home.join("new-codes"), fs::Permissions::from_mode(0o755)).unwrap();
        job
    }
    fn shell(&self, lines: &str) {
        let output = Command::new("sh")
            .args(["-euc", lines])
            .env_clear()
            .env("PATH", format!("{}:/usr/bin:/bin", self.home.join("bin").display()))
            .env("HOME", &self.home)
            .env("BAO_ADDR", self.vault.url())
            .env("BAO_TOKEN", self.vault.root_token())
            .current_dir(&self.home)
            .output()
            .expect("sh");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    /// The line of the unit, with this machine's places in it.
    fn run(&self) -> (Option<i32>, String) {
        self.run_against(&self.vault.url())
    }
    fn run_against(&self, vault: &str) -> (Option<i32>, String) {
        let unit = fs::read_to_string(format!("{FOLDER}/sparekey-rotate.service")).unwrap();
        let line = unit.lines().find_map(|line| line.strip_prefix("ExecStart=")).expect("a line to start");
        let python = std::env::var("PYTHON").unwrap_or_else(|_| "python3".to_owned());
        let line = line
            .replace("/usr/local/lib/sparekey/rotate.py", &format!("{python} {FOLDER}/rotate.py"))
            .replace("/usr/local/lib/sparekey/new-codes", &self.home.join("new-codes").display().to_string())
            .replace("https://vault.example.com:8200", vault)
            .replace("${CREDENTIALS_DIRECTORY}", &self.home.display().to_string())
            .replace("${STATE_DIRECTORY}", &self.state().display().to_string());
        let mut words = line.split(' ');
        let output =
            Command::new(words.next().unwrap()).args(words).stdin(Stdio::null()).output().expect("python3 runs");
        let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        assert!(!codes(1, 6).iter().any(|code| said.contains(code.as_str())), "{said}");
        (output.status.code(), said)
    }
    fn state(&self) -> PathBuf {
        self.home.join("state")
    }
    /// What waits to be stored.
    fn waiting(&self) -> Option<PathBuf> {
        let entries = fs::read_dir(self.state()).unwrap().flatten().map(|entry| entry.path());
        entries.into_iter().find(|path| path.extension().is_some_and(|kind| kind == "json"))
    }
    fn account(&self) -> Value {
        self.scene.read("accounts", ACCOUNT).expect(200).data()
    }
    /// How often the provider made codes.
    fn made(&self) -> u32 {
        fs::read_to_string(self.home.join("made")).unwrap().trim().parse().unwrap()
    }
}

/// The first block of commands after a heading of the README.
fn block(heading: &str) -> String {
    let text = fs::read_to_string(format!("{FOLDER}/README.md")).unwrap();
    let rest = text.split_once(heading).unwrap().1.split_once("```sh\n").unwrap().1;
    rest.split_once("```").unwrap().0.to_owned()
}

#[test]
fn the_job_rotates_where_it_must_and_loses_nothing_on_the_way() {
    let job = Job::new();
    let (code, said) = job.run();
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("no set that works") && said.contains("generation 1 is stored, 6 codes"), "{said}");
    let (code, said) = job.run();
    assert_eq!((code, job.made()), (Some(0), 1), "{said}");
    assert!(said.contains("6 codes are left, nothing to do"), "{said}");

    // A code was used: a new set is owed, and the old one is confirmed.
    job.scene.retrieve(ACCOUNT, "alice").expect(200);
    let (code, said) = job.run();
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("a new set is owed"), "{said}");
    let account = job.account();
    assert_eq!(
        (&account["generation"], &account["sets"][0]["provider"]),
        (&json!(2), &json!("confirmed")),
        "{account}"
    );
    let answer = job.scene.retrieve(ACCOUNT, "bob").expect(200).data();
    assert_eq!(answer["code"], json!(codes(2, 6)[0]));

    // Without a vault the provider is not even asked. A vault that refuses after the provider has spoken: the codes wait.
    let lost = format!("http://{}", free_address());
    assert_eq!(job.run_against(&lost).0, Some(75));
    assert!(job.waiting().is_none() && job.made() == 2,);
    let narrow = |role: Value| job.vault.root().write("backup-codes/roles/rotator", &role).expect(204);
    narrow(json!({"operations": "confirm"}));
    let (code, said) = job.run();
    assert!(code == Some(1) && said.contains("refused: role:") && said.contains("kept for the next run"), "{said}");
    let waiting = job.waiting().expect("the new codes wait");
    assert_eq!(fs::metadata(&waiting).unwrap().permissions().mode() & 0o777, 0o600);
    narrow(json!({"operations": "store,confirm"}));

    // The request arrived, and its answer did not: the job sends the same again, and it counts once.
    let mut body: Value = serde_json::from_slice(&fs::read(&waiting).unwrap()).unwrap();
    body["role"] = json!("rotator");
    body["jwt"] = json!(fs::read_to_string(job.home.join("jwt")).unwrap());
    let stored = job.vault.root().write(&format!("backup-codes/sets/{ACCOUNT}"), &body).expect(200).data();
    assert_eq!(stored["generation"], 3);
    let (code, said) = job.run();
    assert!(code == Some(0) && said.contains("generation 3 is stored"), "{said}");
    assert_eq!((job.made(), job.waiting(), &job.account()["generation"]), (3, None, &json!(3)));

    // MFA is enrolled again while codes wait: nobody knows whether they still work, so new ones are made.
    job.scene.retrieve(ACCOUNT, "carol").expect(200);
    narrow(json!({"operations": "confirm"}));
    assert_eq!(job.run().0, Some(1));
    narrow(json!({"operations": "store,confirm"}));
    let enroll = json!({"role": "automation", "jwt": job.scene.automation(), "occurred_at": "2026-01-01T00:00:00Z"});
    job.scene.act("enroll", ACCOUNT, enroll).expect(200);
    fs::write(job.home.join("page.5"), codes(5, 6).join("\n")).unwrap();
    let (code, said) = job.run();
    assert!(code == Some(0) && said.contains("once more, with codes made now"), "{said}");
    assert_eq!((job.made(), &job.account()["generation"]), (5, &json!(4)));
    assert_eq!(job.scene.retrieve(ACCOUNT, "dave").expect(200).data()["code"], json!(codes(5, 6)[0]));
}

#[test]
fn the_line_for_cron_is_the_units() {
    let unit = fs::read_to_string(format!("{FOLDER}/sparekey-rotate.service")).unwrap();
    let unit = unit.lines().find_map(|line| line.strip_prefix("ExecStart=")).unwrap();
    let readme = fs::read_to_string(format!("{FOLDER}/README.md")).unwrap();
    let cron = readme.lines().find_map(|line| line.strip_prefix("17 4 * * * rotator ")).unwrap();
    let places = unit
        .replace("${CREDENTIALS_DIRECTORY}", "/run/sparekey-rotate")
        .replace("${STATE_DIRECTORY}", "/var/lib/sparekey-rotate");
    assert_eq!(cron, places);
}
