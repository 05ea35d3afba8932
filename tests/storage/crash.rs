//! SIGKILL at any moment: what a redb store acknowledged is there afterwards, whole lists or nothing.

use std::env;
use std::io::{BufRead, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use sparekey::random::SeededRandom;
use sparekey::storage::redb::Redb;
use sparekey::storage::{Found, Get, Storage, Write};
use tempfile::TempDir;

const PATH: &str = "SPAREKEY_TEST_CRASH_PATH";
const FROM: &str = "SPAREKEY_TEST_CRASH_FROM";
const CHILD: &str = "crash::child";
const WRITERS: usize = 8;
const KILLS: usize = 6;

/// The process that is killed: this very test binary, with this test chosen. Eight writers create numbered pairs of keys and
/// print each number once its pair is acknowledged.
#[test]
#[ignore = "runs only as the child of killed_at_any_moment_nothing_acknowledged_is_lost"]
fn child() {
    let (Ok(path), Ok(from)) = (env::var(PATH), env::var(FROM)) else { return };
    let from: usize = from.parse().unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_time().build().unwrap();
    runtime.block_on(async {
        let store = Arc::new(Redb::open(Path::new(&path)).unwrap());
        let mut tasks = tokio::task::JoinSet::new();
        for writer in 0..WRITERS {
            let store = Arc::clone(&store);
            tasks.spawn(async move {
                for number in (from + writer..).step_by(WRITERS) {
                    store.put_all(pair(number)).await.unwrap();
                    // One call of write(2), so that a kill cannot leave half a line of two writers.
                    std::io::stdout().lock().write_all(format!("\nacknowledged {number}\n").as_bytes()).unwrap();
                }
            });
        }
        tasks.join_next().await;
    });
}

fn pair(number: usize) -> Vec<Write> {
    let random = SeededRandom::new(number as u64);
    let value = number.to_le_bytes().repeat(20);
    vec![
        Write::create(format!("left/{number:09}"), value.clone(), &random),
        Write::create(format!("right/{number:09}"), value, &random),
    ]
}

/// Starts the child, reads `lines` acknowledged numbers, kills it, and reads what it said before it died.
fn run_and_kill(path: &Path, from: usize, lines: usize) -> Vec<usize> {
    let mut child = Command::new(env::current_exe().unwrap())
        .args([CHILD, "--exact", "--ignored", "--nocapture", "--test-threads=1"])
        .env(PATH, path)
        .env(FROM, from.to_string())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut said = BufReader::new(child.stdout.take().unwrap()).lines();
    let number = |line: std::io::Result<String>| line.ok()?.strip_prefix("acknowledged ")?.parse().ok();
    let mut acknowledged: Vec<usize> = said.by_ref().filter_map(number).take(lines).collect();
    child.kill().unwrap();
    child.wait().unwrap();
    acknowledged.extend(said.filter_map(number));
    assert!(acknowledged.len() >= lines, "the child ended by itself after {} numbers", acknowledged.len());
    acknowledged
}

#[tokio::test]
async fn killed_at_any_moment_nothing_acknowledged_is_lost() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("sparekey.redb");
    let mut acknowledged: Vec<usize> = Vec::new();
    for kill in 0..KILLS {
        let from = kill * 1_000_000;
        acknowledged.extend(run_and_kill(&path, from, 1 + kill * 37));
        let store = Redb::open(&path).unwrap();
        let left = store.list("left/", None, usize::MAX).await.unwrap();
        assert_eq!(left, store.list("right/", None, usize::MAX).await.unwrap(), "half a list was written");
        for number in &acknowledged {
            let gets = vec![Get::new(format!("left/{number:09}")), Get::new(format!("right/{number:09}"))];
            for found in store.get_many(gets).await.unwrap() {
                let Found::Value(value, _) = found else { panic!("kill {kill}: number {number} is lost") };
                assert_eq!(value, number.to_le_bytes().repeat(20));
            }
        }
        // At most one pair a writer was under way when the kill came.
        assert!(left.len() - acknowledged.len() <= WRITERS * (kill + 1), "{} of {}", acknowledged.len(), left.len());
    }
}
