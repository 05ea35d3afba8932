//! What a request for a new set says.

use std::collections::BTreeSet;

use serde_json::Value;
use zeroize::Zeroizing;

use crate::crypto::secret::CodeText;
use crate::domain::account::Claimed;
use crate::domain::code::{self, MAX_CODES};
use crate::domain::fields::{Fields, Given};
use crate::domain::name::record_name;
use crate::engine::ask::{MAX_TEXT, text};
use crate::error::{Error, Result};

/// The fields of `sets/:account` beside the shared ones.
pub(super) struct Body {
    /// Absent: they are made here.
    pub imported: Option<Imported>,
    /// What the caller says about the set.
    pub claimed: Claimed,
    /// Profile of an account that the set creates.
    pub profile: Option<String>,
    /// Who else has seen the codes.
    pub custody: Option<String>,
}

/// Codes that another system issued.
pub(super) struct Imported {
    /// Slot 1 first.
    pub codes: Vec<CodeText>,
    /// Canonical forms, slot 1 first.
    pub plain: Vec<Zeroizing<String>>,
    /// Slots that are spent already.
    pub used: BTreeSet<u32>,
}

impl Body {
    /// Reads them; answers what is worth a warning.
    pub fn read(fields: &mut Fields) -> Result<(Body, Vec<String>)> {
        let mut warnings = Vec::new();
        let imported = match read_codes(fields)? {
            None => match fields.list("used")? {
                Given::Value(used) if !used.is_empty() => {
                    return Err(Error::field("used", "says which of the sent codes are spent; there are no codes"));
                }
                _ => None,
            },
            Some(codes) => {
                let findings = code::lint(&codes);
                if !findings.errors.is_empty() {
                    return Err(Error::field("codes", findings.errors.join("; ")));
                }
                warnings = findings.warnings;
                let plain = codes.iter().map(|code| code::canonical(code.expose())).collect();
                Some(Imported { plain, used: read_used(fields, codes.len())?, codes })
            }
        };
        let profile = fields.string("profile")?.value();
        let body = Body {
            imported,
            claimed: Claimed {
                cas: fields.integer("cas", 0, u32::MAX.into())?.value(),
                bound_at: fields.time("bound_at")?.value(),
                enrollment: fields.integer("enrollment", 0, u32::MAX.into())?.value(),
            },
            profile: profile.map(|name| record_name("profile", &name)).transpose()?,
            custody: text(fields, "custody", MAX_TEXT)?,
        };
        Ok((body, warnings))
    }
}

fn read_codes(fields: &mut Fields) -> Result<Option<Vec<CodeText>>> {
    match fields.take("codes") {
        Given::Value(Value::Array(items)) if items.len() > MAX_CODES => {
            Err(Error::field("codes", format_args!("at most {MAX_CODES} codes")))
        }
        Given::Value(Value::Array(items)) => items
            .into_iter()
            .enumerate()
            .map(|(index, item)| match item {
                Value::String(text) => Ok(CodeText::new(Zeroizing::new(text))),
                _ => Err(Error::field("codes", format_args!("code {} must be a JSON string", index + 1))),
            })
            .collect::<Result<_>>()
            .map(Some),
        // Lists may come as a text with commas, as a command line writes them.
        Given::Value(Value::String(text)) => {
            let text = Zeroizing::new(text);
            Ok(Some(text.split(',').map(|code| CodeText::new(Zeroizing::new(code.trim().to_owned()))).collect()))
        }
        Given::Value(_) => Err(Error::field("codes", "a list of JSON strings, one code each")),
        Given::Absent | Given::Reset => Ok(None),
    }
}

fn read_used(fields: &mut Fields, count: usize) -> Result<BTreeSet<u32>> {
    let mut used = BTreeSet::new();
    for item in fields.list("used")?.value().unwrap_or_default() {
        let slot = item.parse::<u32>().ok().filter(|slot| (1..=count as u64).contains(&u64::from(*slot)));
        used.insert(slot.ok_or_else(|| Error::field("used", format_args!("slots from 1 to {count}")))?);
    }
    Ok(used)
}
