//! Who takes part: a provider that may fall silent, the two faces, a person at a shell.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use super::support::http::Client;
use super::support::provision;
use super::support::scene::codes;
use super::support::server::{BINARY, MOUNT, Server, free_address};
use super::support::signer::{Signer, claims};
use super::support::vault::Vault;

pub const ACCOUNT: &str = "github/acme-owner";
pub const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/break-glass");

/// An identity provider whose discovery document and key set can be fetched until it is closed.
pub struct Provider {
    pub address: SocketAddr,
    pub signer: Signer,
    pub closed: Arc<AtomicBool>,
    pub serving: Option<JoinHandle<()>>,
}

impl Provider {
    pub fn open() -> Self {
        let (address, signer) = (free_address(), Signer::es256("idp-1"));
        let pem = signer.public_pem();
        let der = STANDARD.decode(pem.lines().filter(|line| !line.starts_with('-')).collect::<String>()).unwrap();
        let (x, y) = der[der.len() - 64..].split_at(32);
        let part = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let keys = json!({"keys": [{"kty": "EC", "crv": "P-256", "kid": "idp-1", "use": "sig", "alg": "ES256", "x": part(x), "y": part(y)}]});
        let about = json!({
            "issuer": format!("http://{address}"), "jwks_uri": format!("http://{address}/keys"),
            "authorization_endpoint": format!("http://{address}/auth"), "token_endpoint": format!("http://{address}/token"),
            "id_token_signing_alg_values_supported": ["ES256"], "response_types_supported": ["id_token"],
            "subject_types_supported": ["public"],
        });
        let listener = TcpListener::bind(address).unwrap();
        let closed = Arc::new(AtomicBool::new(false));
        let over = closed.clone();
        let serving = thread::spawn(move || {
            for mut client in listener.incoming().flatten() {
                if over.load(Ordering::SeqCst) {
                    return;
                }
                let mut head = vec![0; 4096];
                let length = client.read(&mut head).unwrap_or(0);
                let keys_wanted = String::from_utf8_lossy(&head[..length]).starts_with("GET /keys");
                let body = if keys_wanted { &keys } else { &about }.to_string();
                let _ = write!(
                    client,
                    "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
                    body.len()
                );
            }
        });
        Provider { address, signer, closed, serving: Some(serving) }
    }
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }
    pub fn jwt(&self, subject: &str) -> String {
        let mut claims = claims(&self.url(), subject, "sparekey");
        claims["groups"] = json!([subject]);
        self.signer.jwt(&claims)
    }
    /// Nothing listens any more: the thread that held the listener has ended. Whether its port stays silent is not asked; anybody may
    /// be given it next.
    pub fn close(&mut self) {
        self.closed.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
        self.serving.take().unwrap().join().unwrap();
    }
}

/// Where the engine runs.
pub enum Face {
    Standalone(Server),
    Mounted(Vault),
}

impl Face {
    pub fn name(&self) -> &'static str {
        match self {
            Face::Standalone(_) => "standalone",
            Face::Mounted(_) => "mounted",
        }
    }
    pub fn login(&self) -> &'static str {
        match self {
            Face::Standalone(_) => "auth/jwt",
            Face::Mounted(_) => "auth/break-glass",
        }
    }
    pub fn root(&self) -> Client {
        match self {
            Face::Standalone(server) => server.root(),
            Face::Mounted(vault) => vault.root(),
        }
    }
    pub fn root_token(&self) -> &str {
        match self {
            Face::Standalone(server) => server.root_token(),
            Face::Mounted(vault) => vault.root_token(),
        }
    }
    pub fn url(&self) -> String {
        match self {
            Face::Standalone(server) => server.url(),
            Face::Mounted(vault) => vault.url(),
        }
    }
    /// What whatever collects logs can look for, as the page says.
    pub fn logs_the_alarm(&self) -> bool {
        match self {
            Face::Standalone(server) => {
                fs::read_to_string(server.audit()).unwrap().contains("\"role\":\"break-glass\"")
            }
            Face::Mounted(vault) => vault.audit().contains("\"path\":\"auth/break-glass/login\""),
        }
    }
    pub fn restart(&mut self) {
        match self {
            Face::Standalone(server) => server.restart(),
            Face::Mounted(vault) => {
                vault.kill();
                vault.boot();
                vault.unseal();
            }
        }
    }
}

/// Somebody with the page, the scripts and the key.
pub struct Person<'a> {
    pub face: &'a Face,
    pub home: PathBuf,
    pub tools: Vec<(&'static str, String)>,
    /// What somebody of the day before has still: a login to the vault, where there is one.
    pub former: Option<String>,
}

#[derive(Debug)]
pub struct Said {
    pub code: Option<i32>,
    pub text: String,
}

