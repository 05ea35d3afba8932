//! The server of the demo: this same binary as a child process, on loopback, with its files in one folder.

use std::fs::DirBuilder;
use std::net::TcpListener;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::signal::unix::{SignalKind, signal};
use zeroize::Zeroizing;

use crate::cli::client::{Client, Connection, Settings};
use crate::cli::demo::Result;
use crate::cli::demo::cast::private_file;
use crate::cli::demo::stage::Stage;
use crate::random::{self, OsRandom};

/// How long the server may take to answer first.
const PATIENCE: Duration = Duration::from_secs(20);

/// A running server.
pub struct Server {
    child: Child,
    folder: PathBuf,
    address: String,
    root_token: String,
}

impl Server {
    /// Starts a server in `dir`, or in a fresh folder.
    pub fn start(dir: Option<&Path>) -> Result<Server> {
        let folder = match dir {
            Some(dir) => dir.to_owned(),
            None => std::env::temp_dir().join(format!("sparekey-demo-{}", hex::encode(random::bytes::<6>(&OsRandom)))),
        };
        let failed = |error| format!("cannot make the folder {}: {error}", folder.display());
        DirBuilder::new().mode(0o700).create(&folder).map_err(failed)?;
        let address = free_address()?;
        let config = folder.join("sparekey.hcl");
        private_file(&folder.join("seal.key"), hex::encode(random::bytes::<32>(&OsRandom)).as_bytes())?;
        private_file(&config, configuration(&folder, &address).as_bytes())?;
        let log =
            std::fs::File::create(folder.join("server.log")).map_err(|error| format!("cannot write a log: {error}"))?;
        let program = std::env::current_exe().map_err(|error| format!("cannot find this program: {error}"))?;
        let child = Command::new(program)
            .args(["server", "--config"])
            .arg(&config)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .map_err(|error| format!("cannot start the server: {error}"))?;
        let mut server = Server { child, folder, address: format!("http://{address}"), root_token: String::new() };
        server.await_answer()?;
        Ok(server)
    }

    /// The folder with everything the server keeps.
    pub fn folder(&self) -> &Path {
        &self.folder
    }
    /// Where it listens.
    pub fn address(&self) -> &str {
        &self.address
    }
    /// The root token, once it is initialised.
    pub fn root_token(&self) -> &str {
        &self.root_token
    }

