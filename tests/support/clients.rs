//! Clients of other languages, each with a program of its own under `tests/clients/`, made once under `target/provision/`. Where
//! one cannot be made the test fails and says what is missing, as `provision` does for the real `bao`: it never skips.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// `node`, and the folder that has node-vault (its `NODE_PATH`).
pub fn node_vault() -> (PathBuf, PathBuf) {
    let source = root().join("tests/clients/node-vault");
    let (folder, _lock) = folder("node-vault");
    let wanted = fs::read_to_string(source.join("package-lock.json")).expect("a lock file");
    let stamp = folder.join("provisioned-for");
    if !fs::read_to_string(&stamp).is_ok_and(|made| made == wanted) {
        for name in ["package.json", "package-lock.json"] {
            fs::copy(source.join(name), folder.join(name)).expect("copied");
        }
        let npm = ["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"];
        run(
            Command::new("npm").args(npm).current_dir(&folder),
            "Node 18 or newer with npm; `apt-get install nodejs npm` brings both",
        );
        fs::write(&stamp, wanted).expect("a stamp");
    }
    (PathBuf::from("node"), folder.join("node_modules"))
}

/// The program that tells the story through vaultrs, built from its own lock file.
pub fn vaultrs() -> PathBuf {
    let (folder, _lock) = folder("vaultrs");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    // Not this build's target folder or flags: another program, with other dependencies.
    let mut build = Command::new(cargo);
    build
        .args(["build", "--quiet", "--locked", "--manifest-path"])
        .arg(root().join("tests/clients/vaultrs/Cargo.toml"));
    build.arg("--target-dir").arg(&folder).env_remove("RUSTFLAGS").env_remove("CARGO_ENCODED_RUSTFLAGS");
    run(&mut build, "the crates in tests/clients/vaultrs/Cargo.lock, from the registry that cargo is set up for");
    folder.join("debug/story")
}

/// The folder of a client; nobody else makes it as long as the lock is held.
fn folder(name: &str) -> (PathBuf, File) {
    let provision = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("provision");
    let folder = provision.join(name);
    fs::create_dir_all(&folder).unwrap_or_else(|error| panic!("cannot create {}: {error}", folder.display()));
    let lock = File::create(provision.join(format!("{name}.lock"))).expect("a lock");
    lock.lock().expect("locked");
    (folder, lock)
}

fn run(command: &mut Command, needs: &str) {
    match command.output() {
        Err(error) => {
            panic!("the client cannot be provisioned: {command:?} does not start ({error}). It needs {needs}")
        }
        Ok(output) if output.status.success() => {}
        Ok(output) => panic!(
            "the client cannot be provisioned: {command:?} failed. It needs {needs}; without a network nothing can be fetched:\n{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        ),
    }
}
