//! The issuer of development servers: a key pair in a folder, and `sparekey dev jwt`, which signs with it. Never for production:
//! whoever reads the folder is everybody.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use clap::Subcommand;
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::pki_types::pem::PemObject;
use serde_json::{Map, Value, json};
use zeroize::Zeroizing;

use crate::clock::{Clock, SystemClock};
use crate::domain::time::parse_duration;
use crate::error::{Error, Result};
use crate::random::{self, OsRandom};

/// The `iss` of the development issuer. No such host can exist (RFC 2606).
pub const ISSUER: &str = "https://dev.sparekey.invalid";
/// The key's file in the folder.
const KEY_FILE: &str = "issuer.pem";

/// Tools for a development server.
#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Print a JWT signed by the development issuer.
    #[command(after_help = "Examples:\n  \
        sparekey dev jwt --sub jane@example.com --aud sparekey\n  \
        sparekey dev jwt --sub rotator --aud sparekey --claim 'groups=[\"automation\"]' --ttl 1m")]
    Jwt(Jwt),
}

#[derive(clap::Args)]
struct Jwt {
    /// Who the token is about (sub).
    #[arg(long)]
    sub: String,
    /// Whom it is meant for (aud); may be given several times.
    #[arg(long, required = true)]
    aud: Vec<String>,
    /// A further claim; its value is JSON if it reads as JSON, else a string. Replaces any claim of that name.
    #[arg(long = "claim", value_name = "NAME=VALUE", value_parser = claim)]
    claims: Vec<(String, Value)>,
    /// How long it is valid.
    #[arg(long, default_value = "5m", value_parser = ttl)]
    ttl: std::time::Duration,
    /// The folder that holds the issuer's key [default: the one that "server --dev" uses].
    #[arg(long, env = "SPAREKEY_DEV_DIR")]
    dev_dir: Option<PathBuf>,
    /// Who issues it (iss).
    #[arg(long, default_value = ISSUER)]
    iss: String,
}

fn claim(text: &str) -> std::result::Result<(String, Value), String> {
    let (name, value) = text.split_once('=').ok_or("NAME=VALUE, such as groups=[\"admins\"]")?;
    if name.is_empty() {
        return Err("the claim's name is missing before =".into());
    }
    Ok((name.to_owned(), serde_json::from_str(value).unwrap_or_else(|_| value.into())))
}

fn ttl(text: &str) -> std::result::Result<std::time::Duration, String> {
    parse_duration(text).ok_or_else(|| "a duration such as 90, 90s, 5m or 1h30m".into())
}

/// Runs `sparekey dev …`.
pub fn run(args: Args) -> ExitCode {
    let Command::Jwt(jwt) = args.command;
    match token(&jwt) {
        Ok(token) => match writeln!(std::io::stdout().lock(), "{token}") {
            Ok(()) => ExitCode::SUCCESS,
            Err(_) => ExitCode::FAILURE,
        },
        Err(error) => {
            let _ = writeln!(std::io::stderr().lock(), "sparekey dev jwt: {error}");
            ExitCode::FAILURE
        }
    }
}

fn token(jwt: &Jwt) -> Result<String> {
    let dir = jwt.dev_dir.clone().unwrap_or_else(default_dir);
    let now = SystemClock.now();
    let aud = match jwt.aud.as_slice() {
        [one] => Value::from(one.as_str()),
        several => Value::from(several),
    };
    let mut claims = Map::new();
    claims.insert("iss".into(), jwt.iss.as_str().into());
    claims.insert("sub".into(), jwt.sub.as_str().into());
    claims.insert("aud".into(), aud);
    claims.insert("iat".into(), now.secs().into());
    claims.insert("exp".into(), now.plus(jwt.ttl).secs().into());
    claims.insert("jti".into(), hex::encode(random::bytes::<16>(&OsRandom)).into());
    claims.extend(jwt.claims.iter().cloned());
    ensure_issuer(&dir)?.sign(&claims)
}

