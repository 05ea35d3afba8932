//! The store behind pgbouncer in transaction mode, where every statement may run in another session.

use std::fs;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use sparekey::storage::postgres::{ConnectionUrl, Options, Table};
use sparekey::storage::{Expect, Get, Storage, Write};

use super::{put, value};
use crate::backends::{conflict, open};
use crate::debian;
use crate::postgres_server::{self, USER, as_other_user, free_port, other_user};

struct Pooler {
    child: Child,
    port: u16,
    _folder: tempfile::TempDir,
}

impl Pooler {
    /// pgbouncer before the shared server, with two connections to it for everybody.
    fn start() -> Self {
        let root = debian::root("pgbouncer", &["pgbouncer", "libc-ares2", "libevent-2.1-7"], &["usr/sbin/pgbouncer"]);
        let port = free_port();
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().display();
        let server = postgres_server::shared().port();
        let settings = format!(
            "[databases]\npostgres = host=127.0.0.1 port={server} dbname=postgres\n[pgbouncer]\nlisten_addr = 127.0.0.1\n\
             listen_port = {port}\nunix_socket_dir =\nauth_type = any\npool_mode = transaction\ndefault_pool_size = 2\n\
             max_client_conn = 200\nlogfile = {place}/log\npidfile = {place}/pid\nserver_reset_query_always = 0\n"
        )
        .replace("auth_type = any", "auth_type = trust\nauth_file = USERS")
        .replace("USERS", &format!("{place}/users"));
        fs::write(folder.path().join("pgbouncer.ini"), settings).unwrap();
        fs::write(folder.path().join("users"), format!("\"{USER}\" \"\"\n")).unwrap();
        if let Some((uid, gid)) = other_user() {
            for path in [folder.path().to_owned(), folder.path().join("pgbouncer.ini"), folder.path().join("users")] {
                std::os::unix::fs::chown(path, Some(uid), Some(gid)).unwrap();
            }
        }
        let mut command = Command::new(root.join("usr/sbin/pgbouncer"));
        as_other_user(&mut command);
        command
            .env("LD_LIBRARY_PATH", root.join("usr/lib").join(debian::triple()))
            .arg(folder.path().join("pgbouncer.ini"));
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("pgbouncer starts");
        let mut pooler = Pooler { child, port, _folder: folder };
        let patience = Instant::now() + Duration::from_secs(10);
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            let ended = pooler.child.try_wait().unwrap();
            let log = fs::read_to_string(pooler._folder.path().join("log")).unwrap_or_default();
            assert!(ended.is_none() && Instant::now() < patience, "pgbouncer does not listen ({ended:?}): {log}");
            std::thread::sleep(Duration::from_millis(20));
        }
        pooler
    }
    fn options(&self) -> Options {
        let url = format!("postgres://{USER}@127.0.0.1:{}/postgres?sslmode=disable", self.port);
        let mut options = Options::new(ConnectionUrl::new(url.into()));
        options.table = Table::parse(&postgres_server::table()).unwrap();
        options
    }
}

impl Drop for Pooler {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_sessions_serve_many_connections_of_several_nodes() {
    let pooler = Pooler::start();
    let options = pooler.options();
    let nodes: Vec<_> = (0..3).map(|_| Arc::new(open(options.clone()))).collect();
    let mut tasks = tokio::task::JoinSet::new();
    for task in 0..30usize {
        let node = Arc::clone(&nodes[task % 3]);
        tasks.spawn(async move {
            for round in 0..10 {
                let (key, gone) = (format!("a/{task}/{round}"), format!("gone/{task}/{round}"));
                node.put_all(vec![put(&key, Expect::Absent, b"1"), put(&gone, Expect::Absent, b"1")]).await.unwrap();
                let (_, at) = value(&*node, &key).await.unwrap();
                assert_eq!(conflict(node.put_all(vec![put(&key, Expect::Absent, b"2")]).await), 0);
                let (_, gone_at) = value(&*node, &gone).await.unwrap();
                let both = vec![put(&key, Expect::At(at), b"2"), Write::delete(&gone, gone_at)];
                node.put_all(both).await.unwrap();
                assert_eq!(conflict(node.put_all(vec![Write::delete(&gone, gone_at)]).await), 0);
                assert_eq!(node.list(&format!("a/{task}/"), None, 99).await.unwrap().len(), round + 1);
            }
        });
    }
    while let Some(ended) = tasks.join_next().await {
        ended.unwrap();
    }
    let mut snapshot = Arc::clone(&nodes[0]).snapshot().await.unwrap();
    let (mut entries, mut batch) = (0, usize::MAX);
    while batch > 0 {
        batch = snapshot.next(50).await.unwrap().len();
        entries += batch;
    }
    assert_eq!(entries, 300);
    drop(snapshot);
    for node in &nodes {
        node.get_many(vec![Get::new("a/0/0")]).await.unwrap();
    }
}
