//! Good messages of every kind, and what is made of them: always the same for the same seed.

use prost::Message;
use serde_json::{Value, json};
use sparekey::engine::paths::{TABLE, Variable};
use sparekey::engine::request::Operation;
use sparekey::plugin::proto::pb::{
    Connection, HandleExistenceCheckArgs, HandleRequestArgs, Header, InitializeArgs, InvalidateKeyArgs, Request,
    RequestWrapInfo, SetupArgs,
};
use sparekey::random::{self, SeededRandom};

use super::scene::{AUDIENCE, ISSUER, codes};
use super::signer::{Signer, claims};

/// Chooses, in an order that the seed fixes.
pub struct Dice(SeededRandom);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Dice(SeededRandom::new(seed))
    }
    /// A number below `end`.
    pub fn below(&self, end: usize) -> usize {
        (u64::from_le_bytes(random::bytes::<8>(&self.0)) % end.max(1) as u64) as usize
    }
    /// One of these.
    pub fn pick<'t, T>(&self, from: &'t [T]) -> &'t T {
        &from[self.below(from.len())]
    }
    fn bytes(&self, most: usize) -> Vec<u8> {
        (0..self.below(most + 1)).map(|_| self.below(256) as u8).collect()
    }
}

const OPERATIONS: [&str; 14] = [
    "create",
    "read",
    "update",
    "delete",
    "list",
    "help",
    "alias-lookahead",
    "resolve-path",
    "revoke",
    "renew",
    "rollback",
    "patch",
    "",
    "\u{0}update",
];
const NAMES: [&str; 13] = [
    "",
    "/",
    "/fuzz",
    "/github/acme",
    "/a/b/c@d.e",
    "/Fuzz",
    "/no blank",
    "/x*",
    "/../..",
    "//",
    "/ü\u{202e}",
    "/%2e%2e",
    "/\u{0}",
];

/// A request of somebody with a token, as the host passes it on.
pub fn request_of(operation: &str, path: &str, data: &Value) -> Request {
    Request {
        id: "3fd6c5d2".into(),
        operation: operation.into(),
        path: path.into(),
        data: data.to_string(),
        client_token_accessor: "accessor".into(),
        display_name: "root".into(),
        mount_point: "backup-codes/".into(),
        mount_type: "sparekey".into(),
        ..Request::default()
    }
}

/// Texts that are wrong for `data`, or heavy.
fn odd_data(dice: &Dice) -> String {
    let deep = |open: &str, close: &str, depth: usize| format!("{}{}", open.repeat(depth), close.repeat(depth));
    match dice.below(16) {
        0 => String::new(),
        1 => "null".into(),
        2 => "{".into(),
        3 => "[]".into(),
        4 => format!("{{\"codes\":{}}}", deep("[", "]", 100_000)),
        5 => format!("{{\"codes\":{}1{}}}", "{\"a\":".repeat(50_000), "}".repeat(50_000)),
        6 => deep("[", "", 400_000),
        7 => format!("{{\"codes\":[{}\"x\"]}}", "\"aaaaa-00001\",".repeat(60_000)),
        8 => format!("{{\"reason\":\"{}\"}}", "x".repeat(1_000_000)),
        9 => "{\"jwt\":\"a\",\"jwt\":\"b\"}".into(),
        10 => "{\"slot\":1e999}".into(),
        11 => "{\"slot\":123456789012345678901234567890,\"cas\":-0.0}".into(),
        12 => "{\"reason\":\"\\ud800\",\"jwt\":\"\\u0000\"}".into(),
        13 => format!("{{{}\"x\":1}}", (0..20_000).map(|n| format!("\"f{n}\":{n},")).collect::<String>()),
        14 => String::from_utf8_lossy(&dice.bytes(300)).into_owned(),
        _ => format!("{{\"pad\":\"{}\"}}", "y".repeat(1 << 21)),
    }
}

