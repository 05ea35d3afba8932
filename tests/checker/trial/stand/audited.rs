//! Audit files in the end: they verify, and say of every code that a client saw that it left.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use crate::support::server::BINARY;
use crate::trial::judge::Kind;
use crate::trial::log::{Asked, Finding, Log};

/// What is wrong with the files of these devices, each device's oldest first.
pub fn judge(devices: &[Vec<PathBuf>], log: &Log) -> Vec<Finding> {
    let mut findings = Vec::new();
    for files in devices {
        let said = Command::new(BINARY).args(["audit", "verify"]).args(files).output().expect("it starts");
        if !said.status.success() {
            let words = String::from_utf8_lossy(&said.stdout).into_owned() + &String::from_utf8_lossy(&said.stderr);
            findings.push(Finding { kind: Kind::Unverifiable, words: format!("audit verify: {words}") });
        }
    }
    let lines: String = devices.iter().flatten().map(|file| fs::read_to_string(file).unwrap_or_default()).collect();
    findings.extend(unaudited(&lines, log));
    findings
}

/// Codes that a client saw and no line of the audit says so.
fn unaudited(lines: &str, log: &Log) -> Vec<Finding> {
    let mut places: BTreeMap<(String, u64, u64), usize> = BTreeMap::new();
    // A line that a kill cut short is no JSON; the verification has judged it.
    for line in lines.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok()) {
        if line["disclosed"] == true {
            let said = &line["response"]["disclosure"];
            let account = said["account"].as_str().unwrap_or_default().to_owned();
            let number = |field: &str| said[field].as_u64().unwrap_or_default();
            *places.entry((account, number("generation"), number("slot"))).or_default() += 1;
        }
    }
    let mut findings = Vec::new();
    for one in log.tries.iter().filter(|one| !matches!(one.asked, Asked::Verify { .. })) {
        let Some((generation, slot)) = one.let_out() else { continue };
        if !places.contains_key(&(one.account.clone(), generation, slot)) {
            let words = format!(
                "{} had generation {generation} slot {slot} of {}, and no audit line says so",
                one.act, one.account
            );
            findings.push(Finding { kind: Kind::Lost, words });
        }
    }
    findings
}
