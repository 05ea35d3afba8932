//! The file device: the only durable one. One handle, opened for appending; before and after every write it is compared with
//! what the path leads to, so that a file that was deleted, moved, replaced or cut short is noticed by the very request that
//! would otherwise have been recorded nowhere.

use std::io;
use std::path::PathBuf;

use super::tail::{Verdict, compare, examine};
use super::volume::{Handle, Stat, Volume};
use super::{Sink, Standing};
use crate::audit::chain::Head;
use crate::audit::start::{Cause, Opening};

/// A file at a path of a volume.
pub struct FileSink<V: Volume> {
    volume: V,
    path: PathBuf,
    mode: Option<u32>,
    open: Option<Open<V::Handle>>,
    /// Why the handle was let go.
    left: Option<Cause>,
    /// A length to which this file must be cut before anything else is written.
    repair: Option<((u64, u64), u64)>,
    syncs: u64,
}

struct Open<H> {
    handle: H,
    id: (u64, u64),
    /// Length after the last append.
    len: u64,
    /// Length before the last append.
    before: u64,
}

impl<V: Volume> FileSink<V> {
    /// The file at `path`, with these permission bits.
    pub fn new(volume: V, path: PathBuf, mode: Option<u32>) -> Self {
        FileSink { volume, path, mode, open: None, left: None, repair: None, syncs: 0 }
    }

    /// Compares what is open with what the path leads to.
    fn look(&self, open: &Open<V::Handle>) -> io::Result<Standing> {
        match self.volume.stat(&self.path)? {
            Some(Stat { id, len, .. }) if id == open.id => Ok(match len.cmp(&open.len) {
                std::cmp::Ordering::Equal => Standing::Ready,
                std::cmp::Ordering::Less => Standing::Left(Cause::Truncated),
                std::cmp::Ordering::Greater => Standing::Left(Cause::Altered),
            }),
            _ => {
                let deleted = open.handle.stat()?.links == 0;
                Ok(Standing::Left(if deleted { Cause::Deleted } else { Cause::Moved }))
            }
        }
    }

    /// Opens the file, makes its end a whole line, and says what is in it.
    fn enter(&mut self, known: &Head) -> io::Result<(Open<V::Handle>, Opening)> {
        let mut handle = self.volume.open(&self.path, self.mode, self.left.is_none())?;
        let mut stat = handle.stat()?;
        if let Some((id, len)) = self.repair {
            if id == stat.id && len < stat.len {
                handle.truncate(len)?;
                stat.len = len;
            }
            self.repair = None;
        }
        let tail = examine(&handle, stat.len)?;
        if tail.torn.is_some() {
            handle.truncate(tail.whole)?;
            stat.len = tail.whole;
        }
        if tail.foreign {
            // Not ours to cut away, but our line must not be joined to it.
            write_all(&mut handle, b"\n")?;
            stat.len += 1;
        }
        let verdict = compare(&handle, &tail, known)?;
        let cause = self.cause(verdict, tail.last, known);
        let found = tail.last.filter(|last| last != known || cause.alarming());
        let opening = Opening { cause, found, cut: tail.torn };
        Ok((Open { handle, id: stat.id, len: stat.len, before: stat.len }, opening))
    }

    fn cause(&self, verdict: Verdict, last: Option<Head>, known: &Head) -> Cause {
        if verdict == Verdict::Empty && known.seq == 0 {
            return Cause::Opened;
        }
        let plain = match verdict {
            Verdict::Agrees => Cause::Opened,
            Verdict::Empty => Cause::Missing,
            Verdict::Shorter => Cause::Shorter,
            Verdict::Altered => Cause::Altered,
            Verdict::Unanchored => Cause::Unanchored,
        };
        // A running server knows the last line exactly; the store, which lags, only a checkpoint before it.
        let exact = last == Some(*known);
        match self.left {
            None if known.seq == 0 && last.is_some() => Cause::Adopted,
            None => plain,
            Some(cause @ (Cause::Truncated | Cause::Altered)) => cause,
            Some(cause) if exact => cause,
            Some(Cause::Recovered) if verdict == Verdict::Agrees => Cause::Altered,
            Some(Cause::Recovered) => plain,
            Some(cause) if verdict == Verdict::Empty => cause,
            Some(_) => Cause::Replaced,
        }
    }

    /// Takes the last append back; if the file cannot be cut now, it must be before the next line.
    fn take_back(&mut self, mut open: Open<V::Handle>, keep: bool) {
        if open.handle.truncate(open.before).is_err() {
            self.repair = Some((open.id, open.before));
            self.left = Some(Cause::Recovered);
        } else if keep {
            open.len = open.before;
            self.open = Some(open);
        } else {
            self.left = Some(Cause::Recovered);
        }
    }
}

impl<V: Volume> Sink for FileSink<V> {
    fn standing(&mut self) -> io::Result<Standing> {
        match &self.open {
            None => Ok(Standing::Closed),
            Some(open) => self.look(open),
        }
    }

    fn open(&mut self, known: &Head) -> io::Result<Opening> {
        self.open = None;
        let (open, opening) = self.enter(known)?;
        self.open = Some(open);
        Ok(opening)
    }

    fn append(&mut self, lines: &[u8], sync: bool) -> io::Result<()> {
        let Some(mut open) = self.open.take() else { return Err(io::Error::other("not open")) };
        open.before = open.len;
        if let Err(error) = write_all(&mut open.handle, lines) {
            self.take_back(open, true);
            return Err(error);
        }
        open.len += lines.len() as u64;
        if sync {
            self.syncs += 1;
            if let Err(error) = open.handle.sync() {
                // What a failed fsync left in memory and on disk nobody knows: a second one must not be believed, so that
                // the file is opened anew.
                self.take_back(open, false);
                return Err(error);
            }
        }
        self.open = Some(open);
        Ok(())
    }

    fn confirm(&mut self) -> io::Result<Standing> {
        let standing = self.standing()?;
        if let (Standing::Left(Cause::Moved | Cause::Deleted), Some(open)) = (standing, &mut self.open) {
            // The lines will be written again where the path leads to now. If they cannot be taken back here, the moved file
            // has them as well.
            if open.handle.truncate(open.before).is_ok() {
                open.len = open.before;
            }
        }
        Ok(standing)
    }

    fn leave(&mut self, cause: Cause) {
        self.open = None;
        self.left = Some(cause);
    }

    fn syncs(&self) -> u64 {
        self.syncs
    }
}

fn write_all(handle: &mut impl Handle, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match handle.append(bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => bytes = &bytes[written..],
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
