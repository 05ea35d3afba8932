//! Where the server is and how to reach it: flags first, then OpenBao's environment variables, then Vault's.

use std::path::{Path, PathBuf};
use std::time::Duration;

use hyper::Uri;
use zeroize::Zeroizing;

use super::Failure;
use crate::domain::time::parse_duration;

const DEFAULT_ADDRESS: &str = "https://127.0.0.1:8200";
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(60);

/// The flags of every subcommand that talks to a server.
#[derive(clap::Args, Debug, Default, Clone)]
pub struct Connection {
    /// Address of the server [env: BAO_ADDR or VAULT_ADDR] [default: https://127.0.0.1:8200]
    #[arg(long, value_name = "URL")]
    pub address: Option<String>,
    /// Namespace of a mounting OpenBao [env: BAO_NAMESPACE or VAULT_NAMESPACE]
    #[arg(long, value_name = "NAME")]
    pub namespace: Option<String>,
    /// File with the authorities that sign the server's certificate, PEM [env: BAO_CACERT or VAULT_CACERT]
    #[arg(long, value_name = "FILE")]
    pub ca_cert: Option<PathBuf>,
    /// File with this client's certificate, PEM [env: BAO_CLIENT_CERT or VAULT_CLIENT_CERT]
    #[arg(long, value_name = "FILE")]
    pub client_cert: Option<PathBuf>,
    /// File with the key of that certificate, PEM [env: BAO_CLIENT_KEY or VAULT_CLIENT_KEY]
    #[arg(long, value_name = "FILE")]
    pub client_key: Option<PathBuf>,
    /// Name that the server's certificate must carry [env: BAO_TLS_SERVER_NAME or VAULT_TLS_SERVER_NAME]
    #[arg(long, value_name = "NAME")]
    pub tls_server_name: Option<String>,
    /// Do not check the server's certificate: for a trial only [env: BAO_SKIP_VERIFY or VAULT_SKIP_VERIFY]
    #[arg(long)]
    pub tls_skip_verify: bool,
    /// Allow http:// to another machine: everything sent can be read on the way
    #[arg(long)]
    pub allow_plain_http: bool,
}

/// The environment, as far as the client asks it.
pub type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Where the server is and how to reach it, decided.
pub struct Settings {
    address: String,
    namespace: Option<String>,
    token: Option<(Zeroizing<String>, String)>,
    ca_cert: Option<PathBuf>,
    client_cert: Option<(PathBuf, PathBuf)>,
    server_name: Option<String>,
    skip_verify: bool,
    timeout: Duration,
}

impl Settings {
    /// Decides from the flags and the environment; reads `~/.vault-token` if neither variable has a token.
    pub fn resolve(flags: &Connection, environment: Environment<'_>) -> Result<Self, Failure> {
        let lookup = Lookup(environment);
        let file = |flag: &Option<PathBuf>, name| flag.clone().or_else(|| lookup.either(name).map(PathBuf::from));
        let text = |flag: &Option<String>, name| flag.clone().or_else(|| lookup.either(name));
        let client_cert = match (file(&flags.client_cert, "CLIENT_CERT"), file(&flags.client_key, "CLIENT_KEY")) {
            (Some(cert), Some(key)) => Some((cert, key)),
            (None, None) => None,
            _ => {
                return Err(Failure::local(
                    "a client certificate needs both --client-cert and --client-key (or BAO_CLIENT_CERT, BAO_CLIENT_KEY)",
                ));
            }
        };
        Ok(Settings {
            address: address(text(&flags.address, "ADDR"), flags.allow_plain_http)?,
            namespace: text(&flags.namespace, "NAMESPACE").map(|name| format!("{}/", name.trim_matches('/'))),
            token: lookup.token()?,
            ca_cert: file(&flags.ca_cert, "CACERT"),
            client_cert,
            server_name: text(&flags.tls_server_name, "TLS_SERVER_NAME"),
            skip_verify: flags.tls_skip_verify || lookup.switch("SKIP_VERIFY")?,
            timeout: lookup.timeout()?,
        })
    }
    /// Scheme, host, port and base path, without a slash at the end.
    pub fn address(&self) -> &str {
        &self.address
    }
    /// The namespace, a slash at its end.
    pub fn namespace(&self) -> Option<&str> {
        self.namespace.as_deref()
    }
    /// The token, if there is one.
    pub fn token(&self) -> Option<&str> {
        self.token.as_ref().map(|(token, _)| token.as_str())
    }
    /// Where the token came from: the variable's or the file's name.
    pub fn token_origin(&self) -> Option<&str> {
        self.token.as_ref().map(|(_, origin)| origin.as_str())
    }
    /// The file with the authorities to trust instead of this machine's.
    pub fn ca_cert(&self) -> Option<&Path> {
        self.ca_cert.as_deref()
    }
    /// The files of this client's certificate and key.
    pub fn client_cert(&self) -> Option<(&Path, &Path)> {
        self.client_cert.as_ref().map(|(cert, key)| (cert.as_path(), key.as_path()))
    }
    /// The name that the server's certificate must carry, where it is not the host's.
    pub fn server_name(&self) -> Option<&str> {
        self.server_name.as_deref()
    }
    /// The server's certificate is not checked.
    pub fn skip_verify(&self) -> bool {
        self.skip_verify
    }
    /// How long one request may take.
    pub fn timeout(&self) -> Duration {
        self.timeout
    }
}

