//! TLS for the listener (RFC 8446, RFC 5246 where 1.2 is allowed): certificates from PEM files, client certificates where a CA
//! is named, and new files taken in without a restart. A connection keeps what it was accepted with.

use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};

use rustls::crypto::aws_lc_rs;
use rustls::server::WebPkiClientVerifier;
use rustls::version::{TLS12, TLS13};
use rustls::{ServerConfig, SupportedProtocolVersion};
use tokio_rustls::TlsAcceptor;

use crate::pem::{PemError, PemFile};

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

/// The TLS side of a listener, whose certificates can be read anew.
pub struct TlsReloader {
    files: TlsFiles,
    config: RwLock<Arc<ServerConfig>>,
}

impl TlsReloader {
    /// Reads the files. An unreadable file, a key that is not the certificate's and a file without certificates are errors.
    pub fn new(files: &TlsFiles) -> Result<Self, PemError> {
        Ok(TlsReloader { files: files.clone(), config: RwLock::new(Arc::new(read(files)?)) })
    }
    /// What accepts the next connection.
    pub fn acceptor(&self) -> TlsAcceptor {
        Arc::clone(&self.config.read().unwrap_or_else(PoisonError::into_inner)).into()
    }
    /// Reads the files again. If they are broken, the old certificates stay.
    pub fn reload(&self) -> Result<(), PemError> {
        let fresh = Arc::new(read(&self.files)?);
        *self.config.write().unwrap_or_else(PoisonError::into_inner) = fresh;
        Ok(())
    }
}

fn read(files: &TlsFiles) -> Result<ServerConfig, PemError> {
    let (cert, key) = (PemFile::new("tls_cert_file", &files.cert), PemFile::new("tls_key_file", &files.key));
    let (chain, private) = (cert.certificates()?, key.private_key()?);
    let provider = Arc::new(aws_lc_rs::default_provider());
    let versions: &[&SupportedProtocolVersion] = match files.min_version {
        MinVersion::Tls12 => &[&TLS13, &TLS12],
        MinVersion::Tls13 => &[&TLS13],
    };
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(versions)
        .map_err(|error| cert.wrong(error))?;
    let builder = match &files.client_ca {
        None => builder.with_no_client_auth(),
        Some(ClientCa { file, required }) => {
            let file = PemFile::new("tls_client_ca_file", file);
            let verifier = WebPkiClientVerifier::builder_with_provider(file.authorities()?.into(), provider);
            let verifier = if *required { verifier } else { verifier.allow_unauthenticated() };
            builder.with_client_cert_verifier(verifier.build().map_err(|error| file.wrong(error))?)
        }
    };
    let mut config = builder.with_single_cert(chain, private).map_err(|error| cert.unfit(&key, error))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}
