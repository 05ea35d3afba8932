//! Certificates and private keys in PEM files (RFC 7468), for every side that speaks TLS: read in one way, with one set of errors,
//! each of which names the setting and its file.

use std::fmt;
use std::io::Read;
use std::path::{Path, PathBuf};

use rustls::client::WantsClientCert;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, ConfigBuilder, RootCertStore};
use zeroize::Zeroizing;

/// Such files are small; a larger one is not what it is said to be.
const MAX_BYTES: u64 = 1 << 20;

/// A file, and the setting that names it.
#[derive(Debug, Clone, Copy)]
pub struct PemFile<'a> {
    setting: &'static str,
    path: &'a Path,
}

/// What is wrong with a file. Never a byte of it.
#[derive(Debug)]
pub struct PemError {
    setting: &'static str,
    file: PathBuf,
    what: String,
}

impl<'a> PemFile<'a> {
    /// The file at `path`, which `setting` names.
    pub const fn new(setting: &'static str, path: &'a Path) -> Self {
        PemFile { setting, path }
    }
    /// Its certificates, in their order: at least one.
    pub fn certificates(&self) -> Result<Vec<CertificateDer<'static>>, PemError> {
        let pem = self.bytes()?;
        let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
        match found {
            Ok(chain) if chain.is_empty() => Err(self.wrong("holds no certificate in PEM")),
            Ok(chain) => Ok(chain),
            Err(error) => Err(self.wrong(format_args!("holds no certificate in PEM: {error}"))),
        }
    }
    /// Its certificates as authorities.
    pub fn authorities(&self) -> Result<RootCertStore, PemError> {
        let mut roots = RootCertStore::empty();
        for certificate in self.certificates()? {
            let wrong = |error| self.wrong(format_args!("holds a certificate that cannot be trusted: {error}"));
            roots.add(certificate).map_err(wrong)?;
        }
        Ok(roots)
    }
    /// Its private key.
    pub fn private_key(&self) -> Result<PrivateKeyDer<'static>, PemError> {
        let pem = self.bytes()?;
        PrivateKeyDer::from_pem_slice(&pem)
            .map_err(|_| self.wrong("holds no private key in PEM (PKCS#8, PKCS#1 or SEC1, not encrypted)"))
    }
    /// That `what` is wrong with it.
    pub fn wrong(&self, what: impl fmt::Display) -> PemError {
        PemError { setting: self.setting, file: self.path.to_owned(), what: what.to_string() }
    }
    /// What `error` says of this certificate chain and its `key`.
    pub fn unfit(&self, key: &PemFile<'_>, error: rustls::Error) -> PemError {
        match error {
            rustls::Error::InconsistentKeys(_) => {
                key.wrong(format_args!("is not the key of the first certificate in {}", self.path.display()))
            }
            error => self.wrong(error),
        }
    }
    fn bytes(&self) -> Result<Zeroizing<Vec<u8>>, PemError> {
        let mut bytes = Zeroizing::new(Vec::new());
        let opened = std::fs::File::open(self.path).map_err(|error| self.wrong(error))?;
        opened.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(|error| self.wrong(error))?;
        if bytes.len() as u64 > MAX_BYTES {
            return Err(self.wrong("is larger than 1 MiB"));
        }
        Ok(bytes)
    }
}

/// Whose word counts for a server's certificate: the authorities in `file`, else those of this machine. That there are none of the
/// latter is no error here: a server without TLS needs none, and one with TLS says so when it is reached.
pub fn trusted(file: Option<PemFile<'_>>) -> Result<RootCertStore, PemError> {
    match file {
        Some(file) => file.authorities(),
        None => {
            let mut roots = RootCertStore::empty();
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            Ok(roots)
        }
    }
}

/// The rest of a client's settings: the certificate chain that it shows and its key, if it shows one.
pub fn shown(
    builder: ConfigBuilder<ClientConfig, WantsClientCert>,
    identity: Option<(PemFile<'_>, PemFile<'_>)>,
) -> Result<ClientConfig, PemError> {
    let Some((cert, key)) = identity else { return Ok(builder.with_no_client_auth()) };
    builder.with_client_auth_cert(cert.certificates()?, key.private_key()?).map_err(|error| cert.unfit(&key, error))
}

impl PemError {
    /// The setting that names the file.
    pub const fn setting(&self) -> &'static str {
        self.setting
    }
    /// File and fault alone, for who names the setting and its place himself.
    pub fn at_file(&self) -> String {
        format!("{}: {}", self.file.display(), self.what)
    }
}

impl fmt::Display for PemError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: {}", self.setting, self.file.display(), self.what)
    }
}

impl std::error::Error for PemError {}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::sync::Arc;

    use super::*;

    fn builder() -> ConfigBuilder<ClientConfig, WantsClientCert> {
        ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(RootCertStore::empty())
    }

    #[test]
    fn every_error_names_setting_and_file_and_nothing_of_its_content() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            fs::write(folder.path().join(name), text).unwrap();
            folder.path().join(name)
        };
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        let other = rcgen::KeyPair::generate().unwrap().serialize_pem();
        let (cert, key) = (write("cert.pem", &made.cert.pem()), write("key.pem", &made.signing_key.serialize_pem()));
        let (other, empty, absent) =
            (write("other.pem", &other), write("empty.pem", ""), folder.path().join("absent.pem"));
        let torn = write("torn.pem", &made.cert.pem()[..made.cert.pem().len() / 2]);
        let noise = write("noise.pem", &"x".repeat((1 << 20) + 1));
        let secret = made.signing_key.serialize_pem().lines().nth(1).unwrap()[..20].to_owned();
        let refused = |cert: &Path, key: &Path, names: &str, says: &str| {
            let identity = (PemFile::new("the cert", cert), PemFile::new("the key", key));
            let said = shown(builder(), Some(identity)).expect_err(says).to_string();
            assert!(
                said.starts_with(&format!("{names}: {}/", folder.path().display())) && said.contains(says),
                "{said}"
            );
            assert!(!said.contains(&secret), "{said}");
        };
        refused(&absent, &key, "the cert", "absent.pem: No such file");
        refused(&empty, &key, "the cert", "empty.pem: holds no certificate in PEM");
        refused(&torn, &key, "the cert", "torn.pem: holds no certificate in PEM");
        refused(&key, &key, "the cert", "key.pem: holds no certificate in PEM");
        refused(&noise, &key, "the cert", "noise.pem: is larger than 1 MiB");
        refused(&cert, &absent, "the key", "absent.pem: No such file");
        refused(&cert, &empty, "the key", "empty.pem: holds no private key in PEM");
        refused(&cert, &cert, "the key", "cert.pem: holds no private key in PEM");
        refused(&cert, &other, "the key", "other.pem: is not the key of the first certificate in");
        assert!(shown(builder(), Some((PemFile::new("the cert", &cert), PemFile::new("the key", &key)))).is_ok());
        assert!(shown(builder(), None).is_ok());
        assert_eq!(trusted(Some(PemFile::new("the authorities", &cert))).unwrap().len(), 1);
        let error = trusted(Some(PemFile::new("the authorities", &empty))).unwrap_err();
        assert_eq!((error.setting(), error.at_file().starts_with("the")), ("the authorities", false));
    }
}
