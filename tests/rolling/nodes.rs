//! Three server processes over one PostgreSQL, each with a name of its own and the same seal, and how they are replaced.

use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::support::scene::Scene;
use crate::support::server::{Server, Setup};
use crate::support::signer::Signer;

/// The nodes, and the cast as the first of them meets it.
pub struct Nodes {
    pub servers: Vec<Server>,
    pub scene: Scene,
}

impl Nodes {
    /// Starts them as `binary` on the storage block `storage`, with `extra` lines in each configuration.
    pub fn start(binary: &Path, storage: &str, extra: &str) -> Nodes {
        let setup = |number: usize| {
            let setup = Setup::default().log_level("info").storage(storage);
            setup.binary(binary).extra(&format!("node_id = \"node-{number}\"\n{extra}\n"))
        };
        let first = setup(1).static_seal().start();
        let others = [2, 3].map(|number| setup(number).beside(&first));
        let scene = Scene::with(first.root(), first.client(), Signer::es256("idp-1"));
        Nodes { servers: [first].into_iter().chain(others).collect(), scene }
    }
    /// Where they listen.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.servers.iter().map(Server::address).collect()
    }
    /// Ends each with SIGTERM and starts it again as `binary`, one after the other, each only when the one before serves, and `pause`
    /// after that. Answers when that began and ended.
    pub fn replace_each(&mut self, binary: &Path, pause: Duration) -> (Instant, Instant) {
        let began = Instant::now();
        for node in &mut self.servers {
            let address = node.address();
            let status = node.terminate();
            assert!(status.success(), "SIGTERM ended it with {status}:\n{}", node.log());
            node.replace_binary(binary);
            node.restart();
            assert_eq!(node.address(), address, "it serves where it did before");
            std::thread::sleep(pause);
        }
        (began, Instant::now())
    }
}
