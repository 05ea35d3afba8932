//! A panic says where, never what: its message could carry a secret.

use std::process::Command;

const CANARY: &str = "h7kq-2mwx-canary";

#[test]
fn a_panic_names_its_place_and_withholds_its_message() {
    if std::env::var_os("SPAREKEY_TEST_PANIC").is_some() {
        sparekey::process::quiet_panics();
        panic!("{CANARY}");
    }
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "a_panic_names_its_place_and_withholds_its_message", "--nocapture"])
        .env("SPAREKEY_TEST_PANIC", "1")
        .output()
        .unwrap();
    let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    assert!(!output.status.success());
    assert!(said.contains("sparekey: internal error at tests/panic.rs:"), "{said}");
    assert!(!said.contains(CANARY), "{said}");
}
