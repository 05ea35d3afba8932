//! `examples/mounted/`: the script tells the whole story, as it stands there.

use std::net::TcpStream;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use crate::support::provision;
use crate::support::server::{BINARY, free_address};

fn run(folder: &Path, port: u16, sparekey: &Path) -> Output {
    let tools = folder.join("tools");
    std::fs::create_dir(&tools).unwrap();
    symlink(provision::bao(), tools.join("bao")).unwrap();
    symlink(sparekey, tools.join("sparekey")).unwrap();
    std::fs::create_dir(folder.join("story")).unwrap();
    Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/mounted/story.sh"))
        .arg(folder.join("story"))
        .env_clear()
        .env("PATH", format!("{}:/usr/bin:/bin", tools.display()))
        .env("PORT", port.to_string())
        .current_dir(folder)
        .stdin(Stdio::null())
        .output()
        .expect("the script runs")
}

/// Three ports in a row.
fn port() -> u16 {
    loop {
        let port = free_address().port();
        if (1..3).all(|next| std::net::TcpListener::bind(("127.0.0.1", port + next)).is_ok()) {
            return port;
        }
    }
}

#[test]
fn the_script_tells_the_whole_story() {
    let folder = tempfile::tempdir().unwrap();
    let port = port();
    let output = run(folder.path(), port, Path::new(BINARY));
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    for words in [
        "this JWT was used for a disclosure already",
        "no token stands in for it",
        "the relay answers 202",
        "ended: generation 2 is over (re-enrollment)",
        "role: claim \"groups\" is not what the role wants",
        "none of 18 codes",
    ] {
        assert!(said.contains(words), "no {words:?} in:\n{said}");
    }
    let acts: Vec<&str> = said.lines().filter_map(|line| line.strip_prefix("\"act\": \"")).collect();
    assert_eq!(acts.concat(), "store\"retrieve\"retrieve\"store\"event\"store\"retrieve\"");
    assert!(said.contains("\"verified\": true"));
    // Everybody who got a code got the next one of the set in hand.
    let page = |name: &str| std::fs::read_to_string(folder.path().join("story").join(name)).unwrap();
    let (first, third) = (page("first.txt"), page("third.txt"));
    let mut first = first.lines();
    for code in [first.next().unwrap(), first.next().unwrap(), third.lines().next().unwrap()] {
        assert!(said.contains(code), "{code} did not come out");
    }
    for port in [port, port + 2] {
        assert!(TcpStream::connect(("127.0.0.1", port)).is_err(), "something still listens on {port}");
    }
}

#[test]
fn the_script_fails_where_something_does() {
    let folder = tempfile::tempdir().unwrap();
    let output = run(folder.path(), port(), Path::new("/bin/false"));
    assert!(!output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}
