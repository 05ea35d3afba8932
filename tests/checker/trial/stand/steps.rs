//! The wall clock of a server's process, set forward or back by hours while it runs: `libfaketime` stands between the process and the
//! system's clock. The monotonic clock goes on as it does on a real machine.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicI64, Ordering};

use tempfile::TempDir;

use crate::support::corpus::Dice;
use crate::support::{debian, signer};

/// A clock for one process, and for those who ask what it shows.
pub struct Clock {
    folder: TempDir,
    library: &'static Path,
    /// Seconds before the system's clock.
    ahead: Arc<AtomicI64>,
}

/// The library, if it can be had; said in a word once if not.
fn library() -> Option<&'static Path> {
    static FOUND: OnceLock<Option<PathBuf>> = OnceLock::new();
    let find = || {
        let file = format!("usr/lib/{}/faketime/libfaketimeMT.so.1", debian::triple());
        match debian::unpacked("faketime", &["libfaketime"], &[&file]) {
            Ok(root) => Some(root.join(file)),
            Err(reason) => {
                eprintln!("no clock of a server's process is moved: libfaketime cannot be had: {reason}");
                None
            }
        }
    };
    FOUND.get_or_init(find).as_deref()
}

impl Clock {
    /// One that shows the system's time; none where there is no `libfaketime`.
    pub fn new() -> Option<Self> {
        let library = library()?;
        let clock = Clock { folder: tempfile::tempdir().expect("a folder"), library, ahead: Arc::default() };
        clock.show(0);
        Some(clock)
    }
    /// What its process needs in its environment.
    pub fn environment(&self) -> Vec<(&'static str, OsString)> {
        vec![
            ("LD_PRELOAD", self.library.into()),
            ("FAKETIME_TIMESTAMP_FILE", self.file().into()),
            ("FAKETIME_NO_CACHE", "1".into()),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1".into()),
        ]
    }
    /// What it shows, in seconds since 1970.
    pub fn now(&self) -> Arc<dyn Fn() -> u64 + Send + Sync> {
        let ahead = Arc::clone(&self.ahead);
        Arc::new(move || signer::now().saturating_add_signed(ahead.load(Ordering::SeqCst)))
    }
    /// Sets it forward or back by one to twelve hours; says which.
    pub fn jump(&self, dice: &Dice) -> &'static str {
        let hours = 1 + dice.below(12) as i64;
        let (hours, word) = match dice.below(2) {
            0 => (hours, "forward"),
            _ => (-hours, "back"),
        };
        self.show(hours * 3600);
        word
    }
    /// Shows what the system's clock shows.
    pub fn right(&self) {
        self.show(0);
    }
    fn show(&self, ahead: i64) {
        let beside = self.folder.path().join("next");
        fs::write(&beside, format!("{ahead:+}\n")).expect("an offset is written");
        fs::rename(beside, self.file()).expect("the clock is set");
        self.ahead.store(ahead, Ordering::SeqCst);
    }
    fn file(&self) -> PathBuf {
        self.folder.path().join("offset")
    }
}

impl Drop for Clock {
    /// What the library keeps in shared memory for a process goes with its end, but not where it was killed.
    fn drop(&mut self) {
        for entry in fs::read_dir("/dev/shm").into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let kept = ["faketime_shm_", "sem.faketime_sem_"].iter().find_map(|kept| name.strip_prefix(kept));
            if kept.is_some_and(|pid| !Path::new("/proc").join(pid).exists()) {
                let _ = fs::remove_file(entry.path());
            }
        }
    }
}
