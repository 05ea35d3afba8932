//! A Temporary Access Pass as Microsoft Graph answers when it is created: one code, shown that one time.

use serde::Deserialize;

use super::json::{Hidden, or_default, parse};
use super::{Export, Form, Item, Refusal, Text};

const FORMAT: &str = "a Temporary Access Pass (Microsoft Graph)";

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Pass {
    #[serde(default, deserialize_with = "or_default")]
    id: String,
    #[serde(default)]
    temporary_access_pass: Hidden,
    #[serde(default, deserialize_with = "or_default")]
    is_usable_once: bool,
    #[serde(default, deserialize_with = "or_default")]
    value: Vec<Pass>,
}

pub(super) fn read(text: &str) -> Result<Export, Refusal> {
    let pass: Pass = parse(text, FORMAT)?;
    let passes = if pass.value.is_empty() { vec![pass] } else { pass.value };
    if passes.iter().all(|pass| pass.temporary_access_pass.0.is_empty()) {
        return Err(Refusal::new(
            "no Temporary Access Pass is in it: Microsoft Graph shows one only in the answer that creates it. Create it anew and keep \
             that answer",
        ));
    }
    if passes.iter().any(|pass| !pass.temporary_access_pass.0.is_empty() && !pass.is_usable_once) {
        return Err(Refusal::new(
            "a Temporary Access Pass that may be used many times (isUsableOnce is not true): what is handed out here once must work \
             once. Create it with \"isUsableOnce\": true",
        ));
    }
    let item = |pass: Pass| Item {
        id: pass.id,
        folder: String::new(),
        name: String::new(),
        texts: vec![Text { label: "backup pass".to_owned(), value: pass.temporary_access_pass.0, form: Form::Whole }],
    };
    Ok(Export { format: FORMAT, items: passes.into_iter().map(item).collect() })
}
