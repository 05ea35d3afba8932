//! What `--dev` starts: a server in memory with an issuer and a role to try things out with, and what to type next.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};
use zeroize::Zeroizing;

use super::Failure;
use crate::audit::DeviceConfig;
use crate::cli::console::Console;
use crate::cli::dev;
use crate::clock::{Clock, SystemClock};
use crate::config::{AnchorChoice, Config, Listener, Log, SealChoice, StorageChoice, Telemetry};
use crate::domain::role::Capability;
use crate::host::Host;
use crate::host::answer::Answer;
use crate::host::call::{Call, Token, Verb};

const MOUNT: &str = "backup-codes/";
/// Name of the issuer and of the role.
const NAME: &str = "dev";
const AUDIENCE: &str = "sparekey";

/// A development server before it is up.
pub(super) struct Development {
    folder: PathBuf,
    /// Whether `sparekey dev jwt` must be told of the folder.
    elsewhere: bool,
    audit: PathBuf,
    public_key: String,
    root_token: Option<String>,
}

impl Development {
    /// Makes the folder with the issuer's key (an existing key is kept), and the configuration of the server.
    pub fn new(
        address: SocketAddr,
        folder: Option<PathBuf>,
        root_token: Option<String>,
    ) -> Result<(Config, Self), Failure> {
        let elsewhere = folder.is_some();
        let folder = folder.unwrap_or_else(dev::default_dir);
        let folder = std::path::absolute(&folder).unwrap_or(folder);
        let issuer = dev::ensure_issuer(&folder).map_err(|error| Failure::of("--dev-dir", &error))?;
        // A file of its own for every start: the store that knows the end of an older one is gone.
        let audit = folder.join(format!("audit-{}-{}.log", SystemClock.now().millis(), std::process::id()));
        let options = BTreeMap::from([("file_path".to_owned(), audit.to_string_lossy().into_owned())]);
        let device = DeviceConfig::new("file", NAME, &options).map_err(|error| Failure::of("--dev-dir", &error))?;
        let mut warnings = Vec::new();
        if !address.ip().is_loopback() {
            warnings
                .push(format!("a development server on {address}: whoever reaches it can read the network's traffic"));
        }
        let config = Config {
            listeners: vec![Listener::plain(address)],
            storage: StorageChoice::Memory,
            seal: SealChoice::Shamir,
            devices: vec![device],
            anchors: AnchorChoice::default(),
            telemetry: Telemetry::default(),
            api_addr: None,
            mount_path: MOUNT.to_owned(),
            log: Log::default(),
            cluster_name: Some(NAME.to_owned()),
            node_id: None,
            shutdown_delay: Duration::ZERO,
            warnings,
        };
        let public_key = issuer.public_pem().to_owned();
        Ok((config, Development { folder, elsewhere, audit, public_key, root_token }))
    }

    /// Initialises and unseals the host, writes issuer and role, and prints what to type next.
    pub async fn furnish(&self, host: &Arc<Host>, address: SocketAddr) -> Result<(), Failure> {
        let birth = host.init_dev(self.root_token.clone()).await.map_err(|error| Failure::of("--dev", &error))?;
        let token = birth.root_token.expose();
        let share = birth.shares.first().ok_or_else(|| Failure::new("--dev: the seal gave no unseal key"))?;
        let unseal_key = Zeroizing::new(STANDARD.encode(share.as_slice()));
        let issuer = json!({
            "jwt_validation_pubkeys": [self.public_key],
            "bound_issuer": dev::ISSUER,
        });
        let role = json!({
            "issuers": [NAME],
            "bound_audiences": [AUDIENCE],
            "bound_claims": {"sub": "*"},
            "bound_claims_type": "glob",
            "accounts": ["*"],
            "operations": Capability::ALL.map(Capability::name),
            "token_ttl": "24h",
            "token_max_ttl": "768h",
        });
        for (path, body) in [("issuers/dev", issuer), ("roles/dev", role), ("config", json!({"default_role": NAME}))] {
            write(host, path, body, token).await?;
        }
        Console::standard().say(&self.next_steps(address, token, &unseal_key));
        Ok(())
    }

    fn next_steps(&self, address: SocketAddr, token: &str, unseal_key: &str) -> Zeroizing<String> {
        let url = format!("http://{address}/v1/{MOUNT}");
        let program =
            std::env::args().next().filter(|name| name.contains('/')).unwrap_or_else(|| "sparekey".to_owned());
        let folder = if self.elsewhere { format!(" --dev-dir {}", quoted(&self.folder)) } else { String::new() };
        let jwt = format!("$({} dev jwt --sub you --aud {AUDIENCE}{folder})", quoted(Path::new(&program)));
        Zeroizing::new(format!(
            r#"Sparekey {version} for development: in memory, gone when it ends. Keep no real code in it.

  address     http://{address}
  root token  {token}
  unseal key  {unseal_key}
  folder      {folder_name}
  audit file  {audit}
  role        {NAME}: every operation on every account, for a JWT of that issuer with audience {AUDIENCE}

Next, in another terminal:

1. Store a set of codes.
   curl -s {url}sets/github/acme-owner -d "{{\"jwt\": \"{jwt}\", \"codes\": [\"h7kq-2mwx\", \"v9tr-4bnz\", \"c3ye-8pdf\", \"w6ju-5gks\"]}}"

2. Take one out. It leaves once.
   curl -s {url}retrieve/github/acme-owner -d "{{\"jwt\": \"{jwt}\", \"reason\": \"trying it out\"}}"

3. See what happened, and that the record holds.
   curl -s -H "X-Vault-Token: {token}" "{url}history/github/acme-owner?verify=true"
"#,
            version = env!("CARGO_PKG_VERSION"),
            folder_name = self.folder.display(),
            audit = self.audit.display(),
        ))
    }
}

async fn write(host: &Arc<Host>, path: &str, body: Value, token: &str) -> Result<(), Failure> {
    let body = match body {
        Value::Object(body) => body,
        _ => Map::new(),
    };
    let call = Call {
        verb: Verb::Update,
        path: format!("{MOUNT}{path}"),
        query: Map::new(),
        body,
        token: Some(Token::new(token.to_owned())),
        wrap_ttl: None,
        foreign_namespace: false,
        text_metrics: false,
        open_metrics: false,
        shutting_down: false,
        remote: None,
        refused: None,
    };
    match host.handle(call).await {
        Answer::Refused(refusal) => Err(Failure::new(format_args!("--dev: {path}: {}", refusal.errors.join("; ")))),
        _ => Ok(()),
    }
}

/// For a shell, and inside double quotes too: plain if it can be.
fn quoted(path: &Path) -> String {
    let text = path.to_string_lossy();
    let plain = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/._-+@:".contains(&byte));
    if plain { text.into_owned() } else { format!("'{}'", text.replace('\'', r"'\''")) }
}
