//! The list of a closed file's pages, beside it under its name with `.pages` at the end: what [`super::pages`] knew of them.
//!
//! It speaks of one state of the file: that with this length and this header, in which redb keeps the sum over everything. A list of another
//! state, a damaged one or none cost a reading of the whole file, and nothing else. docs/format.md has the bytes.

use std::fs::{self, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use super::pages::PAGE;

const MAGIC: &[u8; 16] = b"sparekey-pages\0\x01";
const HASH: usize = 32;
const HEAD: usize = MAGIC.len() + 8 + HASH;

/// Where the list of the file at `path` lies.
pub(super) fn beside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".pages");
    name.into()
}

/// Takes the list of the file at `path` away, as what was written since would not be in it; what it says, if it speaks of the file
/// as it is now.
pub(super) fn take(path: &Path) -> Option<Vec<u64>> {
    let list = beside(path);
    let listed = read(path, &list).ok().flatten();
    match fs::remove_file(&list) {
        Ok(()) => listed,
        // What cannot be taken away is not gone by.
        Err(_) => None,
    }
}

fn read(path: &Path, list: &Path) -> io::Result<Option<Vec<u64>>> {
    let mut file = fs::File::open(path)?;
    let length = file.metadata()?.len();
    // A list has no more sums than the file has pages.
    let most = length / PAGE as u64 * 8 + (HEAD + HASH) as u64;
    let mut bytes = Vec::new();
    if fs::File::open(list)?.take(most + 1).read_to_end(&mut bytes)? as u64 > most {
        return Ok(None);
    }
    let mut header = vec![0; PAGE];
    file.read_exact(&mut header)?;
    let Some((body, hash)) = bytes.split_last_chunk::<HASH>() else { return Ok(None) };
    let sums = body.strip_prefix(&head(length, &header)[..]).filter(|_| Sha256::digest(body)[..] == hash[..]);
    let sums = sums.filter(|sums| sums.len().is_multiple_of(8));
    Ok(sums.map(|sums| sums.as_chunks().0.iter().map(|sum| u64::from_le_bytes(*sum)).collect()))
}

fn head(length: u64, header: &[u8]) -> Vec<u8> {
    [&MAGIC[..], &length.to_le_bytes(), &Sha256::digest(header)].concat()
}

/// Writes the list: a file of this length, with this first page, whose pages have these sums.
pub(super) fn write(list: &Path, length: u64, header: &[u8], sums: &[u64]) -> io::Result<()> {
    let mut bytes = head(length, header);
    let within = usize::try_from(length / PAGE as u64).unwrap_or(usize::MAX).min(sums.len());
    bytes.extend(sums[..within].iter().flat_map(|sum| sum.to_le_bytes()));
    let hash = Sha256::digest(&bytes);
    bytes.extend_from_slice(&hash);
    let mut new = list.as_os_str().to_owned();
    new.push(".new");
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
    file.write_all(&bytes)?;
    file.sync_all()?;
    fs::rename(&new, list)
}

/// Moves the list along with its file.
pub(super) fn follow(from: &Path, to: &Path) {
    // Without it the next start reads the whole file.
    drop(fs::rename(beside(from), beside(to)));
}
