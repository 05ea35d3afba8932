//! What the standalone host asks of the engine: logins by JWT, and what the holder of a token may do outside of acts.

use std::net::IpAddr;
use std::sync::Arc;

use crate::auth::{self, Assertion, Caller, Compiled, LoginGrant, Refusal};
use crate::domain::issuer::IssuerKind;
use crate::domain::name::AccountName;
use crate::domain::role::Capability;
use crate::engine::Engine;
use crate::engine::cache::{CompiledRole, Snapshot};
use crate::engine::keys;
use crate::engine::paths::{self, Need};
use crate::engine::request::Operation;
use crate::error::{Error, Result};

/// A login that was allowed.
pub struct Login {
    /// What the token will carry.
    pub grant: LoginGrant,
    /// The claims it was issued on.
    pub assertion: Assertion,
}

impl Engine {
    /// Judges a login. Every refusal is 400 with Vault's text; 403 where the address is the matter.
    pub async fn login(&self, role: Option<&str>, jwt: &str, remote: Option<IpAddr>) -> Result<Login> {
        let mut snapshot = Snapshot::default();
        let named = role.filter(|role| !role.is_empty());
        let sound = named.is_none_or(|name| crate::domain::name::record_name("role", name).is_ok());
        let along = if sound { self.guess(named) } else { Vec::new() };
        self.load(&mut snapshot, [keys::CONFIG.to_owned()].into_iter().chain(along)).await?;
        let settings = snapshot.settings();
        let name = named.or(settings.default_role.as_deref());
        let Some(name) = name else { return Err(Error::invalid("missing role")) };
        // No role has a longer name, and what was sent in its place may be a secret.
        let shown: String = name.chars().take(128).collect();
        let missing = || Error::invalid(format!("role {shown:?} could not be found"));
        crate::domain::name::record_name("role", name).map_err(|_| missing())?;
        self.load(&mut snapshot, [format!("{}{name}", keys::ROLES)]).await?;
        let role = snapshot.role(name).ok_or_else(missing)?;
        if jwt.is_empty() {
            return Err(Error::invalid("missing token"));
        }
        let issuers = self.issuers_of(&mut snapshot, &role).await?;
        if auth::host::kind_of(&issuers).map_err(|refusal| refusal.for_login())? == IssuerKind::Host {
            return Err(Refusal::HostOnly.for_login());
        }
        let now = self.clock.now();
        let (grant, assertion) = auth::login(&self.verifier, &role.rule, name, &issuers, jwt, now, remote)
            .await
            .map_err(|refusal| refusal.for_login())?;
        Ok(Login { grant, assertion })
    }

    /// Reads the issuers that a role names.
    pub(super) async fn issuers_of(&self, snapshot: &mut Snapshot, role: &CompiledRole) -> Result<Vec<Arc<Compiled>>> {
        let names = role.rule.issuers();
        self.load(snapshot, names.iter().map(|name| format!("{}{name}", keys::ISSUERS))).await?;
        Ok(names.iter().filter_map(|name| snapshot.issuer(name)).collect())
    }

    /// A role as it is now.
    pub async fn role(&self, name: &str) -> Result<Option<Arc<CompiledRole>>> {
        let mut snapshot = Snapshot::default();
        self.load(&mut snapshot, [format!("{}{name}", keys::ROLES)]).await?;
        Ok(snapshot.role(name))
    }

    /// Whether the caller may do what needs this capability: root, or a login whose role, as it is now, has it. `account`
    /// is `None` where the answer is filtered afterwards.
    pub async fn may(
        &self,
        caller: &Caller,
        capability: Capability,
        account: Option<&AccountName>,
        remote: Option<IpAddr>,
    ) -> Result<()> {
        match caller {
            // Mounted, the vault has asked its policies before it asked us.
            Caller::Root { .. } | Caller::Host { .. } => Ok(()),
            Caller::Anonymous => Err(Error::denied("permission denied")),
            Caller::Login { role, assertion, .. } => {
                let Some(role) = self.role(role).await? else { return Err(Error::denied("permission denied")) };
                auth::judge_metadata(&role.rule, capability, account, assertion, self.clock.now(), remote)
                    .map_err(|refusal| Error::denied(format!("permission denied ({})", refusal.for_act())))
            }
        }
    }

    /// What the caller may do on a path below the mount, in Vault's words, sorted.
    pub async fn capabilities(&self, caller: &Caller, path: &str) -> Result<Vec<&'static str>> {
        if let Caller::Root { .. } = caller {
            return Ok(vec!["root"]);
        }
        let mut found = Vec::new();
        for (operation, word) in [
            (Operation::Delete, "delete"),
            (Operation::List, "list"),
            (Operation::Read, "read"),
            (Operation::Update, "update"),
        ] {
            let Ok(matched) = paths::find(path, operation) else { continue };
            let account = AccountName::parse(&matched.name).ok();
            let allowed = match matched.operation.need {
                Need::Nothing => true,
                Need::Configure => self.may(caller, Capability::Administer, None, None).await.is_ok(),
                Need::Metadata(capability) => self.may(caller, capability, account.as_ref(), None).await.is_ok(),
                Need::Act(capability) => self.may(caller, capability, account.as_ref(), None).await.is_ok(),
            };
            if allowed {
                found.push(word);
            }
        }
        Ok(if found.is_empty() { vec!["deny"] } else { found })
    }
}
