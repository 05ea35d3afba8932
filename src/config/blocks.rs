//! The words at the top of the file and in every block but the seal's.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use tracing::Level;

use super::section::Section;
use super::tree::Map;
use super::{Config, ConfigError, Listener, Log, LogFormat, Telemetry, anchors, seal, storage};
use crate::audit::DeviceConfig;
use crate::http::tls::{ClientCa, MinVersion, TlsFiles};

const WORDS: &[&str] = &[
    "listener",
    "storage",
    "seal",
    "audit",
    "anchor",
    "anchor_interval",
    "telemetry",
    "api_addr",
    "mount_path",
    "log_level",
    "log_format",
    "cluster_name",
    "node_id",
    "shutdown_delay",
    "disable_mlock",
    "ui",
];

/// Words of Vault's at the top that have no meaning here.
const ELSEWHERE: &[(&str, &str)] = &[
    ("ha_storage", "not supported: the storage block is the only store"),
    ("cluster_addr", "not supported: nodes do not talk to each other"),
    ("plugin_directory", "not supported: this server is one engine and loads no plugins"),
    ("default_lease_ttl", "not supported: there are no leases; a role says how long its tokens live (token_ttl)"),
    ("max_lease_ttl", "not supported: there are no leases; a role says how long its tokens live (token_max_ttl)"),
    ("user_lockout", "not supported: a profile says when guessing locks (max_failures, lockout)"),
];

/// Reads the whole tree.
pub(super) fn read(file: &str, map: &Map) -> Result<Config, ConfigError> {
    let top = Section::top(file, map);
    top.only(WORDS, ELSEWHERE)?;
    let mut warnings = Vec::new();
    let listeners = listeners(&top, &mut warnings)?;
    let storage = storage::read(&top, &mut warnings)?;
    let seal = seal::read(&top)?;
    let devices = devices(&top)?;
    let anchors = anchors::read(&top, &storage, &devices, &mut warnings)?;
    let telemetry = telemetry(&top)?;
    let api_addr = api_addr(&top)?;
    let mount_path = mount_path(&top)?;
    let log = log(&top)?;
    let cluster_name = match top.text("cluster_name")? {
        None => None,
        Some((name, _)) if (1..=128).contains(&name.len()) && !name.chars().any(char::is_control) => Some(name),
        Some((_, given)) => return Err(given.error("1 to 128 characters")),
    };
    let node_id = node_id(&top)?;
    let shutdown_delay = top.duration("shutdown_delay", 0, 300)?.unwrap_or_default();
    if top.boolean("disable_mlock")? == Some(false) {
        warnings.push("disable_mlock = false: memory is not locked; disable swap, or encrypt it".to_owned());
    }
    if top.boolean("ui")? == Some(true) {
        warnings.push("ui = true: there is no user interface".to_owned());
    }
    if !devices.iter().any(DeviceConfig::durable) {
        warnings.push("no durable audit device (audit \"file\"): every disclosure will be refused".to_owned());
    }
    Ok(Config {
        listeners,
        storage,
        seal,
        devices,
        anchors,
        telemetry,
        api_addr,
        mount_path,
        log,
        cluster_name,
        node_id,
        shutdown_delay,
        warnings,
    })
}

fn listeners(top: &Section<'_>, warnings: &mut Vec<String>) -> Result<Vec<Listener>, ConfigError> {
    let mut out: Vec<Listener> = Vec::new();
    for (labels, section) in top.blocks("listener", &["tcp"])? {
        if labels != ["tcp"] {
            return Err(section.error("", "the listener is \"tcp\""));
        }
        let listener = listener(&section, warnings)?;
        let taken = out.iter().any(|other| other.address == listener.address && listener.address.port() != 0);
        if taken {
            return Err(section.error_at("address", format_args!("{} has a listener already", listener.address)));
        }
        out.push(listener);
    }
    if out.is_empty() {
        return Err(top.error("listener", "required: write listener \"tcp\" { … }"));
    }
    Ok(out)
}

