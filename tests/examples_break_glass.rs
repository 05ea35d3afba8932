//! `examples/break-glass/`: with discovery, key sets and the provider out of reach, a pinned key still gets one code. Every command of
//! the page, as it stands there, with a file key and a PKCS#11 token, on a server of its own and in a real vault.

#[path = "support/mod.rs"]
mod support;

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

use support::http::Client;
use support::pkcs11;
use support::provision;
use support::scene::codes;
use support::server::{BINARY, MOUNT, Server, free_address};
use support::signer::{Signer, claims};
use support::vault::Vault;

const ACCOUNT: &str = "github/acme-owner";
const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/break-glass");

/// An identity provider whose discovery document and key set can be fetched until it is closed.
struct Provider {
    address: SocketAddr,
    signer: Signer,
    closed: Arc<AtomicBool>,
    serving: Option<JoinHandle<()>>,
}

impl Provider {
    fn open() -> Self {
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
    fn url(&self) -> String {
        format!("http://{}", self.address)
    }
    fn jwt(&self, subject: &str) -> String {
        let mut claims = claims(&self.url(), subject, "sparekey");
        claims["groups"] = json!([subject]);
        self.signer.jwt(&claims)
    }
    /// Nothing listens any more.
    fn close(&mut self) {
        self.closed.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
        self.serving.take().unwrap().join().unwrap();
        assert!(TcpStream::connect(self.address).is_err(), "the provider can still be reached");
    }
}

/// Where the engine runs.
enum Face {
    Standalone(Server),
    Mounted(Vault),
}

impl Face {
    fn name(&self) -> &'static str {
        match self {
            Face::Standalone(_) => "standalone",
            Face::Mounted(_) => "mounted",
        }
    }
    fn login(&self) -> &'static str {
        match self {
            Face::Standalone(_) => "auth/jwt",
            Face::Mounted(_) => "auth/break-glass",
        }
    }
    fn root(&self) -> Client {
        match self {
            Face::Standalone(server) => server.root(),
            Face::Mounted(vault) => vault.root(),
        }
    }
    fn root_token(&self) -> &str {
        match self {
            Face::Standalone(server) => server.root_token(),
            Face::Mounted(vault) => vault.root_token(),
        }
    }
    fn url(&self) -> String {
        match self {
            Face::Standalone(server) => server.url(),
            Face::Mounted(vault) => vault.url(),
        }
    }
    /// What whatever collects logs can look for, as the page says.
    fn logs_the_alarm(&self) -> bool {
        match self {
            Face::Standalone(server) => {
                fs::read_to_string(server.audit()).unwrap().contains("\"role\":\"break-glass\"")
            }
            Face::Mounted(vault) => vault.audit().contains("\"path\":\"auth/break-glass/login\""),
        }
    }
    fn restart(&mut self) {
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
struct Person<'a> {
    face: &'a Face,
    home: PathBuf,
    tools: Vec<(&'static str, String)>,
    /// What somebody of the day before has still: a login to the vault, where there is one.
    former: Option<String>,
}

#[derive(Debug)]
struct Said {
    code: Option<i32>,
    text: String,
}

impl Person<'_> {
    /// Runs the lines as they stand there; `None` is a token of their own.
    fn run(&self, lines: &str, token: Option<&str>, more: &[(&str, &str)]) -> Said {
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
    fn follow_the_page(&self, subject: &str, rings: bool) -> String {
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
    fn jwt(&self, more: &[(&str, &str)]) -> Said {
        self.run("./break-glass-jwt", None, more)
    }
}

/// The page's commands, each block with the lines that it shows.
fn page() -> Vec<(String, Vec<String>)> {
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
fn day_before(face: &Face, provider: &Provider) {
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
fn person<'a>(face: &'a Face, provider: &Provider, dir: &Path, name: &str) -> Person<'a> {
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

fn configure(person: &Person<'_>, lines: &str) {
    let path = person.home.join("break-glass.conf");
    let text = fs::read_to_string(&path).unwrap() + lines;
    fs::write(path, text).unwrap();
}

fn the_glass_is_broken_at(mut face: Face) {
    let dir = tempfile::tempdir().unwrap();
    let mut provider = Provider::open();
    day_before(&face, &provider);
    provider.close();
    face.restart();
    let root = face.root();
    for role in ["on-call", "on-call-keys"] {
        let body = json!({"role": role, "jwt": provider.jwt("on-call"), "reason": "phone lost"});
        let refused = root.write(&format!("{MOUNT}/retrieve/{ACCOUNT}"), &body);
        assert_eq!(refused.status, 403, "{}", refused.text());
        assert!(refused.text().contains("the issuer's keys cannot be fetched at present"), "{}", refused.text());
    }
    if let Face::Mounted(vault) = &face {
        let login = json!({"role": "on-call", "jwt": provider.jwt("on-call")});
        assert_ne!(vault.client().write("auth/jwt/login", &login).status, 200, "the vault's own login hangs on it too");
    }

    assert!(!face.logs_the_alarm());
    let by_file = person(&face, &provider, dir.path(), "file");
    fs::write(by_file.home.join("secret"), "a passphrase on paper\n").unwrap();
    let said = by_file.follow_the_page("key-1", false);
    assert!(said.contains(&codes(1, 6)[2]), "{said}");
    assert!(face.logs_the_alarm());
    let blind = by_file.run("./tripwire.sh", Some("s.nonsense"), &[]);
    assert!(!matches!(blind.code, Some(0 | 3)), "who cannot look does not say that all is well: {blind:?}");
    let key = by_file.home.join("break-glass.pem");
    assert_eq!(fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);
    the_key_is_guarded(&by_file, &key);

    // A second key takes the first one's place: its own name in the history, the next code; the first one is refused.
    let token = pkcs11::Token::new(&dir.path().join("token"));
    let mut by_token = person(&face, &provider, dir.path(), "token");
    fs::write(by_token.home.join("secret"), format!("{}\n", pkcs11::PIN)).unwrap();
    configure(&by_token, &(token.settings() + "SUBJECT=key-2\n"));
    by_token.tools.clone_from(&token.environment);
    let said = by_token.follow_the_page("key-2", true);
    assert!(said.contains(&codes(1, 6)[3]), "{said}");
    let wrong = by_token.jwt(&[("SECRET", "000000")]);
    assert!(wrong.code == Some(1) && wrong.text.contains("CKR_PIN_INCORRECT"), "{wrong:?}");
    let old = by_file.run("./break-glass-jwt | bao write $LOGIN/login role=break-glass jwt=-", None, &[]);
    assert_ne!(old.code, Some(0), "the former key still opens: {old:?}");
    the_role_is_tight(&by_token);
    a_second_key_stands_beside_the_first(&face, &by_token, person(&face, &provider, dir.path(), "spare"));

    let acts = root.read(&format!("{MOUNT}/history/{ACCOUNT}")).expect(200).data()["entries"].clone();
    let acts: Vec<String> = acts
        .as_array()
        .unwrap()
        .iter()
        .filter(|entry| entry["actor"]["role"] == "break-glass")
        .map(|entry| format!("{} {}", entry["act"].as_str().unwrap(), entry["ticket"]))
        .collect();
    let twice = ["retrieve \"INC-7\"", "outcome null"].repeat(2);
    assert_eq!(acts, twice, "one code for each time the glass was broken");
}

/// The file's script does not sign by a key that others may have.
fn the_key_is_guarded(person: &Person<'_>, key: &Path) {
    let refused = |mode: u32, says: &str| {
        fs::set_permissions(key, fs::Permissions::from_mode(mode)).unwrap();
        let said = person.jwt(&[]);
        assert!(said.code == Some(1) && said.text.contains(says) && !said.text.contains("eyJ"), "{mode:o}: {said:?}");
    };
    for open in [0o640, 0o604, 0o622, 0o660] {
        refused(open, "readable for its owner alone");
    }
    fs::set_permissions(key, fs::Permissions::from_mode(0o600)).unwrap();
    let wrong = person.jwt(&[("SECRET", "another passphrase")]);
    assert!(wrong.code == Some(1) && wrong.text.contains("no signature"), "{wrong:?}");
    let good = fs::read(key).unwrap();
    let plain = "openssl pkey -in break-glass.pem -passin file:secret -out plain.pem && mv plain.pem break-glass.pem";
    assert_eq!(person.run(plain, None, &[]).code, Some(0));
    refused(0o600, "is not encrypted");
    fs::remove_file(key).unwrap();
    let gone = person.jwt(&[]);
    assert!(gone.text.contains("is the medium with the key mounted?"), "{gone:?}");
    fs::write(key, good).unwrap();
    fs::set_permissions(key, fs::Permissions::from_mode(0o400)).unwrap();
    assert_eq!(person.jwt(&[]).code, Some(0));
}

/// Under a name of its own, with a role of its own; it goes without the other.
fn a_second_key_stands_beside_the_first(face: &Face, first: &Person<'_>, spare: Person<'_>) {
    fs::write(spare.home.join("secret"), "another passphrase on paper\n").unwrap();
    fs::rename(spare.home.join("break-glass.conf"), spare.home.join("spare.conf")).unwrap();
    let path = spare.home.join("spare.conf");
    let lines = "NAME=break-glass-2\nSUBJECT=key-3\nKEY_FILE=spare.pem\n";
    fs::write(&path, fs::read_to_string(&path).unwrap() + lines).unwrap();
    let login = match face {
        Face::Standalone(_) => "auth/jwt",
        Face::Mounted(_) => "auth/break-glass-2",
    };
    let more = [("BREAK_GLASS_CONF", path.to_str().unwrap()), ("LOGIN", login)];
    let root = Some(face.root_token());
    let prepared = spare.run(&format!("./prepare.sh {}; ./tripwire.sh 15m break-glass-2", face.name()), root, &more);
    assert_eq!(prepared.code, Some(0), "{}", prepared.text);
    let drill = spare.run("./drill.sh $LOGIN", None, &more);
    assert_eq!(drill.code, Some(0), "{}", drill.text);
    let rings = spare.run("./tripwire.sh 15m break-glass-2", root, &more);
    assert!(rings.code == Some(3) && rings.text.contains(",key-3,") && !rings.text.contains(",key-2,"), "{rings:?}");

    let log_in = |role: &str| format!("./break-glass-jwt | bao write -field=token $LOGIN/login role={role} jwt=-");
    let crossed = spare.run(&log_in("break-glass"), None, &more);
    assert_ne!(crossed.code, Some(0), "one key opens the other's role: {crossed:?}");
    face.root().delete(&format!("{MOUNT}/issuers/break-glass-2")).expect(204);
    let get =
        "sparekey get github/acme-owner --role break-glass-2 --ticket INC-9 --reason x --jwt-command ./break-glass-jwt";
    let gone = spare.run(get, root, &more);
    assert!(gone.code == Some(2) && gone.text.contains("refused"), "{gone:?}");
    assert_eq!(first.run(&log_in("break-glass"), None, &[]).code, Some(0), "the first key opens as before");
}

/// What the key cannot do.
fn the_role_is_tight(person: &Person<'_>) {
    let login = "./break-glass-jwt | bao write -field=token $LOGIN/login role=break-glass jwt=- > ~/.vault-token";
    assert_eq!(person.run(login, None, &[]).code, Some(0));
    let other = "sparekey get okta/jane@example.com --role break-glass --ticket INC-7 --reason x --jwt-command ./break-glass-jwt";
    let no_ticket = "sparekey get github/acme-owner --role break-glass --reason x --jwt-command ./break-glass-jwt";
    let store = "echo abcde-12345 > f; ./break-glass-jwt | sparekey import github/acme-owner f --role break-glass-drill --jwt-file - --yes";
    let policy = "bao write backup-codes/roles/break-glass accounts='*'";
    for line in [other, no_ticket, store, policy] {
        let said = person.run(line, None, &[]);
        assert_ne!(said.code, Some(0), "{line}\n{}", said.text);
        let who = ["role:", "permission denied", "403"];
        assert!(who.iter().any(|words| said.text.contains(words)), "{line}\n{}", said.text);
    }
    assert_eq!(person.run("bao token revoke -self", None, &[]).code, Some(0));
}

#[test]
fn the_glass_is_broken_on_a_server_of_its_own() {
    the_glass_is_broken_at(Face::Standalone(Server::start()));
}

#[test]
fn the_glass_is_broken_in_a_vault() {
    the_glass_is_broken_at(Face::Mounted(Vault::mounted()));
}
