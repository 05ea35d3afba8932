//! `auth/token/…`: a caller's own token, and, for those who administer, the others.

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::Held;
use super::record::{Holder, TokenRecord};
use crate::domain::fields::{Fields, Given};
use crate::domain::time::{Timestamp, parse_duration};
use crate::error::Result;
use crate::host::answer::{Auth, Data, Envelope, Refusal, wrapped};
use crate::host::call::Token;
use crate::host::visit::{Acted, Visit, ignored};

/// `lookup-self`.
pub(in crate::host) fn lookup_self(visit: &Visit<'_>, fields: &Fields) -> Result<Acted, Refusal> {
    let held = visit.held()?;
    let id = visit.token.map(Token::expose).unwrap_or_default();
    Ok(Acted::data(describe(&held.record, id, visit.host.clock.now()), fields))
}

/// `lookup`: the own token if none is named.
pub(in crate::host) async fn lookup(visit: &Visit<'_>, mut fields: Fields) -> Result<Acted, Refusal> {
    let Some(token) = named(&mut fields)? else { return lookup_self(visit, &fields) };
    match other(visit, &token).await? {
        Some(held) => Ok(Acted::data(describe(&held.record, token.expose(), visit.host.clock.now()), &fields)),
        None => Err(Refusal::new(403, "bad token")),
    }
}

/// `renew-self`.
pub(in crate::host) async fn renew_self(visit: &Visit<'_>, mut fields: Fields) -> Result<Acted, Refusal> {
    let held = visit.held()?.clone();
    let token = Token::new(visit.token.map(Token::expose).unwrap_or_default().to_owned());
    extend(visit, held, token, &mut fields).await
}

/// `renew`.
pub(in crate::host) async fn renew(visit: &Visit<'_>, mut fields: Fields) -> Result<Acted, Refusal> {
    let token = named(&mut fields)?.ok_or_else(missing)?;
    match other(visit, &token).await? {
        Some(held) => extend(visit, held, token, &mut fields).await,
        None => Err(Refusal::new(400, "token not found")),
    }
}

/// `revoke-self`.
pub(in crate::host) async fn revoke_self(visit: &Visit<'_>) -> Result<Acted, Refusal> {
    visit.open.tokens.revoke(visit.held()?.hash).await?;
    Ok(Acted::nothing())
}

/// `revoke`: a token that is unknown or gone is no error.
pub(in crate::host) async fn revoke(visit: &Visit<'_>, mut fields: Fields) -> Result<Acted, Refusal> {
    let token = named(&mut fields)?.ok_or_else(missing)?;
    if let Some(held) = other(visit, &token).await? {
        visit.open.tokens.revoke(held.hash).await?;
    }
    Ok(Acted::nothing())
}

/// `lookup-accessor`: tells of the token without telling it.
pub(in crate::host) async fn lookup_accessor(visit: &Visit<'_>, mut fields: Fields) -> Result<Acted, Refusal> {
    match visit.open.tokens.find_accessor(&accessor(&mut fields)?).await? {
        Some(held) => Ok(Acted::data(describe(&held.record, "", visit.host.clock.now()), &fields)),
        None => Err(Refusal::new(400, wrapped("invalid accessor"))),
    }
}

/// `revoke-accessor`: one that names nothing is only warned of.
pub(in crate::host) async fn revoke_accessor(visit: &Visit<'_>, mut fields: Fields) -> Result<Acted, Refusal> {
    match visit.open.tokens.find_accessor(&accessor(&mut fields)?).await? {
        Some(held) => {
            visit.open.tokens.revoke(held.hash).await?;
            Ok(Acted::nothing())
        }
        None => {
            let warnings = vec!["No token found with this accessor".to_owned()];
            Ok(Envelope { warnings, ..Envelope::around(Data::Null) }.into())
        }
    }
}

/// `accessors`: of every token that lives.
pub(in crate::host) async fn accessors(visit: &Visit<'_>, fields: &Fields) -> Result<Acted, Refusal> {
    let accessors = visit.open.tokens.accessors().await?;
    Ok(Acted::data(Map::from_iter([("keys".to_owned(), json!(accessors))]), fields))
}

/// `renew-accessor`: the answer does not tell the token.
pub(in crate::host) async fn renew_accessor(visit: &Visit<'_>, mut fields: Fields) -> Result<Acted, Refusal> {
    match visit.open.tokens.find_accessor(&accessor(&mut fields)?).await? {
        Some(held) => extend(visit, held, Token::new(String::new()), &mut fields).await,
        None => Err(Refusal::new(400, wrapped("invalid accessor"))),
    }
}

fn accessor(fields: &mut Fields) -> Result<String, Refusal> {
    let given = fields.exact_string("accessor")?.value().filter(|accessor| !accessor.is_empty());
    given.ok_or_else(|| Refusal::new(400, "missing accessor"))
}

fn named(fields: &mut Fields) -> Result<Option<Token>> {
    Ok(fields.exact_string("token")?.value().filter(|token| !token.is_empty()).map(Token::new))
}

fn missing() -> Refusal {
    Refusal::new(400, "missing token ID")
}

/// The named token, which is the caller's own unless the caller may administer.
async fn other(visit: &Visit<'_>, token: &Token) -> Result<Option<Held>, Refusal> {
    let own = visit.held()?;
    if visit.open.tokens.hash(token) == own.hash {
        return Ok(Some(own.clone()));
    }
    visit.administers().await?;
    Ok(visit.open.tokens.find(token).await?)
}

