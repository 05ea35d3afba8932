//! `domain` and `crypto` stay pure: no I/O, no clock, no randomness of their own, no runtime, and nothing from the parts that
//! have these. What a file there may name is the list below; a path that is not on it fails here. No source file grows long.
//!
//! The check reads text, not types: it follows `use` trees, renamings, `super` and inline paths, leaves out comments, string
//! literals and what stands under `#[cfg(test)]`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use source::Source;

mod source;

/// What pure code may name: a path passes if it begins with one of these.
const ALLOWED: &[&str] = &[
    "crate::crypto",
    "crate::domain",
    "crate::error",
    "crate::random::Random",
    "crate::random::bytes",
    "crate::storage::Revision",
    // The standard library without files, network, threads, clock, environment, and without maps in an order of their own.
    "std::array",
    "std::borrow",
    "std::cmp",
    "std::collections::BTreeMap",
    "std::collections::BTreeSet",
    "std::collections::VecDeque",
    "std::collections::btree_map",
    "std::convert",
    "std::error::Error",
    "std::fmt",
    "std::hash",
    "std::iter",
    "std::marker",
    "std::mem",
    "std::net::IpAddr",
    "std::net::Ipv4Addr",
    "std::net::Ipv6Addr",
    "std::num",
    "std::ops",
    "std::option",
    "std::result",
    "std::slice",
    "std::str",
    "std::string",
    "std::sync::Arc",
    "std::sync::LazyLock",
    "std::time::Duration",
    "std::vec",
    // Wire forms, patterns, numbers, names.
    "base64",
    "hex",
    "ipnet",
    "minicbor",
    "regex",
    "serde",
    "serde_json",
    "time",
    // Keys and ciphertexts; of the large libraries only what draws no randomness and reads no clock.
    "aes_gcm::Aes256Gcm",
    "aes_gcm::KeyInit",
    "aes_gcm::aead::AeadInOut",
    "argon2",
    "aws_lc_rs::signature",
    "hkdf::Hkdf",
    "hmac",
    "jsonwebtoken::Algorithm",
    "jsonwebtoken::DecodingKey",
    "jsonwebtoken::crypto",
    "jsonwebtoken::jwk",
    "regex",
    "rustls::pki_types",
    "sha2",
    "subtle",
    "zeroize",
];

/// Exceptions from the list above.
const DENIED: &[&str] = &["time::OffsetDateTime::now_utc", "time::OffsetDateTime::now_local", "time::UtcDateTime::now"];

/// Macros that write, read files, or bring in text that this check does not see.
const DENIED_MACROS: &[&str] =
    &["print", "println", "eprint", "eprintln", "dbg", "include", "include_str", "include_bytes"];

#[test]
fn domain_and_crypto_are_pure() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let crates = dependencies(&fs::read_to_string(root.join("Cargo.toml")).unwrap());
    let files: Vec<PathBuf> =
        ["domain", "crypto"].iter().flat_map(|part| sources(&root.join("src").join(part))).collect();
    assert!(files.len() > 12, "the check has lost its files: {files:?}");
    let parsed: Vec<(PathBuf, Source)> =
        files.iter().map(|file| (file.clone(), Source::parse(&fs::read_to_string(file).unwrap()))).collect();
    let of_tests: BTreeSet<PathBuf> = parsed
        .iter()
        .flat_map(|(file, source)| source.test_modules.iter().map(move |name| folder(file).join(format!("{name}.rs"))))
        .collect();
    let mut wrong = Vec::new();
    for (file, source) in parsed.iter().filter(|(file, _)| !of_tests.contains(file)) {
        let name = file.strip_prefix(root).unwrap();
        wrong.extend(
            violations(source, &module(name), &crates).iter().map(|path| format!("{}: {path}", name.display())),
        );
    }
    assert!(wrong.is_empty(), "pure code names what it may not:\n{}", wrong.join("\n"));
}

#[test]
fn no_source_file_is_longer_than_400_lines() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut long = Vec::new();
    let files: Vec<PathBuf> = ["src", "tests", "benches"].iter().flat_map(|part| sources(&root.join(part))).collect();
    assert!(files.iter().any(|file| file.ends_with("tests/purity/main.rs")), "the check has lost its files");
    for file in files {
        let lines = fs::read_to_string(&file).unwrap().lines().count();
        if lines > 400 {
            long.push(format!("{}: {lines} lines", file.strip_prefix(root).unwrap().display()));
        }
    }
    assert!(long.is_empty(), "split what has two reasons to change:\n{}", long.join("\n"));
}