/// The folder that is used when none is named: `sparekey/dev` under the user's state directory.
pub fn default_dir() -> PathBuf {
    let state = std::env::var_os("XDG_STATE_HOME").filter(|dir| Path::new(dir).is_absolute()).map(PathBuf::from);
    let home = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".local").join("state"));
    state.or_else(home).unwrap_or_else(std::env::temp_dir).join("sparekey").join("dev")
}

/// The development issuer of one folder.
pub struct DevIssuer {
    pair: EcdsaKeyPair,
    public_pem: String,
}

/// The issuer whose key lies in `dir` as `issuer.pem` (PKCS#8, mode 0600); made if it is not there yet.
pub fn ensure_issuer(dir: &Path) -> Result<DevIssuer> {
    let path = dir.join(KEY_FILE);
    let failed = |what: &str, error: std::io::Error| Error::invalid(format!("{what} {}: {error}", path.display()));
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
        .map_err(|error| failed("cannot make the folder of", error))?;
    if !path.exists() {
        generate(dir, &path).map_err(|error| failed("cannot make", error))?;
    }
    let file = File::open(&path).map_err(|error| failed("cannot read", error))?;
    let mode = file.metadata().map_err(|error| failed("cannot read", error))?.mode();
    if mode & 0o077 != 0 {
        return Err(Error::invalid(format!(
            "{}: others may read this key; chmod 600 it, or remove it",
            path.display()
        )));
    }
    let mut pem = Zeroizing::new(String::new());
    file.take(16 * 1024).read_to_string(&mut pem).map_err(|error| failed("cannot read", error))?;
    DevIssuer::from_pem(&pem)
        .ok_or_else(|| Error::invalid(format!("{}: no P-256 key in PKCS#8 PEM form", path.display())))
}

/// Writes the key beside its place and links it there: another process sees the whole of it or nothing, and the first wins.
fn generate(dir: &Path, path: &Path) -> std::io::Result<()> {
    let failed = |_| std::io::Error::other("no key could be generated");
    let key = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new()).map_err(failed)?;
    let beside = dir.join(format!(".{KEY_FILE}.{}", hex::encode(random::bytes::<8>(&OsRandom))));
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside)?;
    let written = file
        .write_all(pem("PRIVATE KEY", key.as_ref()).as_bytes())
        .and_then(|()| file.sync_all())
        .and_then(|()| std::fs::hard_link(&beside, path));
    std::fs::remove_file(&beside)?;
    match written {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        written => written,
    }
}

/// RFC 7468: 64 characters a line.
fn pem(label: &str, der: &[u8]) -> Zeroizing<String> {
    let text = Zeroizing::new(STANDARD.encode(der));
    let mut pem = Zeroizing::new(String::with_capacity(text.len() + text.len() / 64 + 128));
    pem.push_str(&format!("-----BEGIN {label}-----\n"));
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let (line, after) = rest.split_at(rest.len().min(64));
        pem.push_str(line);
        pem.push('\n');
        rest = after;
    }
    pem.push_str(&format!("-----END {label}-----\n"));
    pem
}

