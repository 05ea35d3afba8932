//! A server with its store, the usual cast, and the requests that are measured.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::{Method, Request};
use serde_json::{Value, json};

use crate::Store;
use crate::support::postgres as pg;
use crate::support::scene::{AUDIENCE, ISSUER, Scene, codes};
use crate::support::server::{MOUNT, Server, Setup};
use crate::support::signer::claims;
use crate::traffic::Prepared;

/// Everything lies in one folder of names, as an identity provider's people do.
pub const FOLDER: &str = "okta";
/// A start that reads a whole store may take this long on a busy machine.
const PATIENCE: Duration = Duration::from_secs(300);

/// A server, its store, its cast.
pub struct World {
    /// The server.
    pub server: Server,
    /// Its database, if that is a PostgreSQL.
    pub postgres: Option<pg::Server>,
    /// Its table there.
    pub table: String,
    /// Who signs.
    pub scene: Scene,
    store: Store,
}

impl World {
    /// Starts a server over a new store, unsealed by a static seal.
    pub fn start(store: Store) -> Self {
        let table = pg::table();
        let postgres = (store == Store::Postgres).then(database);
        let mut setup = Setup::default().static_seal().log_level("warn").patience(PATIENCE);
        if let Some(postgres) = &postgres {
            setup = setup.storage(postgres.storage(&table));
        }
        let server = setup.start();
        let scene = Scene::new(&server);
        World { server, postgres, table, scene, store }
    }
    /// What kind of store it has.
    pub const fn store(&self) -> Store {
        self.store
    }
    /// Bytes of the store on the disk.
    pub fn store_bytes(&self) -> u64 {
        match &self.postgres {
            None => fs::metadata(self.server.store()).map_or(0, |meta| meta.len()),
            Some(postgres) => {
                let size = postgres.sql(&format!("SELECT pg_total_relation_size('{}')", self.table));
                size.parse().expect("a size")
            }
        }
    }
    /// Bytes of the audit file.
    pub fn audit_bytes(&self) -> u64 {
        fs::metadata(self.server.audit()).map_or(0, |meta| meta.len())
    }
    /// The server's configuration with the store at `storage` (a block) and another audit file.
    pub fn config_with(&self, storage: &str, name: &str) -> PathBuf {
        let text = fs::read_to_string(self.server.configure()).expect("a configuration");
        let from = text.find("storage \"").expect("a storage block");
        let to = from + text[from..].find("\n}").expect("its end") + 2;
        let text = format!("{}{storage}{}", &text[..from], &text[to..]).replace("audit.log", &format!("{name}.audit"));
        let path = self.server.dir().join(format!("{name}.hcl"));
        fs::write(&path, text).expect("a configuration");
        path
    }

    /// Stores a set of ten codes for an account that is not there yet.
    pub fn store_ten(&self, account: u32, jwt: &str) -> Prepared {
        let body = json!({"role": "automation", "jwt": jwt, "codes": codes(u64::from(account), 10), "cas": 0});
        self.post("sets", &person(account), &body)
    }
    /// Asks for one code of `account` with an assertion of its own.
    pub fn retrieve(&self, account: &str, number: u32) -> Prepared {
        self.retrieve_under("on-call", &self.admin(number, ISSUER), account)
    }
    /// The assertion of an admin on call, at this issuer, signed by the scene's key.
    pub fn admin(&self, number: u32, issuer: &str) -> String {
        let mut claims = claims(issuer, &format!("admin-{}", number % 100), AUDIENCE);
        claims["groups"] = json!(["on-call"]);
        self.scene.signer.jwt(&claims)
    }
    /// Asks for one code under this role.
    pub fn retrieve_under(&self, role: &str, jwt: &str, account: &str) -> Prepared {
        self.post("retrieve", account, &json!({"role": role, "jwt": jwt, "reason": "locked out"}))
    }
    /// Reads the metadata of `account`.
    pub fn metadata(&self, account: &str) -> Prepared {
        self.get(&format!("accounts/{account}"))
    }
    /// A read with the root token.
    pub fn get(&self, path: &str) -> Prepared {
        self.request(Method::GET, path)
            .header("x-vault-token", self.server.root_token())
            .body(Full::default())
            .expect("it")
    }
    /// An act, which brings its assertion in the body.
    pub fn post(&self, base: &str, account: &str, body: &Value) -> Prepared {
        let body = Full::new(Bytes::from(body.to_string()));
        self.request(Method::POST, &format!("{base}/{account}")).body(body).expect("a request")
    }
    /// A write with the root token.
    pub fn administer(&self, path: &str, body: &Value) -> Prepared {
        let request = self.request(Method::POST, path).header("x-vault-token", self.server.root_token());
        request.body(Full::new(Bytes::from(body.to_string()))).expect("a request")
    }
    fn request(&self, method: Method, path: &str) -> hyper::http::request::Builder {
        let host = self.address().to_string();
        let uri = format!("/v1/{MOUNT}/{path}");
        Request::builder().method(method).uri(uri).header("host", host).header("x-vault-request", "true")
    }
    /// Where the server listens.
    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }
}

/// The account of this number.
pub fn person(number: u32) -> String {
    format!("{FOLDER}/person-{number:07}@example.com")
}

/// A PostgreSQL on the disk, durable, with no more than room for its log.
pub fn database() -> pg::Server {
    let mut server = pg::Server::new();
    server.start(&["shared_buffers=256MB", "max_wal_size=4GB", "checkpoint_timeout=15min"]);
    server
}
