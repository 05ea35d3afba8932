//! The engine as a plugin of a real vault: the plugin is killed under it, the vault itself is killed and unsealed anew, both are
//! stopped for a while.

use std::sync::Arc;
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::{Broken, Stand};
use crate::support::corpus::Dice;
use crate::support::http::Client;
use crate::support::signer::now;
use crate::support::vault::Vault;
use crate::trial::cast::Door;
use crate::trial::log::{Finding, Log};
use crate::trial::proxy::Proxy;

/// One vault, with a proxy before it.
pub struct Mounted {
    vault: Vault,
    proxy: Proxy,
    /// How often the vault had to be restarted for its plugin to come up again.
    restarts: usize,
}

/// How long a plugin may take to come up again once nothing is broken any more.
const PATIENCE: Duration = Duration::from_secs(60);

impl Mounted {
    /// Starts it.
    pub fn start(seed: u64) -> Self {
        let vault = Vault::measured();
        let proxy = Proxy::before(vault.address(), seed ^ 0x5eed);
        Mounted { vault, proxy, restarts: 0 }
    }
    /// Whether the plugin has come up.
    fn serves(&self) -> bool {
        self.vault.root().try_send("GET", "backup-codes/config", None).is_ok_and(|answer| answer.status == 200)
    }
    fn door(&self, address: std::net::SocketAddr) -> Door {
        let client = Client::new(address);
        Door { root: client.token(self.vault.root_token()), client, node: 0, now: Arc::new(now) }
    }
}

impl Stand for Mounted {
    fn name(&self) -> &'static str {
        "mounted"
    }
    fn is_mounted(&self) -> bool {
        true
    }
    fn doors(&self) -> Vec<Door> {
        vec![self.door(self.vault.address())]
    }
    fn ways(&self, client: usize) -> Vec<Door> {
        let address = if client % 4 == 3 { self.proxy.address() } else { self.vault.address() };
        vec![self.door(address)]
    }
    fn fault(&mut self, dice: &Dice, _: &[String]) -> Broken {
        match dice.below(20) {
            // One that was killed while it started is not replaced by OpenBao 2.7.2 (docs/mounting.md).
            0..=11 if !self.serves() => Broken::default(),
            0..=11 => match self.vault.try_kill_plugin() {
                Some(_) => Broken::of("plugin killed (SIGKILL)"),
                None => Broken::default(),
            },
            12..=14 => {
                self.vault.kill();
                self.vault.boot();
                self.vault.unseal();
                Broken::of("vault killed (SIGKILL)")
            }
            15..=17 => {
                let Some(pid) = self.vault.plugin_pids().first().and_then(|pid| Pid::from_raw(*pid)) else {
                    return Broken::default();
                };
                // It may end of itself meanwhile.
                let _ = kill_process(pid, Signal::STOP);
                sleep(Duration::from_millis(20 + dice.below(600) as u64));
                let _ = kill_process(pid, Signal::CONT);
                Broken::of("plugin stopped and continued (SIGSTOP)")
            }
            _ => {
                self.proxy.cut_all();
                Broken::of("all connections of a proxy cut")
            }
        }
    }
    fn settle(&mut self) {
        self.vault.until("active", |health| health == 200);
        // The first request after a plugin's end brings it up again, unless that was while it started.
        for _ in 0..2 {
            let deadline = Instant::now() + PATIENCE;
            while Instant::now() < deadline {
                if self.serves() {
                    return;
                }
                sleep(Duration::from_millis(20));
            }
            self.vault.kill();
            self.vault.boot();
            self.vault.unseal();
            self.restarts += 1;
        }
        panic!("the plugin does not come up again, even after its vault was restarted");
    }
    fn end(&mut self, _: &Log) -> Vec<Finding> {
        Vec::new()
    }
    fn passed(&self) -> Vec<(String, usize)> {
        let counts = self.proxy.counts().into_iter().map(|(kind, count)| (format!("connection {kind}"), count));
        let again = "vault killed (SIGKILL), its plugin having not come up again".to_owned();
        counts.chain((self.restarts > 0).then_some((again, self.restarts))).collect()
    }
}
