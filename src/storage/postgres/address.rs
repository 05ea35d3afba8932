//! The connection URL, read once: libpq's form and words, and stricter where libpq would go on without saying so.

use std::path::PathBuf;
use std::time::Duration;

use tokio_postgres::Config;
use tokio_postgres::config::{Host, SslMode, TargetSessionAttrs};
use zeroize::Zeroizing;

use super::error::PostgresError;

/// Servers in the order in which they are tried, and how to know them.
pub(super) struct Address {
    pub(super) servers: Vec<Server>,
    pub(super) trust: Trust,
    /// Authorities (`sslrootcert`); `None`: those of this machine.
    pub(super) authorities: Option<PathBuf>,
    /// Certificate and key (`sslcert`, `sslkey`).
    pub(super) client: Option<(PathBuf, PathBuf)>,
    /// What deserves a word in the log.
    pub(super) warnings: Vec<String>,
}

/// One server.
pub(super) struct Server {
    /// `host:port`, for errors.
    pub(super) name: String,
    pub(super) config: Config,
}

/// How the server is known (`sslmode`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trust {
    /// No TLS.
    Disable,
    /// TLS with anybody.
    Require,
    /// TLS with whoever an authority has given a certificate.
    VerifyCa,
    /// TLS with the host of this name.
    VerifyFull,
}

const KNOWN: &[&str] = &[
    "user",
    "password",
    "dbname",
    "host",
    "port",
    "sslmode",
    "sslrootcert",
    "sslcert",
    "sslkey",
    "sslnegotiation",
    "channel_binding",
    "target_session_attrs",
    "application_name",
    "options",
    "keepalives",
    "keepalives_idle",
    "keepalives_interval",
    "keepalives_retries",
    "tcp_user_timeout",
];

const EXAMPLE: &str = "postgres://sparekey@db1.example.com,db2.example.com:5432/sparekey?sslmode=verify-full";

impl Address {
    /// Reads `url`. An error says what would be right and repeats nothing of it but names of parameters and hosts.
    pub(super) fn parse(url: &str) -> Result<Self, PostgresError> {
        if url.is_empty() {
            return wrong(format_args!("required: a URL such as {EXAMPLE}"));
        }
        if !url.starts_with("postgres://") && !url.starts_with("postgresql://") {
            return wrong(format_args!("a URL such as {EXAMPLE}"));
        }
        let (place, query) = url.split_once('?').unwrap_or((url, ""));
        let mut rest = Zeroizing::new(place.to_owned());
        let mut own = Own::default();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let Some((word, value)) = pair.split_once('=') else {
                return wrong(
                    "a parameter without a value; in user and password @ : / ? # are written as %40 %3A %2F %3F %23",
                );
            };
            if !KNOWN.contains(&word) {
                return wrong(format_args!(
                    "a parameter that is not known here; known are {} (in user and password ? is written as %3F)",
                    KNOWN.join(", ")
                ));
            }
            if !own.take(word, value)? {
                let separator = if rest.contains('?') { '&' } else { '?' };
                rest.push(separator);
                rest.push_str(pair);
            }
        }
        let config: Config = match rest.parse() {
            Ok(config) => config,
            // Its errors name the parameter and never the value.
            Err(error) => return wrong(format_args!("{}; a URL such as {EXAMPLE}", crate::error::chain(&error))),
        };
        own.finish(config)
    }
    /// Whether several servers are named.
    pub(super) fn several(&self) -> bool {
        self.servers.len() > 1
    }
}

/// The words that tokio-postgres does not read, or reads less strictly.
#[derive(Default)]
struct Own {
    trust: Option<Trust>,
    authorities: Option<PathBuf>,
    cert: Option<PathBuf>,
    key: Option<PathBuf>,
}

impl Own {
    /// Whether `word` is one of them.
    fn take(&mut self, word: &str, value: &str) -> Result<bool, PostgresError> {
        match word {
            "sslmode" => self.trust = Some(trust(value)?),
            "sslrootcert" if value == "system" => self.authorities = None,
            "sslrootcert" => self.authorities = Some(path(word, value)?),
            "sslcert" => self.cert = Some(path(word, value)?),
            "sslkey" => self.key = Some(path(word, value)?),
            "target_session_attrs" if matches!(value, "read-write" | "primary") => {}
            "target_session_attrs" => {
                return wrong("target_session_attrs: read-write and nothing else: a standby's answers are of the past");
            }
            _ => return Ok(false),
        }
        Ok(true)
    }
    fn finish(self, config: Config) -> Result<Address, PostgresError> {
        let sockets = config.get_hosts().iter().all(|host| matches!(host, Host::Unix(_)));
        let trust = self.trust.unwrap_or(if sockets { Trust::Disable } else { Trust::VerifyFull });
        let client = match (self.cert, self.key) {
            (None, None) => None,
            (Some(cert), Some(key)) => Some((cert, key)),
            (Some(_), None) => return wrong("sslcert: needs sslkey beside it"),
            (None, Some(_)) => return wrong("sslkey: needs sslcert beside it"),
        };
        if trust == Trust::Disable && (client.is_some() || self.authorities.is_some()) {
            return wrong("sslmode: disable, and certificates are named: without TLS nobody looks at them");
        }
        // libpq: an authority that is named is asked.
        let trust = match trust {
            Trust::Require if self.authorities.is_some() => Trust::VerifyCa,
            other => other,
        };
        if config.get_user().is_none_or(str::is_empty) {
            return wrong(format_args!("names no user; a URL such as {EXAMPLE}"));
        }
        let servers = servers(&config, trust)?;
        let mut warnings = Vec::new();
        let far = servers.iter().filter(|server| !is_local(&server.config)).map(|server| server.name.as_str());
        let far: Vec<&str> = far.collect();
        match trust {
            Trust::Disable if !far.is_empty() => warnings.push(format!(
                "storage \"postgres\": sslmode=disable: records cross the network to {} without TLS, and whoever is between can \
                 change what the database answers; use sslmode=verify-full",
                far.join(", ")
            )),
            Trust::Require => warnings.push(
                "storage \"postgres\": sslmode=require: the connection is encrypted, but to anybody who answers; use \
                 sslmode=verify-full with sslrootcert"
                    .to_owned(),
            ),
            _ => {}
        }
        Ok(Address { servers, trust, authorities: self.authorities, client, warnings })
    }
}