const LISTENER_WORDS: &[&str] = &[
    "address",
    "tls_disable",
    "tls_cert_file",
    "tls_key_file",
    "tls_client_ca_file",
    "tls_require_and_verify_client_cert",
    "tls_min_version",
    "max_request_size",
    "http_read_header_timeout",
    "http_read_timeout",
    "http_write_timeout",
    "http_idle_timeout",
    "telemetry",
];

fn listener(section: &Section<'_>, warnings: &mut Vec<String>) -> Result<Listener, ConfigError> {
    section.only(LISTENER_WORDS, &[])?;
    let address = match section.text("address")? {
        None => SocketAddr::from(([127, 0, 0, 1], 8200)),
        Some((text, given)) => text.parse().map_err(|_| {
            let what = "an IP address and a port such as \"127.0.0.1:8200\", \"0.0.0.0:8200\" or \"[::]:8200\"";
            given.error(format_args!("{what}, not {text:?}"))
        })?,
    };
    let disabled = section.boolean("tls_disable")?.unwrap_or(false);
    let cert = section.text("tls_cert_file")?.map(|(path, _)| PathBuf::from(path));
    let key = section.text("tls_key_file")?.map(|(path, _)| PathBuf::from(path));
    let ca = section.text("tls_client_ca_file")?.map(|(path, _)| PathBuf::from(path));
    let required = section.boolean("tls_require_and_verify_client_cert")?.unwrap_or(false);
    let versions = [("tls12", MinVersion::Tls12), ("tls13", MinVersion::Tls13)];
    let min_version = section.choice("tls_min_version", &versions)?.unwrap_or_default();
    let tls = match (disabled, cert, key) {
        (true, cert, _) => {
            if cert.is_some() || ca.is_some() {
                warnings.push(format!("listener {address}: tls_disable is set, its certificate files are not read"));
            } else if !address.ip().is_loopback() {
                warnings.push(format!("listener {address}: codes and tokens cross the network without TLS"));
            }
            if required {
                let what = "cannot be kept to while tls_disable is set";
                return Err(section.error_at("tls_require_and_verify_client_cert", what));
            }
            None
        }
        (false, Some(cert), Some(key)) => {
            if required && ca.is_none() {
                return Err(section.error_at("tls_require_and_verify_client_cert", "needs tls_client_ca_file"));
            }
            let client_ca = ca.map(|file| ClientCa { file, required });
            Some(TlsFiles { cert, key, client_ca, min_version })
        }
        (false, None, _) => return Err(section.error("tls_cert_file", "required unless tls_disable = true")),
        (false, _, None) => return Err(section.error("tls_key_file", "required unless tls_disable = true")),
    };
    let mut open_metrics = false;
    for (_, telemetry) in section.blocks("telemetry", &[])? {
        telemetry.only(&["unauthenticated_metrics_access"], &[])?;
        open_metrics |= telemetry.boolean("unauthenticated_metrics_access")?.unwrap_or(false);
    }
    let default = Listener::plain(address);
    let size = section.integer("max_request_size", 1 << 10, 32 << 20)?.and_then(|size| usize::try_from(size).ok());
    let within = |word, default| Ok::<_, ConfigError>(section.duration(word, 1, 24 * 3600)?.unwrap_or(default));
    Ok(Listener {
        address,
        tls,
        max_request_size: size.unwrap_or(default.max_request_size),
        read_header_timeout: within("http_read_header_timeout", default.read_header_timeout)?,
        read_timeout: within("http_read_timeout", default.read_timeout)?,
        write_timeout: within("http_write_timeout", default.write_timeout)?,
        idle_timeout: within("http_idle_timeout", default.idle_timeout)?,
        open_metrics,
    })
}

