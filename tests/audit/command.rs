//! `sparekey audit verify` as a process of its own.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::support::{Act, Rig, signing_key, write};

fn verify<S: AsRef<OsStr>>(arguments: impl IntoIterator<Item = S>) -> Output {
    Command::new(env!("CARGO_BIN_EXE_sparekey")).args(["audit", "verify"]).args(arguments).output().unwrap()
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

async fn written(count: usize) -> (Rig, PathBuf) {
    let rig = Rig::new();
    let broker = rig.main().await;
    write(&broker, count).await;
    broker.disclosure(Act::new("d-1").response()).await.unwrap();
    broker.void(Act::new("d-1").void()).await.unwrap();
    broker.close().await;
    let path = rig.main_path();
    (rig, path)
}

#[tokio::test]
async fn its_exit_code_says_whether_anything_is_wrong() {
    let (_rig, path) = written(3).await;
    let good = verify([&path]);
    assert_eq!(good.status.code(), Some(0), "{}", text(&good));
    let said = text(&good);
    for wanted in
        ["OK: nothing is wrong", "Unsealed tail  0 lines", "1 announced, 1 taken back", "request d-1 disclosed nothing"]
    {
        assert!(said.contains(wanted), "{wanted} in {said}");
    }
    let key = hex::encode(signing_key().public());
    assert!(said.contains(&key));
    assert_eq!(verify([path.to_str().unwrap(), "--public-key", &key]).status.code(), Some(0));
    let other = verify([path.to_str().unwrap(), "--public-key", &"ab".repeat(32)]);
    assert_eq!(other.status.code(), Some(2), "{}", text(&other));
    assert!(text(&other).contains("main.log:2: a checkpoint signed by another key"), "{}", text(&other));

    fs::write(&path, fs::read_to_string(&path).unwrap().replace("127.0.0.1", "127.0.0.2")).unwrap();
    let broken = verify([&path]);
    assert_eq!(broken.status.code(), Some(2));
    assert!(text(&broken).contains("main.log:3: altered"), "{}", text(&broken));
    for wrong in [vec!["/nowhere/audit.log"], vec![], vec![path.to_str().unwrap(), "--public-key", "xyz"]] {
        assert_eq!(verify(&wrong).status.code(), Some(1), "{wrong:?}");
    }
}

#[tokio::test]
async fn it_reads_lines_across_its_blocks_and_from_standard_input() {
    let (_rig, path) = written(3000).await;
    assert!(path.metadata().unwrap().len() > 2 << 20, "more than two blocks");
    let mut command = Command::new(env!("CARGO_BIN_EXE_sparekey"));
    let input = Stdio::from(File::open(&path).unwrap());
    let said = command.args(["audit", "verify", "-", "--json"]).stdin(input).output().unwrap();
    assert_eq!(said.status.code(), Some(0), "{}", text(&said));
    let report: Value = serde_json::from_slice(&said.stdout).unwrap();
    assert_eq!(report["intact"], true);
    assert_eq!(report["types"]["request"], 3000);
    assert_eq!(report["disclosures"], 1);
    assert_eq!(report["voids"][0]["disclosure"]["account"], "github/acme-owner");
    assert_eq!(report["unsealed_tail"], 0);
    let anchor = format!("{}:{}", report["last_seq"], report["head"].as_str().unwrap());
    assert_eq!(verify([path.to_str().unwrap(), "--anchor", &anchor]).status.code(), Some(0));
    let text = fs::read_to_string(&path).unwrap();
    let cut = text[..text.len() - 1].rfind('\n').unwrap() + 1;
    fs::write(&path, &text[..cut]).unwrap();
    assert_eq!(verify([&path]).status.code(), Some(0));
    assert_eq!(verify([path.to_str().unwrap(), "--anchor", &anchor]).status.code(), Some(2));
}

#[test]
fn a_file_without_line_ends_is_refused_in_bounded_memory() {
    let rig = Rig::new();
    let path = rig.path("zeros");
    File::create(&path).unwrap().set_len(64 << 20).unwrap();
    let said = verify([&path]);
    assert_eq!(said.status.code(), Some(2));
    assert!(text(&said).contains("not a line of this format"));
}
