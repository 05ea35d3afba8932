//! Where codes come from, and the end of the file they came from.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

use zeroize::Zeroizing;

use super::Args;
use crate::cli::client::Failure;
use crate::cli::export::MAX_EXPORT;

/// Refuses what cannot work, before anything is read or sent.
pub(super) fn check(args: &Args, file: &Path) -> Result<(), Failure> {
    if is_standard_input(file) && args.assertion.takes_standard_input() {
        return Err(Failure::local("codes and JWT cannot both come from standard input: put one into a file"));
    }
    if !args.remove_source {
        return Ok(());
    }
    if is_standard_input(file) {
        return Err(Failure::local("--remove-source needs a file; standard input leaves none behind"));
    }
    match fs::symlink_metadata(file) {
        Ok(found) if found.is_symlink() => Err(Failure::local(format!(
            "{} is a link: --remove-source would delete the link and leave the codes. Name the file itself",
            file.display()
        ))),
        Ok(found) if !found.is_file() => Err(Failure::local(format!("{} is not a file", file.display()))),
        Ok(_) => Ok(()),
        Err(error) => Err(unreadable(file, &error)),
    }
}

/// Whether standard input is taken already, so that nobody can answer on it.
pub(super) fn takes_standard_input(args: &Args, file: &Path) -> bool {
    is_standard_input(file) || args.assertion.takes_standard_input()
}

/// The bytes of the file of codes, or of the export that they stand in.
pub(super) fn read(file: &Path) -> Result<Zeroizing<Vec<u8>>, Failure> {
    read_bounded(file, MAX_EXPORT, "no list of codes")
}

/// Deletes the file if it still holds `bytes`.
pub(super) fn remove(file: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let kept = |why: String| {
        Failure::local(format!("the set is stored, but {} is still there: {why}. Delete it yourself", file.display()))
    };
    let now = read(file).map_err(|failure| kept(failure.to_string()))?;
    if now.as_slice() != bytes {
        return Err(kept("it has changed since it was read".to_owned()));
    }
    fs::remove_file(file).map_err(|error| kept(error.to_string()))
}

fn is_standard_input(file: &Path) -> bool {
    file.as_os_str() == "-"
}

/// Reads at most `max` bytes, into memory that is wiped and never moved.
pub(super) fn read_bounded(file: &Path, max: usize, is_none: &str) -> Result<Zeroizing<Vec<u8>>, Failure> {
    // As much as the file says it holds: a wipe should not cost what only the largest export needs.
    let told = match fs::metadata(file) {
        Ok(found) if found.is_file() => usize::try_from(found.len()).unwrap_or(max).min(max),
        _ => max,
    };
    let mut bytes = Zeroizing::new(Vec::with_capacity(told + 1));
    let limit = u64::try_from(told).unwrap_or(u64::MAX).saturating_add(1);
    let outcome = if is_standard_input(file) {
        io::stdin().lock().take(limit).read_to_end(&mut bytes)
    } else {
        File::open(file).and_then(|open| open.take(limit).read_to_end(&mut bytes))
    };
    outcome.map_err(|error| unreadable(file, &error))?;
    if bytes.len() > told && told < max {
        return Err(Failure::local(format!("{} grew while it was read. Nothing was sent", file.display())));
    }
    if bytes.len() > max {
        return Err(Failure::local(format!("{} is larger than {} KiB: {is_none} is", file.display(), max / 1024)));
    }
    Ok(bytes)
}

fn unreadable(file: &Path, error: &io::Error) -> Failure {
    Failure::local(format!("{} cannot be read: {error}", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_changed_since_it_was_read_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("codes.txt");
        fs::write(&file, "new").unwrap();
        let told = remove(&file, b"old").unwrap_err().to_string();
        assert!(told.contains("the set is stored") && told.contains("changed"), "{told}");
        assert!(file.exists());
        remove(&file, b"new").unwrap();
        assert!(!file.exists());
    }
}
