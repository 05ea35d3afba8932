//! Vault's envelope as bytes: JSON written once, in Vault's order, and codes placed into it here and nowhere earlier.

use serde_json::{Map, Value};
use zeroize::Zeroizing;

use super::answer::{Auth, Data, Envelope, WrapInfo};
use crate::engine::request::Codes;

/// The whole envelope, keys in Vault's order, with the newline that ends it.
pub fn bytes(envelope: Envelope) -> Zeroizing<Vec<u8>> {
    let mut out = Zeroizing::new(Vec::with_capacity(capacity(&envelope)));
    out.push(b'{');
    if let (true, Data::Fields(fields)) = (envelope.flattened, &envelope.data) {
        for (name, value) in fields {
            string(&mut out, name);
            out.push(b':');
            any(&mut out, value);
            out.push(b',');
        }
    }
    out.extend_from_slice(b"\"request_id\":");
    string(&mut out, &envelope.request_id);
    if let Data::Unwrapped(tail) = &envelope.data {
        out.extend_from_slice(tail);
    } else {
        tail_into(&mut out, &envelope);
    }
    out.push(b'\n');
    out
}

/// What follows the request id in an envelope, its closing brace included: what a wrapping keeps.
pub fn tail(envelope: &Envelope) -> Zeroizing<Vec<u8>> {
    if let Data::Unwrapped(tail) = &envelope.data {
        return tail.clone();
    }
    let mut out = Zeroizing::new(Vec::with_capacity(capacity(envelope)));
    tail_into(&mut out, envelope);
    out
}

/// `{"errors":[…]}` with the newline that ends it.
pub fn errors(errors: &[String]) -> Zeroizing<Vec<u8>> {
    let mut out = Zeroizing::new(Vec::with_capacity(128));
    out.extend_from_slice(b"{\"errors\":");
    list(&mut out, errors);
    out.extend_from_slice(b"}\n");
    out
}

/// `{"err":…,"description":…}` (RFC 8935 section 2.3) with the newline that ends it.
pub fn event_error(err: &str, description: &str) -> Zeroizing<Vec<u8>> {
    let mut out = Zeroizing::new(Vec::with_capacity(256));
    out.extend_from_slice(b"{\"err\":");
    string(&mut out, err);
    out.extend_from_slice(b",\"description\":");
    string(&mut out, description);
    out.extend_from_slice(b"}\n");
    out
}

fn tail_into(out: &mut Vec<u8>, envelope: &Envelope) {
    out.extend_from_slice(b",\"lease_id\":\"\",\"renewable\":false,\"lease_duration\":0,\"data\":");
    match &envelope.data {
        Data::Null | Data::Unwrapped(_) => out.extend_from_slice(b"null"),
        Data::Fields(fields) => object(out, fields, None),
        Data::Listed(fields, list) => list.write_among(fields, out),
        Data::Disclosed(fields, name, codes) => object(out, fields, Some((name, codes))),
    }
    out.extend_from_slice(b",\"wrap_info\":");
    match &envelope.wrap_info {
        None => out.extend_from_slice(b"null"),
        Some(info) => wrap_info(out, info),
    }
    out.extend_from_slice(b",\"warnings\":");
    if envelope.warnings.is_empty() {
        out.extend_from_slice(b"null");
    } else {
        list(out, &envelope.warnings);
    }
    out.extend_from_slice(b",\"auth\":");
    match &envelope.auth {
        None => out.extend_from_slice(b"null"),
        Some(auth) => auth_block(out, auth),
    }
    out.push(b'}');
}

/// Generous, so that the buffer does not move and leave copies of a code behind.
fn capacity(envelope: &Envelope) -> usize {
    match &envelope.data {
        Data::Disclosed(fields, _, codes) => {
            let codes: usize = codes.all().iter().map(|code| 6 * code.expose().len() + 8).sum();
            1024 + 256 * fields.len() + codes + text_size(fields)
        }
        Data::Unwrapped(tail) => 128 + tail.len(),
        Data::Listed(_, list) => 1024 + list.size(),
        Data::Fields(_) | Data::Null => 1024,
    }
}