fn devices(top: &Section<'_>) -> Result<Vec<DeviceConfig>, ConfigError> {
    let mut out: Vec<DeviceConfig> = Vec::new();
    for (labels, section) in top.blocks("audit", &["file", "NAME"])? {
        let [kind, name] = labels[..] else { continue };
        let device = {
            // Options stand in `options` as in OpenBao, or in the block itself.
            let options = section.take("options")?;
            let inside = options.map(|given| given.section()).transpose()?;
            let mut words = section.rest("options")?;
            if let Some(inside) = &inside {
                let more = inside.rest("")?;
                if let Some((word, _)) = more.iter().find(|(word, _)| words.iter().any(|(name, _)| name == word)) {
                    return Err(inside.error_at(word, "given in the block and in its options: give it once"));
                }
                words.extend(more);
            }
            let options: BTreeMap<String, String> =
                words.iter().map(|(word, text)| ((*word).to_owned(), text.clone())).collect();
            DeviceConfig::new(kind, name, &options).map_err(|error| match error.public().split_once(": ") {
                Some((word, what)) if !word.contains(' ') => match &inside {
                    Some(inside) if section.lacks(word) => inside.error_at(word, what),
                    _ => section.error_at(word, what),
                },
                _ => section.error("", error.public()),
            })?
        };
        if out.iter().any(|other| other.name() == device.name()) {
            return Err(section.error("", "a device of this name was declared before: names are unique"));
        }
        out.push(device);
    }
    Ok(out)
}

fn telemetry(top: &Section<'_>) -> Result<Telemetry, ConfigError> {
    let mut out = Telemetry::default();
    for (index, (_, section)) in top.blocks("telemetry", &[])?.into_iter().enumerate() {
        if index > 0 {
            return Err(section.error("", "given before: give it once"));
        }
        section.only(&["prometheus_retention_time", "disable_hostname"], &[])?;
        if let Some(span) = section.duration("prometheus_retention_time", 0, 366 * 86_400)? {
            out.prometheus_retention_time = span;
        }
        if let Some(disabled) = section.boolean("disable_hostname")? {
            out.disable_hostname = disabled;
        }
    }
    Ok(out)
}

fn api_addr(top: &Section<'_>) -> Result<Option<String>, ConfigError> {
    let Some((text, given)) = top.text("api_addr")? else { return Ok(None) };
    let sane = text.parse::<hyper::Uri>().ok().filter(|uri| {
        matches!(uri.scheme_str(), Some("http" | "https")) && uri.authority().is_some() && uri.query().is_none()
    });
    match sane {
        Some(_) => Ok(Some(text.trim_end_matches('/').to_owned())),
        None => Err(given.error("a URL such as \"https://sparekey.example.com:8200\"")),
    }
}

fn node_id(top: &Section<'_>) -> Result<Option<String>, ConfigError> {
    let Some((text, given)) = top.text("node_id")? else { return Ok(None) };
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    if (1..=128).contains(&text.len()) && text.bytes().all(plain) && !matches!(text.as_str(), "." | "..") {
        return Ok(Some(text));
    }
    Err(given.error("1 to 128 letters, digits, \"_\", \".\" or \"-\", another name for each node"))
}

fn mount_path(top: &Section<'_>) -> Result<String, ConfigError> {
    let Some((text, given)) = top.text("mount_path")? else { return Ok("backup-codes/".to_owned()) };
    let path = text.trim_matches('/');
    let segment = |segment: &str| {
        !segment.is_empty()
            && !matches!(segment, "." | "..")
            && segment.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte))
    };
    if path.len() > 128 || !path.split('/').all(segment) {
        return Err(given.error("segments of letters, digits, \"_\", \"-\" and \".\", such as \"backup-codes/\""));
    }
    if matches!(path.split('/').next(), Some("sys" | "auth" | "identity" | "cubbyhole")) {
        return Err(given.error("sys/, auth/, identity/ and cubbyhole/ are the host's own"));
    }
    Ok(format!("{path}/"))
}

fn log(top: &Section<'_>) -> Result<Log, ConfigError> {
    let levels = [
        ("trace", Level::TRACE),
        ("debug", Level::DEBUG),
        ("info", Level::INFO),
        ("warn", Level::WARN),
        ("error", Level::ERROR),
        ("notice", Level::INFO),
        ("warning", Level::WARN),
        ("err", Level::ERROR),
    ];
    let formats = [("standard", LogFormat::Standard), ("json", LogFormat::Json)];
    let default = Log::default();
    Ok(Log {
        level: top.choice("log_level", &levels)?.unwrap_or(default.level),
        format: top.choice("log_format", &formats)?.unwrap_or(default.format),
    })
}
