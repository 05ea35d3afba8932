//! TLS of the client: whose word counts for the server's certificate, and which certificate the client shows.

use std::path::Path;
use std::sync::Arc;

use hyper_rustls::{FixedServerNameResolver, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};

use super::{Failure, Settings};

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
        builder.with_root_certificates(roots(settings)?)
    };
    let Some((cert, key)) = settings.client_cert() else { return Ok(builder.with_no_client_auth()) };
    let chain = certificates(cert)?;
    let private = PrivateKeyDer::from_pem_file(key)
        .map_err(|error| Failure::local(format!("{} holds no private key in PEM: {error}", key.display())))?;
    builder.with_client_auth_cert(chain, private).map_err(|error| {
        Failure::local(format!("{} and {} do not go together: {error}", cert.display(), key.display()))
    })
}

/// No authority at all is no error here: a server without TLS needs none, and one with TLS says so when it is reached.
fn roots(settings: &Settings) -> Result<RootCertStore, Failure> {
    let mut roots = RootCertStore::empty();
    match settings.ca_cert() {
        None => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
        Some(file) => {
            for certificate in certificates(file)? {
                roots.add(certificate).map_err(|error| {
                    Failure::local(format!("{} holds a certificate that cannot be trusted: {error}", file.display()))
                })?;
            }
        }
    }
    Ok(roots)
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, Failure> {
    let wrong = |error| Failure::local(format!("{} holds no certificate in PEM: {error}", file.display()));
    let chain: Vec<_> = CertificateDer::pem_file_iter(file).map_err(wrong)?.collect::<Result<_, _>>().map_err(wrong)?;
    if chain.is_empty() {
        return Err(Failure::local(format!("{} holds no certificate in PEM", file.display())));
    }
    Ok(chain)
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
