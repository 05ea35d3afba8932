//! A real PostgreSQL beneath real servers is put back: by yesterday's dump, or by a standby that was promoted.

use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

use serde_json::{Value, json};

use super::cluster::until as eventually;
use super::command;
use super::support::http::Client;
use super::support::postgres::{self, USER};
use super::support::scene::{Scene, codes};
use super::support::server::{Server, Setup};

/// Two servers over one database, and their cast at either.
struct Nodes {
    servers: [Server; 2],
    scenes: [Scene; 2],
}

impl Nodes {
    fn start(storage: String) -> Nodes {
        let node = |name: &str| {
            let extra = format!("anchor_interval = \"1s\"\nnode_id = \"{name}\"\n");
            Setup::default().storage(storage.clone()).extra(&extra)
        };
        let one = node("one").static_seal().start();
        let two = node("two").beside(&one);
        let scene = Scene::new(&one);
        let other = scene.through(two.client().token(one.root_token()), two.client());
        for (number, account) in ["team/used", "team/quiet", "okta/jane@example.com"].into_iter().enumerate() {
            scene.store(account, &codes(number as u64 + 1, 6), 0).expect(200);
        }
        Nodes { servers: [one, two], scenes: [scene, other] }
    }
    fn root(&self, node: usize) -> Client {
        self.servers[node].client().token(self.servers[0].root_token())
    }
    /// What a node says of restores; nothing while its database is away.
    fn told(&self, node: usize) -> Value {
        let answer = self.root(node).read("sys/restore");
        if answer.status == 200 { answer.data() } else { Value::Null }
    }
    /// Waits until both have anchored what was acknowledged so far.
    fn anchored(&self) {
        for node in 0..2 {
            let epoch = || self.told(node)["anchored_epoch"].as_u64();
            let was = epoch();
            // Something to anchor, on this very node.
            let url = format!("https://example.com/{}/{node}", was.unwrap_or(0));
            self.root(node).write("backup-codes/config", &json!({"sparekey_url": url})).expect(204);
            eventually("anchored", || epoch() > was);
        }
    }
    /// Acts of today: a code leaves at each node, and an enrollment ends a set. The codes.
    fn today(&self) -> [Value; 2] {
        self.scenes[0].enrolled_again("jane@example.com").expect(202);
        self.scenes.each_ref().map(|scene| scene.retrieve("team/used", "jane").expect(200).data()["code"].clone())
    }
    /// Nobody gets a code, and once it is noticed everybody is told why.
    fn gives_nothing(&self, given: &[Value]) {
        for scene in &self.scenes {
            for account in ["team/used", "okta/jane@example.com"] {
                eventually("noticed", || {
                    let answer = scene.retrieve(account, "jane");
                    assert_ne!(answer.status, 200, "{account} gave a code after the store went back ({given:?})");
                    answer.status == 503 && answer.error().starts_with("restore-quarantine: ")
                });
            }
        }
    }
    /// An operator accepts it with the audit files of both; what went back is held at both, the rest goes on.
    fn accept_and_go_on(&self, given: &[Value]) {
        let [one, two] = &self.servers;
        eventually("quarantined", || self.told(0)["quarantine"] == true);
        let (code, said) = command(one, &["status"]);
        assert_eq!(code, Some(2), "{said}");
        let text = |path: &Path| path.to_str().expect("a path in UTF-8").to_owned();
        let files = [text(&one.audit()), text(&two.audit())];
        let (code, said) =
            command(one, &["accept", "--reason", "the database", "--audit", &files[0], "--audit", &files[1]]);
        assert_eq!(code, Some(0), "{said}");
        assert!(said.contains("2 accounts went back"), "{said}");
        for account in ["team/used", "okta/jane@example.com"] {
            assert!(said.contains(&format!("  {account}: ")), "{said}");
        }
        for (node, scene) in self.scenes.iter().enumerate() {
            eventually("going on", || self.told(node)["quarantine"] == false);
            // After its database server changed, a node waits a moment for the others' objections.
            eventually("settled", || !scene.retrieve("team/used", "jane").error().starts_with("line-changed: "));
            for account in ["team/used", "okta/jane@example.com"] {
                let answer = scene.retrieve(account, "jane").expect(400);
                assert!(answer.error().starts_with("quarantined: "), "{}", answer.text());
            }
        }
        let fresh = |scene: &Scene| scene.retrieve("team/quiet", "jane").expect(200).data()["code"].clone();
        let more: Vec<Value> = self.scenes.iter().map(fresh).collect();
        assert!(more[0] != more[1] && !given.contains(&more[0]) && !given.contains(&more[1]), "{given:?} {more:?}");
        // Two intervals later nobody has anything to object.
        sleep(Duration::from_millis(2500));
        for node in 0..2 {
            assert_eq!(self.told(node)["quarantine"], false, "{}", self.told(node));
        }
    }
}

