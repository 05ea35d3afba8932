//! Reading acknowledged acts out of audit files: the part that came after an anchor, or all of it.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::anchor::AuditMark;
use crate::audit::MAX_LINE;
use crate::audit::sighting::{self, Said};
use crate::engine::restore::compare::{Sighting, Sightings};

/// Ledgers that are held in memory before they are handed on.
const HELD: usize = 20_000;
/// How much of a file is read where no anchor says where to begin.
pub const MOST: u64 = 256 << 20;

/// A part of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    path: PathBuf,
    from: u64,
}

/// Acts that were announced and did not come about.
pub type TakenBack = HashSet<(String, u64)>;

/// How far the file of `device` has come; `None` if there is none.
pub fn mark(device: &str, path: &Path) -> Option<AuditMark> {
    let found = fs::metadata(path).ok()?;
    Some(AuditMark { device: device.to_owned(), inode: found.ino(), bytes: found.len() })
}

/// Everything in `path`.
pub fn whole(path: &Path) -> Vec<Part> {
    vec![Part { path: path.to_owned(), from: 0 }]
}

/// The end of `path`, as much of it as is read where nothing says where to begin.
pub fn latest(path: &Path) -> Vec<Part> {
    let length = fs::metadata(path).map_or(0, |found| found.len());
    vec![Part { path: path.to_owned(), from: length.saturating_sub(MOST) }]
}

/// What came after `mark` in the file at `path`, though it was rotated by renaming meanwhile.
pub fn since(path: &Path, mark: &AuditMark) -> Vec<Part> {
    match fs::metadata(path) {
        Ok(found) if found.ino() == mark.inode && found.len() >= mark.bytes => {
            vec![Part { path: path.to_owned(), from: mark.bytes }]
        }
        Ok(found) if found.ino() == mark.inode => whole(path),
        _ => {
            let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
            let entries = fs::read_dir(folder).into_iter().flatten().flatten();
            let renamed = entries.filter(|entry| {
                entry
                    .metadata()
                    .is_ok_and(|found| found.is_file() && found.ino() == mark.inode && found.len() >= mark.bytes)
            });
            let mut parts: Vec<Part> =
                renamed.map(|entry| Part { path: entry.path(), from: mark.bytes }).take(1).collect();
            parts.extend(whole(path));
            parts
        }
    }
}

/// Hands the acts of each part to `take`, some thousand ledgers at a time. A file that is not there says nothing.
pub fn read(parts: &[Part], mut take: impl FnMut(Vec<Sighting>) -> bool) -> io::Result<TakenBack> {
    let mut taken_back = TakenBack::new();
    let mut sightings = Sightings::default();
    let mut wanted = true;
    for part in parts {
        each_line(&part.path, part.from, |line| {
            if !wanted {
                return;
            }
            match sighting::read(line) {
                Some(Said::Acknowledged(said)) => said.into_iter().for_each(|sighting| sightings.take(sighting)),
                Some(Said::TakenBack { account, seq }) => {
                    sightings.withdraw(&account, seq);
                    taken_back.insert((account, seq));
                }
                None => {}
            }
            if sightings.len() >= HELD {
                wanted = take(std::mem::take(&mut sightings).into_vec());
            }
        })?;
    }
    if wanted {
        take(sightings.into_vec());
    }
    Ok(taken_back)
}

/// Hands every finished line of a file from byte `from` on to `take`, without its line feed. A file that is not there has none.
pub fn each_line(path: &Path, from: u64, mut take: impl FnMut(&[u8])) -> io::Result<()> {
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    file.seek(SeekFrom::Start(from))?;
    let mut input = BufReader::with_capacity(1 << 20, file);
    let mut line = Vec::new();
    loop {
        line.clear();
        if read_line(&mut input, &mut line)? == 0 {
            return Ok(());
        }
        // An unfinished one was never acknowledged.
        if line.pop_if(|last| *last == b'\n').is_some() {
            take(&line);
        }
    }
}

/// Reads a line; one that is longer than any we write comes in pieces, none of which passes for a line.
fn read_line(input: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<usize> {
    let mut read = 0;
    loop {
        let block = input.fill_buf()?;
        if block.is_empty() {
            return Ok(read);
        }
        let end = memchr::memchr(b'\n', block).map(|at| at + 1);
        let used = end.unwrap_or(block.len());
        line.extend_from_slice(&block[..used]);
        input.consume(used);
        read += used;
        if end.is_some() || line.len() > 2 * MAX_LINE {
            return Ok(read);
        }
    }
}
