//! The little of a file system that the file device needs: so that tests can fill it up and break it.

use std::fs::{File, OpenOptions, Permissions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

/// Which file, how long, and whether a name still leads to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stat {
    /// Device and inode number.
    pub id: (u64, u64),
    /// Length in bytes.
    pub len: u64,
    /// How many names the file has; 0 once it is deleted.
    pub links: u64,
}

/// Where files are.
pub trait Volume: Send + 'static {
    /// An open file.
    type Handle: Handle;
    /// Opens `path` for appending, creates it if need be (and its folders, if `parents`), and sees to it that nobody else of
    /// this kind writes to it. `mode` are its permission bits; `None` leaves them alone.
    fn open(&self, path: &Path, mode: Option<u32>, parents: bool) -> io::Result<Self::Handle>;
    /// What `path` leads to; `None` if there is nothing.
    fn stat(&self, path: &Path) -> io::Result<Option<Stat>>;
}

/// An open file.
pub trait Handle: Send + 'static {
    /// What the file is now.
    fn stat(&self) -> io::Result<Stat>;
    /// Appends some of `bytes`.
    fn append(&mut self, bytes: &[u8]) -> io::Result<usize>;
    /// Returns once everything that was appended survives a power cut.
    fn sync(&mut self) -> io::Result<()>;
    /// Cuts the file off at `len`.
    fn truncate(&mut self, len: u64) -> io::Result<()>;
    /// Reads from `offset`; 0 at the end.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;
}

/// The local file system.
#[derive(Debug, Clone, Copy)]
pub struct Local;

impl Volume for Local {
    type Handle = File;

    fn open(&self, path: &Path, mode: Option<u32>, parents: bool) -> io::Result<File> {
        if let Ok(found) = std::fs::metadata(path)
            && !found.is_file()
        {
            // Before it is opened: a FIFO without a reader would hold us.
            return Err(io::Error::other("not a regular file; use a device of type \"stdout\" or \"socket\" instead"));
        }
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        if let (true, Some(folder)) = (parents, folder) {
            std::fs::create_dir_all(folder)?;
        }
        let file = OpenOptions::new().read(true).append(true).create(true).mode(mode.unwrap_or(0o600)).open(path)?;
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => {
                return Err(io::Error::other("another audit device or another server writes to this file"));
            }
            // A file system without locks is no reason to go without a record.
            Ok(()) | Err(TryLockError::Error(_)) => {}
        }
        if let Some(mode) = mode
            && file.metadata()?.permissions().mode() & 0o7777 != mode
        {
            file.set_permissions(Permissions::from_mode(mode))?;
        }
        // The new name must survive a power cut as well as the lines, where folders can be synced at all.
        match File::open(folder.unwrap_or(Path::new(".")))?.sync_all() {
            Err(error) if !matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported) => {
                Err(error)
            }
            _ => Ok(file),
        }
    }

    fn stat(&self, path: &Path) -> io::Result<Option<Stat>> {
        match std::fs::metadata(path) {
            Ok(found) => Ok(Some(stat(&found))),
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

impl Handle for File {
    fn stat(&self) -> io::Result<Stat> {
        Ok(stat(&self.metadata()?))
    }
    fn append(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write(bytes)
    }
    fn sync(&mut self) -> io::Result<()> {
        self.sync_data()
    }
    fn truncate(&mut self, len: u64) -> io::Result<()> {
        self.set_len(len)
    }
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        FileExt::read_at(self, buffer, offset)
    }
}

fn stat(found: &std::fs::Metadata) -> Stat {
    Stat { id: (found.dev(), found.ino()), len: found.len(), links: found.nlink() }
}
