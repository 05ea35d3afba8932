//! `seal "transit"`: which other vault, which of its keys, and how it is reached.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use hyper::Uri;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

use super::{KeySource, Place, error_at, key_source};
use crate::config::ConfigError;
use crate::config::section::{Given, Section};
use crate::host::seal::{Transit, TransitKey};

const WORDS: &[&str] =
    &["address", "token", "key_name", "mount_path", "namespace", "tls_ca_cert", "tls_client_cert", "tls_client_key"];

/// Words of other vaults' transit seal that have no meaning here.
const ELSEWHERE: &[(&str, &str)] = &[
    ("disable_renewal", "not supported: a token that can be renewed is, at half its life"),
    ("tls_skip_verify", "not supported: whoever stands between would learn the key; name the authority as tls_ca_cert"),
    ("tls_server_name", "not supported: write the name that the certificate carries into address"),
    ("key_id_prefix", "not supported: a store has one seal"),
];

/// A token is far shorter.
const MAX_TOKEN: u64 = 8192;

/// Another vault's transit engine, as the file names it.
#[derive(Debug, Clone)]
pub struct TransitChoice {
    /// Scheme, host and port.
    pub address: String,
    /// The key that wraps.
    pub key: TransitKey,
    /// Where the token comes from.
    pub token: KeySource,
    /// The namespace there, if any.
    pub namespace: Option<String>,
    /// Who vouches for that vault's certificate, if not the authorities of this machine.
    pub ca: Option<PathBuf>,
    /// The certificate and key shown to that vault, if any.
    pub client: Option<(PathBuf, PathBuf)>,
    places: Places,
}

/// Where what is read at start was named.
#[derive(Debug, Clone, Default)]
struct Places {
    token: Place,
    ca: Place,
    client: Place,
}

impl PartialEq for TransitChoice {
    /// Where it was written does not count.
    fn eq(&self, other: &Self) -> bool {
        let parts = |choice: &Self| {
            let TransitChoice { address, key, token, namespace, ca, client, places: _ } = choice.clone();
            (address, key, token, namespace, ca, client)
        };
        parts(self) == parts(other)
    }
}

impl Eq for TransitChoice {}

impl TransitChoice {
    /// Reads token and certificates. Connects to nothing yet.
    pub(super) fn load(&self) -> Result<Transit, ConfigError> {
        let Places { token: place, .. } = &self.places;
        let bytes = self.token.read(place, MAX_TOKEN)?;
        let token = std::str::from_utf8(&bytes).map(str::trim_ascii).unwrap_or_default();
        let wrong = || error_at(place, format_args!("{} is not a token", self.token));
        if token.is_empty() || token.len() as u64 > MAX_TOKEN {
            return Err(wrong());
        }
        Transit::new(&self.address, self.key.clone(), token, self.namespace.as_deref(), self.tls()?).ok_or_else(wrong)
    }

    fn tls(&self) -> Result<ClientConfig, ConfigError> {
        let Places { ca: ca_place, client: client_place, .. } = &self.places;
        let mut roots = RootCertStore::empty();
        match &self.ca {
            // No authority at all is no error here: a vault on this machine may need none, and one with TLS says so when asked.
            None => {
                roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            }
            Some(file) => {
                for certificate in certificates(file, ca_place)? {
                    roots.add(certificate).map_err(|error| {
                        error_at(ca_place, format_args!("{}: cannot be trusted: {error}", file.display()))
                    })?;
                }
            }
        }
        let builder = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| error_at(ca_place, format_args!("TLS cannot be set up: {error}")))?
            .with_root_certificates(roots);
        let Some((cert, key)) = &self.client else { return Ok(builder.with_no_client_auth()) };
        let chain = certificates(cert, client_place)?;
        let private = PrivateKeyDer::from_pem_file(key).map_err(|error| {
            error_at(client_place, format_args!("{}: holds no private key in PEM: {error}", key.display()))
        })?;
        builder.with_client_auth_cert(chain, private).map_err(|error| {
            let (cert, key) = (cert.display(), key.display());
            error_at(client_place, format_args!("{cert} and {key} do not go together: {error}"))
        })
    }
}

