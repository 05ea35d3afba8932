//! The servers, each started when the first work needs it and ended by its process id with this.

use std::sync::OnceLock;

use serde_json::json;

use super::engine::Engine;
use super::floor::{Floor, Kind};
use super::lane::{Extent, Lane};
use super::load::{OK, Proof};
use super::openbao::OpenBao;
use crate::support::postgres;
use crate::support::server::{MOUNT, Server, Setup};
use crate::support::vault::Vault;

/// How much is measured.
#[derive(Clone, Copy)]
pub struct Plan {
    pub full: bool,
    /// Whether the floor runs as a process of its own, of which the processor time is told apart.
    pub processes: bool,
    pub extent: Extent,
    /// Connections of most works.
    pub connections: usize,
    /// Secrets that OpenBao writes in turn.
    pub secrets: usize,
    /// Acts after which memory is compared.
    pub acts: usize,
    /// Accounts and secrets of which a server starts.
    pub stored: usize,
    /// Bytes of audit lines that are verified.
    pub audit: u64,
}

impl Plan {
    /// About two minutes.
    pub fn short() -> Self {
        let extent = Extent { rounds: 3, seconds: 0.6, acts: (64, 12_000), alone: false };
        Plan {
            full: false,
            processes: true,
            extent,
            connections: 64,
            secrets: 1_000,
            acts: 20_000,
            stored: 5_000,
            audit: 32 << 20,
        }
    }
    /// About an hour.
    pub fn full() -> Self {
        let extent = Extent { rounds: 7, seconds: 5.0, acts: (200, 250_000), alone: false };
        Plan {
            full: true,
            processes: true,
            extent,
            connections: 64,
            secrets: 10_000,
            acts: 1_000_000,
            stored: 1_000_000,
            audit: 512 << 20,
        }
    }
    /// A moment, to see that everything works.
    pub fn smoke() -> Self {
        let extent = Extent { rounds: 1, seconds: 0.1, acts: (8, 16), alone: false };
        Plan {
            full: false,
            processes: false,
            extent,
            connections: 4,
            secrets: 64,
            acts: 64,
            stored: 64,
            audit: 1 << 10,
        }
    }
}

/// A Sparekey server with the engine on it.
pub struct Sparekey {
    pub server: Server,
    pub engine: Engine,
}

impl Sparekey {
    /// On redb, or over this storage block.
    pub fn new(storage: Option<String>) -> Self {
        // A store of a million accounts may take its time to open and to close.
        let setup = Setup::default().log_level("warn").patience(std::time::Duration::from_secs(120));
        let server = match storage {
            Some(block) => setup.storage(block).start(),
            None => setup.start(),
        };
        let engine = Engine::new(server.address(), server.pid().into_iter().collect(), server.root(), None);
        Sparekey { server, engine }
    }
}

/// OpenBao over PostgreSQL, Sparekey over the same, and that PostgreSQL.
pub struct OnPostgres {
    pub sparekey: Sparekey,
    pub openbao: OpenBao,
    _postgres: postgres::Server,
}

/// An OpenBao that mounts Sparekey, and the engine behind the mount.
pub struct Mounted {
    pub openbao: OpenBao,
    pub engine: Engine,
}

/// What runs.
pub struct Stage {
    pub plan: Plan,
    sparekey: OnceLock<Sparekey>,
    openbao: OnceLock<OpenBao>,
    floors: [OnceLock<Floor>; 3],
}

impl Stage {
    pub fn new(plan: Plan) -> Self {
        let (sparekey, openbao, floors) = Default::default();
        Stage { plan, sparekey, openbao, floors }
    }
    pub fn sparekey(&self) -> &Sparekey {
        self.sparekey.get_or_init(|| Sparekey::new(None))
    }
    pub fn openbao(&self) -> &OpenBao {
        self.openbao.get_or_init(|| OpenBao::new(Vault::quiet(None), self.plan.secrets))
    }
    /// Retrievals as they go to Sparekey, sent to a program that does less.
    pub fn floor(&self, kind: Kind) -> Lane<'_> {
        let engine = &self.sparekey().engine;
        let (index, name, words) = match kind {
            Kind::Hyper => (0, "hyper", "bare hyper: a fixed answer"),
            Kind::Commit => (1, "commit", "hyper and a durable commit to redb, many requests in one"),
            Kind::Floor => (2, "floor", "the same with one ES256 signature verified first"),
        };
        let floor = self.floors[index]
            .get_or_init(|| Floor::start(kind, &engine.scene.signer.public_pem(), self.plan.processes));
        let proof = Proof { ..OK };
        let address = floor.address();
        // The same accounts again and again would stay in few pages: so many as a retrieval's round is about.
        let prepare = move |count: usize| {
            Ok(super::engine::each(0..count, |number| engine.retrieval(number % (count / 10).max(1), number, &[])))
        };
        let prepare = Box::new(prepare);
        Lane { name, words: words.to_owned(), address, pids: floor.pids(), proof, prepare, then: None }
    }
    pub fn postgres(&self) -> OnPostgres {
        let mut postgres = postgres::Server::new();
        postgres.start(&[]);
        let sparekey = Sparekey::new(Some(postgres.storage("sparekey")));
        let block = format!("storage \"postgresql\" {{\n  connection_url = \"{}\"\n}}", postgres.url());
        let openbao = OpenBao::new(Vault::quiet(Some(block)), self.plan.secrets);
        OnPostgres { sparekey, openbao, _postgres: postgres }
    }
    /// Somebody who logs in to the vault, for whom it vouches, drives both engines with the same token.
    pub fn mounted(&self) -> Mounted {
        let mut openbao = OpenBao::new(Vault::measured(), self.plan.secrets);
        let root = openbao.vault.root();
        root.write("sys/auth/userpass", &json!({"type": "userpass"})).expect(204);
        let person = json!({"password": "only for measuring", "token_policies": ["measured"]});
        root.write("auth/userpass/users/jane", &person).expect(204);
        let login = json!({"password": "only for measuring"});
        let login = openbao.vault.client().write("auth/userpass/login/jane", &login).expect(200).json();
        let token = login["auth"]["client_token"].as_str().expect("a token").to_owned();
        let mut pids: Vec<u32> = openbao.vault.pid().into_iter().collect();
        pids.extend(openbao.vault.plugin_pids().iter().filter_map(|pid| u32::try_from(*pid).ok()));
        let engine = Engine::new(openbao.vault.address(), pids, root.clone(), Some(token.clone()));
        openbao.token = token;
        let accessor = root.read("sys/auth").expect(200).json()["data"]["userpass/"]["accessor"].clone();
        let issuer = json!({"type": "host", "mount_accessor": accessor});
        root.write(&format!("{MOUNT}/issuers/people"), &issuer).expect(204);
        let role = json!({
            "issuers": "people", "bound_subject": "jane", "accounts": "*", "operations": "retrieve", "assertion": "login",
            "max_retrievals": null,
        });
        root.write(&format!("{MOUNT}/roles/people"), &role).expect(204);
        Mounted { openbao, engine }
    }
}
