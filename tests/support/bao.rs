//! The real `bao`, run as a person would run it: a home folder of its own, an address, nothing else from outside.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use super::provision;
use super::server::Server;

/// `bao` with a home folder and a server to talk to.
pub struct Bao {
    home: PathBuf,
    address: String,
    token: Option<String>,
}

impl Bao {
    /// With its home in the server's folder; it knows a token only after `login`.
    pub fn new(server: &Server) -> Self {
        Self::at(server.dir().join("home"), server.url())
    }
    /// With its home in this folder, talking to this address.
    pub fn at(home: PathBuf, address: String) -> Self {
        std::fs::create_dir_all(&home).expect("a home folder");
        Bao { home, address, token: None }
    }
    /// The same with `BAO_TOKEN` set.
    pub fn token(&self, token: &str) -> Self {
        Bao { home: self.home.clone(), address: self.address.clone(), token: Some(token.into()) }
    }
    /// The home folder, which is the current folder too.
    pub fn home(&self) -> &Path {
        &self.home
    }
    /// Puts a file into the home folder, to be named as `@NAME` on a command line.
    pub fn file(&self, name: &str, content: &str) {
        std::fs::write(self.home.join(name), content).expect("a file");
    }
    /// Runs `bao ARGS`.
    pub fn run(&self, args: &[&str]) -> Said {
        let mut command = Command::new(provision::bao());
        command.args(args).env_clear().env("HOME", &self.home).env("BAO_ADDR", &self.address).current_dir(&self.home);
        if let Some(token) = &self.token {
            command.env("BAO_TOKEN", token);
        }
        let output = command.output().expect("bao starts");
        Said {
            line: format!("bao {}", args.join(" ")),
            code: output.status.code(),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
    /// Runs `bao ARGS` with `-format=json` after the first `words` words, and reads what it prints.
    #[track_caller]
    pub fn json(&self, words: usize, args: &[&str]) -> Value {
        let mut all = args.to_vec();
        all.insert(words, "-format=json");
        let said = self.run(&all).ok();
        serde_json::from_str(&said.out)
            .unwrap_or_else(|error| panic!("{}: not JSON ({error}): {}", said.line, said.out))
    }
}

/// What it printed, and its exit code.
#[derive(Debug)]
pub struct Said {
    line: String,
    code: Option<i32>,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

impl Said {
    /// Panics unless the exit code is this one.
    #[track_caller]
    pub fn exits(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{}\n{}\n{}", self.line, self.out, self.err);
        self
    }
    /// Panics unless it succeeded.
    #[track_caller]
    pub fn ok(self) -> Self {
        self.exits(0)
    }
    /// Panics unless standard output holds these words.
    #[track_caller]
    pub fn says(self, words: &str) -> Self {
        assert!(self.out.contains(words), "{}: no {words:?} in:\n{}{}", self.line, self.out, self.err);
        self
    }
    /// Panics unless the server refused with `status` and an error that holds `words` (exit code 2).
    #[track_caller]
    pub fn refused(self, status: u16, words: &str) -> Self {
        let said = self.exits(2);
        let (line, err) = (&said.line, &said.err);
        assert!(err.contains(&format!("Code: {status}. Errors:")) && err.contains(words), "{line}: {err}");
        said
    }
    /// Panics unless the printed table has this row; runs of blanks count as one.
    #[track_caller]
    pub fn row(self, key: &str, value: &str) -> Self {
        assert_eq!(self.cell(key).as_deref(), Some(value), "{}: {key} in:\n{}", self.line, self.out);
        self
    }
    /// The value beside `key` in the printed table.
    pub fn cell(&self, key: &str) -> Option<String> {
        self.out.lines().find_map(|line| {
            let rest = line.strip_prefix(key)?;
            rest.starts_with("  ").then(|| rest.trim().to_string())
        })
    }
}