#[test]
fn yesterdays_dump_under_running_servers_gives_no_code_twice() {
    let (database, table) = (postgres::shared(), postgres::table());
    let nodes = Nodes::start(database.storage(&table));
    let dump = database.dump(&table);
    nodes.anchored();
    let given = nodes.today();
    nodes.anchored();
    database.load(&dump);
    nodes.gives_nothing(&given);
    nodes.accept_and_go_on(&given);
}

#[test]
fn yesterdays_dump_is_noticed_at_the_next_start() {
    let (database, table) = (postgres::shared(), postgres::table());
    let mut nodes = Nodes::start(database.storage(&table));
    let dump = database.dump(&table);
    nodes.anchored();
    let given = nodes.today();
    for server in &mut nodes.servers {
        server.kill();
    }
    database.load(&dump);
    for server in &mut nodes.servers {
        server.boot();
        server.until("unsealed", |health| health == 200);
    }
    assert_eq!(nodes.told(0)["quarantine"], true, "{}", nodes.told(0));
    nodes.gives_nothing(&given);
    nodes.accept_and_go_on(&given);
}

/// A primary, a standby that nobody waits for, and two servers that know both.
fn asynchronous() -> (postgres::Server, postgres::Server, Nodes) {
    let mut primary = postgres::Server::new();
    primary.start(&[]);
    let mut standby = postgres::Server::standby(&primary, "b");
    standby.start(&[]);
    let hosts = format!("127.0.0.1:{},127.0.0.1:{}", primary.port(), standby.port());
    let url = format!("postgres://{USER}@{hosts}/postgres?sslmode=disable");
    let nodes = Nodes::start(format!("storage \"postgres\" {{\n  connection_url = \"{url}\"\n}}"));
    nodes.anchored();
    primary.is_followed_by(&standby);
    (primary, standby, nodes)
}

#[test]
fn a_promoted_standby_that_lost_commits_gives_no_code_twice() {
    let (mut primary, standby, nodes) = asynchronous();
    // The standby hears no more of it: its receiver ends, and who would start another one is stopped.
    standby.signal("STOP");
    primary.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_replication");
    let given = nodes.today();
    primary.kill();
    standby.signal("CONT");
    standby.promote();
    nodes.gives_nothing(&given);
    let why = nodes.told(0)["why"].as_str().unwrap_or_default().to_owned();
    assert!(why.contains("after its server changed"), "{why}");
    nodes.accept_and_go_on(&given);
}

#[test]
fn a_promoted_standby_that_has_everything_goes_on_without_a_restart() {
    let (mut primary, standby, nodes) = asynchronous();
    let processes = nodes.servers.each_ref().map(Server::pid);
    let given = nodes.today();
    primary.is_followed_by(&standby);
    primary.kill();
    standby.promote();
    for (node, scene) in nodes.scenes.iter().enumerate() {
        let mut words = Vec::new();
        eventually("going on", || {
            let answer = scene.retrieve("team/used", "jane");
            assert!(!given.contains(&answer.json()["data"]["code"]), "a code was given twice");
            words.push(answer.text());
            answer.status == 200
        });
        assert!(!words.iter().any(|words| words.contains("restore-quarantine")), "{words:?}");
        assert_eq!(nodes.told(node)["quarantine"], false, "{}", nodes.told(node));
        let ended = scene.retrieve("okta/jane@example.com", "jane").expect(400);
        assert!(ended.error().starts_with("ended"), "the enrollment is there still: {}", ended.text());
    }
    assert_eq!(nodes.servers.each_ref().map(Server::pid), processes);
}
