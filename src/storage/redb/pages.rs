//! The file's pages, each compared with what was last written there whenever it is read: so that after an orderly end the whole file
//! need not be read before the first request, and damage is an error all the same, wherever and whenever it comes.
//!
//! A sum of each page is held in memory, eight bytes for 4 KiB. Sums come from what is written, and from the check of a whole file, which
//! redb makes where there is no list of them. When the file is closed they go into a list beside it ([`super::page_list`]).

use std::io;
use std::ops::Bound;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use ::redb::{BackendError, StorageBackend};
use twox_hash::XxHash3_64;

use super::page_list;

/// What one sum is of. redb's pages are as long, or some of these together.
pub(super) const PAGE: usize = 4096;
/// No sum: the page was neither written nor checked since the list began.
const UNKNOWN: u64 = 0;

/// The sums of a file's pages.
#[derive(Debug, Default)]
pub(super) struct Sums {
    pages: RwLock<Vec<u64>>,
    /// Pages that are read are taken as they are: redb is checking each of them.
    learning: AtomicBool,
    /// The file is open, and everything went well so far: what is in memory is what is on the disk.
    sound: AtomicBool,
}

impl Sums {
    /// Those of a list; none: they are learnt from what is read, until [`Sums::opened`].
    pub(super) fn new(listed: Option<Vec<u64>>) -> Arc<Self> {
        let learning = listed.is_none();
        let pages = RwLock::new(listed.unwrap_or_default());
        Arc::new(Sums { pages, learning: learning.into(), sound: false.into() })
    }
    /// From now on nothing is learnt from what is read, and a list is left when the file is closed.
    pub(super) fn opened(&self) {
        self.learning.store(false, Ordering::Release);
        self.sound.store(true, Ordering::Release);
    }
    fn failed(&self) {
        self.sound.store(false, Ordering::Release);
    }
    fn compare(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut unknown = Vec::new();
        {
            let pages = self.pages.read().unwrap_or_else(PoisonError::into_inner);
            for (page, bytes) in whole_pages(offset, bytes) {
                match pages.get(page).copied().unwrap_or(UNKNOWN) {
                    UNKNOWN => unknown.push((page, sum(bytes))),
                    known if known == sum(bytes) => {}
                    _ => {
                        let what = format!("page {page} of the store's file is not what was written there");
                        return Err(io::Error::new(io::ErrorKind::InvalidData, what));
                    }
                }
            }
        }
        if self.learning.load(Ordering::Acquire) {
            self.set(unknown);
        }
        Ok(())
    }
    fn set(&self, sums: impl IntoIterator<Item = (usize, u64)>) {
        let mut pages = self.pages.write().unwrap_or_else(PoisonError::into_inner);
        for (page, sum) in sums {
            if page >= pages.len() {
                pages.resize(page + 1, UNKNOWN);
            }
            pages[page] = sum;
        }
    }
    /// Nothing is known of these pages until they are written.
    fn forget(&self, offset: u64, length: usize) {
        let first = place(offset);
        let last = place(offset + length as u64 + PAGE as u64 - 1);
        self.set((first..last).map(|page| (page, UNKNOWN)));
    }
    fn cut(&self, length: u64) {
        self.pages.write().unwrap_or_else(PoisonError::into_inner).truncate(place(length));
    }
}

fn place(offset: u64) -> usize {
    usize::try_from(offset / PAGE as u64).unwrap_or(usize::MAX)
}

fn sum(page: &[u8]) -> u64 {
    XxHash3_64::oneshot(page).max(UNKNOWN + 1)
}

/// The pages that lie in `bytes` as a whole, and their numbers. Not the first of the file, redb's header: it is written in parts and has
/// sums of its own.
fn whole_pages(offset: u64, bytes: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    let before = (offset.next_multiple_of(PAGE as u64) - offset) as usize;
    let pages = bytes.get(before..).unwrap_or_default().chunks_exact(PAGE);
    (place(offset + before as u64)..).zip(pages).filter(|(page, _)| *page > 0)
}

/// A file whose pages are compared.
#[derive(Debug)]
pub(super) struct Pages<B> {
    file: B,
    sums: Arc<Sums>,
    list: PathBuf,
}

impl<B: StorageBackend> Pages<B> {
    /// `file` with its sums, which go into the list at `list` when it is closed.
    pub(super) fn new(file: B, sums: Arc<Sums>, list: PathBuf) -> Self {
        Pages { file, sums, list }
    }
    /// A failure leaves it open what is on the disk: then no list is left.
    fn noted<T>(&self, result: io::Result<T>) -> io::Result<T> {
        result.inspect_err(|_| self.sums.failed())
    }
    fn leave_list(&self) -> io::Result<()> {
        let length = self.file.len()?;
        let mut header = vec![0; PAGE];
        self.file.read(0, &mut header)?;
        let pages = self.sums.pages.read().unwrap_or_else(PoisonError::into_inner);
        page_list::write(&self.list, length, &header, &pages)
    }
}

impl<B: StorageBackend> StorageBackend for Pages<B> {
    fn len(&self) -> io::Result<u64> {
        self.noted(self.file.len())
    }
    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.noted(self.file.read(offset, out).and_then(|()| self.sums.compare(offset, out)))
    }
    fn set_len(&self, len: u64) -> io::Result<()> {
        self.sums.cut(len);
        self.noted(self.file.set_len(len))
    }
    fn sync_data(&self) -> io::Result<()> {
        self.noted(self.file.sync_data())
    }
    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        // Whoever reads meanwhile finds the old page or the new one, or something between: redb lets nobody.
        self.sums.forget(offset, data.len());
        self.noted(self.file.write(offset, data))?;
        self.sums.set(whole_pages(offset, data).map(|(page, bytes)| (page, sum(bytes))));
        Ok(())
    }
    fn close(&self) -> io::Result<()> {
        if self.sums.sound.load(Ordering::Acquire)
            && let Err(error) = self.leave_list()
        {
            tracing::warn!(%error, "the list of the store's pages was not written: the next start reads the whole file");
        }
        self.file.close()
    }
    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.file.try_lock_range(start, end)
    }
    fn try_lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.file.try_lock_shared_range(start, end)
    }
    fn lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.file.lock_range(start, end)
    }
    fn lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.file.lock_shared_range(start, end)
    }
    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.file.unlock_range(start, end)
    }
    fn query_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.file.query_lock_range(start, end)
    }
}

#[cfg(test)]
mod tests;