impl Person<'_> {
    /// Runs the lines as they stand there; `None` is a token of their own.
    pub fn run(&self, lines: &str, token: Option<&str>, more: &[(&str, &str)]) -> Said {
        let mut path = format!("{}:/usr/local/bin:/usr/bin:/bin", self.home.join("bin").display());
        let mut command = Command::new("bash");
        command.arg("-euc").arg(format!("exec 2>&1\n{lines}")).env_clear();
        for (name, value) in &self.tools {
            match *name {
                "PATH" => path = format!("{path}:{value}"),
                name => _ = command.env(name, value),
            }
        }
        command
            .env("PATH", path)
            .env("HOME", &self.home)
            .env("BAO_ADDR", self.face.url())
            .env("LOGIN", self.face.login());
        command.env("SECRET_FILE", self.home.join("secret")).envs(more.iter().copied());
        token.map(|token| command.env("BAO_TOKEN", token));
        let output = command.current_dir(&self.home).stdin(Stdio::null()).output().expect("bash");
        Said { code: output.status.code(), text: String::from_utf8_lossy(&output.stdout).into_owned() }
    }
    /// Runs every command of the page that is for this face, and looks for what it shows.
    /// Where the key was used within the quarter of an hour before, the alarm rings from the start.
    pub fn follow_the_page(&self, subject: &str, rings: bool) -> String {
        let (mut seen, mut all) = (0, String::new());
        for (lines, shown) in page() {
            if lines.starts_with("./prepare.sh") && lines.trim() != format!("./prepare.sh {}", self.face.name()) {
                continue;
            }
            let administers = lines.starts_with("./prepare.sh") || lines.starts_with("./tripwire.sh");
            let token = if administers {
                Some(self.face.root_token())
            } else if lines.contains("get-jwt") {
                self.former.as_deref()
            } else {
                None
            };
            let said = self.run(&lines, token, &[]);
            let wanted = if lines.trim() == "./tripwire.sh 15m" && rings { 3 } else { 0 };
            assert_eq!(said.code, Some(wanted), "{lines}\n{}", said.text);
            for wanted in &shown {
                let wanted = wanted.replace("key-1", subject);
                assert!(said.text.contains(&wanted), "{lines}\n does not show {wanted}:\n{}", said.text);
            }
            seen += 1;
            all += &said.text;
        }
        assert_eq!(seen, 7, "the page has lost commands");
        all
    }
    pub fn jwt(&self, more: &[(&str, &str)]) -> Said {
        self.run("./break-glass-jwt", None, more)
    }
}

/// The page's commands, each block with the lines that it shows.
pub fn page() -> Vec<(String, Vec<String>)> {
    let text = fs::read_to_string(format!("{FOLDER}/README.md")).unwrap();
    let mut found: Vec<(String, Vec<String>)> = Vec::new();
    let mut rest = text.as_str();
    while let Some((_, after)) = rest.split_once("\n```") {
        let (kind, after) = after.split_once('\n').unwrap();
        let (block, after) = after.split_once("\n```").unwrap();
        match kind {
            "sh" => found.push((block.to_owned(), Vec::new())),
            "text" => found.last_mut().unwrap().1.extend(block.lines().map(str::to_owned)),
            _ => {}
        }
        rest = after;
    }
    found
}

/// The world of the day before: the ordinary way works, and codes are stored.
pub fn day_before(face: &Face, provider: &Provider) {
    let root = face.root();
    let write = |path: &str, body: Value| {
        let answer = root.write(&format!("{MOUNT}/{path}"), &body);
        assert!(matches!(answer.status, 200 | 204), "{path}: {}", answer.text());
    };
    write("issuers/idp", json!({"bound_issuer": provider.url(), "oidc_discovery_url": provider.url()}));
    write("issuers/idp-keys", json!({"bound_issuer": provider.url(), "jwks_url": format!("{}/keys", provider.url())}));
    for (name, issuer, operations) in
        [("on-call", "idp", "retrieve"), ("on-call-keys", "idp-keys", "retrieve"), ("rotator", "idp", "store")]
    {
        let role = json!({
            "issuers": issuer, "bound_audiences": "sparekey", "accounts": "*", "operations": operations,
            "bound_subject": name.trim_end_matches("-keys"),
        });
        write(&format!("roles/{name}"), role);
    }
    let set = json!({"role": "rotator", "jwt": provider.jwt("rotator"), "codes": codes(1, 6), "cas": 0});
    write(&format!("sets/{ACCOUNT}"), set);
    for role in ["on-call", "on-call-keys"] {
        let body = json!({"role": role, "jwt": provider.jwt("on-call"), "reason": "phone lost"});
        write(&format!("retrieve/{ACCOUNT}"), body);
    }
    if let Face::Mounted(_) = face {
        root.write("sys/auth/jwt", &json!({"type": "jwt"})).expect(204);
        let config = json!({"oidc_discovery_url": provider.url(), "jwt_supported_algs": ["ES256"]});
        root.write("auth/jwt/config", &config).expect(204);
        let role = json!({"role_type": "jwt", "user_claim": "sub", "bound_audiences": "sparekey"});
        root.write("auth/jwt/role/on-call", &role).expect(204);
        let login = json!({"role": "on-call", "jwt": provider.jwt("on-call")});
        root.write("auth/jwt/login", &login).expect(200);
    }
}

/// The home of a person with the scripts, and `get-jwt`, which still has what the provider signed while it was there.
pub fn person<'a>(face: &'a Face, provider: &Provider, dir: &Path, name: &str) -> Person<'a> {
    let home = dir.join(name);
    fs::create_dir_all(home.join("bin")).unwrap();
    for entry in fs::read_dir(FOLDER).unwrap().flatten() {
        fs::copy(entry.path(), home.join(entry.file_name())).unwrap();
    }
    symlink(provision::bao(), home.join("bin/bao")).unwrap();
    symlink(BINARY, home.join("bin/sparekey")).unwrap();
    fs::write(home.join("on-call.jwt"), provider.jwt("on-call")).unwrap();
    fs::write(home.join("bin/get-jwt"), "#!/bin/sh\nexec cat ~/$1.jwt\n").unwrap();
    fs::set_permissions(home.join("bin/get-jwt"), fs::Permissions::from_mode(0o755)).unwrap();
    let former = match face {
        Face::Mounted(vault) => Some(vault.token("on-call", &Vault::everything_below(MOUNT))),
        Face::Standalone(_) => None,
    };
    Person { face, home, tools: Vec::new(), former }
}

pub fn configure(person: &Person<'_>, lines: &str) {
    let path = person.home.join("break-glass.conf");
    let text = fs::read_to_string(&path).unwrap() + lines;
    fs::write(path, text).unwrap();
}
