//! Fetching key sets: one bounded GET over TLS, nothing followed, nothing sent that a stranger chose.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Limited};
use hyper_rustls::{ConfigBuilderExt, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};

use crate::error::{Error, Result, chain};

/// Largest answer that is read.
pub const MAX_BODY: usize = 512 * 1024;
/// How long a fetch may take, from name resolution to the last byte.
pub const TIME_LIMIT: Duration = Duration::from_secs(5);

/// Why a fetch failed, for the operator's log.
pub type FetchError = String;
/// A fetch under way.
pub type Fetching = Pin<Box<dyn Future<Output = std::result::Result<Vec<u8>, FetchError>> + Send>>;

/// Something that can GET a URL of the configuration.
pub trait Fetch: Send + Sync {
    /// The body of a 200 answer from `url`; `ca_pem` is trusted instead of the public authorities if given.
    fn get(&self, url: &str, ca_pem: Option<&str>) -> Fetching;
}

/// Fetches over HTTPS, or HTTP to this machine.
#[derive(Debug, Clone, Copy)]
pub struct HttpsFetch {
    time_limit: Duration,
}

impl Default for HttpsFetch {
    fn default() -> Self {
        HttpsFetch { time_limit: TIME_LIMIT }
    }
}

impl HttpsFetch {
    /// One that gives up sooner or later than after [`TIME_LIMIT`].
    pub fn with_time_limit(time_limit: Duration) -> Self {
        HttpsFetch { time_limit }
    }
}

impl Fetch for HttpsFetch {
    fn get(&self, url: &str, ca_pem: Option<&str>) -> Fetching {
        let (url, ca_pem, limit) = (url.to_owned(), ca_pem.map(str::to_owned), self.time_limit);
        Box::pin(async move {
            tokio::time::timeout(limit, get(url, ca_pem)).await.unwrap_or_else(|_| Err("it took too long".into()))
        })
    }
}

/// Redirects are not followed (the client does not, and a status other than 200 is a failure): the configuration names the one
/// place that is trusted.
async fn get(url: String, ca_pem: Option<String>) -> std::result::Result<Vec<u8>, FetchError> {
    let uri: hyper::Uri = url.parse().map_err(|_| "not a URL")?;
    let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
    let local = host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback());
    if uri.scheme_str() != Some("https") && !local {
        return Err("http only to this machine".into());
    }
    let tls = tls(ca_pem.as_deref()).map_err(|error| error.public().to_owned())?;
    let connector = HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1().build();
    let client: Client<_, Empty<Bytes>> = Client::builder(TokioExecutor::new()).build(connector);
    let response = client.get(uri).await.map_err(|error| chain(&error))?;
    if response.status() != hyper::StatusCode::OK {
        return Err(format!("the answer was {}", response.status()));
    }
    let body = Limited::new(response.into_body(), MAX_BODY).collect().await.map_err(|error| error.to_string())?;
    Ok(body.to_bytes().to_vec())
}

/// What a client trusts: `ca_pem`, or the public authorities.
pub(crate) fn tls(ca_pem: Option<&str>) -> Result<ClientConfig> {
    let builder = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(Error::internal)?;
    let builder = match ca_pem {
        Some(pem) => builder.with_root_certificates(roots("ca_pem", pem)?),
        None => builder.with_webpki_roots(),
    };
    Ok(builder.with_no_client_auth())
}

/// Whether `ca_pem`, the value of `field`, holds certificates that can be trusted.
pub(super) fn check_ca(field: &str, ca_pem: Option<&str>) -> Result<()> {
    ca_pem.map_or(Ok(()), |pem| roots(field, pem).map(drop))
}

fn roots(field: &str, pem: &str) -> Result<RootCertStore> {
    let wanted = || Error::field(field, "certificates in PEM form and nothing else");
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
        roots.add(certificate.map_err(|_| wanted())?).map_err(|_| wanted())?;
    }
    if roots.is_empty() { Err(wanted()) } else { Ok(roots) }
}