    fn await_answer(&mut self) -> Result<()> {
        let begun = Instant::now();
        let client = self.client()?;
        while client.get("sys/health?uninitcode=200").is_err() {
            if let Ok(Some(status)) = self.child.try_wait() {
                let log = std::fs::read_to_string(self.folder.join("server.log")).unwrap_or_default();
                return Err(format!("the server ended at once ({status}):\n{log}"));
            }
            if begun.elapsed() > PATIENCE {
                return Err(format!("the server did not answer within {} seconds", PATIENCE.as_secs()));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// Initialises it. The static seal unseals by itself.
    pub fn initialise(&mut self, stage: &mut Stage) -> Result<()> {
        stage.step("The server is initialised; its static seal unseals it by itself");
        stage.command("bao operator init -recovery-shares=1 -recovery-threshold=1");
        let body = json!({"recovery_shares": 1, "recovery_threshold": 1});
        let answer = self.put_as(None, "sys/init", &body)?;
        let token =
            answer.1["root_token"].as_str().ok_or_else(|| format!("init answered {}: {}", answer.0, answer.1))?;
        token.clone_into(&mut self.root_token);
        stage.output("Recovery Key 1: (kept out of this demo)\nInitial Root Token: (kept out of this demo)");
        Ok(())
    }

    /// Writes `body` with the root token; answers status and body.
    pub fn put(&self, path: &str, body: &Value) -> Result<(u16, Value)> {
        self.put_as(Some(&self.root_token), path, body)
    }
    /// Writes `body` with this token, or none.
    pub fn put_as(&self, token: Option<&str>, path: &str, body: &Value) -> Result<(u16, Value)> {
        let reply = self.client_as(token)?.put(path, Zeroizing::new(body.to_string().into_bytes()));
        let reply = reply.map_err(|failure| failure.to_string())?;
        Ok((reply.status(), reply.body().clone()))
    }
    /// Reads with the root token.
    pub fn get(&self, path: &str) -> Result<(u16, Value)> {
        let reply = self.client_as(Some(&self.root_token))?.get(path).map_err(|failure| failure.to_string())?;
        Ok((reply.status(), reply.body().clone()))
    }
    /// Runs this same program with `args` against the server; answers whether it succeeded and what it said.
    pub fn command(&self, args: &[&str]) -> Result<(bool, String)> {
        let program = std::env::current_exe().map_err(|error| format!("cannot find this program: {error}"))?;
        let output = Command::new(program)
            .args(args)
            .current_dir(&self.folder)
            .env("BAO_ADDR", &self.address)
            .env_remove("BAO_TOKEN")
            .env_remove("VAULT_TOKEN")
            .env("HOME", &self.folder)
            .stdin(Stdio::null())
            .output()
            .map_err(|error| format!("cannot run sparekey {}: {error}", args.join(" ")))?;
        let text = [output.stdout, output.stderr].concat();
        Ok((output.status.success(), String::from_utf8_lossy(&text).into_owned()))
    }

    fn client(&self) -> Result<Client> {
        self.client_as(None)
    }
    fn client_as(&self, token: Option<&str>) -> Result<Client> {
        let connection = Connection { address: Some(self.address.clone()), ..Connection::default() };
        // An empty HOME keeps a token of the person who runs the demo out of it.
        let environment = |name: &str| match (name, token) {
            ("BAO_TOKEN", Some(token)) => Some(token.to_owned()),
            ("HOME", _) => Some(self.folder.display().to_string()),
            _ => None,
        };
        let settings = Settings::resolve(&connection, &environment).map_err(|failure| failure.to_string())?;
        Client::new(settings).map_err(|failure| failure.to_string())
    }

    /// Waits until somebody ends the demo (Ctrl-C or TERM), or the server ends by itself.
    pub fn wait(&mut self) -> Result<()> {
        let failed = |error: std::io::Error| format!("cannot wait for a signal: {error}");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
        runtime.block_on(async {
            let mut terminated = signal(SignalKind::terminate()).map_err(failed)?;
            let mut interrupted = signal(SignalKind::interrupt()).map_err(failed)?;
            loop {
                tokio::select! {
                    _ = terminated.recv() => return Ok(()),
                    _ = interrupted.recv() => return Ok(()),
                    () = tokio::time::sleep(Duration::from_millis(200)) => {}
                }
                if self.child.try_wait().map_err(failed)?.is_some() {
                    return Ok(());
                }
            }
        })
    }
    /// Ends the server as an operator would, and removes its folder.
    pub fn stop(mut self) -> Result<()> {
        self.terminate();
        let status = self.child.wait().map_err(|error| format!("cannot wait for the server: {error}"))?;
        if status.success() { Ok(()) } else { Err(format!("the server ended with {status}")) }
    }
    fn terminate(&mut self) {
        if let Some(pid) = i32::try_from(self.child.id()).ok().and_then(rustix::process::Pid::from_raw) {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        }
    }
    fn remove(&self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            self.terminate();
            let _ = self.child.wait();
        }
        self.remove();
    }
}

/// A loopback address that nobody listens on.
fn free_address() -> Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    listener.map(|address| address.to_string()).map_err(|error| format!("no free port on loopback: {error}"))
}

fn configuration(folder: &Path, address: &str) -> String {
    let folder = folder.display();
    format!(
        "listener \"tcp\" {{\n  address     = \"{address}\"\n  tls_disable = true\n}}\n\
         storage \"redb\" {{\n  path = \"{folder}/sparekey.redb\"\n}}\n\
         seal \"static\" {{\n  current_key_id = \"demo\"\n  current_key    = \"file://{folder}/seal.key\"\n}}\n\
         audit \"file\" \"demo\" {{\n  options = {{ file_path = \"{folder}/audit.log\" }}\n}}\n\
         log_level = \"warn\"\n"
    )
}
