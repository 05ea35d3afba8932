//! A file on a disk that fills up, lies and breaks.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use tokio::sync::oneshot;
use zeroize::Zeroizing;

use super::file::FileSink;
use super::tail::{Verdict, compare, examine};
use super::volume::{Handle, Local, Stat, Volume};
use super::worker::Running;
use super::{Anchor, Birth, Fault, Job, start};
use crate::audit::chain::Head;
use crate::audit::{Replay, Report};
use crate::clock::SettableClock;
use crate::crypto::secret::Key;
use crate::crypto::signing::SigningKey;
use crate::domain::time::Timestamp;

type Hook = Box<dyn FnOnce() + Send>;

#[derive(Default)]
struct Faults {
    /// Bytes that still fit on the disk.
    space: Option<u64>,
    no_truncate: bool,
    no_sync: bool,
    /// What somebody does to the file right after the next append.
    after_append: Option<Hook>,
}

#[derive(Clone, Default)]
struct Faulty(Arc<Mutex<Faults>>);

struct FaultyFile {
    file: File,
    faults: Faulty,
}

impl Faulty {
    fn set(&self, change: impl FnOnce(&mut Faults)) {
        change(&mut self.0.lock().unwrap());
    }
}

impl Volume for Faulty {
    type Handle = FaultyFile;
    fn open(&self, path: &Path, mode: Option<u32>, parents: bool) -> io::Result<FaultyFile> {
        Ok(FaultyFile { file: Local.open(path, mode, parents)?, faults: self.clone() })
    }
    fn stat(&self, path: &Path) -> io::Result<Option<Stat>> {
        Local.stat(path)
    }
}

impl Handle for FaultyFile {
    fn stat(&self) -> io::Result<Stat> {
        Handle::stat(&self.file)
    }
    fn append(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut faults = self.faults.0.lock().unwrap();
        let fits = faults.space.map_or(bytes.len(), |space| bytes.len().min(space as usize));
        if fits == 0 {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let written = self.file.append(&bytes[..fits])?;
        faults.space = faults.space.map(|space| space - written as u64);
        if let Some(hook) = faults.after_append.take() {
            hook();
        }
        Ok(written)
    }
    fn sync(&mut self) -> io::Result<()> {
        if self.faults.0.lock().unwrap().no_sync { Err(io::Error::other("I/O error")) } else { self.file.sync() }
    }
    fn truncate(&mut self, len: u64) -> io::Result<()> {
        if self.faults.0.lock().unwrap().no_truncate {
            Err(io::Error::other("I/O error"))
        } else {
            self.file.truncate(len)
        }
    }
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        Handle::read_at(&self.file, buffer, offset)
    }
}

struct Bench {
    folder: tempfile::TempDir,
    disk: Faulty,
    device: Running,
}

fn key() -> SigningKey {
    SigningKey::from_seed(&Key::from_bytes(Zeroizing::new([1; 32]))).unwrap()
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let disk = Faulty::default();
        let birth = Birth {
            name: "main".into(),
            kind: "file",
            sink: Box::new(FileSink::new(disk.clone(), folder.path().join("audit.log"), Some(0o600))),
            anchor: Anchor { head: Head::GENESIS, clean: true },
            checkpoint_lines: 1000,
            queue: 64,
            signing: Arc::new(key()),
            clock: Arc::new(SettableClock::new(Timestamp::from_secs(0))),
        };
        let mut device = start(birth).unwrap();
        let opened = std::mem::replace(&mut device.opened, oneshot::channel().1);
        opened.blocking_recv().unwrap().unwrap();
        Bench { folder, disk, device }
    }
    fn path(&self) -> PathBuf {
        self.folder.path().join("audit.log")
    }
    fn write(&self, id: &str, durable: bool) -> Result<(), Fault> {
        let body = format!(r#""time":"2026-07-01T12:00:00.000Z","type":"request","request":{{"id":"{id}"}}}}"#);
        let (ack, outcome) = oneshot::channel();
        self.device.queue.blocking_send(Job::Line { body: body.into_bytes(), durable, ack }).ok().unwrap();
        outcome.blocking_recv().unwrap()
    }
    fn text(&self) -> String {
        fs::read_to_string(self.path()).unwrap()
    }
    /// Seals the chain, and replays these files and the device's.
    fn verify(&self, before: &[&Path]) -> Report {
        let (ack, outcome) = oneshot::channel();
        self.device.queue.blocking_send(Job::Tick).ok().unwrap();
        self.device.queue.blocking_send(Job::Reopen(ack)).ok().unwrap();
        outcome.blocking_recv().unwrap().unwrap();
        let mut replay = Replay::new(Some(key().public()), None);
        for path in before.iter().copied().chain([self.path().as_path()]) {
            replay.file("file");
            fs::read_to_string(path).unwrap().lines().for_each(|line| replay.line(line.as_bytes(), true));
        }
        replay.finish()
    }
}

