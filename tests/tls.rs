//! The TLS listener against real handshakes: who is let in, what a reload changes, what a broken file does not change.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use sparekey::http::tls::{ClientCa, MinVersion, TlsFiles, TlsReloader};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::TlsConnector;

struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Authority(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }
    /// Certificate and key for `name`, signed by this authority.
    fn issue(&self, name: &str) -> (rcgen::Certificate, KeyPair) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        (params.signed_by(&key, &self.0).unwrap(), key)
    }
}

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Folder(tempfile::tempdir().unwrap())
    }
    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }
    fn write(&self, name: &str, text: &str) -> PathBuf {
        std::fs::write(self.path(name), text).unwrap();
        self.path(name)
    }
    /// The listener's files with a certificate for `localhost` from `authority`.
    fn files(&self, authority: &Authority) -> TlsFiles {
        let (cert, key) = authority.issue("localhost");
        TlsFiles {
            cert: self.write("server.pem", &cert.pem()),
            key: self.write("server-key.pem", &key.serialize_pem()),
            client_ca: None,
            min_version: MinVersion::Tls12,
        }
    }
}

struct Client(ClientConfig);

impl Client {
    fn trusting(authority: &Authority, identity: Option<(rcgen::Certificate, KeyPair)>) -> Self {
        Self::speaking(authority, identity, rustls::ALL_VERSIONS)
    }
    fn speaking(
        authority: &Authority,
        identity: Option<(rcgen::Certificate, KeyPair)>,
        versions: &[&'static rustls::SupportedProtocolVersion],
    ) -> Self {
        let mut roots = RootCertStore::empty();
        roots.add(authority.0.der().clone()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .unwrap()
            .with_root_certificates(roots);
        let mut config = match identity {
            None => builder.with_no_client_auth(),
            Some((cert, key)) => {
                let chain: Vec<CertificateDer<'static>> = vec![cert.der().clone()];
                let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
                builder.with_client_auth_cert(chain, key).unwrap()
            }
        };
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Client(config)
    }
    /// Sends a byte and reads it back; the error of the side that refused, if one did. Answers the protocol agreed on.
    async fn echo(&self, tls: &TlsReloader) -> Result<Option<Vec<u8>>, String> {
        let (near, far) = tokio::io::duplex(1 << 16);
        let acceptor = tls.acceptor();
        let server = async move {
            let mut stream = acceptor.accept(far).await.map_err(|error| format!("server: {error}"))?;
            let mut byte = [0];
            stream.read_exact(&mut byte).await.map_err(|error| format!("server: {error}"))?;
            stream.write_all(&byte).await.map_err(|error| format!("server: {error}"))?;
            stream.shutdown().await.map_err(|error| format!("server: {error}"))
        };
        let connector = TlsConnector::from(Arc::new(self.0.clone()));
        let client = async move {
            let name = ServerName::try_from("localhost").unwrap();
            let mut stream = connector.connect(name, near).await.map_err(|error| format!("client: {error}"))?;
            stream.write_all(b"x").await.map_err(|error| format!("client: {error}"))?;
            let mut byte = [0];
            stream.read_exact(&mut byte).await.map_err(|error| format!("client: {error}"))?;
            Ok(stream.get_ref().1.alpn_protocol().map(<[u8]>::to_vec))
        };
        let (server, client) = tokio::join!(server, client);
        server.and(client)
    }
}

#[tokio::test]
async fn a_client_that_knows_the_authority_gets_in_and_speaks_http_1() {
    let (authority, folder) = (Authority::new(), Folder::new());
    let tls = TlsReloader::new(&folder.files(&authority)).unwrap();
    assert_eq!(Client::trusting(&authority, None).echo(&tls).await, Ok(Some(b"http/1.1".to_vec())));
    let stranger = Client::trusting(&Authority::new(), None).echo(&tls).await;
    assert!(stranger.as_ref().is_err_and(|error| error.contains("received fatal alert")), "{stranger:?}");
}

#[tokio::test]
async fn the_oldest_protocol_is_kept_to() {
    let (authority, folder) = (Authority::new(), Folder::new());
    let mut files = folder.files(&authority);
    let old = Client::speaking(&authority, None, &[&rustls::version::TLS12]);
    assert!(old.echo(&TlsReloader::new(&files).unwrap()).await.is_ok());
    files.min_version = MinVersion::Tls13;
    let tls = TlsReloader::new(&files).unwrap();
    assert!(old.echo(&tls).await.is_err());
    assert!(Client::trusting(&authority, None).echo(&tls).await.is_ok());
}

#[tokio::test]
async fn client_certificates_required_optional_and_of_the_wrong_authority() {
    let (authority, clients, folder) = (Authority::new(), Authority::new(), Folder::new());
    let mut files = folder.files(&authority);
    let ca = folder.write("clients.pem", &clients.0.pem());
    let bare = Client::trusting(&authority, None);
    let known = Client::trusting(&authority, Some(clients.issue("admin")));
    let foreign = Client::trusting(&authority, Some(Authority::new().issue("admin")));

    files.client_ca = Some(ClientCa { file: ca.clone(), required: true });
    let required = TlsReloader::new(&files).unwrap();
    assert!(known.echo(&required).await.is_ok());
    let refused = bare.echo(&required).await;
    assert!(refused.as_ref().is_err_and(|error| error.contains("no certificates")), "{refused:?}");
    assert!(foreign.echo(&required).await.is_err());

    files.client_ca = Some(ClientCa { file: ca, required: false });
    let optional = TlsReloader::new(&files).unwrap();
    assert!(known.echo(&optional).await.is_ok());
    assert!(bare.echo(&optional).await.is_ok());
    assert!(foreign.echo(&optional).await.is_err());
}

#[tokio::test]
async fn a_reload_takes_new_certificates_and_keeps_the_old_ones_if_they_are_broken() {
    let (first, second, folder) = (Authority::new(), Authority::new(), Folder::new());
    let files = folder.files(&first);
    let tls = TlsReloader::new(&files).unwrap();
    let (old_client, new_client) = (Client::trusting(&first, None), Client::trusting(&second, None));

    folder.write("server.pem", "-----BEGIN CERTIFICATE-----\nnot base64 at all!\n-----END CERTIFICATE-----\n");
    let error = tls.reload().unwrap_err().to_string();
    assert!(error.contains("server.pem"), "{error}");
    assert!(old_client.echo(&tls).await.is_ok());

    folder.files(&second);
    assert!(old_client.echo(&tls).await.is_ok(), "nothing changes before a reload");
    tls.reload().unwrap();
    assert!(new_client.echo(&tls).await.is_ok());
    assert!(old_client.echo(&tls).await.is_err());
}

#[test]
fn broken_files_are_named() {
    let (authority, folder) = (Authority::new(), Folder::new());
    let good = folder.files(&authority);
    let other_key = folder.write("other-key.pem", &KeyPair::generate().unwrap().serialize_pem());
    let empty = folder.write("empty.pem", "");
    let noise = folder.write("noise.pem", &"x".repeat((1 << 20) + 1));
    let absent = folder.path("absent.pem");
    let cert = |path: &Path| TlsFiles { cert: path.to_owned(), ..good.clone() };
    let key = |path: &Path| TlsFiles { key: path.to_owned(), ..good.clone() };
    let ca =
        |path: &Path| TlsFiles { client_ca: Some(ClientCa { file: path.to_owned(), required: false }), ..good.clone() };
    for (files, expected) in [
        (cert(&absent), "absent.pem: No such file"),
        (cert(&empty), "empty.pem: holds no certificate in PEM"),
        (cert(&noise), "noise.pem: is larger than 1 MiB"),
        (cert(&good.key), "server-key.pem: holds no certificate in PEM"),
        (key(&absent), "absent.pem: No such file"),
        (key(&empty), "empty.pem: holds no private key in PEM"),
        (key(&good.cert), "server.pem: holds no private key in PEM"),
        (key(&other_key), "other-key.pem: is not the key of the first certificate in"),
        (ca(&absent), "absent.pem: No such file"),
        (ca(&empty), "empty.pem: holds no certificate in PEM"),
    ] {
        let error = TlsReloader::new(&files).err().unwrap().to_string();
        assert!(error.contains(expected), "{error:?} should say {expected:?}");
    }
}