/// An upper bound for the strings directly in `fields`, escaped.
fn text_size(fields: &Map<String, Value>) -> usize {
    fields.iter().map(|(name, value)| 6 * (name.len() + value.as_str().map_or(64, str::len))).sum()
}

fn object(out: &mut Vec<u8>, fields: &Map<String, Value>, mut disclosed: Option<(&str, &Codes)>) {
    out.push(b'{');
    let mut first = true;
    for (name, value) in fields {
        if let Some((field, codes)) = disclosed.take_if(|(field, _)| *field < name.as_str()) {
            member(out, &mut first, field);
            disclosed_codes(out, codes);
        }
        member(out, &mut first, name);
        any(out, value);
    }
    if let Some((field, codes)) = disclosed {
        member(out, &mut first, field);
        disclosed_codes(out, codes);
    }
    out.push(b'}');
}

/// One code as a string, a set as a list.
fn disclosed_codes(out: &mut Vec<u8>, codes: &Codes) {
    match codes {
        Codes::One(code) => string(out, code.expose()),
        Codes::Set(codes) => {
            for (index, code) in codes.iter().enumerate() {
                out.push(if index == 0 { b'[' } else { b',' });
                string(out, code.expose());
            }
            out.extend_from_slice(if codes.is_empty() { b"[]" } else { b"]" });
        }
    }
}

fn member(out: &mut Vec<u8>, first: &mut bool, name: &str) {
    if !std::mem::take(first) {
        out.push(b',');
    }
    string(out, name);
    out.push(b':');
}

fn wrap_info(out: &mut Vec<u8>, info: &WrapInfo) {
    out.extend_from_slice(b"{\"token\":");
    string(out, info.token.expose());
    out.extend_from_slice(b",\"accessor\":");
    string(out, &info.accessor);
    out.extend_from_slice(b",\"ttl\":");
    any(out, &info.ttl);
    out.extend_from_slice(b",\"creation_time\":");
    string(out, &info.creation_time);
    out.extend_from_slice(b",\"creation_path\":");
    string(out, &info.creation_path);
    if let Some(accessor) = &info.wrapped_accessor {
        out.extend_from_slice(b",\"wrapped_accessor\":");
        string(out, accessor);
    }
    out.push(b'}');
}

fn auth_block(out: &mut Vec<u8>, auth: &Auth) {
    out.extend_from_slice(b"{\"client_token\":");
    string(out, auth.client_token.expose());
    out.extend_from_slice(b",\"accessor\":");
    string(out, &auth.accessor);
    out.extend_from_slice(b",\"policies\":");
    list(out, &auth.policies);
    out.extend_from_slice(b",\"token_policies\":");
    list(out, &auth.policies);
    out.extend_from_slice(b",\"metadata\":");
    match &auth.metadata {
        None => out.extend_from_slice(b"null"),
        Some(metadata) => object(out, metadata, None),
    }
    out.extend_from_slice(b",\"lease_duration\":");
    any(out, &auth.lease_duration);
    out.extend_from_slice(b",\"renewable\":");
    any(out, &auth.renewable);
    out.extend_from_slice(
        b",\"entity_id\":\"\",\"token_type\":\"service\",\"orphan\":true,\"mfa_requirement\":null,\"num_uses\":0}",
    );
}

fn list(out: &mut Vec<u8>, items: &[String]) {
    out.push(b'[');
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        string(out, item);
    }
    out.push(b']');
}

fn string(out: &mut Vec<u8>, text: &str) {
    any(out, text);
}