/// Accepts `http://` and `https://` with a host; a plain one only to this machine, unless `allow_plain_http`.
fn address(given: Option<String>, allow_plain_http: bool) -> Result<String, Failure> {
    let text = given.unwrap_or_else(|| DEFAULT_ADDRESS.to_owned());
    let wrong = || Failure::local(format!("{text} is no address of a server: write it like {DEFAULT_ADDRESS}"));
    let uri: Uri = text.parse().map_err(|_| wrong())?;
    let host = uri.host().filter(|host| !host.is_empty()).ok_or_else(wrong)?;
    if uri.query().is_some() || uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
        return Err(wrong());
    }
    match uri.scheme_str() {
        Some("https") => {}
        Some("http") if allow_plain_http || is_loopback(host) => {}
        Some("http") => {
            return Err(Failure::local(format!(
                "{text} would send codes and tokens readable over the network: use https://, or say --allow-plain-http"
            )));
        }
        _ => return Err(wrong()),
    }
    Ok(text.trim_end_matches('/').to_owned())
}

fn is_loopback(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || bare.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

struct Lookup<'a>(Environment<'a>);

impl Lookup<'_> {
    fn set(&self, name: &str) -> Option<String> {
        (self.0)(name).filter(|value| !value.is_empty())
    }
    fn either(&self, name: &str) -> Option<String> {
        self.set(&format!("BAO_{name}")).or_else(|| self.set(&format!("VAULT_{name}")))
    }
    fn switch(&self, name: &str) -> Result<bool, Failure> {
        match self.either(name).as_deref() {
            None | Some("0" | "f" | "F" | "false" | "False" | "FALSE") => Ok(false),
            Some("1" | "t" | "T" | "true" | "True" | "TRUE") => Ok(true),
            Some(_) => Err(Failure::local(format!("BAO_{name} (or VAULT_{name}) must be true or false"))),
        }
    }
    fn timeout(&self) -> Result<Duration, Failure> {
        match self.either("CLIENT_TIMEOUT") {
            None => Ok(DEFAULT_TIMEOUT),
            Some(text) => parse_duration(&text).filter(|limit| !limit.is_zero()).ok_or_else(|| {
                Failure::local("BAO_CLIENT_TIMEOUT (or VAULT_CLIENT_TIMEOUT) must be a duration such as 60s")
            }),
        }
    }
    fn token(&self) -> Result<Option<(Zeroizing<String>, String)>, Failure> {
        for name in ["BAO_TOKEN", "VAULT_TOKEN"] {
            if let Some(token) = self.set(name).map(Zeroizing::new) {
                return Ok(Some((Zeroizing::new(token.trim().to_owned()), name.to_owned())));
            }
        }
        let Some(home) = self.set("HOME") else { return Ok(None) };
        let file = Path::new(&home).join(".vault-token");
        match std::fs::read_to_string(&file).map(Zeroizing::new) {
            Ok(token) if token.trim().is_empty() => Ok(None),
            Ok(token) => Ok(Some((Zeroizing::new(token.trim().to_owned()), file.display().to_string()))),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Failure::local(format!("{} cannot be read: {error}", file.display()))),
        }
    }
}
