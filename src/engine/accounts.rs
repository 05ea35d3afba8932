//! `accounts/…`: what people say about an account, and what we know of its sets. Never a code.

use serde_json::{Map, Value, json};

use crate::domain::about::About;
use crate::domain::fields::{Fields, Given};
use crate::domain::name::{AccountName, record_name};
use crate::domain::profile::Profile;
use crate::engine::ask::checked_text;
use crate::engine::attempt::{Attempt, Decision, Stored, profile_of};
use crate::engine::cache::Snapshot;
use crate::engine::request::{Request, Response};
use crate::engine::transact::Plan;
use crate::engine::{Call, Engine, keys, metadata, operator, record, remote};
use crate::error::{Error, Result};

pub use list::list;

mod list;

/// Longest text about an account, in bytes.
const MAX_ABOUT: usize = 1024;
/// Most labels or protected things.
const MAX_ITEMS: usize = 64;

/// Reads an account's metadata.
pub async fn read(engine: &Engine, call: Call) -> Result<Response> {
    let name = Engine::account_name(&call.name)?;
    let mut snapshot = Snapshot::default();
    let mut wanted = vec![keys::CONFIG.to_owned(), keys::account(&name)];
    wanted.extend(engine.recent_profiles());
    engine.load(&mut snapshot, wanted).await?;
    let mut stored = Stored::read(&snapshot, &name)?.ok_or_else(Error::not_found)?;
    let settings = snapshot.settings();
    let key = format!("{}{}", keys::PROFILES, profile_of(&stored.record.account, &settings));
    engine.load(&mut snapshot, [key]).await?;
    let profile = snapshot.profile(profile_of(&stored.record.account, &settings));
    let now = engine.clock.now();
    stored.record.account.settle(now);
    let protects = match profile.as_deref().is_some_and(Profile::issues) {
        true => &[],
        false => stored.record.account.about.protects.as_slice(),
    };
    let circular = engine.is_circular(&name, protects).await?;
    let mut response = Response::data(metadata::show(&name, &stored.record.account, profile.as_deref(), now, circular));
    if profile.is_none() {
        response
            .warnings
            .push(format!("the account's profile {} does not exist any more", stored.record.account.profile));
    }
    Ok(response)
}

/// Creates an account or changes what is said about it; given fields replace, absent ones stay.
pub async fn write(engine: &Engine, call: Call) -> Result<Response> {
    let name = Engine::account_name(&call.name)?;
    let mut fields = Fields::new(call.request.data.clone());
    let profile = fields.string("profile")?;
    if let Given::Value(name) = &profile {
        record_name("profile", name)?;
    }
    let told = Told::read(&mut fields)?;
    fields.refuse_unknown()?;
    let also = match &profile {
        Given::Value(name) => vec![format!("{}{name}", keys::PROFILES)],
        Given::Absent | Given::Reset => Vec::new(),
    };
    let plan = Plan { account: &name, also };
    engine.change(plan, |attempt| decide(attempt, &call.request, &profile, &told)).await
}

fn decide(
    attempt: &mut Attempt<'_>,
    request: &Request,
    profile: &Given<String>,
    told: &Told,
) -> Result<Decision<Response>> {
    attempt.cap = Some(record::NOTES_CAP);
    let exists = !attempt.record.account.is_stub();
    let was = attempt.record.account.profile.clone();
    let default = attempt.settings.default_profile.clone();
    let profile = profile.clone().over(if exists { was.clone() } else { default.clone() }, default);
    attempt.profile_named(&profile)?;
    let about = told.apply(&attempt.record.account.about)?;
    let texts = [("owner", &about.owner), ("login_name", &about.login_name), ("login_url", &about.login_url)];
    let texts = texts.into_iter().map(|(field, text)| (field, text.as_str()));
    let labels = about.labels.iter().flat_map(|(name, value)| [("labels", name.as_str()), ("labels", value.as_str())]);
    let protects = about.protects.iter().map(|item| ("protects", item.as_str()));
    attempt.refuse_codes_in(texts.chain(labels).chain(protects))?;
    if exists && profile == was && about == attempt.record.account.about {
        return Ok(Decision::Keep(Response::empty()));
    }
    let account = &mut attempt.record.account;
    account.profile = profile;
    account.about = about;
    account.deleted_at = None;
    let mut entry =
        attempt.entry(if exists { "update" } else { "create" }, operator(request), &request.id, remote(request));
    entry.detail = Some(json!({"profile": attempt.record.account.profile}).to_string());
    let note = attempt.log(entry);
    Ok(Decision::Write(Response { note, ..Response::empty() }))
}

/// Deletes an account whose sets are all over. What protects against replays stays.
pub async fn delete(engine: &Engine, call: Call) -> Result<Response> {
    let name = Engine::account_name(&call.name)?;
    let plan = Plan { account: &name, also: Vec::new() };
    let request = &call.request;
    engine
        .change(plan, |attempt| {
            if !attempt.exists() {
                return Ok(Decision::Keep(Response::empty()));
            }
            attempt.record.account.delete(attempt.now)?;
            let entry = attempt.entry("delete", operator(request), &request.id, remote(request));
            let note = attempt.log(entry);
            Ok(Decision::Write(Response { note, ..Response::empty() }))
        })
        .await
}

/// What a write says about an account.
struct Told {
    owner: Given<String>,
    login_name: Given<String>,
    login_url: Given<String>,
    protects: Given<Vec<String>>,
    labels: Given<Map<String, Value>>,
}

impl Told {
    fn read(fields: &mut Fields) -> Result<Told> {
        Ok(Told {
            owner: fields.string("owner")?,
            login_name: fields.string("login_name")?,
            login_url: fields.string("login_url")?,
            protects: fields.list("protects")?,
            labels: fields.object("labels")?,
        })
    }
    fn apply(&self, was: &About) -> Result<About> {
        let text = |name: &str, given: &Given<String>, was: &String| {
            checked_text(name, given.clone().over(was.clone(), String::new()), MAX_ABOUT)
        };
        let login_url = text("login_url", &self.login_url, &was.login_url)?;
        if !login_url.is_empty() && !login_url.starts_with("https://") && !login_url.starts_with("http://") {
            return Err(Error::field("login_url", "an http or https address"));
        }
        let protects = self.protects.clone().over(was.protects.clone(), Vec::new());
        if protects.len() > MAX_ITEMS {
            return Err(Error::field("protects", format_args!("at most {MAX_ITEMS}")));
        }
        for item in &protects {
            checked_text("protects", item.clone(), AccountName::MAX)?;
        }
        let labels = match &self.labels {
            Given::Absent => was.labels.clone(),
            Given::Reset => Default::default(),
            Given::Value(map) if map.len() > MAX_ITEMS => {
                return Err(Error::field("labels", format_args!("at most {MAX_ITEMS}")));
            }
            Given::Value(map) => map
                .iter()
                .map(|(name, value)| {
                    let value = value.as_str().ok_or_else(|| Error::field("labels", "texts by name"))?;
                    Ok((checked_text("labels", name.clone(), 128)?, checked_text("labels", value.to_owned(), 256)?))
                })
                .collect::<Result<_>>()?,
        };
        Ok(About {
            owner: text("owner", &self.owner, &was.owner)?,
            login_name: text("login_name", &self.login_name, &was.login_name)?,
            login_url,
            protects,
            labels,
        })
    }
}
