//! The one who wants to act: which role, which assertion. Verified once, judged afresh for every try.

use std::sync::Arc;

use crate::auth::{self, Act, Assertion, Caller, Compiled, Grant, Token};
use crate::engine::Engine;
use crate::engine::cache::{Parsed, Snapshot};
use crate::engine::keys;
use crate::engine::transact::Judged;
use crate::error::{Error, Result};
use crate::storage::Revision;

/// Who asks and under which role.
pub struct Claimant {
    asked_role: Option<String>,
    login: Option<(String, Assertion)>,
    token: Option<Token>,
    role: String,
    verified: Option<(Vec<Revision>, Assertion)>,
}

impl Claimant {
    /// Reads the assertion of a request; nothing of it is believed yet.
    pub fn new(judged: &Judged<'_>) -> Result<Self> {
        let token = match &judged.ask.jwt {
            Some(jwt) => Some(Token::parse(jwt).map_err(|refusal| refusal.for_act())?),
            None => None,
        };
        let login = match &judged.request.caller {
            Caller::Login { role, assertion, .. } => Some((role.clone(), assertion.clone())),
            Caller::Anonymous | Caller::Root { .. } | Caller::Host { .. } => None,
        };
        Ok(Claimant { asked_role: judged.ask.role.clone(), login, token, role: String::new(), verified: None })
    }

    /// Records worth reading along with the account: the role and the issuers it named when it was last seen.
    pub fn guess(&self, engine: &Engine) -> Vec<String> {
        let default = || match engine.cache.guess(keys::CONFIG) {
            Some(Parsed::Settings(settings)) => settings.default_role.clone(),
            _ => None,
        };
        let named = self.asked_role.clone().or_else(|| self.login.as_ref().map(|(role, _)| role.clone()));
        let Some(role) = named.or_else(default) else { return Vec::new() };
        let key = format!("{}{role}", keys::ROLES);
        let mut wanted = Vec::new();
        if let Some(Parsed::Role(role)) = engine.cache.guess(&key) {
            wanted.extend(role.rule.issuers().iter().map(|issuer| format!("{}{issuer}", keys::ISSUERS)));
        }
        wanted.push(key);
        wanted
    }

    /// Finds the role, reads what it needs and verifies the assertion against the role's issuers. A repeated call verifies
    /// again only if an issuer changed.
    pub async fn prepare(&mut self, engine: &Engine, snapshot: &mut Snapshot) -> Result<()> {
        self.role = self.resolve(snapshot)?;
        engine.load(snapshot, [format!("{}{}", keys::ROLES, self.role)]).await?;
        let Some(role) = snapshot.role(&self.role) else {
            return Err(Error::denied("role: there is no role of this name"));
        };
        let Some(token) = &self.token else { return Ok(()) };
        let names: Vec<String> = role.rule.issuers().iter().map(|name| format!("{}{name}", keys::ISSUERS)).collect();
        engine.load(snapshot, names.iter().cloned()).await?;
        let revisions: Vec<Revision> = names.iter().filter_map(|name| snapshot.revision(name)).collect();
        if self.verified.as_ref().is_some_and(|(seen, _)| *seen == revisions) {
            return Ok(());
        }
        let issuers: Vec<Arc<Compiled>> = role.rule.issuers().iter().filter_map(|name| snapshot.issuer(name)).collect();
        let assertion = engine.verifier.verify(token, &issuers, engine.clock.now()).await.map_err(|no| no.for_act())?;
        self.verified = Some((revisions, assertion));
        Ok(())
    }

    /// The role of the act: the one it names, else the login's, else the mount's default. A login's role is the only one its
    /// token acts under.
    fn resolve(&self, snapshot: &Snapshot) -> Result<String> {
        match (&self.asked_role, &self.login) {
            (Some(asked), Some((role, _))) if asked != role => {
                Err(Error::denied(format!("role: this token was issued for role {role} and acts under no other")))
            }
            (Some(asked), _) => Ok(asked.clone()),
            (None, Some((role, _))) => Ok(role.clone()),
            (None, None) => snapshot
                .settings()
                .default_role
                .clone()
                .ok_or_else(|| Error::field("role", "name the role to act under; the mount has no default_role")),
        }
    }

    /// Lets the role judge the act: the grant to carry it out, or a refusal.
    pub fn judge(&self, snapshot: &Snapshot, act: &Act<'_>) -> Result<Grant> {
        let Some(role) = snapshot.role(&self.role) else {
            return Err(Error::denied("role: there is no role of this name"));
        };
        let assertion = match (&self.verified, &self.login) {
            (Some((_, assertion)), _) => assertion,
            (None, Some((_, assertion))) => assertion,
            (None, None) => return Err(Error::denied("assertion: send a JWT as jwt; no token stands in for it")),
        };
        auth::judge(&role.rule, &self.role, assertion, act).map_err(|refusal| refusal.for_act())
    }
}