/// Values that are wrong for most fields.
fn odd_value(dice: &Dice) -> Value {
    let values = [
        json!(null),
        json!(""),
        json!("x"),
        json!("Ä/../*"),
        json!("y".repeat(600)),
        json!(-1),
        json!(1.5),
        json!(u64::MAX),
        json!(true),
        json!([]),
        json!(["a", 1, null]),
        json!({}),
        json!({"a": {"b": []}}),
        json!("{{sub}}"),
        json!("99999999h"),
        json!("a.b.c"),
        json!("eyJhbGciOiJub25lIn0.e30."),
        json!(["*", "**", "{{{{"]),
        json!(vec!["z"; 5_000]),
        json!(i64::MIN),
    ];
    dice.pick(&values).clone()
}

/// A request of the table with something odd in it.
pub fn odd_request(dice: &Dice, good: &[Request]) -> Request {
    let mut request = dice.pick(good).clone();
    match dice.below(5) {
        0 => request.data = odd_data(dice),
        1 => request.operation = (*dice.pick(&OPERATIONS)).to_owned(),
        2 => {
            let paths: Vec<&str> =
                TABLE.iter().copied().flatten().map(|path| path.prefix).chain(["", "nothing"]).collect();
            request.path = format!("{}{}", dice.pick(&paths), dice.pick(&NAMES));
            request.operation = (*dice.pick(&OPERATIONS)).to_owned();
        }
        3 => {
            // One field of a path that takes it.
            let operations =
                TABLE.iter().copied().flatten().flat_map(|path| path.operations.iter().map(move |op| (path, op)));
            let all: Vec<_> = operations.filter(|(_, op)| !op.fields.is_empty()).collect();
            let (path, operation) = dice.pick(&all);
            let name = if matches!(path.variable, Variable::None) { "" } else { "/fuzz" };
            let mut data: Value = serde_json::from_str(&request.data).unwrap_or_else(|_| json!({}));
            if let Some(map) = data.as_object_mut() {
                map.insert(dice.pick(operation.fields).name.to_owned(), odd_value(dice));
            }
            let word = match operation.operation {
                Operation::Read => "read",
                Operation::List => "list",
                Operation::Delete => "delete",
                _ => "update",
            };
            request = request_of(word, &format!("{}{name}", path.prefix), &data);
        }
        _ => {
            let long = "z".repeat(1 << dice.below(18));
            request.unauthenticated = dice.below(2) == 0;
            request.entity_id = long.clone();
            request.display_name = String::from_utf8_lossy(&dice.bytes(80)).into_owned();
            request.client_token_accessor = long;
            request.id = (*dice.pick(&["", "\n{\"@level\":1}", "x"])).to_owned();
            let ttl = *dice.pick(&[i64::MIN, -1, 0, 1, 60_000_000_000, i64::MAX]);
            request.wrap_info = Some(RequestWrapInfo { ttl, ..RequestWrapInfo::default() });
            let remote_addr = (*dice.pick(&["", "::1", "127.0.0.1:0", "256.1.1.1", "[::]:99999", "\u{0}"])).to_owned();
            request.connection = Some(Connection { remote_addr, remote_port: -1, ..Connection::default() });
            request.headers =
                (0..dice.below(50)).map(|n| (n.to_string(), Header { header: vec!["v".into(); n] })).collect();
        }
    }
    request
}