fn trust(value: &str) -> Result<Trust, PostgresError> {
    match value {
        "disable" => Ok(Trust::Disable),
        "require" => Ok(Trust::Require),
        "verify-ca" => Ok(Trust::VerifyCa),
        "verify-full" => Ok(Trust::VerifyFull),
        "prefer" | "allow" => wrong(
            "sslmode: prefer and allow go on without TLS unnoticed; say verify-full, verify-ca, require or disable",
        ),
        _ => wrong("sslmode: one of verify-full, verify-ca, require, disable"),
    }
}

/// One configuration for each server, so that one that hangs costs its own time and not that of all.
fn servers(config: &Config, trust: Trust) -> Result<Vec<Server>, PostgresError> {
    let hosts = config.get_hosts();
    if hosts.is_empty() {
        return wrong(format_args!("names no host; a URL such as {EXAMPLE}"));
    }
    let ports = config.get_ports();
    if ports.len() > 1 && ports.len() != hosts.len() {
        return wrong("port: one for all hosts, or one for each");
    }
    let server = |(index, host): (usize, &Host)| {
        let port = ports.get(index).or(ports.first()).copied().unwrap_or(5432);
        let mut one = without_hosts(config);
        one.port(port);
        let name = match host {
            Host::Unix(path) => {
                one.host_path(path);
                format!("{}:{port}", path.display())
            }
            Host::Tcp(name) => {
                let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-:".contains(&byte);
                if name.is_empty() || !name.bytes().all(plain) {
                    return wrong(
                        "a host with unusual characters; in user and password @ : / ? # are written as %40 %3A %2F %3F %23",
                    );
                }
                one.host(name);
                format!("{name}:{port}")
            }
        };
        one.ssl_mode(if trust == Trust::Disable { SslMode::Disable } else { SslMode::Require });
        if trust != Trust::Disable && matches!(host, Host::Unix(_)) {
            return wrong("sslmode: a socket of this machine has no TLS: use sslmode=disable");
        }
        one.target_session_attrs(TargetSessionAttrs::ReadWrite);
        Ok(Server { name, config: one })
    };
    hosts.iter().enumerate().map(server).collect()
}

/// How long a connection may be dead before the kernel says so.
const DEAD_AFTER: Duration = Duration::from_secs(15);

fn without_hosts(config: &Config) -> Config {
    let mut one = Config::new();
    if let Some(user) = config.get_user() {
        one.user(user);
    }
    if let Some(password) = config.get_password() {
        one.password(password);
    }
    if let Some(name) = config.get_dbname() {
        one.dbname(name);
    }
    if let Some(options) = config.get_options() {
        one.options(options);
    }
    one.application_name(config.get_application_name().unwrap_or("sparekey"));
    one.ssl_negotiation(config.get_ssl_negotiation());
    one.channel_binding(config.get_channel_binding());
    one.keepalives(config.get_keepalives());
    one.keepalives_idle(config.get_keepalives_idle().min(Duration::from_secs(60)));
    one.keepalives_interval(config.get_keepalives_interval().unwrap_or(Duration::from_secs(5)));
    one.keepalives_retries(config.get_keepalives_retries().unwrap_or(3));
    one.tcp_user_timeout(config.get_tcp_user_timeout().copied().unwrap_or(DEAD_AFTER));
    one
}

fn is_local(config: &Config) -> bool {
    config.get_hosts().iter().all(|host| match host {
        Host::Unix(_) => true,
        Host::Tcp(name) => {
            name == "localhost" || name.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
        }
    })
}

fn path(word: &str, value: &str) -> Result<PathBuf, PostgresError> {
    if value.is_empty() || value.contains('%') {
        return wrong(format_args!("{word}: the path of a file, without percent signs"));
    }
    Ok(PathBuf::from(value))
}

fn wrong<T>(what: impl std::fmt::Display) -> Result<T, PostgresError> {
    Err(PostgresError::Address(what.to_string()))
}
