//! Where a command takes the assertion from: a file, standard input, the environment, or a command that prints it. Never an
//! argument, which everybody on the machine could read.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use zeroize::Zeroizing;

use crate::cli::client::Failure;

/// The largest JWT that is read, in bytes.
const MAX_JWT: usize = 64 * 1024;

/// The flags of a subcommand that needs an assertion.
#[derive(clap::Args, Debug, Default, Clone)]
pub struct Flags {
    /// Role to act under; the token's or the default role if absent
    #[arg(long, value_name = "NAME")]
    pub role: Option<String>,
    /// File with the JWT that satisfies the role, or - for standard input [env: SPAREKEY_JWT holds the JWT itself]
    #[arg(long, value_name = "FILE", conflicts_with = "jwt_command")]
    pub jwt_file: Option<PathBuf>,
    /// Command that prints the JWT; the shell runs it
    #[arg(long, value_name = "COMMAND")]
    pub jwt_command: Option<String>,
}

impl Flags {
    /// Whether the JWT is read from standard input, so that nobody can answer there.
    pub fn takes_standard_input(&self) -> bool {
        self.jwt_file.as_deref().is_some_and(is_standard_input)
    }
    /// Whether another JWT may be there when it is asked for again.
    pub fn may_change(&self) -> bool {
        self.jwt_command.is_some() || self.jwt_file.is_some() && !self.takes_standard_input()
    }
    /// The JWT, if there is one.
    pub fn read(&self, environment: &dyn Fn(&str) -> Option<String>) -> Result<Option<Zeroizing<String>>, Failure> {
        let (text, from) = match (&self.jwt_file, &self.jwt_command) {
            (Some(file), _) => (from_file(file)?, file.display().to_string()),
            (None, Some(command)) => (from_command(command)?, "what --jwt-command printed".to_owned()),
            (None, None) => {
                let Some(text) = environment("SPAREKEY_JWT").map(Zeroizing::new) else { return Ok(None) };
                if text.trim().is_empty() {
                    return Ok(None);
                }
                (text, "SPAREKEY_JWT".to_owned())
            }
        };
        checked(&text, &from).map(Some)
    }
}

/// `text` if it has the form of a JWT; `from` says in an error where it came from.
pub fn checked(text: &str, from: &str) -> Result<Zeroizing<String>, Failure> {
    let text = text.trim();
    let part =
        |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'));
    if text.split('.').count() != 3 || !text.split('.').all(part) {
        return Err(Failure::local(format!("{from} holds no JWT (three parts with dots between). Nothing was sent")));
    }
    Ok(Zeroizing::new(text.to_owned()))
}

fn is_standard_input(file: &Path) -> bool {
    file.as_os_str() == "-"
}

fn from_file(file: &Path) -> Result<Zeroizing<String>, Failure> {
    let unreadable = |error: io::Error| Failure::local(format!("{} cannot be read: {error}", file.display()));
    match is_standard_input(file) {
        true => bounded(io::stdin().lock()).map_err(unreadable)?,
        false => bounded(File::open(file).map_err(unreadable)?).map_err(unreadable)?,
    }
    .ok_or_else(|| Failure::local(format!("{} holds no JWT (three parts with dots between)", file.display())))
}

fn from_command(line: &str) -> Result<Zeroizing<String>, Failure> {
    let failed = |what: String| Failure::local(format!("--jwt-command {what}. Nothing was sent"));
    let mut child = Command::new("sh")
        .args(["-c", line])
        .stdin(Stdio::inherit())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| failed(format!("does not start: {error}")))?;
    let text = match child.stdout.take() {
        Some(out) => bounded(out).map_err(|error| failed(format!("broke off: {error}")))?,
        None => None,
    };
    let status = child.wait().map_err(|error| failed(format!("was lost: {error}")))?;
    match text {
        Some(text) if status.success() => Ok(text),
        Some(_) => Err(failed(format!("failed ({status})"))),
        None => Err(failed("printed no JWT".to_owned())),
    }
}

/// At most [`MAX_JWT`] bytes of text, in memory that is wiped and never moved; `None` if it is more, or no text.
fn bounded(from: impl Read) -> io::Result<Option<Zeroizing<String>>> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(MAX_JWT + 1));
    from.take(MAX_JWT as u64 + 1).read_to_end(&mut bytes)?;
    if bytes.len() > MAX_JWT {
        return Ok(None);
    }
    Ok(std::str::from_utf8(&bytes).ok().map(|text| Zeroizing::new(text.to_owned())))
}
