//! What paths answer, as OpenAPI describes it: the envelope, and errors by status.

use serde_json::{Map, Value, json};

/// The statuses of refusals and what each means, beside those that only some paths have.
const REFUSALS: [(&str, &str); 8] = [
    ("400", "Not as written, or not in this state: the first word is stable"),
    ("403", "No token or assertion that allows this"),
    ("404", "Nothing there"),
    ("405", "The path is there, this operation on it is not"),
    ("413", "The body is too large"),
    ("415", "A media type that is not read here"),
    ("429", "Too many attempts: Retry-After says how long to wait"),
    ("503", "Sealed, or what is needed is not there: send it again"),
];

/// The responses of an operation that succeeds as `success` says, with every way in which it may be refused.
pub fn responses(success: Map<String, Value>) -> Value {
    let mut all = success;
    for (status, about) in REFUSALS {
        all.insert(status.to_owned(), with(about, errors()));
    }
    Value::Object(all)
}

/// A response with the envelope of Vault's wire around the answer.
pub fn enveloped() -> Value {
    let nullable = |kind: &str| json!({"type": kind, "nullable": true});
    let schema = json!({
        "type": "object",
        "required": ["request_id", "lease_id", "renewable", "lease_duration", "data"],
        "properties": {
            "request_id": {"type": "string"},
            "lease_id": {"type": "string"},
            "renewable": {"type": "boolean"},
            "lease_duration": {"type": "integer"},
            "data": nullable("object"),
            "wrap_info": nullable("object"),
            "warnings": {"type": "array", "items": {"type": "string"}, "nullable": true},
            "auth": nullable("object"),
        },
    });
    with("OK", schema)
}

/// The errors of RFC 8935 section 2.3, with which a receiver of events refuses one; what is no request at all is refused as everywhere.
pub fn refused_event() -> Value {
    let text = json!({"type": "string"});
    let properties = json!({"err": text, "description": text});
    let protocol = json!({"type": "object", "required": ["err", "description"], "properties": properties});
    with("The event does not stand", json!({"anyOf": [protocol, errors()]}))
}

fn errors() -> Value {
    let list = json!({"type": "array", "items": {"type": "string"}});
    json!({"type": "object", "required": ["errors"], "properties": {"errors": list}})
}

fn with(about: &str, schema: Value) -> Value {
    json!({"description": about, "content": {"application/json": {"schema": schema}}})
}
