//! What the host says in the environment when it starts the process, and the one line that the process answers.

use std::env;
use std::io::Write;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

/// The cookie by which a host tells that it, and no person, starts the process. No secret: OpenBao and Vault share it.
const COOKIE: (&str, &str) = ("VAULT_BACKEND_PLUGIN", "6669da05-b1c8-4f49-97d9-c8e5bed98e20");
/// The one protocol version spoken here. Older ones run without TLS and without storage: a host that gets an answer to them
/// takes a broken mount for a working one.
pub const PROTOCOL: &str = "5";

/// Whether a host started this process.
pub fn wanted() -> bool {
    env::var(COOKIE.0).is_ok_and(|value| value == COOKIE.1)
}

/// What the host said.
pub struct Invitation {
    /// The only certificate that may be on the other side of any connection.
    pub host: CertificateDer<'static>,
    /// Where sockets go.
    pub folder: PathBuf,
    /// The group that must be able to reach the socket, if the host runs under another user.
    pub group: Option<String>,
    /// Whether the host asked if connections can share one socket.
    pub asks_for_mux: bool,
}

impl Invitation {
    /// Reads the environment. The error says, for the operator, why the host cannot be served.
    pub fn from_environment() -> Result<Self, String> {
        Self::read(|name| env::var(name).ok().filter(|value| !value.is_empty()))
    }
    fn read(variable: impl Fn(&str) -> Option<String>) -> Result<Self, String> {
        let offered = variable("PLUGIN_PROTOCOL_VERSIONS").unwrap_or_default();
        if !offered.split(',').any(|version| version.trim() == PROTOCOL) {
            return Err(format!(
                "the host offers plugin protocol {offered:?}, this engine speaks {PROTOCOL} only; \
                 if the host offered {PROTOCOL} in an attempt before this one, the error of that attempt is the real one"
            ));
        }
        let pem = variable("PLUGIN_CLIENT_CERT").ok_or("the host sent no certificate (PLUGIN_CLIENT_CERT)")?;
        let host = CertificateDer::from_pem_slice(pem.as_bytes())
            .map_err(|_| "the host's certificate (PLUGIN_CLIENT_CERT) is not PEM")?;
        Ok(Invitation {
            host,
            folder: variable("PLUGIN_UNIX_SOCKET_DIR").map_or_else(env::temp_dir, PathBuf::from),
            group: variable("PLUGIN_UNIX_SOCKET_GROUP"),
            asks_for_mux: variable("PLUGIN_MULTIPLEX_GRPC").is_some(),
        })
    }
}

/// Prints the line that tells the host where to connect and whom to expect there. The base64 has no padding: with it the host
/// fails to read some certificates and not others.
pub fn answer(socket: &Path, certificate: &CertificateDer<'_>, asks_for_mux: bool) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(line(socket, certificate, asks_for_mux).as_bytes())?;
    out.flush()
}

fn line(socket: &Path, certificate: &CertificateDer<'_>, asks_for_mux: bool) -> String {
    let mux = if asks_for_mux { "|false" } else { "" };
    format!("1|{PROTOCOL}|unix|{}|grpc|{}{mux}\n", socket.display(), STANDARD_NO_PAD.encode(certificate))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugin::tls::Identity;

    fn pem() -> String {
        let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P521_SHA512).unwrap();
        rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap().self_signed(&key).unwrap().pem()
    }

    fn read(variables: &[(&str, &str)]) -> Result<Invitation, String> {
        Invitation::read(|name| variables.iter().find(|(have, _)| *have == name).map(|(_, value)| (*value).to_owned()))
    }

    #[test]
    fn only_version_5_with_a_certificate_is_answered() {
        let pem = pem();
        for versions in ["5", "4,5", "5,4", "3, 5"] {
            let variables = [("PLUGIN_PROTOCOL_VERSIONS", versions), ("PLUGIN_CLIENT_CERT", &pem)];
            assert!(read(&variables).is_ok(), "{versions}");
        }
        for versions in ["", "3,4", "4,3", "55", "15"] {
            let refused = read(&[("PLUGIN_PROTOCOL_VERSIONS", versions), ("PLUGIN_CLIENT_CERT", &pem)]);
            assert!(refused.err().unwrap().contains("speaks 5 only"), "{versions}");
        }
        assert!(read(&[("PLUGIN_PROTOCOL_VERSIONS", "5")]).err().unwrap().contains("PLUGIN_CLIENT_CERT"));
        let broken = read(&[("PLUGIN_PROTOCOL_VERSIONS", "5"), ("PLUGIN_CLIENT_CERT", "-----BEGIN")]);
        assert!(broken.err().unwrap().contains("not PEM"));
    }

    #[test]
    fn the_line_has_what_the_host_splits_it_into() {
        let identity = Identity::generate().unwrap();
        let printed = line(Path::new("/tmp/plugin1"), identity.certificate(), false);
        let parts: Vec<&str> = printed.strip_suffix('\n').unwrap().split('|').collect();
        assert_eq!(parts[..5], ["1", "5", "unix", "/tmp/plugin1", "grpc"]);
        assert!(parts.len() == 6 && !parts[5].contains('='));
        assert_eq!(STANDARD_NO_PAD.decode(parts[5]).unwrap(), identity.certificate().as_ref());
        assert!(line(Path::new("/tmp/plugin1"), identity.certificate(), true).ends_with("|false\n"));
    }
}