fn certificates(file: &Path, place: &Place) -> Result<Vec<CertificateDer<'static>>, ConfigError> {
    let wrong = |cause: &dyn std::fmt::Display| {
        error_at(place, format_args!("{}: holds no certificate in PEM: {cause}", file.display()))
    };
    let found = CertificateDer::pem_file_iter(file).map_err(|error| wrong(&error))?;
    let chain = found.collect::<Result<Vec<_>, _>>().map_err(|error| wrong(&error))?;
    if chain.is_empty() { Err(wrong(&"it is empty")) } else { Ok(chain) }
}

/// Reads the block.
pub(super) fn read(section: &Section<'_>) -> Result<TransitChoice, ConfigError> {
    section.only(WORDS, ELSEWHERE)?;
    let address = address(section)?;
    let Some((token, token_at)) = key_source(section, "token")? else {
        return Err(section.error("token", "required: \"env://NAME\" or \"file://PATH\""));
    };
    let Some((name, name_at)) = section.text("key_name")? else {
        return Err(section.error("key_name", "required: the transit key's name, such as \"sparekey\""));
    };
    let name = path(&name, &name_at)?;
    let mount = match section.text("mount_path")? {
        None => "transit".to_owned(),
        Some((text, at)) => path(text.trim_matches('/'), &at)?,
    };
    let namespace = match section.text("namespace")? {
        None => None,
        Some((text, at)) => Some(path(text.trim_matches('/'), &at)?),
    };
    let mut places = Places { token: token_at.place(), ..Places::default() };
    let ca = section.text("tls_ca_cert")?.map(|(file, at)| {
        places.ca = at.place();
        PathBuf::from(file)
    });
    let client = match (section.text("tls_client_cert")?, section.text("tls_client_key")?) {
        (None, None) => None,
        (Some((cert, at)), Some((key, _))) => {
            places.client = at.place();
            Some((PathBuf::from(cert), PathBuf::from(key)))
        }
        (Some((_, at)), None) => return Err(at.error("needs tls_client_key beside it")),
        (None, Some((_, at))) => return Err(at.error("needs tls_client_cert beside it")),
    };
    Ok(TransitChoice { address, key: TransitKey { mount, name }, token, namespace, ca, client, places })
}

fn address(section: &Section<'_>) -> Result<String, ConfigError> {
    let Some((text, given)) = section.text("address")? else {
        return Err(section.error("address", "required: the other vault, such as \"https://vault.example.com:8200\""));
    };
    let uri = text.parse::<Uri>().ok().filter(|uri| {
        matches!(uri.scheme_str(), Some("http" | "https"))
            && uri.path().trim_matches('/').is_empty()
            && uri.query().is_none()
            && uri.authority().is_some_and(|authority| !authority.as_str().contains('@'))
    });
    let Some(uri) = uri else { return Err(given.error("a URL such as \"https://vault.example.com:8200\"")) };
    let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
    let local = host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback());
    if uri.scheme_str() == Some("http") && !local {
        return Err(given.error("https, unless that vault is on this machine: token and key travel there"));
    }
    Ok(text.trim_end_matches('/').to_owned())
}

/// A path of plain segments: it becomes part of a URL.
fn path(text: &str, given: &Given<'_>) -> Result<String, ConfigError> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    let segment = |segment: &str| !matches!(segment, "" | "." | "..") && segment.bytes().all(plain);
    if text.len() <= 128 && text.split('/').all(segment) {
        return Ok(text.to_owned());
    }
    Err(given.error("1 to 128 letters, digits, \"_\", \".\" or \"-\", in segments joined by \"/\""))
}
