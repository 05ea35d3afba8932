//! Files of Debian's packages, for what the tests need of the system and no language's registry has. What is installed is used; else the
//! packages are unpacked below `target/provision/`, once, which takes no rights. Where neither works the caller fails: it never skips.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The root below which `needed` stand: `/`, or a folder called `name` into which `packages` were unpacked. Panics with the reason if
/// there is none.
pub fn root(name: &str, packages: &[&str], needed: &[&str]) -> PathBuf {
    unpacked(name, packages, needed).unwrap_or_else(|reason| {
        panic!("{name} cannot be had; `apt-get install {}` brings it: {reason}", packages.join(" "))
    })
}

/// The folder of libraries of this kind of machine, below `usr/lib`.
pub fn triple() -> String {
    format!("{}-linux-gnu", std::env::consts::ARCH)
}

/// The same, or the reason why there is none.
///
/// # Errors
/// If the packages can neither be found nor fetched.
pub fn unpacked(name: &str, packages: &[&str], needed: &[&str]) -> Result<PathBuf, String> {
    let whole = |root: &Path| needed.iter().all(|file| root.join(file).exists());
    if whole(Path::new("/")) {
        return Ok("/".into());
    }
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("provision");
    let said = |error: std::io::Error| error.to_string();
    fs::create_dir_all(&folder).map_err(said)?;
    // Test binaries may run side by side; the lock goes when the file is closed, also after a crash.
    let lock = File::create(folder.join(format!("{name}.lock"))).map_err(said)?;
    lock.lock().map_err(said)?;
    let (root, packed) = (folder.join(name), folder.join(format!("{name}.packages")));
    if whole(&root) {
        return Ok(root);
    }
    if packed.exists() {
        fs::remove_dir_all(&packed).map_err(said)?;
    }
    fs::create_dir_all(&packed).map_err(said)?;
    download(&folder, &packed, packages)?;
    for entry in fs::read_dir(&packed).map_err(said)?.flatten() {
        run(Command::new("dpkg").arg("-x").arg(entry.path()).arg(&root))?;
    }
    fs::remove_dir_all(&packed).map_err(said)?;
    match whole(&root) {
        true => Ok(root),
        false => Err(format!("the packages brought not all of {}", needed.join(", "))),
    }
}

/// Fresh machines have no lists of packages; then lists of our own are fetched, which takes no rights either.
fn download(folder: &Path, into: &Path, packages: &[&str]) -> Result<(), String> {
    let download = |options: &[String]| {
        run(Command::new("apt-get").args(options).arg("download").args(packages).current_dir(into))
    };
    if download(&[]).is_ok() {
        return Ok(());
    }
    let own = folder.join("apt");
    fs::create_dir_all(own.join("lists/partial")).map_err(|error| error.to_string())?;
    fs::create_dir_all(own.join("cache/archives/partial")).map_err(|error| error.to_string())?;
    let options = ["lists", "cache"].map(|name| {
        let option = if name == "lists" { "Dir::State::Lists" } else { "Dir::Cache" };
        format!("-o{option}={}", own.join(name).display())
    });
    run(Command::new("apt-get").args(&options).arg("update"))?;
    download(&options)
}

fn run(command: &mut Command) -> Result<(), String> {
    let output = command.output().map_err(|error| format!("{}: {error}", command.get_program().display()))?;
    match output.status.success() {
        true => Ok(()),
        false => Err(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
    }
}
