//! A folder of files of codes: each file is named for its account, `github/acme-owner.txt` for `github/acme-owner`.

use std::fs;
use std::path::{Path, PathBuf};

use super::Args;
use super::map::MAX_TASKS;
use super::report::listed;
use super::task::Task;
use crate::cli::client::Failure;

/// How deep folders may lie in each other.
const MAX_DEPTH: usize = 16;

/// The endings of files that are read; what stands before is the account.
const ENDINGS: [&str; 3] = [".txt", ".csv", ".json"];

/// The accounts of `folder`, by name.
pub(super) fn read(args: &Args, folder: &Path) -> Result<Vec<Task>, Failure> {
    let mut found = Vec::new();
    let mut wrong = Vec::new();
    walk(folder, 0, &mut found, &mut wrong).map_err(Failure::local)?;
    found.sort();
    let mut tasks: Vec<Task> = Vec::new();
    for file in found {
        match account(folder, &file)
            .and_then(|account| Task::new(args, &account, file.clone()).map_err(|failure| failure.to_string()))
        {
            Ok(task) if tasks.iter().any(|other| other.account == task.account) => {
                wrong.push(format!("{}: another file is named for {}, too", file.display(), task.account));
            }
            Ok(task) => tasks.push(task),
            Err(why) => wrong.push(format!("{}: {why}", file.display())),
        }
    }
    match wrong.is_empty() {
        true if tasks.is_empty() => Err(Failure::local(format!("{} holds no files of codes", folder.display()))),
        true => Ok(tasks),
        false => Err(Failure::local(listed(&wrong))),
    }
}

/// Files that begin with a dot are passed over; links are not followed.
fn walk(folder: &Path, depth: usize, found: &mut Vec<PathBuf>, wrong: &mut Vec<String>) -> Result<(), String> {
    if depth > MAX_DEPTH {
        return Err(format!("{}: folders lie more than {MAX_DEPTH} deep", folder.display()));
    }
    let unreadable = |error: std::io::Error| format!("{} cannot be read: {error}", folder.display());
    for entry in fs::read_dir(folder).map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        if entry.file_name().as_encoded_bytes().starts_with(b".") {
            continue;
        }
        let kind = entry.file_type().map_err(unreadable)?;
        if kind.is_dir() {
            walk(&entry.path(), depth + 1, found, wrong)?;
        } else if kind.is_file() {
            found.push(entry.path());
        } else {
            wrong.push(format!("{}: a link or a device, not a file", entry.path().display()));
        }
        if found.len() > MAX_TASKS {
            return Err(format!(
                "{} holds more than {MAX_TASKS} files. Import its folders one by one",
                folder.display()
            ));
        }
    }
    Ok(())
}

fn account(folder: &Path, file: &Path) -> Result<String, String> {
    let name = file.strip_prefix(folder).unwrap_or(file).to_str().ok_or("its name is not UTF-8")?;
    let name = ENDINGS.iter().find_map(|ending| name.strip_suffix(ending));
    let name = name.ok_or("files of codes end in .txt, .csv or .json; what stands before is the account")?;
    Ok(name.replace(std::path::MAIN_SEPARATOR, "/"))
}
