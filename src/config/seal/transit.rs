//! `seal "transit"`: which other vault, which of its keys, and how it is reached.

use std::path::PathBuf;
use std::sync::Arc;

use hyper::Uri;
use rustls::ClientConfig;

use super::{KeySource, Place, error_at, key_source};
use crate::config::ConfigError;
use crate::config::section::{Given, Section};
use crate::host::seal::{Transit, TransitKey};
use crate::pem::{self, PemError, PemFile};

const CA: &str = "tls_ca_cert";
const CERT: &str = "tls_client_cert";
const KEY: &str = "tls_client_key";
const WORDS: &[&str] = &["address", "token", "key_name", "mount_path", "namespace", CA, CERT, KEY];

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
    cert: Place,
    key: Place,
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
        let at = |error: PemError| {
            let place = match error.setting() {
                CERT => &self.places.cert,
                KEY => &self.places.key,
                _ => &self.places.ca,
            };
            error_at(place, format_args!("{}", error.at_file()))
        };
        let file = self.ca.as_deref().map(|file| PemFile::new(CA, file));
        let builder = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| error_at(&self.places.ca, format_args!("TLS cannot be set up: {error}")))?
            .with_root_certificates(pem::trusted(file).map_err(at)?);
        let identity = self.client.as_ref().map(|(cert, key)| (PemFile::new(CERT, cert), PemFile::new(KEY, key)));
        pem::shown(builder, identity).map_err(at)
    }
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
    let ca = section.text(CA)?.map(|(file, at)| {
        places.ca = at.place();
        PathBuf::from(file)
    });
    let client = match (section.text(CERT)?, section.text(KEY)?) {
        (None, None) => None,
        (Some((cert, cert_at)), Some((key, key_at))) => {
            (places.cert, places.key) = (cert_at.place(), key_at.place());
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
