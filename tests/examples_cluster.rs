//! `examples/cluster/`: three nodes over a PostgreSQL and its standby, started, hurt and ended by the commands that stand there.

use std::collections::BTreeSet;
use std::fs::{self, File, Permissions};
use std::net::SocketAddr;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use support::http::Client;
use support::server::BINARY;
use support::{haproxy, postgres};

#[path = "support/mod.rs"]
mod support;

const PATIENCE: Duration = Duration::from_secs(60);

/// What `up` started, while it runs.
struct Cluster {
    place: tempfile::TempDir,
    port: u16,
    up: Child,
}

impl Cluster {
    fn up() -> Cluster {
        let place = tempfile::Builder::new().prefix("sparekey-cluster-").tempdir().expect("a folder");
        // PostgreSQL's own user passes through.
        fs::set_permissions(place.path(), Permissions::from_mode(0o711)).expect("permissions");
        for name in ["tools", "cluster"] {
            fs::create_dir(place.path().join(name)).expect("a folder");
        }
        symlink(BINARY, place.path().join("tools/sparekey")).expect("a link");
        let port = five_ports();
        let log = File::create(place.path().join("said")).expect("a log");
        let mut command = command(place.path(), "up");
        command.arg(place.path().join("cluster")).env("PORT", port.to_string()).process_group(0);
        let up = command.stdout(log.try_clone().expect("a log")).stderr(log).spawn().expect("up starts");
        let mut cluster = Cluster { place, port, up };
        let deadline = Instant::now() + PATIENCE;
        while !cluster.said().contains("Everything is in") {
            let ended = cluster.up.try_wait().expect("a status");
            assert!(ended.is_none() && Instant::now() < deadline, "{ended:?}:\n{}", cluster.said());
            sleep(Duration::from_millis(50));
        }
        cluster
    }
    fn folder(&self) -> PathBuf {
        self.place.path().join("cluster")
    }
    fn said(&self) -> String {
        fs::read_to_string(self.place.path().join("said")).unwrap_or_default()
    }
    fn run(&self, script: &str, argument: &str) -> Output {
        command(self.place.path(), script)
            .arg(self.folder())
            .args(argument.split_whitespace())
            .output()
            .expect("it runs")
    }
    /// The code that `code FOLDER NODE` prints; `None` with what it said if there was none.
    fn code(&self, node: u8) -> Result<String, String> {
        let output = self.run("code", &node.to_string());
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        match (output.status.success(), said.trim().strip_prefix(&format!("node-{node} gives "))) {
            (true, Some(code)) => Ok(code.to_owned()),
            _ => Err(format!("{said}{}", String::from_utf8_lossy(&output.stderr))),
        }
    }
    /// The same, asked again until there is one.
    fn code_at_last(&self, node: u8) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.code(node) {
                Ok(code) => return code,
                Err(said) => assert!(Instant::now() < deadline, "{said}"),
            }
            sleep(Duration::from_millis(200));
        }
    }
    fn pid(&self, name: &str) -> Pid {
        let text = fs::read_to_string(self.folder().join("pids").join(name)).expect("a process id");
        Pid::from_raw(text.trim().parse().expect("a number")).expect("a process id")
    }
    fn signal(&self, name: &str, signal: Signal) {
        kill_process(self.pid(name), signal).expect("it runs");
    }
    /// A node that was killed, started as `up` tells it.
    fn start(&self, node: u8) {
        let folder = self.folder().join(format!("node-{node}"));
        let log = File::options().append(true).open(folder.join("server.log")).expect("a log");
        let mut command = Command::new(BINARY);
        command.args(["server", "--config"]).arg(folder.join("sparekey.hcl")).stdin(Stdio::null());
        let mut child = command.stdout(log.try_clone().expect("a log")).stderr(log).spawn().expect("it starts");
        // So that `down` ends it with the rest.
        fs::write(self.folder().join(format!("pids/node-{node}")), child.id().to_string()).expect("a file");
        std::thread::spawn(move || child.wait());
    }
    fn restart(&self, node: u8) {
        let pid = self.pid(&format!("node-{node}"));
        kill_process(pid, Signal::TERM).expect("it runs");
        let deadline = Instant::now() + PATIENCE;
        while runs(pid) {
            assert!(Instant::now() < deadline, "node {node} does not end");
            sleep(Duration::from_millis(20));
        }
        self.start(node);
    }
    /// What a database server answers, `primary` or `standby` as it began.
    fn sql(&self, name: &str, sql: &str) -> String {
        let port = fs::read_to_string(self.folder().join(format!("{name}.port"))).expect("a port");
        let mut psql = Command::new(postgres::binaries().join("psql"));
        psql.args(["-XqAtw", "-h", "127.0.0.1", "-p", port.trim(), "-U", "postgres", "-d", "postgres", "-c", sql]);
        let output = psql.env("PGPASSFILE", self.folder().join("primary/pass")).output().expect("psql runs");
        assert!(output.status.success(), "{sql}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }
    /// The server of this name has ended, and the other takes over as `promote` does it: with a synchronous standby, as before.
    fn fail_over(&self, from: &str, to: &str) {
        self.signal(from, Signal::QUIT);
        assert!(self.code(1).is_err(), "without a primary no code leaves");
        let promoted = self.run("promote", "");
        assert!(promoted.status.success(), "{}", String::from_utf8_lossy(&promoted.stderr));
        assert_eq!(self.sql(to, "SHOW synchronous_standby_names"), format!("FIRST 1 ({from})"));
        let standbys = "SELECT application_name || ' ' || sync_state FROM pg_stat_replication";
        assert_eq!(self.sql(to, standbys), format!("{from} sync"));
        assert_eq!(self.sql(from, "SELECT pg_is_in_recovery()"), "t");
    }
    fn address(&self, node: u8) -> SocketAddr {
        ([127, 0, 0, 1], self.port + u16::from(node) - 1).into()
    }
    fn client(&self, node: u8) -> Client {
        Client::new(self.address(node))
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let _ = self.run("down", "");
        let _ = self.up.wait();
    }
}

/// The balancer of `haproxy.cfg` in front of the nodes.
struct Balancer {
    child: Child,
    client: Client,
}

impl Balancer {
    fn start(cluster: &Cluster) -> Balancer {
        let listen = support::server::free_address();
        let config = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/cluster/haproxy.cfg");
        let mut command = haproxy::command();
        command.arg("-db").arg("-f").arg(config).env("LISTEN", listen.to_string());
        for node in 1..=3 {
            command.env(format!("NODE_{node}"), cluster.address(node).to_string());
        }
        let log = File::create(cluster.place.path().join("haproxy.log")).expect("a log");
        let child = command.stdin(Stdio::null()).stdout(log.try_clone().expect("a log")).stderr(log);
        Balancer { child: child.spawn().expect("HAProxy starts"), client: Client::new(listen) }
    }
    /// An ordinary client's retry.
    fn until_it_serves(&mut self) {
        let deadline = Instant::now() + PATIENCE;
        while !self.client.try_send("GET", "sys/health", None).is_ok_and(|answer| answer.status == 200) {
            let ended = self.child.try_wait().expect("a status");
            assert!(ended.is_none() && Instant::now() < deadline, "{ended:?}");
            sleep(Duration::from_millis(100));
        }
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Whether the process is there and has not ended.
fn runs(pid: Pid) -> bool {
    fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).is_ok_and(|stat| !stat.contains(") Z "))
}

fn command(place: &Path, script: &str) -> Command {
    let mut command = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/cluster").join(script));
    command.env_clear().env("PATH", format!("{}:/usr/bin:/bin:/usr/sbin:/sbin", place.join("tools").display()));
    command.env("POSTGRES_BIN", postgres::binaries()).env("TMPDIR", place).current_dir(place).stdin(Stdio::null());
    command
}

/// The first of five ports in a row.
fn five_ports() -> u16 {
    loop {
        let port = support::server::free_address().port();
        if (1..5).all(|next| std::net::TcpListener::bind(("127.0.0.1", port + next)).is_ok()) {
            return port;
        }
    }
}

#[test]
fn codes_go_on_while_a_node_and_the_primary_are_killed() {
    let mut cluster = Cluster::up();
    let said = cluster.said();
    let mut given: Vec<String> = (1..=3)
        .map(|node| {
            let line = said.lines().find_map(|line| line.strip_prefix(&format!("node-{node} gives ")));
            line.unwrap_or_else(|| panic!("no code of node {node}:\n{said}")).to_owned()
        })
        .collect();

    let mut balancer = Balancer::start(&cluster);
    balancer.until_it_serves();
    // A node is killed: the others give codes, and the balancer leaves it out.
    cluster.signal("node-2", Signal::KILL);
    for _ in 0..20 {
        balancer.until_it_serves();
    }
    for _ in 0..20 {
        balancer.client.read("sys/health").expect(200);
    }
    given.push(cluster.code(1).expect("a code"));
    given.push(cluster.code(3).expect("a code"));
    assert!(cluster.code(2).is_err());
    cluster.start(2);
    given.push(cluster.code_at_last(2));

    // The standby does not take over while the primary runs.
    let early = cluster.run("promote", "");
    assert!(!early.status.success() && String::from_utf8_lossy(&early.stderr).contains("the primary still runs"));
    cluster.fail_over("primary", "standby");
    for node in 1..=3 {
        given.push(cluster.code_at_last(node));
    }
    // One that starts on the new server serves as well.
    cluster.restart(3);
    given.push(cluster.code_at_last(3));
    let log = fs::read_to_string(cluster.folder().join("node-3/server.log")).expect("a log");
    assert!(!log.contains("synchronous_standby_names is empty"), "{log}");
    // And back again: the standby that was made is as good as the first.
    cluster.fail_over("standby", "primary");
    given.push(cluster.code_at_last(1));
    balancer.until_it_serves();
    assert_eq!(balancer.client.read("sys/leader").expect(200).json()["is_self"], true);

    assert_eq!(given.iter().collect::<BTreeSet<_>>().len(), 11, "a code left twice: {given:?}");
    let token = fs::read_to_string(cluster.folder().join("root-token")).expect("a token");
    let root = cluster.client(3).token(token.trim());
    let history = root.read("backup-codes/history/github/acme-owner?verify=true").expect(200).json();
    assert_eq!(history["data"]["verified"], true);
    let acts = history["data"]["entries"].as_array().expect("entries").iter();
    let retrieved = acts.filter(|entry| entry["act"] == "retrieve").count();
    assert!(retrieved >= given.len(), "{retrieved} entries for {given:?}");

    // Nothing is left running, whoever ends it.
    let pids: Vec<Pid> = ["node-1", "node-2", "node-3", "primary", "standby"].map(|name| cluster.pid(name)).into();
    let down = cluster.run("down", "");
    assert!(down.status.success(), "{}", String::from_utf8_lossy(&down.stderr));
    assert!(cluster.up.wait().expect("it ends").success(), "{}", cluster.said());
    assert!(!pids.into_iter().any(runs), "something still runs");
}
