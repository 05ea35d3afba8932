//! TLS on both sides.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use hyper::Request;
use hyper::body::Incoming;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use sparekey::http::places::Place;
use sparekey::http::render::Reply;
use sparekey::http::tls::{MinVersion, TlsFiles, TlsReloader};
use sparekey::http::{Limits, Service, listen};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio::sync::watch;

use crate::fake::{Setup, some_set};

struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    folder: TempDir,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let authority = Authority { issuer, folder: tempfile::tempdir().unwrap() };
        std::fs::write(authority.file(), authority.issuer.pem()).unwrap();
        authority
    }
    fn file(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }
    /// A listener's certificate for `localhost`.
    fn listener(&self) -> Arc<TlsReloader> {
        let key = KeyPair::generate().unwrap();
        let cert = CertificateParams::new(vec!["localhost".to_owned()]).unwrap().signed_by(&key, &self.issuer).unwrap();
        let at = |name: &str| self.folder.path().join(name);
        std::fs::write(at("cert.pem"), cert.pem()).unwrap();
        std::fs::write(at("key.pem"), key.serialize_pem()).unwrap();
        let files =
            TlsFiles { cert: at("cert.pem"), key: at("key.pem"), client_ca: None, min_version: MinVersion::Tls12 };
        Arc::new(TlsReloader::new(&files).unwrap())
    }
}

/// A vault with TLS that takes everything in.
struct Accepting;

impl Service for Accepting {
    async fn answer(&self, _peer: SocketAddr, _request: Request<Incoming>, _place: &Place) -> Reply {
        let mut reply = Reply::default();
        *reply.status_mut() = hyper::StatusCode::ACCEPTED;
        reply
    }
}

fn vault(authority: &Authority) -> (Runtime, watch::Sender<bool>, SocketAddr) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let socket = runtime.block_on(tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))).unwrap();
    let address = socket.local_addr().unwrap();
    let (stop, stopped) = watch::channel(false);
    runtime.spawn(listen(socket, Some(authority.listener()), Arc::new(Accepting), Limits::default(), stopped));
    (runtime, stop, address)
}

#[test]
fn a_vault_counts_only_with_a_certificate_of_the_named_authority() {
    let authority = Authority::new();
    let (_runtime, _stop, address) = vault(&authority);
    let push = |host: &str, ca: &Authority| {
        let target = format!("https://{host}:{}/v1/backup-codes/events/idp", address.port());
        let ca = ca.file();
        Setup { targets: vec![target], ca_cert: Some(&ca), ..Setup::default() }.start().push(&some_set()).status
    };
    assert_eq!(push("localhost", &authority), 202);
    assert_eq!(push("localhost", &Authority::new()), 503, "another authority");
    assert_eq!(push("127.0.0.1", &authority), 503, "another name");
}

#[test]
fn a_sender_reaches_the_relay_over_tls_and_not_without() {
    let authority = Authority::new();
    let (_runtime, _stop, address) = vault(&authority);
    let target = format!("https://localhost:{}/v1/backup-codes/events/idp", address.port());
    let ca = authority.file();
    let relay =
        Setup { targets: vec![target], ca_cert: Some(&ca), tls: Some(authority.listener()), ..Setup::default() }
            .start();

    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(&ca).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let set = some_set();
    let request = format!(
        "POST /idp HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/secevent+jwt\r\n\
         Content-Length: {}\r\n\r\n{set}",
        set.len()
    );
    let exchange = |stream: &mut dyn ReadWrite| {
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        String::from_utf8_lossy(&answer).into_owned()
    };
    let connection = ClientConnection::new(Arc::new(config), ServerName::try_from("localhost").unwrap()).unwrap();
    let socket = std::net::TcpStream::connect(relay.address).unwrap();
    let answer = exchange(&mut StreamOwned::new(connection, socket));
    assert!(answer.starts_with("HTTP/1.1 202 "), "{answer}");
    let answer = exchange(&mut std::net::TcpStream::connect(relay.address).unwrap());
    assert!(!answer.contains("HTTP/1.1"), "{answer}");
}

trait ReadWrite: std::io::Read + std::io::Write {}
impl<T: std::io::Read + std::io::Write> ReadWrite for T {}