fn any<T: serde::Serialize + ?Sized>(out: &mut Vec<u8>, value: &T) {
    // Writing strings, numbers and JSON values into memory cannot fail.
    let _ = serde_json::to_writer(out, value);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::secret::CodeText;
    use crate::host::call::Token;

    fn text(envelope: Envelope) -> String {
        String::from_utf8(bytes(envelope).to_vec()).unwrap()
    }

    fn fields(value: Value) -> Map<String, Value> {
        value.as_object().unwrap().clone()
    }

    #[test]
    fn keys_stand_in_vaults_order() {
        let mut envelope = Envelope::data(fields(serde_json::json!({"b": 1, "a": "x"})));
        envelope.request_id = "id".into();
        assert_eq!(
            text(envelope),
            "{\"request_id\":\"id\",\"lease_id\":\"\",\"renewable\":false,\"lease_duration\":0,\"data\":{\"a\":\"x\",\"b\":1},\
             \"wrap_info\":null,\"warnings\":null,\"auth\":null}\n"
        );
    }

    #[test]
    fn flattened_data_stands_twice() {
        let mut envelope = Envelope::data(fields(serde_json::json!({"x/": {"n": null}})));
        envelope.flattened = true;
        let read: Value = serde_json::from_str(&text(envelope)).unwrap();
        assert_eq!(read["x/"], read["data"]["x/"]);
        assert_eq!(read["lease_id"], "");
    }

    #[test]
    fn a_code_stands_among_the_fields_and_the_buffer_does_not_move() {
        let code = "q\"\\\u{1}ä".repeat(40);
        for name in ["aaa", "code", "zzz"] {
            let boxed = || CodeText::new(Zeroizing::new(code.clone()));
            for (codes, wanted) in [
                (Codes::One(boxed()), serde_json::json!(code)),
                (Codes::Set([boxed(), boxed()].into()), serde_json::json!([code, code])),
                (Codes::Set([].into()), serde_json::json!([])),
            ] {
                let data = fields(serde_json::json!({"account": "a/b", "slot": 3}));
                let envelope = Envelope::around(Data::Disclosed(data, name, codes));
                let reserved = capacity(&envelope);
                let out = bytes(envelope);
                assert!(out.len() <= reserved, "{} > {reserved}", out.len());
                let read: Value = serde_json::from_slice(&out).unwrap();
                assert_eq!(read["data"][name], wanted);
                assert_eq!(read["data"]["slot"], 3);
            }
        }
    }

    #[test]
    fn what_was_wrapped_comes_back_under_a_fresh_id() {
        let mut first = Envelope::data(fields(serde_json::json!({"a": "b"})));
        first.request_id = "one".into();
        first.warnings = vec!["w".into()];
        let kept = tail(&first);
        let mut second = Envelope::around(Data::Unwrapped(kept));
        second.request_id = "two".into();
        let read: Value = serde_json::from_str(&text(second)).unwrap();
        assert_eq!(read["request_id"], "two");
        assert_eq!(read["data"]["a"], "b");
        assert_eq!(read["warnings"][0], "w");
    }

    #[test]
    fn auth_and_wrap_info_have_every_field_clients_need() {
        let auth = Auth {
            client_token: Token::new("s.x".into()),
            accessor: "acc".into(),
            policies: vec!["default".into()],
            metadata: None,
            lease_duration: 60,
            renewable: true,
        };
        let read: Value = serde_json::from_str(&text(Envelope::auth(auth))).unwrap();
        assert_eq!(read["data"], Value::Null);
        assert_eq!(
            read["auth"],
            serde_json::json!({"client_token": "s.x", "accessor": "acc", "policies": ["default"], "token_policies": ["default"],
                "metadata": null, "lease_duration": 60, "renewable": true, "entity_id": "", "token_type": "service",
                "orphan": true, "mfa_requirement": null, "num_uses": 0})
        );
        let info = WrapInfo {
            token: Token::new("s.w".into()),
            accessor: "acc".into(),
            ttl: 60,
            creation_time: "2026-01-01T00:00:00.000Z".into(),
            creation_path: "sys/wrapping/wrap".into(),
            wrapped_accessor: None,
        };
        let read: Value = serde_json::from_str(&text(Envelope::wrapped(info))).unwrap();
        assert_eq!(read["wrap_info"]["ttl"], 60);
        assert!(read["wrap_info"].get("wrapped_accessor").is_none());
        assert_eq!(read["request_id"], "");
    }
}
