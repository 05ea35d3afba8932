//! A store's file is copied while its server is dead, and the copy damaged: a bit flipped, a page torn, the end cut off. A server on the
//! damaged copy, where no client goes, says that it is damaged, or answers as one on a sound copy does.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::support::corpus::Dice;
use crate::support::http::Client;
use crate::support::server::{BINARY, Server, free_address};
use crate::trial::books;
use crate::trial::cast::Door;
use crate::trial::judge::Kind;
use crate::trial::log::{Book, Finding};

/// Bytes of a page of the file.
const PAGE: u64 = 4096;

/// Copies the store of a server that is not running; answers the folder of the copy.
pub fn copy(server: &Server) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    fs::copy(server.store(), folder.path().join("sound.redb")).expect("the store is copied");
    fs::copy(server.audit(), folder.path().join("audit.sound")).expect("the audit file is copied");
    fs::copy(server.dir().join("seal.key"), folder.path().join("seal.key")).expect("the seal's key is copied");
    folder
}

/// Damages a copy and reads both through servers of their own; answers what was done and what was wrong.
pub fn try_out(server: &Server, folder: &Path, accounts: &[String], dice: &Dice) -> (String, Vec<Finding>) {
    let (sound, damaged) = (folder.join("sound.redb"), folder.join("damaged.redb"));
    fs::copy(&sound, &damaged).expect("a copy of the copy");
    let what = damage(&damaged, dice).expect("the copy can be written to");
    let Some(right) = answers(server, folder, &sound, accounts) else {
        let words = "a copy of the store of a server that was killed does not open".to_owned();
        return (what, vec![Finding { kind: Kind::Lost, words }]);
    };
    let (right, _) = right;
    let Some((answered, quarantined)) = answers(server, folder, &damaged, accounts) else {
        return (format!("{what}: refused at start"), Vec::new());
    };
    let mut findings = Vec::new();
    let (mut errors, mut older) = (0, 0);
    for ((account, right), answered) in accounts.iter().zip(right).zip(answered) {
        match (right, answered) {
            (_, Err(_)) => errors += 1,
            (Ok(right), Ok(answered)) if same(&right, &answered) => {}
            (Ok(right), Ok(answered)) if is_older(&answered, &right) => older += 1,
            (right, answered) => {
                let brief = |book: &Result<Book, String>| match book {
                    Ok(book) => format!("{} entries, {:?}", book.entries.len(), book.state),
                    Err(words) => words.clone(),
                };
                let words = format!("after {what} {account} is {} and was {}", brief(&answered), brief(&right));
                findings.push(Finding { kind: Kind::Wrong, words });
            }
        }
    }
    // The file has two places for its latest commit. Where the newer one is hurt, the one before counts: only what is outside the
    // store can tell.
    let how = match (errors, older) {
        (0, 0) => "right answers",
        (_, 0) => "an error, and else right answers",
        _ if quarantined => "it went back by a commit, and is in quarantine",
        _ => "it went back by a commit",
    };
    (format!("{what}: {how}"), findings)
}

fn same(one: &Book, other: &Book) -> bool {
    let heads =
        |book: &Book| (book.verified, book.entries.len(), book.entries.last().map(|entry| (entry.seq, entry.at)));
    heads(one) == heads(other) && one.state == other.state
}

/// Whether an answer is what was true a moment before.
fn is_older(one: &Book, than: &Book) -> bool {
    let keys = |book: &Book| book.entries.iter().map(|entry| (entry.seq, entry.at)).collect::<Vec<_>>();
    one.verified && keys(one).len() <= keys(than).len() && keys(than).starts_with(&keys(one))
}

/// Does something to the file that a disk or a crash may do.
fn damage(path: &Path, dice: &Dice) -> io::Result<String> {
    let file = OpenOptions::new().read(true).write(true).open(path)?;
    let length = file.metadata()?.len();
    let used = used(&file, length)?;
    let at = used[dice.below(used.len())];
    match dice.below(4) {
        0 | 1 => {
            let place = at + dice.below(PAGE as usize) as u64;
            let mut byte = [0];
            file.read_exact_at(&mut byte, place)?;
            file.write_all_at(&[byte[0] ^ (1 << dice.below(8))], place)?;
            Ok("a bit flipped in the file".to_owned())
        }
        2 => {
            // The first part of a page came to the disk, and the rest did not.
            let torn = 512 * (1 + dice.below(7) as u64);
            file.write_all_at(&vec![0; (PAGE - torn) as usize], at + torn)?;
            Ok("a page torn".to_owned())
        }
        _ => {
            file.set_len(at.max(PAGE))?;
            Ok("the end of the file cut off".to_owned())
        }
    }
}

/// Where the pages begin in which anything is.
fn used(file: &File, length: u64) -> io::Result<Vec<u64>> {
    let mut page = vec![0; PAGE as usize];
    let mut used = Vec::new();
    for at in (0..length / PAGE).map(|number| number * PAGE) {
        file.read_exact_at(&mut page, at)?;
        if page.iter().any(|byte| *byte != 0) {
            used.push(at);
        }
    }
    Ok(used)
}

/// What a server on this file says of the accounts, and whether it is in quarantine; nothing if it does not start.
fn answers(
    server: &Server,
    folder: &Path,
    store: &Path,
    accounts: &[String],
) -> Option<(Vec<Result<Book, String>>, bool)> {
    fs::copy(folder.join("audit.sound"), folder.join("audit.log")).expect("the audit file as it was");
    let address = free_address();
    let text = fs::read_to_string(server.dir().join("sparekey.hcl")).expect("a configuration");
    let text = text
        .replace(&server.address().to_string(), &address.to_string())
        .replace(&server.store().display().to_string(), &store.display().to_string())
        .replace(&server.audit().display().to_string(), &folder.join("audit.log").display().to_string())
        .replace(&server.dir().display().to_string(), &folder.display().to_string());
    let config = folder.join("aside.hcl");
    fs::write(&config, text).expect("a configuration");
    let child = Command::new(BINARY)
        .args(["server", "--config"])
        .arg(&config)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the binary starts");
    let mut child = Ended(child);
    let client = Client::new(address);
    let deadline = Instant::now() + Duration::from_secs(30);
    while !client.try_send("GET", "sys/health", None).is_ok_and(|answer| answer.status == 200) {
        if child.0.try_wait().expect("a status").is_some() || Instant::now() > deadline {
            return None;
        }
        sleep(Duration::from_millis(5));
    }
    let root = client.token(server.root_token());
    let door = Door { client, root, node: 0, now: std::sync::Arc::new(crate::support::signer::now) };
    let books = accounts.iter().map(|account| books::read(&door, account)).collect();
    let restore = door.root.try_send("GET", "sys/restore", None);
    Some((books, restore.is_ok_and(|answer| answer.status == 200 && answer.data()["quarantine"] == true)))
}

/// A process that ends with the value.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
