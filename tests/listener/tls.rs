//! The same listener under TLS.

use std::io::{Read, Write};
use std::sync::Arc;
use std::time::Duration;

use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use sparekey::http::Limits;
use sparekey::http::tls::{MinVersion, TlsFiles, TlsReloader};

use super::inprocess::Setup;
use super::{closed, connect};

#[test]
fn requests_go_through_tls_and_a_client_that_does_not_shake_hands_is_given_up() {
    let folder = tempfile::tempdir().unwrap();
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(vec!["localhost".to_owned()]).unwrap().self_signed(&key).unwrap();
    let files = TlsFiles {
        cert: folder.path().join("cert.pem"),
        key: folder.path().join("key.pem"),
        client_ca: None,
        min_version: MinVersion::Tls13,
    };
    std::fs::write(&files.cert, certificate.pem()).unwrap();
    std::fs::write(&files.key, key.serialize_pem()).unwrap();
    let limits = Limits { head_time: Duration::from_millis(500), ..Limits::default() };
    let tls = Some(Arc::new(TlsReloader::new(&files).unwrap()));
    let (node, _root) = Setup { limits, tls, ..Setup::default() }.ready();

    let mut roots = RootCertStore::empty();
    roots.add(certificate.der().clone()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from("localhost").unwrap();
    let session = ClientConnection::new(Arc::new(config), name).unwrap();
    let mut stream = StreamOwned::new(session, connect(&node));
    stream.write_all(b"GET /v1/sys/health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");

    let mut silent = connect(&node);
    assert!(closed(&mut silent));
    let mut plain = connect(&node);
    let _ = plain.write_all(b"GET /v1/sys/health HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert!(closed(&mut plain));
}
