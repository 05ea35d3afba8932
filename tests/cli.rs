//! The command line from outside: help, usage errors, exit codes, and how a server starts and ends.

use std::process::{Command, Output, Stdio};

fn sparekey(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_sparekey")).args(args).stdin(Stdio::null()).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn help_is_on_stdout_with_examples_and_exit_codes() {
    let help = sparekey(&["--help"]);
    assert_eq!(help.status.code(), Some(0));
    let said = text(&help.stdout);
    for part in ["Examples:", "Exit codes:", "server", "audit", "dev"] {
        assert!(said.contains(part), "{part} is missing:\n{said}");
    }
    for command in ["server", "audit", "dev"] {
        let help = sparekey(&[command, "--help"]);
        assert_eq!(help.status.code(), Some(0), "{command}");
        assert!(!help.stdout.is_empty());
    }
    assert_eq!(text(&sparekey(&["--version"]).stdout), format!("sparekey {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn wrong_usage_is_1_and_says_what_is_missing() {
    for (args, expected) in [
        (&[][..], "Usage: sparekey"),
        (&["serve"][..], "unrecognized subcommand 'serve'"),
        (&["server"][..], "--config"),
        (&["server", "--config", "a", "--dev"][..], "cannot be used with"),
        (&["server", "--config", "a", "--dev-root-token-id", "root"][..], "--dev"),
        (&["server", "--dev", "--dev-listen-address", "nowhere"][..], "--dev-listen-address"),
    ] {
        let output = sparekey(args);
        assert_eq!(output.status.code(), Some(1), "{args:?}");
        assert!(text(&output.stderr).contains(expected), "{args:?}: {}", text(&output.stderr));
        assert!(output.stdout.is_empty());
    }
}

#[test]
fn a_broken_configuration_is_1_with_file_line_and_field() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("sparekey.hcl");
    std::fs::write(&file, "storage \"inmem\" {}\nlistener \"tcp\" {\n  tls_disabel = true\n}\n").unwrap();
    let output = sparekey(&["server", "--config", file.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    let expected =
        format!("sparekey: {}:3: listener.tcp.tls_disabel: unknown; did you mean tls_disable?", file.display());
    assert!(text(&output.stderr).starts_with(&expected), "{}", text(&output.stderr));
}
