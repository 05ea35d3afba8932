//! A file that is there whole or not at all, readable by its owner alone.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

/// A file under a temporary name beside its own. Dropped without [`WholeFile::finish`] it goes.
pub struct WholeFile {
    file: File,
    path: PathBuf,
    partial: PathBuf,
    finished: bool,
}

impl WholeFile {
    /// Begins the file that will be `path`. What a run that was killed left under the temporary name is written over.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] if another process is writing it; what the file system returns.
    pub fn begin(path: &Path) -> io::Result<Self> {
        let mut name: OsString = path.file_name().unwrap_or_default().to_owned();
        name.push(".partial");
        let partial = path.with_file_name(name);
        let mut options = OpenOptions::new();
        let file = options.write(true).create(true).truncate(false).mode(0o600).open(&partial)?;
        flock(&file, FlockOperation::NonBlockingLockExclusive)?;
        file.set_len(0)?;
        Ok(WholeFile { file, path: path.to_owned(), partial, finished: false })
    }
    /// Gives the file its name once all of it is on the disk; `replace`: whatever has that name now.
    ///
    /// # Errors
    /// [`io::ErrorKind::AlreadyExists`]; what the file system returns.
    pub fn finish(mut self, replace: bool) -> io::Result<()> {
        self.file.sync_all()?;
        if replace {
            fs::rename(&self.partial, &self.path)?;
        } else {
            match fs::hard_link(&self.partial, &self.path) {
                Ok(()) => fs::remove_file(&self.partial)?,
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Err(error),
                // A file system without links.
                Err(_) if self.path.exists() => return Err(io::ErrorKind::AlreadyExists.into()),
                Err(_) => fs::rename(&self.partial, &self.path)?,
            }
        }
        self.finished = true;
        sync_folder(&self.path)
    }
}

/// Makes the names in the folder of `path` durable.
pub fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new("."))).and_then(|folder| folder.sync_all())
}

impl Write for WholeFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }
    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Drop for WholeFile {
    fn drop(&mut self) {
        if !self.finished {
            // What stays is written over by the next run.
            let _ = fs::remove_file(&self.partial);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn it_appears_whole_and_for_its_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.backup");
        let mut file = WholeFile::begin(&path).unwrap();
        file.write_all(b"half").unwrap();
        assert!(!path.exists());
        let error = WholeFile::begin(&path).err().unwrap();
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock, "{error}");
        file.write_all(b" and half").unwrap();
        file.finish(false).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"half and half");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn nothing_is_replaced_unless_told_and_nothing_is_left_behind() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.backup");
        fs::write(&path, b"old").unwrap();
        fs::write(folder.path().join("a.backup.partial"), b"left by a run that was killed").unwrap();
        let mut file = WholeFile::begin(&path).unwrap();
        file.write_all(b"new").unwrap();
        assert_eq!(file.finish(false).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read(&path).unwrap(), b"old");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        let mut file = WholeFile::begin(&path).unwrap();
        file.write_all(b"new").unwrap();
        file.finish(true).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
    }
}
