//! A PKCS#11 token in software: SoftHSM, spoken to by OpenSC's `pkcs11-tool`. Installed ones are used; else Debian's packages are unpacked under
//! `target/provision/`, once. Where neither works, the tests that need it fail and say what is missing: they never skip.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

const PACKAGES: [&str; 5] = ["softhsm2", "libsofthsm2", "softhsm2-common", "opensc", "opensc-pkcs11"];
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
        let place = place().unwrap_or_else(|reason| {
            panic!("no PKCS#11 token can be had ({reason}); `apt-get install softhsm2 opensc` brings one")
        });
        fs::create_dir_all(folder.join("tokens")).expect("a folder");
        let configuration = folder.join("softhsm2.conf");
        let lines = format!("directories.tokendir = {}\nlog.level = ERROR\n", folder.join("tokens").display());
        fs::write(&configuration, lines).expect("a configuration file");
        let (bin, lib) = (place.join("usr/bin"), place.join("usr/lib/softhsm/libsofthsm2.so"));
        let libraries = fs::canonicalize(&lib).expect("the module").parent().unwrap().parent().unwrap().to_owned();
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

/// The folder below which the programs stand in `usr/`.
fn place() -> Result<PathBuf, String> {
    let whole =
        |root: &Path| root.join("usr/bin/pkcs11-tool").exists() && root.join("usr/lib/softhsm/libsofthsm2.so").exists();
    if whole(Path::new("/")) {
        return Ok("/".into());
    }
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("provision");
    fs::create_dir_all(&folder).map_err(|error| error.to_string())?;
    // Test binaries may run side by side; the lock goes when the file is closed, also after a crash.
    let lock = File::create(folder.join("pkcs11.lock")).map_err(|error| error.to_string())?;
    lock.lock().map_err(|error| error.to_string())?;
    let root = folder.join("pkcs11");
    if !whole(&root) {
        let fresh = folder.join("pkcs11.new");
        if fresh.exists() {
            fs::remove_dir_all(&fresh).map_err(|error| error.to_string())?;
        }
        fs::create_dir_all(&fresh).map_err(|error| error.to_string())?;
        run(Command::new("apt-get").arg("download").args(PACKAGES).current_dir(&fresh))?;
        for entry in fs::read_dir(&fresh).map_err(|error| error.to_string())?.flatten() {
            run(Command::new("dpkg").arg("-x").arg(entry.path()).arg(&root))?;
        }
        fs::remove_dir_all(&fresh).map_err(|error| error.to_string())?;
    }
    if !whole(&root) {
        return Err("the packages brought not all that is needed".into());
    }
    Ok(root)
}

fn run(command: &mut Command) -> Result<(), String> {
    let output = command.output().map_err(|error| format!("{}: {error}", command.get_program().display()))?;
    match output.status.success() {
        true => Ok(()),
        false => Err(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
    }
}
