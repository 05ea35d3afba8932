//! The one who wants to act: which role, which assertion. Verified once, judged afresh for every try.

use std::sync::Arc;

use crate::auth::host::{self, HostIdentity};
use crate::auth::{self, Act, Assertion, Caller, Compiled, Grant, Refusal, Token};
use crate::domain::issuer::IssuerKind;
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
    /// The entity behind the token of a vault that mounts us; asked for once.
    entity: Option<String>,
    identity: Option<HostIdentity>,
}

impl Engine {
    /// Keys of the role, the mount's default one if none is named, and of the issuers it named when it was last seen: reading
    /// them along with the first read saves most callers a second one.
    pub(super) fn guess(&self, role: Option<&str>) -> Vec<String> {
        let default = || match self.cache.guess(keys::CONFIG) {
            Some(Parsed::Settings(settings)) => settings.default_role.clone(),
            _ => None,
        };
        let Some(role) = role.map(str::to_owned).or_else(default) else { return Vec::new() };
        let key = format!("{}{role}", keys::ROLES);
        let mut wanted = Vec::new();
        if let Some(Parsed::Role(role)) = self.cache.guess(&key) {
            wanted.extend(role.rule.issuers().iter().map(|issuer| format!("{}{issuer}", keys::ISSUERS)));
        }
        wanted.push(key);
        wanted
    }
}

impl Claimant {
    /// Reads the assertion of a request; nothing of it is believed yet.
    pub fn new(judged: &Judged<'_>) -> Result<Self> {
        let token = match &judged.ask.jwt {
            Some(jwt) => Some(Token::parse(jwt).map_err(|refusal| refusal.for_act())?),
            None => None,
        };
        let (login, entity) = match &judged.request.caller {
            Caller::Login { role, assertion, .. } => (Some((role.clone(), assertion.clone())), None),
            Caller::Host { entity_id, .. } => (None, Some(entity_id.clone())),
            Caller::Anonymous | Caller::Root { .. } => (None, None),
        };
        let asked_role = judged.ask.role.clone();
        Ok(Claimant { asked_role, login, token, role: String::new(), verified: None, entity, identity: None })
    }

    /// Records worth reading along with the account: the role and the issuers it named when it was last seen.
    pub fn guess(&self, engine: &Engine) -> Vec<String> {
        engine.guess(self.asked_role.as_deref().or_else(|| self.login.as_ref().map(|(role, _)| role.as_str())))
    }

    /// Key of the claim on the assertion that the request brings, if it brings one: a disclosure reads it along.
    pub fn claim(&self) -> Option<String> {
        let replay = self.token.as_ref().map(Token::replay);
        replay.or_else(|| self.login.as_ref().map(|(_, assertion)| assertion.replay)).map(|replay| keys::claim(&replay))
    }

    /// Asks the vault that mounts us who the caller is, if the role last seen goes by its word: meanwhile the records are read.
    /// If the vault does not say it is asked again once it is known to be needed.
    pub async fn look_ahead(&mut self, engine: &Engine) {
        let entity = self.entity.clone().unwrap_or_default();
        if self.token.is_some() || entity.is_empty() || self.identity.is_some() {
            return;
        }
        let by_word = |key: &String| match engine.cache.guess(key) {
            Some(Parsed::Issuer(issuer)) => issuer.kind() == IssuerKind::Host,
            _ => false,
        };
        if let Some(identities) = &engine.identities
            && self.guess(engine).iter().any(by_word)
        {
            self.identity = identities.look_up(&entity).await.unwrap_or_default();
        }
    }

    /// Finds the role, reads what it needs and verifies the assertion against the role's issuers. A repeated call verifies
    /// again only if an issuer changed.
    pub async fn prepare(&mut self, engine: &Engine, snapshot: &mut Snapshot) -> Result<()> {
        self.role = self.resolve(snapshot)?;
        engine.load(snapshot, [format!("{}{}", keys::ROLES, self.role)]).await?;
        let Some(role) = snapshot.role(&self.role) else {
            return Err(Error::denied("role: there is no role of this name"));
        };
        // A login token says it all, unless the request brings more.
        if self.token.is_none() && self.login.is_some() {
            return Ok(());
        }
        let names: Vec<String> = role.rule.issuers().iter().map(|name| format!("{}{name}", keys::ISSUERS)).collect();
        engine.load(snapshot, names.iter().cloned()).await?;
        let revisions: Vec<Revision> = names.iter().filter_map(|name| snapshot.revision(name)).collect();
        if self.verified.as_ref().is_some_and(|(seen, _)| *seen == revisions) {
            return Ok(());
        }
        let issuers: Vec<Arc<Compiled>> = role.rule.issuers().iter().filter_map(|name| snapshot.issuer(name)).collect();
        let kind = host::kind_of(&issuers).map_err(|refusal| refusal.for_act())?;
        let assertion = match (kind, &self.token) {
            (IssuerKind::Jwt, None) => return Ok(()),
            (IssuerKind::Jwt, Some(token)) => engine.verifier.verify(token, &issuers, engine.clock.now()).await,
            (IssuerKind::Host, _) if engine.identities.is_none() => Err(Refusal::HostOnly),
            (IssuerKind::Host, Some(_)) => Err(Refusal::TakesNoJwt),
            (IssuerKind::Host, None) => self.vouched(engine, &issuers).await?,
        };
        self.verified = Some((revisions, assertion.map_err(|no| no.for_act())?));
        Ok(())
    }

    /// The word of the vault that mounts us.
    async fn vouched(
        &mut self,
        engine: &Engine,
        issuers: &[Arc<Compiled>],
    ) -> Result<std::result::Result<Assertion, Refusal>> {
        let entity = self.entity.as_deref().unwrap_or_default();
        let (Some(identities), false) = (&engine.identities, entity.is_empty()) else {
            return Ok(Err(Refusal::NoEntity));
        };
        if self.identity.is_none() {
            self.identity = identities.look_up(entity).await?;
        }
        let identity = self.identity.as_ref().filter(|identity| identity.entity_id == entity);
        Ok(match identity {
            Some(identity) => host::vouch(issuers, identity, engine.clock.now()),
            None => Err(Refusal::NoEntity),
        })
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
