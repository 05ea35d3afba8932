//! A small disk for audit files alone, which fills up and stands still on demand: a file system in a file, where the tests may mount one.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use rustix::fs::statvfs;
use tempfile::TempDir;

/// Bytes of the disk; only those that are written take room.
const SIZE: &str = "1G";
/// Makes the file system and mounts it, and unmounts it when its input ends, which it does at the latest when this process has.
const WATCH: &str = r#"truncate -s "$1" "$2" && mkfs.ext4 -q -F -m 0 -O ^has_journal "$2" && mount -o loop "$2" "$3" || exit
    echo ready; cat >/dev/null; umount "$3" || umount -l "$3""#;
/// Writes wait from now on, until so many seconds later, whatever becomes of this process meanwhile.
const STALL: &str = r#"fsfreeze -f "$1" || exit; sleep "$2"; fsfreeze -u "$1""#;

/// The disk.
pub struct Room {
    watch: Child,
    folder: TempDir,
}

impl Room {
    /// A new one; none where this process may mount nothing, which is said in a word once.
    pub fn new() -> Option<Self> {
        static SAID: OnceLock<()> = OnceLock::new();
        let folder = tempfile::tempdir().expect("a folder");
        let (image, place) = (folder.path().join("image"), folder.path().join("disk"));
        fs::create_dir(&place).expect("a folder");
        let mut watch = Command::new("sh");
        watch.args(["-c", WATCH, "sh", SIZE]).args([&image, &place]);
        watch.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut watch = watch.spawn().expect("a shell starts");
        let mut word = String::new();
        let _ = watch.stdout.take().map(|out| BufReader::new(out).read_line(&mut word));
        if word.trim() == "ready" {
            return Some(Room { watch, folder });
        }
        let _ = watch.wait();
        SAID.get_or_init(|| eprintln!("no disk of audit files fills up or stands still: none can be mounted here"));
        None
    }
    /// Where files go.
    pub fn path(&self) -> PathBuf {
        self.folder.path().join("disk")
    }
    /// Leaves about so many bytes free, or a few times as many if others write meanwhile, for as long as `body` takes.
    pub fn fill(&self, left: u64, body: impl FnOnce()) {
        /// Audit files grow between the question and the answer, and may take the room first: each time more is left to them.
        const TRIES: u32 = 10;
        let ballast = self.path().join("ballast");
        let filled = (0..TRIES).any(|tries| {
            let free = statvfs(self.path()).map_or(0, |disk| disk.f_bavail * disk.f_frsize);
            let length = free.saturating_sub((left + (8 << 10)) << tries).max(1).to_string();
            let taken = Command::new("fallocate").args(["-l", &length]).arg(&ballast).stderr(Stdio::null()).status();
            taken.is_ok_and(|status| status.success())
        });
        assert!(filled, "the disk is filled");
        body();
        fs::remove_file(ballast).expect("the disk is emptied");
    }
    /// Every write to it waits for so long.
    pub fn stall(&self, time: Duration) {
        let mut shell = Command::new("sh");
        shell.args(["-c", STALL, "sh"]).arg(self.path()).arg(format!("{:.3}", time.as_secs_f64()));
        assert!(shell.status().is_ok_and(|status| status.success()), "the disk stands still and goes on");
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        drop(self.watch.stdin.take());
        let _ = self.watch.wait();
    }
}