#[test]
fn the_check_sees_what_it_should() {
    let bad = [
        "use std::fs;",
        "use std::{fmt, fs::File};",
        "use std::time::{Duration, SystemTime};",
        "use std::collections::HashMap;",
        "use std::net::TcpStream;",
        "use std::*;",
        "use std as other; fn f() { other::process::exit(1) }",
        "use std::time; fn f() { time::Instant::now(); }",
        "fn f() { std::thread::sleep(d) }",
        "fn f() -> Option<String> { ::std::env::var(\"HOME\").ok() }",
        "use tokio::sync::Mutex;",
        "async fn f() { tokio::task::yield_now().await }",
        "extern crate tokio;",
        "use rand::Rng;",
        "use aes_gcm::aead::{AeadInOut, Generate};",
        "use crate::engine::request::Request;",
        "use crate::{domain::time::Timestamp, storage::redb::Redb};",
        "use crate::storage::Storage;",
        "use super::super::http;",
        "use crate::random::OsRandom;",
        "use crate::random::{self, Random}; fn f() { random::OsRandom.fill(b) }",
        "use crate as all; fn f() { all::cli::main() }",
        "use time::OffsetDateTime; fn f() { OffsetDateTime::now_utc(); }",
        "fn f() { println!(\"x\") }",
        "#[cfg(test)] mod tests { use std::fs; } use std::fs;",
        "#[path = \"/etc/other.rs\"] mod other;",
    ];
    for source in bad {
        assert!(!check(source).is_empty(), "not seen: {source}");
    }
    let good = [
        "use std::fmt::{self, Display}; fn f(x: &dyn fmt::Debug) {}",
        "use std::net::IpAddr; use std::time::Duration;",
        "use crate::random::{self, Random}; fn f(r: &dyn Random) { random::bytes::<12>(r); }",
        "use crate::storage::Revision; use super::code::Slot; use self::inner::X;",
        "// use std::fs;\n/* use std::fs; /* nested */ */ fn f() { let c = '\"'; let s = \"std::fs::read\"; }",
        "fn f<'a>(x: &'a str) -> &'a str { r#\"tokio::spawn(\"\"#; x }",
        "const X: &[u8] = br#\"a \"std::fs::read\" b\"#;",
        "#[cfg(test)]\nmod tests { use std::fs; fn f() { tokio::spawn(x) } }",
        "fn f() -> impl Iterator + use<> { Kind::First.iter() }",
    ];
    for source in good {
        assert_eq!(check(source), Vec::<String>::new(), "seen in: {source}");
    }
}

fn check(source: &str) -> Vec<String> {
    let crates =
        dependencies("[dependencies]\ntokio = \"1\"\nrand = \"0.10\"\naes-gcm = { version = \"0\" }\ntime = \"0\"\n");
    violations(&Source::parse(source), &module(Path::new("src/domain/set.rs")), &crates)
}

/// Every Rust file below `folder`.
fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files.sort();
    files
}

/// Where the child modules of this file lie.
fn folder(file: &Path) -> PathBuf {
    if file.ends_with("mod.rs") { file.with_file_name("") } else { file.with_extension("") }
}

/// `src/domain/set.rs` is `crate::domain::set`.
fn module(file: &Path) -> Vec<String> {
    let file = file.with_extension("");
    let names = file.iter().skip(1).map(|name| name.to_string_lossy().into_owned()).filter(|name| name != "mod");
    std::iter::once("crate".to_owned()).chain(names).collect()
}

/// The names of all crates that a manifest depends on, as code spells them.
fn dependencies(manifest: &str) -> BTreeSet<String> {
    let mut inside = false;
    let mut names = BTreeSet::new();
    for line in manifest.lines() {
        if line.starts_with('[') {
            inside = line.contains("dependencies");
        } else if let (true, Some((name, _))) = (inside, line.split_once('=')) {
            names.insert(name.split('.').next().unwrap_or(name).trim().replace('-', "_"));
        }
    }
    names
}

/// Everything a file names that pure code may not.
fn violations(source: &Source, module: &[String], crates: &BTreeSet<String>) -> Vec<String> {
    let mut wrong = source.forbidden.clone();
    let mut renamed = BTreeMap::new();
    for (path, name) in &source.uses {
        let path = absolute(path, module);
        // A module on the way to something allowed may be imported: what is taken from it is looked at below.
        let on_the_way = ALLOWED.iter().any(|allowed| allowed.starts_with(&format!("{path}::")));
        if outside(&path, crates) && !on_the_way {
            wrong.push(path.clone());
        }
        renamed.insert(name.clone(), path);
    }
    for path in &source.paths {
        let (first, rest) = path.split_once("::").unwrap_or((path, ""));
        let path = match renamed.get(first) {
            Some(meant) => format!("{meant}::{rest}"),
            None => absolute(path, module),
        };
        if outside(&path, crates) {
            wrong.push(path);
        }
    }
    wrong
}

fn outside(path: &str, crates: &BTreeSet<String>) -> bool {
    let begins = |with: &&str| path == *with || path.starts_with(&format!("{with}::"));
    let first = path.split("::").next().unwrap_or(path);
    let foreign = ["std", "core", "alloc", "crate"].contains(&first) || crates.contains(first);
    foreign && (!ALLOWED.iter().any(begins) || DENIED.iter().any(begins))
}

/// `super` and `self` resolved, `core` and `alloc` called `std`.
fn absolute(path: &str, module: &[String]) -> String {
    let mut at = module.to_vec();
    let mut names = path.split("::").peekable();
    match names.peek() {
        Some(&"core" | &"alloc") => {
            names.next();
            at = vec!["std".to_owned()];
        }
        Some(&"self" | &"super") => {}
        _ => at.clear(),
    }
    for name in names {
        match name {
            "self" => {}
            "super" => drop(at.pop()),
            name => at.push(name.to_owned()),
        }
    }
    at.join("::")
}
