//! What differs on purpose, and the names of mounts and paths that this host has.

use serde_json::{Value, json};

/// What differs on purpose, and the names of mounts and paths that this host has.
pub fn adapt(name: &str, record: &mut Value) {
    let path = record["path"].as_str().unwrap();
    let path = path
        .replace("/v1/eng/nope", "/v1/backup-codes/accounts/nope")
        .replace("/v1/eng/nodir", "/v1/backup-codes/accounts/nodir")
        .replace("/v1/eng/?", "/v1/backup-codes/accounts/?")
        .replace("/v1/sys/mounts/eng", "/v1/sys/mounts/backup-codes")
        .replace("/v1/sys/internal/ui/mounts/eng", "/v1/sys/internal/ui/mounts/backup-codes")
        .replace("/v1/eng/foo", "/v1/backup-codes/accounts/foo");
    record["path"] = json!(if path == "/v1/eng/" { "/v1/backup-codes/accounts/" } else { &*path });
    let body = &mut record["resp_body"];
    match name {
        // vaultrs cannot do without it, and the recorded server lacks it.
        _ if name.starts_with("health.") && body.get("sealed").is_some() => body["performance_standby"] = json!(false),
        "audit.broken_health" => body["performance_standby"] = json!(false),
        // Other mounts, and words of our own.
        "mounts.list" | "authm.list" => {
            let copy = body["data"].take();
            let mounts = only_ours(copy, name == "authm.list");
            for stale in ["identity/", "sys/", "cubbyhole/", "token/"] {
                body.as_object_mut().unwrap().remove(stale);
            }
            for (mount, entry) in mounts.as_object().unwrap() {
                body[mount] = entry.clone();
            }
            body["data"] = mounts;
        }
        "mounts.read_one" => {
            let entry = engine_mount();
            for (field, value) in entry.as_object().unwrap() {
                body[field] = value.clone();
            }
            body["data"] = entry;
        }
        "uimounts.unauth" => body["data"] = json!({"auth": {}, "secret": {}}),
        "uimounts.root" => {
            let (auth, secret) = (body["data"]["auth"].take(), body["data"]["secret"].take());
            body["data"] = json!({"auth": only_ours(auth, true), "secret": only_ours(secret, false)});
        }
        "uimounts.one" => {
            body["data"] = engine_mount();
            body["data"]["path"] = json!("backup-codes/");
        }
        "logical.list" | "logical.list_q" => body["data"]["keys"] = json!(["dir/", "foo"]),
        "audit.list" => {
            for device in ["f2/", "f3/"] {
                body.as_object_mut().unwrap().remove(device);
                body["data"].as_object_mut().unwrap().remove(device);
            }
            let device =
                json!({"type": "file", "path": "file/", "description": "", "local": false, "options": "<any>"});
            body.as_object_mut().unwrap().remove("f1/");
            body["file/"] = device.clone();
            body["data"] = json!({"file/": device});
        }
        "help.sys_mounts" => {
            body["help"] = json!("<string>");
            body["openapi"] = json!("<any>");
        }
        "openapi.get" => {
            for field in ["/info/title", "/info/description", "/info/license/name", "/info/license/url"] {
                *body.pointer_mut(field).unwrap() = json!("<string>");
            }
            body["paths"] = json!("<any>");
            body["components"] = json!("<any>");
        }
        // No entities; metadata is role and subject; the role's own policy words are its name.
        "jwtlogin.ok" | "jwtlogin.default_role" | "jwtlogin.with_bad_token_header" | "jwtlogin.missing_kid" => {
            body["auth"]["entity_id"] = json!("");
            body["auth"]["metadata"] = json!({"role": "dev", "subject": "user-1"});
        }
        "token.lookup_self" | "token.lookup_accessor" => {
            body["data"]["entity_id"] = json!("");
            body["data"]["meta"] = json!({"role": "dev", "subject": "user-1"});
        }
        "token.renew_self" => {
            body["auth"]["lease_duration"] = json!(600);
            body["auth"]["metadata"] = json!({"role": "dev", "subject": "user-1"});
            body["auth"]["orphan"] = json!(true);
        }
        // A set of metrics of our own.
        "metrics.json" => {
            body["Timestamp"] = json!("<rfc3339>");
            for list in ["Gauges", "Counters", "Samples"] {
                body[list] = json!("<any>");
            }
        }
        "metrics.prom" => record["resp_text"] = json!("# HELP sparekey_build_info The program that runs.\n<any>"),
        "token.accessors" => body["data"]["keys"] = json!("<any>"),
        // What was wrapped first holds more than the recorder shows.
        "wrap.unwrap_body" => body["data"] = json!({"a": "b", "n": {"x": 1}}),
        "wrap.wrapped_read_ok" => body["wrap_info"]["creation_path"] = json!("backup-codes/accounts/foo"),
        _ => {}
    }
}

fn engine_mount() -> Value {
    mount("sparekey", "mount-accessor:sparekey", json!({"deprecation_status": "supported"}))
}

fn mount(kind: &str, accessor: &str, more: Value) -> Value {
    let mut entry = json!({
        "accessor": format!("<{accessor}>"), "description": "<string>", "external_entropy_access": false, "local": false,
        "config": {"default_lease_ttl": 0, "force_no_cache": false, "max_lease_ttl": 0}, "options": null,
        "plugin_version": "", "running_plugin_version": "<version>", "running_sha256": "", "seal_wrap": false, "type": kind,
        "uuid": "<uuid>",
    });
    for (field, value) in more.as_object().unwrap() {
        entry[field] = value.clone();
    }
    entry
}

/// The recorded entry of the mount that both have, beside those of our own.
fn only_ours(recorded: Value, auth: bool) -> Value {
    if auth {
        let mut token = recorded["token/"].clone();
        token["description"] = json!("<string>");
        let mut jwt = token.clone();
        jwt["accessor"] = json!("<mount-accessor:auth_jwt>");
        jwt["type"] = json!("jwt");
        return json!({"jwt/": jwt, "token/": token});
    }
    let mut sys = recorded["sys/"].clone();
    sys["config"].as_object_mut().unwrap().remove("passthrough_request_headers");
    sys["description"] = json!("<string>");
    sys["seal_wrap"] = json!(false);
    json!({"sys/": sys, "backup-codes/": engine_mount()})
}
