//! 1Password's exports as JSON: `export.data` of a 1PUX archive, and items as `op item get --format json` writes them.

use serde::Deserialize;

use super::json::{Hidden, or_default, parse};
use super::{Export, Form, Item, Refusal, Text};

pub(super) const FORMAT: &str = "1Password items (JSON)";

#[derive(Deserialize)]
struct Document {
    accounts: Vec<Account>,
}

#[derive(Deserialize)]
struct Account {
    #[serde(default, deserialize_with = "or_default")]
    vaults: Vec<Vault>,
}

#[derive(Deserialize)]
struct Vault {
    #[serde(default, deserialize_with = "or_default")]
    attrs: Attributes,
    #[serde(default, deserialize_with = "or_default")]
    items: Vec<Archived>,
}

#[derive(Deserialize, Default)]
struct Attributes {
    #[serde(default, deserialize_with = "or_default")]
    name: String,
}

#[derive(Deserialize)]
struct Archived {
    #[serde(default, deserialize_with = "or_default")]
    uuid: String,
    #[serde(default, deserialize_with = "or_default")]
    overview: Overview,
    #[serde(default, deserialize_with = "or_default")]
    details: Details,
}

#[derive(Deserialize, Default)]
struct Overview {
    #[serde(default, deserialize_with = "or_default")]
    title: String,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase")]
struct Details {
    #[serde(default, deserialize_with = "or_default")]
    login_fields: Vec<LoginField>,
    #[serde(default)]
    notes_plain: Hidden,
    #[serde(default, deserialize_with = "or_default")]
    sections: Vec<Section>,
}

#[derive(Deserialize)]
struct LoginField {
    #[serde(default, deserialize_with = "or_default")]
    designation: String,
    #[serde(default)]
    value: Hidden,
}

#[derive(Deserialize)]
struct Section {
    #[serde(default, deserialize_with = "or_default")]
    title: String,
    #[serde(default, deserialize_with = "or_default")]
    fields: Vec<SectionField>,
}

#[derive(Deserialize)]
struct SectionField {
    #[serde(default, deserialize_with = "or_default")]
    title: String,
    #[serde(default, deserialize_with = "or_default")]
    value: Value,
}

/// One member, named for its type; those that can hold codes are read.
#[derive(Deserialize, Default)]
struct Value {
    #[serde(default)]
    string: Hidden,
    #[serde(default)]
    concealed: Hidden,
}

/// An item of the command line tool `op`.
#[derive(Deserialize)]
pub(super) struct Shown {
    #[serde(default, deserialize_with = "or_default")]
    id: String,
    #[serde(default, deserialize_with = "or_default")]
    title: String,
    #[serde(default, deserialize_with = "or_default")]
    vault: Attributes,
    #[serde(default, deserialize_with = "or_default")]
    fields: Vec<ShownField>,
}

#[derive(Deserialize)]
struct ShownField {
    #[serde(default, deserialize_with = "or_default")]
    purpose: String,
    #[serde(default, deserialize_with = "or_default")]
    label: String,
    #[serde(default)]
    value: Hidden,
    #[serde(default, deserialize_with = "or_default")]
    section: Option<ShownSection>,
}

#[derive(Deserialize)]
struct ShownSection {
    #[serde(default, deserialize_with = "or_default")]
    label: String,
}

/// Reads `export.data`.
pub(super) fn read(text: &str) -> Result<Export, Refusal> {
    const FORMAT: &str = "a 1Password export (export.data)";
    let document: Document = parse(text, FORMAT)?;
    let mut items = Vec::new();
    for vault in document.accounts.into_iter().flat_map(|account| account.vaults) {
        items.extend(vault.items.into_iter().map(|item| archived(item, &vault.attrs.name)));
    }
    Ok(Export { format: FORMAT, items })
}

/// Takes items of `op`.
pub(super) fn items(shown: Vec<Shown>) -> Result<Export, Refusal> {
    let item = |shown: Shown| Item {
        id: shown.id,
        folder: shown.vault.name,
        name: shown.title,
        texts: shown
            .fields
            .into_iter()
            .map(|field| match field.purpose.as_str() {
                "NOTES" => Text { label: "notes".to_owned(), value: field.value.0, form: Form::Lines },
                "PASSWORD" => Text { label: "password".to_owned(), value: field.value.0, form: Form::Field },
                _ => Text {
                    label: joined(field.section.as_ref().map_or("", |section| &section.label), &field.label),
                    value: field.value.0,
                    form: Form::Field,
                },
            })
            .collect(),
    };
    Ok(Export { format: FORMAT, items: shown.into_iter().map(item).collect() })
}

fn archived(item: Archived, vault: &str) -> Item {
    let mut texts = Vec::new();
    for section in item.details.sections {
        for field in section.fields {
            let value = if field.value.concealed.0.is_empty() { field.value.string } else { field.value.concealed };
            texts.push(Text { label: joined(&section.title, &field.title), value: value.0, form: Form::Field });
        }
    }
    texts.push(Text { label: "notes".to_owned(), value: item.details.notes_plain.0, form: Form::Lines });
    let password = item.details.login_fields.into_iter().find(|field| field.designation == "password");
    if let Some(password) = password {
        texts.push(Text { label: "password".to_owned(), value: password.value.0, form: Form::Field });
    }
    Item { id: item.uuid, folder: vault.to_owned(), name: item.overview.title, texts }
}

/// A field belongs to its section: `recovery codes`, `1` is `recovery codes/1`.
fn joined(section: &str, label: &str) -> String {
    match (section, label) {
        ("", label) => label.to_owned(),
        (section, "") => section.to_owned(),
        (section, label) => format!("{section}/{label}"),
    }
}