#[test]
fn a_full_disk_refuses_leaves_whole_lines_and_is_forgotten_when_there_is_space() {
    let bench = Bench::new();
    bench.write("before", true).unwrap();
    let text = bench.text();
    for space in [0, 1, 100] {
        bench.disk.set(|faults| faults.space = Some(space));
        assert!(bench.write("full", space > 50).is_err());
        assert_eq!(bench.text(), text, "what was written of a line is taken back");
    }
    bench.disk.set(|faults| faults.space = None);
    bench.write("after", true).unwrap();
    let report = bench.verify(&[]);
    assert!(report.intact, "{:?}", report.findings);
    assert_eq!((report.missed, report.types["request"], report.unsealed_tail), (3, 2, 0));
    assert!(!bench.text().contains("full"));
}

#[test]
fn half_a_line_that_cannot_be_taken_back_stops_the_device_until_it_can() {
    let bench = Bench::new();
    bench.disk.set(|faults| (faults.space, faults.no_truncate) = (Some(100), true));
    assert!(bench.write("torn", true).is_err());
    bench.disk.set(|faults| faults.space = None);
    for _ in 0..3 {
        assert!(bench.write("joined", true).is_err(), "there is space, but half a line is in the way");
    }
    assert!(!bench.text().contains("joined"));
    bench.disk.set(|faults| faults.no_truncate = false);
    bench.write("after", true).unwrap();
    let report = bench.verify(&[]);
    assert!(report.intact, "{:?}", report.findings);
    assert_eq!(report.missed, 4);
    assert_eq!(report.starts.last().unwrap().cause, "recovered");
}

#[test]
fn a_failed_fsync_is_no_acknowledgement_and_is_not_asked_again() {
    let bench = Bench::new();
    bench.disk.set(|faults| faults.no_sync = true);
    bench.write("written", false).unwrap();
    assert!(bench.write("unsafe", true).is_err());
    assert!(!bench.text().contains("unsafe"));
    bench.disk.set(|faults| faults.no_sync = false);
    bench.write("after", true).unwrap();
    let report = bench.verify(&[]);
    assert!(report.intact, "{:?}", report.findings);
    assert_eq!(report.starts.last().unwrap().cause, "recovered", "the file was opened anew");
}

#[test]
fn a_file_moved_in_the_middle_of_a_write_gets_the_line_once_in_each_reading() {
    let bench = Bench::new();
    let old = bench.folder.path().join("old");
    let (from, to) = (bench.path(), old.clone());
    bench.disk.set(|faults| faults.after_append = Some(Box::new(move || fs::rename(from, to).unwrap())));
    bench.write("moved", true).unwrap();
    assert!(bench.text().contains("\"id\":\"moved\""), "it is where a reader will look");
    assert!(!fs::read_to_string(&old).unwrap().contains("moved"));
    let report = bench.verify(&[&old]);
    assert!(report.intact, "{:?}", report.findings);
}

