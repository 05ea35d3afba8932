//! A real PostgreSQL for tests: one temporary server for a test binary, or servers of a test's own that it kills and promotes.
//!
//! The binaries are this machine's (`POSTGRES_BIN`, `/usr/lib/postgresql/*/bin`, `pg_config`) or Debian's package, unpacked under
//! `target/provision`. PostgreSQL refuses root, so that under root it runs as `postgres` or `nobody`.

use std::fs;
use std::io::Write as _;
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Output, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::debian;

/// The superuser of every server.
pub const USER: &str = "sparekey";

/// The folder with `initdb`, `postgres` and the rest; panics with the reason if there is none.
pub fn binaries() -> &'static Path {
    static FOUND: OnceLock<PathBuf> = OnceLock::new();
    FOUND.get_or_init(find)
}

fn find() -> PathBuf {
    if let Some(folder) = std::env::var_os("POSTGRES_BIN") {
        return folder.into();
    }
    let mut versions: Vec<PathBuf> = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path().join("bin"))
        .collect();
    versions.sort();
    if let Some(newest) = versions.into_iter().rfind(|bin| bin.join("initdb").exists()) {
        return newest;
    }
    if let Ok(output) = Command::new("pg_config").arg("--bindir").output() {
        let bin = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim());
        if bin.join("initdb").exists() {
            return bin;
        }
    }
    let packages = ["postgresql-15", "postgresql-client-15", "libpq5"];
    debian::root("postgresql", &packages, &["usr/lib/postgresql/15/bin/initdb"]).join("usr/lib/postgresql/15/bin")
}

/// A cluster of files, and the server on it while it runs.
pub struct Server {
    folder: PathBuf,
    port: u16,
    running: Option<Running>,
}

/// A server and the shell that ends it when this process does, however that ends.
struct Running {
    shell: Child,
    stdin: Option<ChildStdin>,
}

/// The server that all tests of a binary share. It goes with the process.
pub fn shared() -> &'static Server {
    static SHARED: OnceLock<Server> = OnceLock::new();
    SHARED.get_or_init(|| {
        // In memory where there is such a place: its fsync costs nothing, and nobody cuts this server's power.
        let memory = PathBuf::from("/dev/shm");
        let mut server = Server::new_in(&if memory.is_dir() { memory } else { std::env::temp_dir() });
        server.launch(&["wal_keep_size=0", "min_wal_size=32MB", "max_wal_size=64MB"], true);
        server
    })
}