async fn extend(visit: &Visit<'_>, held: Held, token: Token, fields: &mut Fields) -> Result<Acted, Refusal> {
    let increment = increment(fields)?;
    let Holder::Login(login) = &held.record.holder else { return Err(Refusal::new(400, "invalid lease ID")) };
    if visit.open.engine.role(&login.role).await?.is_none() {
        let why = format!("failed to renew entry: role {} does not exist during renewal", login.role);
        return Err(Refusal::new(500, wrapped(&why)));
    }
    let Some(renewed) = visit.open.tokens.renew(&held, increment).await? else { return Err(Refusal::no_token()) };
    let mut warnings = ignored(fields);
    if let Some(wanted) = renewed.capped {
        warnings.push(format!(
            "TTL of \"{}\" exceeded the effective max_ttl of \"{}\"; TTL value is capped accordingly",
            shown(wanted),
            shown(renewed.record.max_ttl)
        ));
    }
    let auth = Auth {
        client_token: token,
        accessor: renewed.record.accessor.clone(),
        policies: login.policies.clone(),
        metadata: Some(login.metadata.clone()),
        lease_duration: renewed.record.remaining(visit.host.clock.now()),
        renewable: true,
    };
    Ok(Envelope { warnings, auth: Some(auth), ..Envelope::around(Data::Null) }.into())
}

/// `increment`, in Vault's words where it is none.
fn increment(fields: &mut Fields) -> Result<Duration, Refusal> {
    let read = match fields.take("increment") {
        Given::Absent | Given::Reset => return Ok(Duration::ZERO),
        Given::Value(Value::Number(number)) => match number.as_u64() {
            Some(seconds) => Ok(Duration::from_secs(seconds)),
            None => Err(number.to_string()),
        },
        Given::Value(Value::String(text)) => parse_duration(&text).ok_or(text),
        Given::Value(other) => Err(other.to_string()),
    };
    read.map_err(|text| {
        let shown: String = text.chars().take(64).flat_map(char::escape_default).collect();
        let sentence = "Field validation failed: error converting input for field \"increment\"";
        Refusal::new(400, format!("{sentence}: time: invalid duration \"{shown}\""))
    })
}

/// What a lookup tells.
fn describe(record: &TokenRecord, id: &str, now: Timestamp) -> Map<String, Value> {
    let login = match &record.holder {
        Holder::Root => None,
        Holder::Login(login) => Some(login),
    };
    let mut data = Map::new();
    let mut put = |name: &str, value: Value| data.insert(name.to_owned(), value);
    put("accessor", json!(record.accessor));
    put("creation_time", json!(record.issued_at.secs()));
    put("creation_ttl", json!(record.ttl.as_secs()));
    put("display_name", json!(login.map_or("root", |login| &login.display_name)));
    put("entity_id", json!(""));
    put("expire_time", json!(record.expires_at.map(|end| end.to_string())));
    put("explicit_max_ttl", json!(0));
    put("id", json!(id));
    put("meta", json!(login.map(|login| &login.metadata)));
    put("num_uses", json!(0));
    put("orphan", json!(true));
    put("path", json!(if login.is_some() { "auth/jwt/login" } else { "auth/token/root" }));
    put("policies", json!(record.policies()));
    put("ttl", json!(record.remaining(now)));
    put("type", json!("service"));
    if login.is_some() {
        put("issue_time", json!(record.issued_at.to_string()));
        put("renewable", json!(true));
    }
    if let Some(renewed) = record.renewed_at {
        put("last_renewal", json!(renewed.to_string()));
        put("last_renewal_time", json!(renewed.secs()));
    }
    data
}

/// A duration as Vault's warnings show it: `20m`, `1h30m`, `768h`.
fn shown(duration: Duration) -> String {
    let (hours, minutes, seconds) = (duration.as_secs() / 3600, duration.as_secs() / 60 % 60, duration.as_secs() % 60);
    let parts = [(hours, 'h'), (minutes, 'm'), (seconds, 's')];
    let text: String = parts.iter().filter(|(n, _)| *n > 0).map(|(n, unit)| format!("{n}{unit}")).collect();
    if text.is_empty() { "0s".to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_show_as_vault_shows_them() {
        for (secs, text) in [(0, "0s"), (90, "1m30s"), (1200, "20m"), (5400, "1h30m"), (2_764_800, "768h")] {
            assert_eq!(shown(Duration::from_secs(secs)), text);
        }
    }

    #[test]
    fn an_increment_reads_like_vaults() {
        let read = |value: Value| {
            let map = Map::from_iter([("increment".to_owned(), value)]);
            increment(&mut Fields::new(map)).map_err(|refusal| refusal.errors[0].clone())
        };
        for (value, secs) in
            [(json!(0), 0), (json!(1800), 1800), (json!("30m"), 1800), (json!("90"), 90), (json!(null), 0)]
        {
            assert_eq!(read(value), Ok(Duration::from_secs(secs)));
        }
        let text =
            "Field validation failed: error converting input for field \"increment\": time: invalid duration \"abc\"";
        assert_eq!(read(json!("abc")), Err(text.to_owned()));
        assert!(read(json!(-1)).is_err());
        assert!(read(json!([1])).is_err());
    }
}