impl DevIssuer {
    fn from_pem(text: &str) -> Option<Self> {
        let der = PrivatePkcs8KeyDer::from_pem_slice(text.as_bytes()).ok()?;
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der.secret_pkcs8_der()).ok()?;
        let public: PublicKeyX509Der<'_> = pair.public_key().as_der().ok()?;
        let public_pem = pem("PUBLIC KEY", public.as_ref()).to_string();
        Some(DevIssuer { pair, public_pem })
    }
    /// The public key, for `jwt_validation_pubkeys`.
    pub fn public_pem(&self) -> &str {
        &self.public_pem
    }
    /// A JWT with exactly these claims, signed with ES256. Events are signed with [`DevIssuer::sign_as`].
    pub fn sign(&self, claims: &Map<String, Value>) -> Result<String> {
        self.sign_as("JWT", claims)
    }
    /// As [`DevIssuer::sign`], with this `typ`: `secevent+jwt` for a Security Event Token.
    pub fn sign_as(&self, typ: &str, claims: &Map<String, Value>) -> Result<String> {
        let header = json!({ "alg": "ES256", "typ": typ });
        let payload = serde_json::to_vec(claims).map_err(Error::internal)?;
        let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(header.to_string()), URL_SAFE_NO_PAD.encode(payload));
        let signature = self.pair.sign(&SystemRandom::new(), signed.as_bytes()).map_err(Error::internal)?;
        Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use clap::{Args as _, FromArgMatches};

    use super::*;
    use crate::auth::fetch::HttpsFetch;
    use crate::auth::{Compiled, Refusal, Token, Verifier};
    use crate::domain::fields::Fields;
    use crate::domain::issuer::Issuer;

    #[test]
    fn the_key_is_made_once_and_kept_from_others() {
        let dir = tempfile::tempdir().unwrap();
        let inner = dir.path().join("a/b");
        let first = ensure_issuer(&inner).unwrap();
        let second = ensure_issuer(&inner).unwrap();
        assert_eq!(first.public_pem(), second.public_pem());
        assert!(first.public_pem().starts_with("-----BEGIN PUBLIC KEY-----\n"));
        let path = inner.join(KEY_FILE);
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
        assert!(ensure_issuer(&inner).err().unwrap().public().contains("chmod 600"));
        std::fs::remove_file(&path).unwrap();
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path).unwrap();
        file.write_all(b"not a key").unwrap();
        assert!(ensure_issuer(&inner).err().unwrap().public().contains("PKCS#8"));
    }

    #[tokio::test]
    async fn its_tokens_are_taken_by_an_issuer_that_pins_it() {
        let dir = tempfile::tempdir().unwrap();
        let dev = ensure_issuer(dir.path()).unwrap();
        let record = json!({"bound_issuer": ISSUER, "jwt_validation_pubkeys": [dev.public_pem()]});
        let issuer = Issuer::update(None, &mut Fields::new(record.as_object().unwrap().clone())).unwrap();
        let issuers = [Arc::new(Compiled::new("dev", &issuer).unwrap())];
        let verifier = Verifier::new(Arc::new(HttpsFetch::default()), Arc::new(SystemClock));
        let args = |more: &[&str]| {
            let line = ["jwt", "--sub", "jane", "--aud", "a", "--aud", "b", "--claim", "team=[\"x\"]", "--dev-dir"];
            let dir = dir.path().to_str().unwrap();
            Jwt::from_arg_matches(
                &Jwt::augment_args(clap::Command::new("jwt"))
                    .get_matches_from(line.into_iter().chain([dir]).chain(more.iter().copied())),
            )
            .unwrap()
        };
        let now = SystemClock.now();
        let (one, two) = (token(&args(&[])).unwrap(), token(&args(&[])).unwrap());
        let parsed = Token::parse(&one).unwrap();
        assert_ne!(parsed.replay(), Token::parse(&two).unwrap().replay(), "each token is one of its own");
        let assertion = verifier.verify(&parsed, &issuers, now).await.unwrap();
        assert_eq!(
            (assertion.subject.as_str(), assertion.audiences.as_slice()),
            ("jane", &["a".into(), "b".into()][..])
        );
        assert_eq!(assertion.claims["team"], json!(["x"]));
        let expired = token(&args(&["--claim", "exp=1"])).unwrap();
        assert_eq!(verifier.verify(&Token::parse(&expired).unwrap(), &issuers, now).await, Err(Refusal::Expired));
        let foreign = token(&args(&["--iss", "https://other.invalid"])).unwrap();
        assert_eq!(verifier.verify(&Token::parse(&foreign).unwrap(), &issuers, now).await, Err(Refusal::Issuer));
    }

    #[test]
    fn claims_are_json_if_they_read_as_json() {
        assert_eq!(claim("a=[1]").unwrap(), ("a".into(), json!([1])));
        assert_eq!(claim("a=true").unwrap().1, json!(true));
        assert_eq!(claim("a=admins").unwrap().1, json!("admins"));
        assert_eq!(claim("a=b=c").unwrap().1, json!("b=c"));
        assert!(claim("a").is_err() && claim("=x").is_err());
    }
}
