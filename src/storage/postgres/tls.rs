//! TLS to the database: whose word counts for the server's certificate, and which certificate we show.

use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, SignatureScheme};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::address::{Address, Trust};
use super::error::PostgresError;
use crate::pem::{self, PemError, PemFile};

/// A connector as `address` says; `None` without TLS.
///
/// # Errors
/// A file that cannot be read, or holds something else, by the name of the parameter.
pub(super) fn connector(address: &Address) -> Result<Option<MakeRustlsConnect>, PostgresError> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let verifier: Arc<dyn ServerCertVerifier> = match address.trust {
        Trust::Disable => return Ok(None),
        Trust::Require => Arc::new(Lenient { provider: Arc::clone(&provider), chain: None }),
        Trust::VerifyCa => {
            Arc::new(Lenient { provider: Arc::clone(&provider), chain: Some(chain_verifier(address, &provider)?) })
        }
        Trust::VerifyFull => chain_verifier(address, &provider)?,
    };
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| wrong("sslmode", &error))?
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    let identity =
        address.client.as_ref().map(|(cert, key)| (PemFile::new("sslcert", cert), PemFile::new("sslkey", key)));
    let mut config = pem::shown(builder, identity).map_err(wrong_file)?;
    // What `sslnegotiation=direct` asks for; other servers ignore it.
    config.alpn_protocols = vec![b"postgresql".to_vec()];
    Ok(Some(MakeRustlsConnect::new(config)))
}

fn chain_verifier(
    address: &Address,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<WebPkiServerVerifier>, PostgresError> {
    let file = address.authorities.as_deref().map(|file| PemFile::new("sslrootcert", file));
    let roots = pem::trusted(file).map_err(wrong_file)?;
    WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider)).build().map_err(|_| {
        PostgresError::Address(
            "sslrootcert: required: this machine trusts no authority by itself; name the file with the \
             database's"
                .to_owned(),
        )
    })
}

fn wrong_file(error: PemError) -> PostgresError {
    PostgresError::Address(error.to_string())
}

fn wrong(word: &str, what: &dyn std::fmt::Display) -> PostgresError {
    PostgresError::Address(format!("{word}: {what}"))
}

/// Asks less of a certificate than its name: that it comes from an authority (`verify-ca`), or nothing (`require`). The server
/// always has to hold its key.
#[derive(Debug)]
struct Lenient {
    provider: Arc<CryptoProvider>,
    chain: Option<Arc<WebPkiServerVerifier>>,
}

impl ServerCertVerifier for Lenient {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let Some(chain) = &self.chain else { return Ok(ServerCertVerified::assertion()) };
        // The name is looked at last, when the chain has been found good.
        match chain.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now) {
            Err(Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => Ok(ServerCertVerified::assertion()),
            other => other,
        }
    }
    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }
    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }
    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