#[test]
fn a_moved_file_that_cannot_be_cut_is_still_a_chain() {
    let bench = Bench::new();
    let old = bench.folder.path().join("old");
    let (from, to, disk) = (bench.path(), old.clone(), bench.disk.clone());
    bench.disk.set(|faults| {
        faults.no_truncate = true;
        faults.after_append = Some(Box::new(move || fs::rename(from, to).unwrap()));
    });
    bench.write("moved", true).unwrap();
    disk.set(|faults| faults.no_truncate = false);
    assert!(fs::read_to_string(&old).unwrap().contains("moved"), "the line is in both");
    let report = bench.verify(&[&old]);
    assert!(report.intact, "{:?}", report.findings);
}

#[test]
fn a_file_deleted_or_cut_in_the_middle_of_a_write_acknowledges_nothing() {
    for cut in [false, true] {
        let bench = Bench::new();
        let path = bench.path();
        bench.disk.set(|faults| {
            faults.after_append = Some(Box::new(move || {
                if cut {
                    File::options().write(true).open(path).unwrap().set_len(50).unwrap()
                } else {
                    fs::remove_file(path).unwrap()
                }
            }));
        });
        assert!(bench.write("lost", true).is_err());
        bench.write("after", true).unwrap();
        assert!(bench.text().contains("\"id\":\"after\""));
        let report = bench.verify(&[]);
        assert!(!report.intact);
    }
}

#[test]
fn a_line_is_found_in_a_big_file_and_followed_to_its_end() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("big");
    let (mut out, mut head, mut heads) = (Vec::new(), Head::GENESIS, Vec::new());
    let mut ends = Vec::new();
    for number in 0..5000 {
        let pad = "x".repeat(number % 700);
        let body = format!(r#""time":"2026-07-01T12:00:00.000Z","type":"request","request":{{"id":"{pad}"}}}}"#);
        head.link(body.as_bytes(), &mut out);
        heads.push(head);
        ends.push(out.len());
    }
    let verdict = |bytes: &[u8], known: &Head| {
        fs::write(&path, bytes).unwrap();
        let file = File::open(&path).unwrap();
        let tail = examine(&file, bytes.len() as u64).unwrap();
        compare(&file, &tail, known).unwrap()
    };
    for known in [0, 1, 2, 499, 2500, 4321, 4998, 4999] {
        let head = &heads[known];
        assert_eq!(verdict(&out, head), Verdict::Agrees, "{known}");
        let other = Head { hash: [7; 32], ..*head };
        assert_eq!(verdict(&out, &other), Verdict::Altered, "{known}");
        if known > 0 {
            assert_eq!(verdict(&out[..ends[known - 1]], head), Verdict::Shorter, "{known}");
        }
        if known < 4990 {
            let mut altered = out.clone();
            altered[ends[known + 5] - 10] ^= 1;
            assert_eq!(verdict(&altered, head), Verdict::Altered, "{known}");
            // The known line itself was taken out, and nothing else.
            let start = if known == 0 { 0 } else { ends[known - 1] };
            let without = [&out[..start], &out[ends[known]..]].concat();
            let wanted = if known == 0 { Verdict::Agrees } else { Verdict::Altered };
            assert_eq!(verdict(&without, head), wanted, "{known}");
            // A file that begins right after it, and one that begins later.
            assert_eq!(verdict(&out[ends[known]..], head), Verdict::Agrees, "{known}");
            assert_eq!(verdict(&out[ends[known + 1]..], head), Verdict::Unanchored, "{known}");
        }
    }
    assert_eq!(verdict(b"", &heads[0]), Verdict::Empty);
    assert_eq!(verdict(b"something else\n", &heads[0]), Verdict::Altered);
    assert_eq!(verdict(&vec![b'x'; 1 << 20], &heads[0]), Verdict::Altered);
}
