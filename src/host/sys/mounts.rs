//! What is mounted, how one logs in, and which audit devices there are. All of it is declared in the configuration: read only.

use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::super::answer::Refusal;
use super::super::call::Verb;
use super::super::ident;
use super::super::visit::{Acted, Bearer, Visit};
use crate::domain::fields::Fields;

/// `sys/mounts`.
pub(in super::super) fn secrets(visit: &Visit<'_>, fields: &Fields) -> Acted {
    Acted::data(secret_mounts(visit), fields)
}

/// `sys/mounts/:path`.
pub(in super::super) fn secret(visit: &Visit<'_>, path: &str, fields: &Fields) -> Result<Acted, Refusal> {
    one(secret_mounts(visit), path, fields, "No secret engine mount at")
}

/// `sys/auth`.
pub(in super::super) fn auths(visit: &Visit<'_>, fields: &Fields) -> Acted {
    Acted::data(auth_mounts(visit), fields)
}

/// `sys/auth/:path`.
pub(in super::super) fn auth(visit: &Visit<'_>, path: &str, fields: &Fields) -> Result<Acted, Refusal> {
    one(auth_mounts(visit), path, fields, "No auth engine at")
}

/// `sys/internal/ui/mounts`: nothing is listed for those who bring no token.
pub(in super::super) fn ui(visit: &Visit<'_>, fields: &Fields) -> Acted {
    let (secret, auth) = match visit.bearer {
        Bearer::Held(_) => (secret_mounts(visit), auth_mounts(visit)),
        _ => (Map::new(), Map::new()),
    };
    Acted::data(object(json!({ "auth": auth, "secret": secret })), fields)
}

/// `sys/internal/ui/mounts/:path`: the mount that owns a path.
pub(in super::super) fn ui_one(visit: &Visit<'_>, path: &str, fields: &Fields) -> Result<Acted, Refusal> {
    let path = format!("{}/", path.trim_end_matches('/'));
    let owner = secret_mounts(visit).into_iter().find(|(mount, _)| path.starts_with(mount.as_str()));
    let Some((mount, Value::Object(mut entry))) = owner else {
        return Err(Refusal::new(
            403,
            format!(
                "preflight capability check returned 403, please ensure client's policies grant access to path \"{path}\""
            ),
        ));
    };
    entry.insert("path".to_owned(), json!(mount));
    Ok(Acted::data(entry, fields))
}

/// `sys/audit`.
pub(in super::super) fn audits(visit: &Visit<'_>, fields: &Fields) -> Acted {
    let mut devices = Map::new();
    for device in &visit.host.devices {
        let path = format!("{}/", device.name());
        let entry = json!({
            "type": device.kind(), "path": path, "description": "", "local": false, "options": device.options(),
        });
        devices.insert(path, entry);
    }
    Acted::data(devices, fields)
}

/// `sys/audit/:path`, which only the configuration changes.
pub(in super::super) fn audit_device(visit: &Visit<'_>) -> Refusal {
    Refusal::new(
        400,
        match visit.verb {
            Verb::Delete => "cannot disable configuration-managed audit device",
            _ => "cannot enable audit device via API; use declarative, config-based audit device management instead",
        },
    )
}

fn one(mut mounts: Map<String, Value>, path: &str, fields: &Fields, missing: &str) -> Result<Acted, Refusal> {
    let path = format!("{}/", path.trim_end_matches('/'));
    match mounts.remove(&path) {
        Some(Value::Object(entry)) => Ok(Acted::data(entry, fields)),
        _ => Err(Refusal::new(400, format!("{missing} {path}"))),
    }
}

fn secret_mounts(visit: &Visit<'_>) -> Map<String, Value> {
    let engine = visit.host.info.mount_path.as_str();
    Map::from_iter([
        entry(visit, engine, "sparekey", "backup MFA codes, one at a time and on the record", None),
        entry(visit, "sys/", "system", "health, seal, tokens, wrapping", None),
    ])
}

fn auth_mounts(visit: &Visit<'_>) -> Map<String, Value> {
    Map::from_iter([
        entry(visit, "jwt/", "jwt", "login with a JWT that satisfies a role", Some("auth_jwt")),
        entry(visit, "token/", "token", "token based credentials", Some("auth_token")),
    ])
}

fn entry(visit: &Visit<'_>, path: &str, kind: &str, description: &str, auth: Option<&str>) -> (String, Value) {
    let mount_id = visit.open.keyring.mount_id();
    let name = auth.map_or_else(|| path.to_owned(), |_| format!("auth/{path}"));
    let digest = Sha256::new().chain_update(mount_id).chain_update("accessor").chain_update(&name).finalize();
    let mut config = json!({ "default_lease_ttl": 0, "force_no_cache": false, "max_lease_ttl": 0 });
    if auth.is_some() {
        config["token_type"] = json!("default-service");
    }
    let mut entry = json!({
        "accessor": format!("{}_{}", auth.unwrap_or(kind), hex::encode(&digest[..4])),
        "config": config,
        "description": description,
        "external_entropy_access": false,
        "local": false,
        "options": null,
        "plugin_version": "",
        "running_plugin_version": format!("v{}", visit.host.info.version),
        "running_sha256": "",
        "seal_wrap": false,
        "type": kind,
        "uuid": ident::of(mount_id, &name),
    });
    if kind == "sparekey" {
        entry["deprecation_status"] = json!("supported");
    }
    (path.to_owned(), entry)
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}
