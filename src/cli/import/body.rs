//! The request that stores a set.

use serde::Serialize;
use zeroize::Zeroizing;

use super::Args;
use super::task::Task;
use crate::cli::client::Failure;
use crate::cli::codefile::CodeFile;

#[derive(Serialize)]
struct Body<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    jwt: Option<&'a str>,
    codes: Vec<&'a str>,
    #[serde(skip_serializing_if = "<[usize]>::is_empty")]
    used: &'a [usize],
    #[serde(skip_serializing_if = "Option::is_none")]
    cas: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bound_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    enrollment: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    profile: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    custody: Option<&'a str>,
    idempotency_key: &'a str,
}

/// The JSON text of the request, in memory that is wiped and large enough from the start, so that no copy stays behind.
pub(super) fn body(
    args: &Args,
    task: &Task,
    file: &CodeFile,
    jwt: Option<&Zeroizing<String>>,
    key: &str,
) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let body = Body {
        role: args.assertion.role.as_deref(),
        jwt: jwt.map(|jwt| jwt.as_str()),
        codes: file.codes.iter().map(|code| code.expose()).collect(),
        used: &file.used,
        cas: task.cas,
        bound_at: task.bound_at.map(|time| time.to_string()),
        enrollment: task.enrollment,
        profile: task.profile.as_deref(),
        custody: task.custody.as_deref(),
        idempotency_key: key,
    };
    // Texts may double or sextuple when escaped.
    let texts =
        [&args.assertion.role, &task.profile, &task.custody].into_iter().flatten().map(String::len).sum::<usize>()
            + key.len();
    let codes = body.codes.iter().map(|code| code.len() * 2 + 3).sum::<usize>();
    let size = codes + jwt.map_or(0, |jwt| jwt.len()) + file.used.len() * 8 + texts * 6 + 512;
    let mut text = Zeroizing::new(Vec::with_capacity(size));
    serde_json::to_writer(&mut *text, &body)
        .map_err(|error| Failure::local(format!("the request cannot be written as JSON: {error}")))?;
    Ok(text)
}
