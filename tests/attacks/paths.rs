//! Paths and account names that look like others, reach beyond, or mean two things: each refused, none of them moving anything.

use serde_json::{Value, json};

use crate::path_table::{SIDE_DOORS, spellings};
use crate::stage::{ACCOUNT, MOUNT, Stage, codes};
use crate::support::http::Answer;

/// An account that the role of the attacks does not cover.
const VICTIM: &str = "okta/victim";

/// The stage, with codes in the account that is out of reach.
fn set_up() -> Stage {
    let stage = Stage::new();
    stage.store(VICTIM, &codes("v", 4));
    stage
}

/// A body that would get a code of any account below `github/`.
fn body(stage: &Stage) -> Value {
    stage.asserted(json!({"role": "narrow"}))
}

/// Sends each target below `/v1/`, written as it goes over the wire, with a body that is good for [`ACCOUNT`].
fn table(stage: &Stage, method: &str, targets: &[(&str, &[u16])]) {
    let before = stage.world();
    let mut failures = Vec::new();
    for (target, wanted) in targets {
        let sent = body(stage).to_string();
        let answer = stage.nobody.send(method, target, Some(sent.as_bytes()));
        if !wanted.contains(&answer.status) {
            failures.push(format!("{method} {target}: {} {}", answer.status, answer.text()));
        }
        tells_nothing(&answer, target);
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    assert_eq!(stage.world(), before, "nothing changed");
}

fn tells_nothing(answer: &Answer, what: &str) {
    let text = answer.text();
    for code in codes("a", 8).into_iter().chain(codes("v", 4)) {
        assert!(!text.contains(&code), "{what}: {text}");
    }
    assert!(answer.status < 500, "{what}: {} {text}", answer.status);
}

#[test]
fn no_spelling_but_the_one_reaches_an_account() {
    let stage = set_up();
    let targets = spellings();
    let targets: Vec<(&str, &[u16])> = targets.iter().map(|(target, wanted)| (target.as_str(), *wanted)).collect();
    table(&stage, "POST", &targets);
    stage.retrieves();
}

#[test]
fn a_refused_name_is_told_the_right_one_and_recorded() {
    let stage = set_up();
    for (target, told) in [
        ("GitHub/Acme-Owner", "account: capitals are not folded; the right spelling is github/acme-owner"),
        ("github/acme%00owner", "account: segments of a-z 0-9 . _ @ - joined by single slashes"),
        ("github/%2e%2e/x", "relative paths not supported"),
    ] {
        let mark = stage.audit_len();
        let answer = stage.nobody.write(&format!("{MOUNT}/retrieve/{target}"), &body(&stage)).expect(400);
        assert!(answer.error().starts_with(told), "{target}: {}", answer.text());
        let lines = stage.answered_since(mark);
        assert_eq!(lines.len(), 1, "{target}");
        assert_eq!(lines[0]["error"], json!(answer.error()), "{target}");
        assert_eq!(lines[0]["response"]["status"], 400, "{target}");
    }
}

#[test]
fn a_mount_is_not_entered_by_a_side_door() {
    let stage = set_up();
    table(&stage, "POST", SIDE_DOORS);
    stage.retrieves();
}

#[test]
fn an_act_takes_no_method_but_its_own() {
    let stage = set_up();
    let act = "backup-codes/retrieve/github/acme-owner";
    for (method, wanted) in [
        ("GET", 405),
        ("LIST", 405),
        ("DELETE", 405),
        ("SCAN", 405),
        ("OPTIONS", 400),
        ("PATCH", 400),
        ("TRACE", 405),
        ("CONNECT", 405),
        ("POSTX", 405),
        ("post", 405),
        ("Post", 405),
        ("RETRIEVE", 405),
        ("HELP", 403),
    ] {
        table(&stage, method, &[(act, &[wanted])]);
    }
    table(&stage, "GET", &[("backup-codes/retrieve/github/acme-owner?list=true", &[405])]);
    table(&stage, "GET", &[("backup-codes/retrieve/?list=true", &[405])]);
    table(&stage, "LIST", &[("backup-codes/retrieve", &[405]), ("backup-codes/sets/", &[405])]);
    // Method overrides mean nothing: what the request line says is done.
    for (name, value) in [
        ("X-HTTP-Method-Override", "POST"),
        ("X-HTTP-Method", "POST"),
        ("X-Method-Override", "POST"),
        ("X-Original-Method", "POST"),
        ("X-Original-URL", "/v1/backup-codes/retrieve/github/acme-owner"),
        ("X-Rewrite-URL", "/v1/backup-codes/retrieve/github/acme-owner"),
    ] {
        let client = stage.nobody.header(name, value);
        let before = stage.remaining();
        let answer = client.send("GET", act, Some(body(&stage).to_string().as_bytes()));
        assert_eq!(answer.status, 405, "{name}: {}", answer.text());
        let target = "backup-codes/accounts/github/acme-owner?_method=POST";
        assert_eq!(client.read(target).status, 403, "{name}");
        assert_eq!(stage.remaining(), before, "{name}");
    }
    stage.retrieves();
}

#[test]
fn a_query_string_is_no_body_and_carries_no_assertion() {
    let stage = set_up();
    let jwt = stage.jwt(&json!({}));
    let before = stage.world();
    let mark = stage.audit_len();
    for method in ["GET", "POST", "LIST", "DELETE"] {
        for target in ["retrieve/github/acme-owner", "accounts/github/acme-owner", "accounts/", "roles/admin"] {
            for name in ["jwt", "%6awt", "%6A%77%74"] {
                let answer = stage.root.send(method, &format!("{MOUNT}/{target}?{name}={jwt}"), None);
                assert_eq!(answer.status, 400, "{method} {target}: {}", answer.text());
                assert!(answer.error().starts_with("jwt: "), "{method} {target}: {}", answer.text());
                assert!(!answer.text().contains(&jwt));
            }
        }
    }
    let lines = stage.answered_since(mark);
    assert_eq!(lines.len(), 48, "each refusal is recorded");
    assert!(lines.iter().all(|line| line["error"].as_str().unwrap().starts_with("jwt: ")));
    assert!(!std::fs::read_to_string(stage.node.audit()).unwrap().contains(&jwt), "and the assertion is not");
    // Fields of an act count in the body alone.
    let out_of_reach = format!("{MOUNT}/retrieve/{VICTIM}?role=admin&slot=1");
    let answer = stage.nobody.write(&out_of_reach, &body(&stage));
    assert_eq!(answer.status, 403, "{}", answer.text());
    let many: Vec<String> = (0..300).map(|n| format!("k{n}=v")).collect();
    let answer = stage.root.read(&format!("{MOUNT}/accounts/{ACCOUNT}?{}", many.join("&")));
    assert_eq!(answer.status, 400, "{}", answer.text());
    for broken in ["%", "%f", "%zz", "a=%ff"] {
        let answer = stage.root.read(&format!("{MOUNT}/accounts/{ACCOUNT}?{broken}"));
        assert_eq!(answer.status, 400, "{broken}: {}", answer.text());
    }
    assert_eq!(stage.world(), before, "nothing changed");
    let answer = stage.nobody.write(&format!("{MOUNT}/retrieve/{ACCOUNT}?slot=7"), &body(&stage)).expect(200);
    assert_eq!(answer.data()["slot"], 1, "a query string next to a good body means nothing");
}

#[test]
fn names_of_configuration_have_one_spelling_too() {
    let stage = set_up();
    let before = stage.world();
    let role = stage.root.read(&format!("{MOUNT}/roles/admin")).expect(200).data();
    for (name, wanted) in [
        ("Admin", 400),
        ("ADMIN", 400),
        ("%61Dmin", 400),
        ("admin%00", 400),
        ("admin%20", 400),
        ("admin%0a", 400),
        ("%d0%b0dmin", 400),
        ("*", 400),
        ("admin,other", 400),
        ("a%2fb", 404),
        ("a/b", 404),
        ("%2e%2e", 400),
        (".%2e/config", 400),
        ("../config", 307),
        ("", 400),
    ] {
        for folder in ["roles", "issuers", "profiles", "sources"] {
            let path = format!("{MOUNT}/{folder}/{name}");
            for (method, sent) in [("POST", Some(role.to_string())), ("DELETE", None), ("GET", None)] {
                let answer = stage.root.send(method, &path, sent.as_deref().map(str::as_bytes));
                let none = name.is_empty() && method != "POST" && matches!(answer.status, 404 | 405);
                assert!(answer.status == wanted || none, "{method} {path}: {} {}", answer.status, answer.text());
            }
        }
    }
    let long = format!("{MOUNT}/roles/{}", "a".repeat(129));
    stage.root.write(&long, &role).expect(400);
    assert_eq!(stage.world(), before, "nothing changed");
    stage.root.write(&format!("{MOUNT}/roles/admin2"), &role).expect(204);
}

#[test]
fn lists_and_pages_do_not_leave_their_folder() {
    let stage = set_up();
    let narrow = stage.login("narrow");
    let names = |answer: &Answer| answer.data()["keys"].clone();
    assert_eq!(names(&stage.root.list("backup-codes/accounts").expect(200)), json!(["github/", "okta/"]));
    assert_eq!(names(&narrow.list("backup-codes/accounts").expect(200)), json!(["github/"]));
    for (folder, wanted) in [
        ("backup-codes/accounts/okta", &[404][..]),
        ("backup-codes/accounts/okta/", &[404]),
        ("backup-codes/accounts/okt", &[404]),
        ("backup-codes/accounts/github%2f%2e%2e", &[400]),
        ("backup-codes/accounts/github/..", &[307]),
        ("backup-codes/accounts/github%2f..%2f..%2froles", &[400]),
        ("backup-codes/accounts/%00", &[400]),
        ("backup-codes/accounts/*", &[400]),
        ("backup-codes/accounts/GitHub", &[400]),
        ("backup-codes/accounts//", &[307]),
        ("backup-codes/roles", &[403]),
        ("backup-codes/config", &[404, 405]),
        ("sys", &[403]),
        ("tokens", &[403]),
    ] {
        let answer = narrow.list(folder);
        assert!(wanted.contains(&answer.status), "LIST {folder}: {} {}", answer.status, answer.text());
        assert!(!answer.text().contains("victim"), "{folder}");
    }
    for after in ["okta/", "zzz", "%00", "%ff%ff", "../roles/", "%f4%8f%bf%bf", "github/", "%20", &"a".repeat(5000)] {
        let answer = narrow.read(&format!("backup-codes/accounts?list=true&after={after}"));
        assert!(matches!(answer.status, 200 | 400 | 404), "{after}: {} {}", answer.status, answer.text());
        assert!(!answer.text().contains("okta") && !answer.text().contains("admin"), "{after}: {}", answer.text());
    }
    for limit in ["0", "-1", "1001", "abc", "1e3", "99999999999999999999", "1&limit=2", "[1]"] {
        let answer = stage.root.read(&format!("backup-codes/accounts?list=true&limit={limit}"));
        assert_eq!(answer.status, 400, "{limit}: {}", answer.text());
        assert!(answer.error().starts_with("limit: "), "{limit}: {}", answer.text());
    }
    let page = stage.root.read("backup-codes/accounts?list=true&limit=1&after=github/").expect(200);
    assert_eq!(names(&page), json!(["okta/"]));
}

#[test]
fn an_address_is_where_the_connection_came_from() {
    let stage = set_up();
    let mut role = stage.root.read(&format!("{MOUNT}/roles/admin")).expect(200).data();
    role["bound_cidrs"] = json!(["10.0.0.0/8"]);
    stage.fine("roles/inside", role.clone());
    role["bound_cidrs"] = json!(["127.0.0.0/8"]);
    stage.fine("roles/here", role);
    for (name, value) in [
        ("X-Forwarded-For", "10.0.0.1"),
        ("X-Real-IP", "10.0.0.1"),
        ("Forwarded", "for=10.0.0.1"),
        ("X-Client-IP", "10.0.0.1"),
        ("True-Client-IP", "10.0.0.1"),
        ("X-Vault-Forwarded-For", "10.0.0.1"),
    ] {
        let client = stage.nobody.header(name, value);
        let sent = stage.asserted(json!({"role": "inside"}));
        let answer = client.write(&format!("{MOUNT}/retrieve/{ACCOUNT}"), &sent);
        assert_eq!(answer.status, 403, "{name}: {}", answer.text());
        let answer = client.write("auth/jwt/login", &sent);
        assert_eq!(answer.status, 403, "{name} at login: {}", answer.text());
    }
    stage.act("retrieve", ACCOUNT, json!({"role": "here"})).expect(200);
}
