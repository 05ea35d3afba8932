//! TLS of the client: whose word counts for the server's certificate, and which certificate the client shows.

use std::sync::Arc;

use hyper_rustls::{FixedServerNameResolver, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};

use super::{Failure, Settings};
use crate::pem::{self, PemFile};

/// A connector for `http` and `https` as `settings` say. The authorities of this machine count, unless a file names others.
pub(super) fn connector(settings: &Settings) -> Result<HttpsConnector<HttpConnector>, Failure> {
    let builder = HttpsConnectorBuilder::new().with_tls_config(config(settings)?).https_or_http();
    let Some(name) = settings.server_name() else { return Ok(builder.enable_http1().build()) };
    let name = ServerName::try_from(name.to_owned())
        .map_err(|_| Failure::local(format!("{name} is no name a certificate can carry (--tls-server-name)")))?;
    Ok(builder.with_server_name_resolver(FixedServerNameResolver::new(name)).enable_http1().build())
}

fn config(settings: &Settings) -> Result<ClientConfig, Failure> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| Failure::local(format!("TLS cannot be set up: {error}")))?;
    let builder = if settings.skip_verify() {
        builder.dangerous().with_custom_certificate_verifier(Arc::new(Unchecked(provider)))
    } else {
        let file = settings.ca_cert().map(|file| PemFile::new("--ca-cert or BAO_CACERT", file));
        builder.with_root_certificates(pem::trusted(file).map_err(|error| Failure::local(error.to_string()))?)
    };
    let identity = settings.client_cert().map(|(cert, key)| {
        (PemFile::new("--client-cert or BAO_CLIENT_CERT", cert), PemFile::new("--client-key or BAO_CLIENT_KEY", key))
    });
    pem::shown(builder, identity).map_err(|error| Failure::local(error.to_string()))
}

/// Takes any certificate, but only from a server that holds its key: what `--tls-skip-verify` asks for.
#[derive(Debug)]
struct Unchecked(Arc<CryptoProvider>);

impl ServerCertVerifier for Unchecked {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }
    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }
    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }
    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