/// A name for a table that no other test has.
pub fn table() -> String {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    format!("t{}_{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

impl Server {
    /// A new cluster; nothing runs yet.
    pub fn new() -> Self {
        Self::new_in(&std::env::temp_dir())
    }
    fn new_in(place: &Path) -> Self {
        let server = Self::empty(place);
        let data = server.data();
        let initdb = ["-D", text(&data), "-U", USER, "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"];
        server.run("initdb", &initdb);
        server
    }
    /// A copy of `primary`, which runs, that follows it under the name `name` once it is started.
    pub fn standby(primary: &Server, name: &str) -> Self {
        let server = Self::empty(&std::env::temp_dir());
        let source = format!("host=127.0.0.1 port={} user={USER} application_name={name}", primary.port);
        server.run(
            "pg_basebackup",
            &["-D", text(&server.data()), "-d", &source, "-R", "-X", "stream", "-c", "fast", "--no-sync"],
        );
        server
    }
    fn empty(place: &Path) -> Self {
        let folder = tempfile::Builder::new().prefix("sparekey-pg-").tempdir_in(place).expect("a folder").keep();
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o700)).expect("permissions");
        if let Some((uid, gid)) = other_user() {
            chown(&folder, Some(uid), Some(gid)).expect("the folder is given away");
        }
        Server { folder, port: free_port(), running: None }
    }
    /// Starts it with more settings (`name=value`) and waits until it answers.
    pub fn start(&mut self, settings: &[&str]) {
        self.launch(settings, false);
    }
    fn launch(&mut self, settings: &[&str], remove: bool) {
        assert!(self.running.is_none(), "it runs already");
        // The shell waits for the end of its input, which comes with the end of this process at the latest.
        const WATCH: &str = r#"remove=$1; shift; "$@" & pid=$!; cat >/dev/null; kill -INT $pid 2>/dev/null; wait $pid
            if [ -n "$remove" ]; then rm -rf --one-file-system "$remove"; fi"#;
        let mut command = Command::new("sh");
        command.args(["-c", WATCH, "sh", if remove { text(&self.folder) } else { "" }]);
        command.arg(binaries().join("postgres")).args(["-D", text(&self.data()), "-p", &self.port.to_string()]);
        let sockets = format!("unix_socket_directories={}", self.folder.display());
        for setting in ["listen_addresses=127.0.0.1", &sockets, "max_connections=300", "log_min_messages=warning"] {
            command.args(["-c", setting]);
        }
        for setting in settings {
            command.args(["-c", setting]);
        }
        let log = fs::File::options().create(true).append(true).open(self.folder.join("log")).expect("a log");
        as_other_user(&mut command);
        command.current_dir(&self.folder).process_group(0).stdin(Stdio::piped());
        let mut shell =
            command.stdout(log.try_clone().expect("a log")).stderr(log).spawn().expect("PostgreSQL is started");
        let stdin = shell.stdin.take();
        self.running = Some(Running { shell, stdin });
        let patience = Instant::now() + Duration::from_secs(30);
        while !self.answers() {
            let log = || fs::read_to_string(self.folder.join("log")).unwrap_or_default();
            assert!(Instant::now() < patience, "PostgreSQL does not answer:\n{}", log());
            sleep(Duration::from_millis(30));
        }
    }
    fn answers(&self) -> bool {
        let port = self.port.to_string();
        let asked = Command::new(binaries().join("pg_isready")).args(["-q", "-h", "127.0.0.1", "-p", &port]).status();
        asked.is_ok_and(|status| status.success())
    }
    /// Where it is, for the database user `USER`.
    pub fn url(&self) -> String {
        format!("postgres://{USER}@127.0.0.1:{}/postgres?sslmode=disable", self.port)
    }
    /// The `storage` block of a server that keeps everything in `table` here.
    pub fn storage(&self, table: &str) -> String {
        format!("storage \"postgres\" {{\n  connection_url = \"{}\"\n  table = \"{table}\"\n}}", self.url())
    }
    pub fn port(&self) -> u16 {
        self.port
    }
    pub fn folder(&self) -> &Path {
        &self.folder
    }
    pub fn data(&self) -> PathBuf {
        self.folder.join("data")
    }
    /// Runs SQL and answers what it prints, unaligned; panics if it fails.
    pub fn sql(&self, sql: &str) -> String {
        let port = self.port.to_string();
        let output = Command::new(binaries().join("psql"))
            .args([
                "-X",
                "-q",
                "-A",
                "-t",
                "-v",
                "ON_ERROR_STOP=1",
                "-h",
                "127.0.0.1",
                "-p",
                &port,
                "-U",
                USER,
                "-d",
                "postgres",
            ])
            .args(["-c", sql])
            .output()
            .expect("psql runs");
        assert!(output.status.success(), "{sql}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }
    /// Saves `table` and what belongs to it with `pg_dump`; answers the file.
    pub fn dump(&self, table: &str) -> PathBuf {
        let file = self.write(&format!("{table}.dump"), b"");
        let (port, wanted) = (self.port.to_string(), format!("--table={table}*"));
        self.run(
            "pg_dump",
            &["-h", "127.0.0.1", "-p", &port, "-U", USER, "-Fc", &wanted, "-f", text(&file), "postgres"],
        );
        file
    }
    /// Puts such a file back over what is there, with `pg_restore`.
    pub fn load(&self, file: &Path) {
        let port = self.port.to_string();
        let how = ["--clean", "--if-exists", "--single-transaction", "-d", "postgres", text(file)];
        self.run("pg_restore", &[&["-h", "127.0.0.1", "-p", &port, "-U", USER][..], &how].concat());
    }
    /// Waits until `standby` has all that was written here.
    pub fn is_followed_by(&self, standby: &Server) {
        let written = self.sql("SELECT pg_current_wal_lsn()");
        let patience = Instant::now() + Duration::from_secs(30);
        while standby.sql(&format!("SELECT pg_last_wal_replay_lsn() >= '{written}'")) != "t" {
            assert!(Instant::now() < patience, "the standby does not follow");
            sleep(Duration::from_millis(20));
        }
    }
    /// The process id of the server.
    pub fn pid(&self) -> u32 {
        let file = fs::read_to_string(self.data().join("postmaster.pid")).expect("it runs");
        file.lines().next().and_then(|line| line.trim().parse().ok()).expect("a process id")
    }
    /// Sends the server a signal such as `KILL`, `STOP` or `CONT`.
    pub fn signal(&self, signal: &str) {
        let pid = self.pid().to_string();
        let sent = Command::new("kill").args([&format!("-{signal}"), &pid]).status().expect("kill runs");
        assert!(sent.success(), "kill -{signal} {pid}");
    }
    /// Kills it in the middle of whatever it does and waits until nothing of it is left.
    pub fn kill(&mut self) {
        self.signal("KILL");
        self.end();
        // Its children notice that it has gone, and until then nobody may start again on these files.
        let sockets = self.folder.join(format!(".s.PGSQL.{}.lock", self.port));
        let _ = fs::remove_file(sockets);
        let _ = fs::remove_file(self.data().join("postmaster.pid"));
        sleep(Duration::from_millis(300));
    }
    /// Ends it in good order.
    pub fn stop(&mut self) {
        self.end();
    }
    /// Ends it at once, as `pg_ctl stop -m immediate` does: it recovers when it is started.
    pub fn stop_at_once(&mut self) {
        self.signal("QUIT");
        self.end();
    }
    /// Makes a standby a primary, and waits until it takes writes.
    pub fn promote(&self) {
        assert_eq!(self.sql("SELECT pg_promote(true, 30)"), "t");
    }
    fn end(&mut self) {
        if let Some(mut running) = self.running.take() {
            drop(running.stdin.take());
            let _ = running.shell.wait();
        }
    }
    fn run(&self, program: &str, args: &[&str]) -> Output {
        let mut command = Command::new(binaries().join(program));
        as_other_user(&mut command);
        let output = command.args(args).current_dir(&self.folder).output().expect("it can be started");
        assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
        output
    }
    /// Writes a file into the folder, readable by the server alone.
    pub fn write(&self, name: &str, content: &[u8]) -> PathBuf {
        let path = self.folder.join(name);
        let mut file = fs::File::create(&path).expect("a file");
        file.write_all(content).expect("it is written");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("permissions");
        if let Some((uid, gid)) = other_user() {
            chown(&path, Some(uid), Some(gid)).expect("the file is given away");
        }
        path
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.end();
        let _ = Command::new("rm").args(["-rf", "--one-file-system"]).arg(&self.folder).status();
    }
}

/// Who runs the server where we are root.
pub fn other_user() -> Option<(u32, u32)> {
    if !rustix::process::geteuid().is_root() {
        return None;
    }
    let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let find = |name: &str| {
        let line = users.lines().find(|line| line.split(':').next() == Some(name))?;
        let mut fields = line.split(':').skip(2);
        Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
    };
    Some(find("postgres").or_else(|| find("nobody")).unwrap_or((65534, 65534)))
}

/// Makes `command` run as that user.
pub fn as_other_user(command: &mut Command) {
    if let Some((uid, gid)) = other_user() {
        command.uid(uid).gid(gid);
    }
}

/// A port that was free a moment ago.
pub fn free_port() -> u16 {
    let socket = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    socket.local_addr().expect("its address").port()
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path in UTF-8")
}
