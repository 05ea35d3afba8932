//! Both sides of each connection know the other by one certificate, told before: no authority, no name, no date decides
//! (go-plugin's AutoMTLS). The host's certificate is P-521, self-signed and marked as an authority's, which ordinary
//! verification refuses as a peer's.

use std::fmt;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, DistinguishedName, Error, ServerConfig, SignatureScheme,
};

/// The name in both certificates.
pub const NAME: &str = "localhost";
/// Both sides insist on it (RFC 7301).
const ALPN: &[u8] = b"h2";

/// The process's own key and certificate, made for this one run.
pub struct Identity {
    certificate: CertificateDer<'static>,
    key: PrivatePkcs8KeyDer<'static>,
}

impl Identity {
    /// A P-256 key and a certificate for it that serves as server's and as client's.
    pub fn generate() -> Result<Self, rcgen::Error> {
        let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256)?;
        let mut params = rcgen::CertificateParams::new(vec![NAME.to_owned()])?;
        params.extended_key_usages =
            vec![rcgen::ExtendedKeyUsagePurpose::ServerAuth, rcgen::ExtendedKeyUsagePurpose::ClientAuth];
        params.key_usages = vec![rcgen::KeyUsagePurpose::DigitalSignature, rcgen::KeyUsagePurpose::KeyAgreement];
        let certificate = params.self_signed(&key)?.der().clone();
        Ok(Identity { certificate, key: key.serialize_der().into() })
    }
    /// The certificate that the host must be told.
    pub fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }
    /// For the socket on which this process serves.
    pub fn server(&self, host: &CertificateDer<'static>) -> Result<ServerConfig, Error> {
        let pinned = Pinned::new(host);
        let mut config = ServerConfig::builder_with_provider(pinned.provider.clone())
            .with_safe_default_protocol_versions()?
            .with_client_cert_verifier(Arc::new(pinned))
            .with_single_cert(vec![self.certificate.clone()], self.key())?;
        config.alpn_protocols = vec![ALPN.to_vec()];
        Ok(config)
    }
    /// For the sockets on which the host serves.
    pub fn client(&self, host: &CertificateDer<'static>) -> Result<ClientConfig, Error> {
        let pinned = Pinned::new(host);
        let mut config = ClientConfig::builder_with_provider(pinned.provider.clone())
            .with_safe_default_protocol_versions()?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(pinned))
            .with_client_auth_cert(vec![self.certificate.clone()], self.key())?;
        config.alpn_protocols = vec![ALPN.to_vec()];
        Ok(config)
    }
    fn key(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::Pkcs8(self.key.clone_key())
    }
}

/// Accepts one certificate, byte for byte, from whoever proves to hold its key.
struct Pinned {
    certificate: CertificateDer<'static>,
    provider: Arc<CryptoProvider>,
}

impl Pinned {
    fn new(certificate: &CertificateDer<'static>) -> Self {
        Pinned { certificate: certificate.clone(), provider: Arc::new(aws_lc_rs::default_provider()) }
    }
    fn is(&self, certificate: &CertificateDer<'_>) -> Result<(), Error> {
        match *certificate == self.certificate {
            true => Ok(()),
            false => Err(Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure)),
        }
    }
}

impl fmt::Debug for Pinned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pinned")
    }
}

impl ClientCertVerifier for Pinned {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }
    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.is(end_entity).map(|()| ClientCertVerified::assertion())
    }
    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }
    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }
    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.is(end_entity).map(|()| ServerCertVerified::assertion())
    }
    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }
    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }
    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio_rustls::{TlsAcceptor, TlsConnector};

    use super::*;

    /// A certificate as the host makes it: P-521, self-signed, an authority's.
    fn host() -> Identity {
        let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P521_SHA512).unwrap();
        let mut params = rcgen::CertificateParams::new(vec![NAME.to_owned()]).unwrap();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).unwrap().der().clone();
        Identity { certificate, key: key.serialize_der().into() }
    }

    async fn talk(server: ServerConfig, client: ClientConfig) -> std::io::Result<()> {
        let (ours, theirs) = tokio::io::duplex(16 * 1024);
        let serving = tokio::spawn(async move {
            let mut stream = TlsAcceptor::from(Arc::new(server)).accept(ours).await?;
            stream.write_all(b"hello").await?;
            stream.shutdown().await
        });
        let name = ServerName::try_from(NAME).unwrap();
        let mut stream = TlsConnector::from(Arc::new(client)).connect(name, theirs).await?;
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(ALPN));
        let mut heard = Vec::new();
        stream.read_to_end(&mut heard).await?;
        assert_eq!(heard, b"hello");
        serving.await.unwrap()
    }

    #[tokio::test]
    async fn both_directions_work_with_a_p521_host() {
        let (own, host) = (Identity::generate().unwrap(), host());
        talk(own.server(&host.certificate).unwrap(), host.client(&own.certificate).unwrap()).await.unwrap();
        talk(host.server(&own.certificate).unwrap(), own.client(&host.certificate).unwrap()).await.unwrap();
    }

    #[tokio::test]
    async fn any_other_certificate_is_refused_on_either_side() {
        let (own, host, stranger) = (Identity::generate().unwrap(), host(), host());
        let server = own.server(&host.certificate).unwrap();
        assert!(talk(server, stranger.client(&own.certificate).unwrap()).await.is_err());
        let client = own.client(&host.certificate).unwrap();
        assert!(talk(stranger.server(&own.certificate).unwrap(), client).await.is_err());
    }

    #[tokio::test]
    async fn the_certificate_without_its_key_is_refused() {
        let (own, host, stranger) = (Identity::generate().unwrap(), host(), host());
        let mut thief = host.client(&own.certificate).unwrap();
        let resolver = stranger.client(&own.certificate).unwrap().client_auth_cert_resolver;
        thief.client_auth_cert_resolver = resolver;
        assert!(talk(own.server(&host.certificate).unwrap(), thief).await.is_err());
    }
}
