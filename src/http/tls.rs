//! TLS for the listener (RFC 8446, RFC 5246 where 1.2 is allowed): certificates from PEM files, client certificates where a CA
//! is named, and new files taken in without a restart. A connection keeps what it was accepted with.

use std::fmt;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::version::{TLS12, TLS13};
use rustls::{RootCertStore, ServerConfig, SupportedProtocolVersion};
use tokio_rustls::TlsAcceptor;
use zeroize::Zeroizing;

/// The oldest protocol that a listener speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MinVersion {
    /// TLS 1.2 and 1.3.
    #[default]
    Tls12,
    /// TLS 1.3 only.
    Tls13,
}

/// The files of a listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// Certificate chain, the server's own first (PEM).
    pub cert: PathBuf,
    /// Its private key (PEM: PKCS#8, PKCS#1 or SEC1).
    pub key: PathBuf,
    /// Who may issue client certificates, if anybody.
    pub client_ca: Option<ClientCa>,
    /// Oldest protocol.
    pub min_version: MinVersion,
}

/// Whose client certificates count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientCa {
    /// CA certificates (PEM).
    pub file: PathBuf,
    /// Whether a client without a certificate is turned away. One with a wrong certificate always is.
    pub required: bool,
}

/// Why files do not make a listener: names the file.
#[derive(Debug)]
pub struct TlsError {
    file: PathBuf,
    what: String,
}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.file.display(), self.what)
    }
}

impl std::error::Error for TlsError {}

/// The TLS side of a listener, whose certificates can be read anew.
pub struct TlsReloader {
    files: TlsFiles,
    config: RwLock<Arc<ServerConfig>>,
}

impl TlsReloader {
    /// Reads the files. An unreadable file, a key that is not the certificate's and a file without certificates are errors.
    pub fn new(files: &TlsFiles) -> Result<Self, TlsError> {
        Ok(TlsReloader { files: files.clone(), config: RwLock::new(Arc::new(read(files)?)) })
    }
    /// What accepts the next connection.
    pub fn acceptor(&self) -> TlsAcceptor {
        Arc::clone(&self.config.read().unwrap_or_else(PoisonError::into_inner)).into()
    }
    /// Reads the files again. If they are broken, the old certificates stay.
    pub fn reload(&self) -> Result<(), TlsError> {
        let fresh = Arc::new(read(&self.files)?);
        *self.config.write().unwrap_or_else(PoisonError::into_inner) = fresh;
        Ok(())
    }
}

/// Certificate files are small; a larger one is not what it is said to be.
const MAX_BYTES: u64 = 1 << 20;

fn read(files: &TlsFiles) -> Result<ServerConfig, TlsError> {
    let chain = certificates(&files.cert)?;
    let key_pem = bytes(&files.key)?;
    let key = PrivateKeyDer::from_pem_slice(&key_pem)
        .map_err(|_| broken(&files.key, "holds no private key in PEM (PKCS#8, PKCS#1 or SEC1, not encrypted)"))?;
    let provider = Arc::new(aws_lc_rs::default_provider());
    let versions: &[&SupportedProtocolVersion] = match files.min_version {
        MinVersion::Tls12 => &[&TLS13, &TLS12],
        MinVersion::Tls13 => &[&TLS13],
    };
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(versions)
        .map_err(|error| broken(&files.cert, error))?;
    let builder = match &files.client_ca {
        None => builder.with_no_client_auth(),
        Some(ClientCa { file, required }) => {
            let mut roots = RootCertStore::empty();
            for ca in certificates(file)? {
                roots.add(ca).map_err(|error| broken(file, error))?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), provider);
            let verifier = if *required { verifier } else { verifier.allow_unauthenticated() };
            builder.with_client_cert_verifier(verifier.build().map_err(|error| broken(file, error))?)
        }
    };
    let mut config = builder.with_single_cert(chain, key).map_err(|error| match error {
        rustls::Error::InconsistentKeys(_) => {
            broken(&files.key, format_args!("is not the key of the first certificate in {}", files.cert.display()))
        }
        error => broken(&files.cert, error),
    })?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let pem = bytes(file)?;
    let found: Vec<_> = CertificateDer::pem_slice_iter(&pem).collect::<Result<_, _>>().map_err(|e| broken(file, e))?;
    if found.is_empty() {
        return Err(broken(file, "holds no certificate in PEM"));
    }
    Ok(found)
}

fn bytes(file: &Path) -> Result<Zeroizing<Vec<u8>>, TlsError> {
    let mut bytes = Zeroizing::new(Vec::new());
    let opened = std::fs::File::open(file).map_err(|error| broken(file, error))?;
    opened.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(|error| broken(file, error))?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(broken(file, "is larger than 1 MiB"));
    }
    Ok(bytes)
}

fn broken(file: &Path, what: impl fmt::Display) -> TlsError {
    TlsError { file: file.to_owned(), what: what.to_string() }
}