/// Encoded good messages, by method.
pub fn messages(good: &[Request]) -> Vec<(&'static str, Vec<u8>)> {
    let mut all = vec![
        ("/pb.Backend/Initialize", InitializeArgs {}.encode_to_vec()),
        ("/pb.Backend/Type", Vec::new()),
        ("/pb.Backend/SpecialPaths", Vec::new()),
        ("/pb.Backend/InvalidateKey", InvalidateKeyArgs { key: "roles/on-call".into() }.encode_to_vec()),
        ("/grpc.health.v1.Health/Check", b"\x0a\x06plugin".to_vec()),
        ("/pluginutil.multiplexing.PluginMultiplexing/MultiplexingSupport", Vec::new()),
        ("/logical.PluginVersion/Version", Vec::new()),
        ("/pb.Backend/NoSuchMethod", b"\x0a\x00".to_vec()),
    ];
    for request in good {
        let args = HandleRequestArgs { storage_id: 1, request: Some(request.clone()) };
        all.push(("/pb.Backend/HandleRequest", args.encode_to_vec()));
        let args = HandleExistenceCheckArgs { storage_id: 1, request: Some(request.clone()) };
        all.push(("/pb.Backend/HandleExistenceCheck", args.encode_to_vec()));
    }
    all
}

/// A good `Setup`, about a socket that nobody announced.
pub fn setup(broker_id: u32) -> Vec<u8> {
    SetupArgs { broker_id, backend_uuid: "b".into(), ..SetupArgs::default() }.encode_to_vec()
}

/// Breaks a message.
pub fn broken(dice: &Dice, mut message: Vec<u8>, other: &[u8]) -> Vec<u8> {
    for _ in 0..1 + dice.below(3) {
        let at = dice.below(message.len());
        match dice.below(9) {
            _ if message.is_empty() => message = dice.bytes(64),
            0 | 1 => message[at] ^= 1 << dice.below(8),
            2 => message.truncate(at),
            3 => message.splice(at..at, dice.bytes(32)).for_each(drop),
            4 => message.extend_from_within(at..),
            // A length or number that is as large as it can be.
            5 => message.splice(at..at, [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01]).for_each(drop),
            // Another wire type.
            6 => message[at] = (message[at] & !7) | dice.below(8) as u8,
            7 => message = [&message[..at], &other[dice.below(other.len()).min(other.len())..]].concat(),
            // Groups within groups, which no field here is.
            _ => message.extend(vec![0x7b; 1 << dice.below(16)]),
        }
    }
    message
}

/// An assertion that the role `good` of the corpus takes.
pub fn jwt(signer: &Signer) -> String {
    let mut claims = claims(ISSUER, "alice", AUDIENCE);
    claims["groups"] = json!(["on-call"]);
    signer.jwt(&claims)
}

/// Good requests from which odd ones are made.
pub fn good(signer: &Signer) -> Vec<Request> {
    let act = |path: &str, more: Value| {
        let mut data = json!({"role": "good", "jwt": jwt(signer), "reason": "because"});
        data.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        request_of("update", path, &data)
    };
    vec![
        request_of("read", "config", &json!({})),
        request_of("update", "config", &json!({"default_role": "good"})),
        request_of("list", "accounts/", &json!({"after": "a", "limit": 10})),
        request_of("read", "accounts/fuzz", &json!({})),
        request_of("update", "accounts/fuzz", &json!({"owner": "x", "labels": {"a": "b"}})),
        request_of("read", "history/fuzz", &json!({"verify": true, "after": 1, "limit": 3})),
        request_of("update", "profiles/fuzz", &json!({"kind": "escrowed", "count": 4, "reveal_window": "1m"})),
        request_of("update", "sources/fuzz", &json!({"type": "caep", "issuer": "good", "bound_audiences": ["a"]})),
        request_of("update", "events/fuzz", &json!({"set": jwt(signer)})),
        request_of("help", "sets/x", &json!({})),
        act("sets/fuzz", json!({"codes": codes(50, 3), "cas": 0, "idempotency_key": "k"})),
        act("retrieve/fuzz", json!({"slot": 1, "ticket": "INC-1", "idempotency_key": "k"})),
        act("verify/fuzz", json!({"code": "ABCD-EFGH"})),
        act("check/fuzz", json!({"code": "ABCD-EFGH"})),
        act("enroll/fuzz", json!({"enrollment_id": "1", "occurred_at": 1_700_000_000, "method": "totp"})),
        act("revoke/fuzz", json!({"generation": 1, "cause": "compromise"})),
    ]
}
