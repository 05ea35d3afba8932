//! A PKCS#11 token in software: SoftHSM, spoken to by OpenSC's `pkcs11-tool`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::debian;

const PACKAGES: [&str; 5] = ["softhsm2", "libsofthsm2", "softhsm2-common", "opensc", "opensc-pkcs11"];
const MODULE: &str = "usr/lib/softhsm/libsofthsm2.so";
const LABEL: &str = "break-glass";
/// The user PIN of a [`Token`].
pub const PIN: &str = "348915";

/// A token with one P-256 key that never leaves it.
pub struct Token {
    module: PathBuf,
    /// What its programs need in their environment: where they are, and where the token lies.
    pub environment: Vec<(&'static str, String)>,
}

impl Token {
    /// A new one in `folder`, with its key made.
    pub fn new(folder: &Path) -> Self {
        let place = debian::root("pkcs11", &PACKAGES, &["usr/bin/pkcs11-tool", MODULE]);
        fs::create_dir_all(folder.join("tokens")).expect("a folder");
        let configuration = folder.join("softhsm2.conf");
        let lines = format!("directories.tokendir = {}\nlog.level = ERROR\n", folder.join("tokens").display());
        fs::write(&configuration, lines).expect("a configuration file");
        let (bin, lib) = (place.join("usr/bin"), place.join(MODULE));
        let libraries = place.join("usr/lib").join(debian::triple());
        let environment = vec![
            ("PATH", bin.display().to_string()),
            ("LD_LIBRARY_PATH", libraries.display().to_string()),
            ("SOFTHSM2_CONF", configuration.display().to_string()),
        ];
        let token = Token { module: lib, environment };
        token.tool(&["--init-token", "--slot-index", "0", "--label", LABEL, "--so-pin", "73418256"]);
        token.tool(&["--login-type", "so", "--so-pin", "73418256", "--init-pin", "--new-pin", PIN]);
        token.tool(&["--pin", PIN, "--keypairgen", "--key-type", "EC:prime256v1", "--id", "02"]);
        token
    }
    /// The lines of a shell that name it.
    pub fn settings(&self) -> String {
        format!("PKCS11_MODULE={}\nPKCS11_TOKEN={LABEL}\nPKCS11_ID=02\n", self.module.display())
    }
    fn tool(&self, args: &[&str]) {
        let (_, bin) = &self.environment[0];
        let mut command = Command::new(Path::new(bin).join("pkcs11-tool"));
        command.envs(self.environment.iter().skip(1).map(|(name, value)| (name, value)));
        command.arg("--module").arg(&self.module);
        if args[0] != "--init-token" {
            command.args(["--token-label", LABEL, "--login"]);
        }
        let output = command.args(args).output().expect("pkcs11-tool starts");
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
}
