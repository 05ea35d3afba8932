//! What all acts begin with: which account, who asks and under which role, and what is warned of.

use crate::auth::Grant;
use crate::domain::fields::Fields;
use crate::domain::name::AccountName;
use crate::domain::role::Capability;
use crate::engine::ask::Ask;
use crate::engine::attempt::{Attempt, Decision};
use crate::engine::request::{Request, Response};
use crate::engine::transact::{Judged, Plan};
use crate::engine::{Call, Engine, ignored};
use crate::error::Result;

/// What an act begins with.
pub struct Begun {
    /// The request, without its fields.
    pub request: Request,
    /// The account.
    pub account: AccountName,
    /// The fields that acts share.
    pub ask: Ask,
}

impl Begun {
    /// Reads it. The fields that it leaves are the act's own.
    pub fn read(call: Call) -> Result<(Begun, Fields)> {
        let Call { mut request, name } = call;
        let account = Engine::account_name(&name)?;
        let (ask, fields) = Ask::read(std::mem::take(&mut request.data))?;
        Ok((Begun { request, account, ask }, fields))
    }

    /// Carries the act out, with the records under `also` read along. What `fields` hold by now nobody knows: that is warned of.
    pub async fn act(
        &self,
        engine: &Engine,
        capability: Capability,
        fields: &Fields,
        also: Vec<String>,
        decide: impl FnMut(&mut Attempt<'_>, Grant) -> Result<Decision<Response>> + Send,
    ) -> Result<Response> {
        let plan = Plan { account: &self.account, also };
        let mut response = engine.act(plan, self.judged(capability), decide).await?;
        ignored(fields, &mut response.warnings);
        Ok(response)
    }

    /// What the role is to judge.
    pub fn judged(&self, capability: Capability) -> Judged<'_> {
        Judged { request: &self.request, ask: &self.ask, capability }
    }
}
