//! The client of the command line against small servers on loopback.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use sparekey::cli::client::{Client, Connection, Failure, Reply, Settings, path};
use zeroize::Zeroizing;

mod loopback;

use loopback::{answer, read_request, server};

/// Settings from flags and an environment of these variables only.
fn resolve(flags: &Connection, variables: &[(&str, &str)]) -> Result<Settings, Failure> {
    let variables: HashMap<_, _> = variables.iter().copied().collect();
    Settings::resolve(flags, &|name| variables.get(name).map(|value| (*value).to_owned()))
}

fn client(address: &str, variables: &[(&str, &str)]) -> Client {
    let flags = Connection { address: Some(address.to_owned()), ..Connection::default() };
    Client::new(resolve(&flags, variables).unwrap()).unwrap()
}

fn told<T>(outcome: Result<T, Failure>) -> String {
    outcome.err().expect("a failure").to_string()
}

#[test]
fn a_request_carries_what_a_vault_expects() {
    let (address, requests) = server(answer("200 OK", r#"{"data":{"generation":2},"warnings":["odd"]}"#));
    let client = client(&address, &[("BAO_TOKEN", "s.abc "), ("VAULT_NAMESPACE", "team")]);
    let reply =
        client.put(&path(&["backup-codes", "sets", "github/acme"]).unwrap(), Zeroizing::new(b"{\"cas\":0}".to_vec()));
    let reply = reply.unwrap().success(client.settings()).unwrap();
    assert_eq!((reply.status(), reply.data()["generation"].as_u64(), reply.warnings()), (200, Some(2), vec!["odd"]));
    let sent = requests.recv().unwrap();
    assert!(sent.starts_with("PUT /v1/backup-codes/sets/github/acme HTTP/1.1\r\n"), "{sent}");
    for line in
        ["x-vault-request: true", "x-vault-token: s.abc", "x-vault-namespace: team/", "content-type: application/json"]
    {
        assert!(sent.contains(&format!("\r\n{line}\r\n")), "{line} in {sent}");
    }
    assert!(sent.ends_with("\r\n\r\n{\"cas\":0}"), "{sent}");

    client.list("backup-codes/accounts").unwrap();
    assert!(requests.recv().unwrap().starts_with("GET /v1/backup-codes/accounts?list=true HTTP/1.1\r\n"));
    client.get("sys/health").unwrap();
    assert!(requests.recv().unwrap().starts_with("GET /v1/sys/health HTTP/1.1\r\n"));
    client.delete("backup-codes/roles/x").unwrap();
    assert!(requests.recv().unwrap().starts_with("DELETE /v1/backup-codes/roles/x HTTP/1.1\r\n"));
}

#[test]
fn an_address_may_have_a_path_before_v1_and_no_token_is_no_header() {
    let (address, requests) = server(answer("204 No Content", ""));
    let reply = client(&format!("{address}/proxy/"), &[]).get("sys/health").unwrap();
    assert_eq!((reply.status(), reply.body().is_null()), (204, true));
    let sent = requests.recv().unwrap();
    assert!(sent.starts_with("GET /proxy/v1/sys/health "), "{sent}");
    assert!(!sent.contains("x-vault-token") && !sent.contains("x-vault-namespace"), "{sent}");
}

#[test]
fn flags_come_before_openbaos_variables_and_those_before_vaults() {
    let address = |flag: Option<&str>, variables: &[(&str, &str)]| {
        let flags = Connection { address: flag.map(str::to_owned), ..Connection::default() };
        resolve(&flags, variables).map(|settings| settings.address().to_owned()).map_err(|failure| failure.to_string())
    };
    let both = [("BAO_ADDR", "https://bao.example.net:8200/"), ("VAULT_ADDR", "https://vault.example.net")];
    assert_eq!(address(Some("https://flag.example.net"), &both).unwrap(), "https://flag.example.net");
    assert_eq!(address(None, &both).unwrap(), "https://bao.example.net:8200");
    assert_eq!(address(None, &both[1..]).unwrap(), "https://vault.example.net");
    assert_eq!(address(None, &[("BAO_ADDR", "")]).unwrap(), "https://127.0.0.1:8200");
    for wrong in ["127.0.0.1:8200", "ftp://x", "https://", "https://user@x", "https://x?y", "unix:///run/x", "nonsense"]
    {
        assert!(address(Some(wrong), &[]).unwrap_err().contains("https://127.0.0.1:8200"), "{wrong}");
    }

    let token = |variables: &[(&str, &str)]| {
        let settings = resolve(&Connection::default(), variables).unwrap();
        settings.token().map(|token| (token.to_owned(), settings.token_origin().unwrap().to_owned()))
    };
    let home = tempfile::tempdir().unwrap();
    let home_text = home.path().to_str().unwrap();
    assert_eq!(token(&[("HOME", home_text)]), None);
    std::fs::write(home.path().join(".vault-token"), "s.file\n").unwrap();
    let (value, origin) = token(&[("HOME", home_text)]).unwrap();
    assert!(value == "s.file" && origin.ends_with(".vault-token"), "{value} {origin}");
    assert_eq!(token(&[("HOME", home_text), ("VAULT_TOKEN", "s.v")]).unwrap().0, "s.v");
    assert_eq!(
        token(&[("VAULT_TOKEN", "s.v"), ("BAO_TOKEN", "s.b")]).unwrap(),
        ("s.b".to_owned(), "BAO_TOKEN".to_owned())
    );
}

#[test]
fn plain_http_leaves_this_machine_only_when_told_to() {
    let flags = |address: &str, allow| Connection {
        address: Some(address.to_owned()),
        allow_plain_http: allow,
        ..Connection::default()
    };
    for here in ["http://127.0.0.1:8200", "http://localhost", "http://[::1]:8200", "http://127.9.9.9"] {
        assert!(resolve(&flags(here, false), &[]).is_ok(), "{here}");
    }
    for there in
        ["http://vault.example.net", "http://192.0.2.1:8200", "http://localhost.example.net", "http://[2001:db8::1]"]
    {
        assert!(told(resolve(&flags(there, false), &[])).contains("--allow-plain-http"), "{there}");
        assert!(resolve(&flags(there, true), &[]).is_ok(), "{there}");
    }
}

#[test]
fn a_strange_setting_is_named() {
    for (name, value) in
        [("BAO_SKIP_VERIFY", "maybe"), ("VAULT_CLIENT_TIMEOUT", "soon"), ("BAO_CLIENT_CERT", "only-one.pem")]
    {
        let sentence = told(resolve(&Connection::default(), &[(name, value)]));
        let suffix = name.split_once('_').unwrap().1;
        assert!(sentence.contains(suffix), "{name}: {sentence}");
    }
    let flags = Connection { ca_cert: Some("/nowhere/ca.pem".into()), ..Connection::default() };
    assert!(told(Client::new(resolve(&flags, &[]).unwrap())).contains("/nowhere/ca.pem"));
    let odd = client("http://127.0.0.1:1", &[("BAO_TOKEN", "a\u{7f}b")]).get("sys/health");
    assert!(told(odd).contains("BAO_TOKEN"));
}

#[test]
fn paths_arrive_as_written_or_not_at_all() {
    assert_eq!(
        path(&["team/backup-codes/", "sets", "okta/jane@example.com"]).unwrap(),
        "team/backup-codes/sets/okta/jane@example.com"
    );
    assert_eq!(path(&["a b", "c?d#e", "f%2fg", "ü"]).unwrap(), "a%20b/c%3Fd%23e/f%252fg/%C3%BC");
    for wrong in [&["a", ".."][..], &["a//b"], &["a", "./b"], &[""], &["a", "b/../c"]] {
        assert!(path(wrong).is_err(), "{wrong:?}");
    }
}

#[test]
fn a_refusal_says_what_to_do_next() {
    let refusal = |status: &str, body: &str, variables: &[(&str, &str)]| -> Failure {
        let (address, _requests) = server(answer(status, body));
        let client = client(&address, variables);
        client
            .get("backup-codes/config")
            .and_then(|reply| reply.success(client.settings()))
            .map(|_: Reply| ())
            .unwrap_err()
    };
    for (status, body, words) in [
        (
            "400 Bad Request",
            r#"{"errors":["cas: the highest generation is 3"]}"#,
            &["cas: the highest generation is 3"][..],
        ),
        ("403 Forbidden", r#"{"errors":["permission denied"]}"#, &["permission denied", "role and JWT", "BAO_TOKEN"]),
        ("404 Not Found", r#"{"errors":[]}"#, &["no such path", "--mount"]),
        ("413 Payload Too Large", r#"{"errors":["request body too large"]}"#, &["larger"]),
        ("429 Too Many Requests\r\nretry-after: 7", r#"{"errors":["busy"]}"#, &["busy", "7 seconds"]),
        ("500 Internal Server Error", r#"{"errors":["internal error"]}"#, &["internal error", "log"]),
        ("503 Service Unavailable", r#"{"errors":["Vault is sealed"]}"#, &["sealed", "bao operator unseal"]),
        (
            "503 Service Unavailable",
            r#"{"errors":["no durable audit device"]}"#,
            &["no durable audit device", "Repeat"],
        ),
        (
            "307 Temporary Redirect\r\nlocation: https://active.example.net/v1/x",
            "",
            &["https://active.example.net", "--address"],
        ),
        ("418 I'm a teapot", "<html>", &["status 418"]),
        ("400 Bad Request", "{\"errors\":[\"a\\u001b[2Jb\"]}", &["a [2Jb"]),
    ] {
        let failure = refusal(status, body, &[]);
        assert!(failure.is_refusal() && failure.exit_code() == 2);
        for word in words {
            assert!(failure.to_string().contains(word), "{status}: {failure}");
        }
    }
    let old_token = refusal("403 Forbidden", r#"{"errors":["permission denied"]}"#, &[("VAULT_TOKEN", "s.old")]);
    assert!(old_token.to_string().contains("VAULT_TOKEN") && !old_token.to_string().contains("s.old"), "{old_token}");
}

#[test]
fn nobody_there_is_said_and_nothing_was_sent() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let failure = client(&address, &[]).put("x", Zeroizing::new(b"{}".to_vec())).err().unwrap();
    assert!(
        failure.to_string().contains("connection refused") && failure.to_string().contains("BAO_ADDR"),
        "{failure}"
    );
    assert!(!failure.outcome_unknown() && failure.exit_code() == 1);
}

#[test]
fn a_silent_or_dying_server_leaves_a_write_unknown_but_not_a_read() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", silent.local_addr().unwrap());
    let waiting = client(&address, &[("BAO_CLIENT_TIMEOUT", "1s")]);
    let failure = waiting.put("x", Zeroizing::new(b"{}".to_vec())).err().unwrap();
    assert!(failure.to_string().contains("within 1 seconds") && failure.outcome_unknown(), "{failure}");
    assert!(!waiting.get("x").err().unwrap().outcome_unknown());

    for broken in
        ["", "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{", "HTTP/1.1 200 OK\r\ncontent-length: 99999999\r\n\r\n"]
    {
        let (address, _requests) = server(broken);
        let failure = client(&address, &[]).put("x", Zeroizing::new(b"{}".to_vec())).err().unwrap();
        assert!(failure.outcome_unknown(), "{broken:?}: {failure}");
    }
}

/// A TLS server for `localhost`; gives its address and its authority's certificate in PEM.
fn tls_server(name: &str) -> (String, String) {
    let made = rcgen::generate_simple_self_signed(vec![name.to_owned()]).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let config = rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    let config = Arc::new(config);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("https://localhost:{}", listener.local_addr().unwrap().port());
    thread::spawn(move || {
        for stream in listener.incoming() {
            let config = Arc::clone(&config);
            thread::spawn(move || serve_tls(stream.unwrap(), config));
        }
    });
    (address, made.cert.pem())
}

fn serve_tls(stream: TcpStream, config: Arc<rustls::ServerConfig>) {
    stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let mut stream = rustls::StreamOwned::new(rustls::ServerConnection::new(config).unwrap(), stream);
    if !read_request(&mut stream).is_empty() {
        stream.write_all(answer("200 OK", "{}").as_bytes()).unwrap();
        stream.conn.send_close_notify();
        let _ = stream.flush();
    }
}

#[test]
fn a_certificate_is_checked_and_what_is_wrong_with_it_is_said() {
    let (address, authority) = tls_server("localhost");
    let folder = tempfile::tempdir().unwrap();
    let ca = folder.path().join("ca.pem");
    std::fs::write(&ca, authority).unwrap();
    let ca = ca.to_str().unwrap();

    assert_eq!(client(&address, &[("BAO_CACERT", ca)]).get("x").unwrap().status(), 200);
    assert_eq!(client(&address, &[("VAULT_SKIP_VERIFY", "true")]).get("x").unwrap().status(), 200);

    let unknown = client(&address, &[]).get("x").err().unwrap();
    assert!(unknown.to_string().contains("BAO_CACERT") && !unknown.outcome_unknown(), "{unknown}");
    let other = told(client(&address, &[("BAO_CACERT", ca), ("BAO_TLS_SERVER_NAME", "other.example.net")]).get("x"));
    assert!(other.contains("another name") && other.contains("--tls-server-name"), "{other}");

    let (elsewhere, _) = tls_server("elsewhere.example.net");
    let wrong_authority = told(client(&elsewhere, &[("BAO_CACERT", ca)]).get("x"));
    assert!(wrong_authority.contains("ca.pem"), "{wrong_authority}");
}

#[test]
fn a_server_without_tls_is_told_apart() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("https://{}", listener.local_addr().unwrap());
    let answering = thread::spawn(move || {
        let mut stream = listener.accept().unwrap().0;
        let _hello = stream.read(&mut [0; 4096]).unwrap();
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\n\r\n").unwrap();
    });
    let sentence = told(client(&address, &[]).get("x"));
    assert!(sentence.contains("does not speak TLS") && sentence.contains("http://"), "{sentence}");
    answering.join().unwrap();
}
