//! Bitwarden's export as JSON, of a person's vault or an organisation's.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::json::{Hidden, or_default, parse};
use super::{Export, Form, Item, Refusal, Text};

const FORMAT: &str = "a Bitwarden export (JSON)";

#[derive(Deserialize)]
struct Document {
    #[serde(default)]
    encrypted: bool,
    #[serde(default, deserialize_with = "or_default")]
    folders: Vec<Folder>,
    #[serde(default, deserialize_with = "or_default")]
    collections: Vec<Folder>,
    #[serde(default, deserialize_with = "or_default")]
    items: Vec<Entry>,
}

#[derive(Deserialize)]
struct Folder {
    id: String,
    name: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    #[serde(default, deserialize_with = "or_default")]
    id: String,
    #[serde(default, deserialize_with = "or_default")]
    folder_id: String,
    #[serde(default, deserialize_with = "or_default")]
    collection_ids: Vec<Option<String>>,
    #[serde(default, deserialize_with = "or_default")]
    name: String,
    #[serde(default)]
    notes: Hidden,
    #[serde(default, deserialize_with = "or_default")]
    fields: Vec<Field>,
    #[serde(default, deserialize_with = "or_default")]
    login: Option<Login>,
}

#[derive(Deserialize)]
struct Field {
    #[serde(default, deserialize_with = "or_default")]
    name: String,
    #[serde(default)]
    value: Hidden,
}

#[derive(Deserialize)]
struct Login {
    #[serde(default)]
    password: Hidden,
}

pub(super) fn read(text: &str) -> Result<Export, Refusal> {
    let document: Document = parse(text, FORMAT)?;
    if document.encrypted {
        return Err(Refusal::new(
            "an encrypted Bitwarden export: only Bitwarden can read it. Export as .json without encryption, import that, and \
             delete it",
        ));
    }
    let folders: BTreeMap<String, String> =
        document.folders.into_iter().chain(document.collections).map(|folder| (folder.id, folder.name)).collect();
    let items = document.items.into_iter().map(|entry| item(entry, &folders)).collect();
    Ok(Export { format: FORMAT, items })
}

fn item(entry: Entry, folders: &BTreeMap<String, String>) -> Item {
    let mut within = entry.collection_ids.iter().flatten().chain([&entry.folder_id]);
    let folder = within.find_map(|id| folders.get(id)).cloned().unwrap_or_default();
    let mut texts: Vec<Text> = entry
        .fields
        .into_iter()
        .map(|field| Text { label: field.name, value: field.value.0, form: Form::Field })
        .collect();
    texts.push(Text { label: "notes".to_owned(), value: entry.notes.0, form: Form::Lines });
    if let Some(login) = entry.login {
        texts.push(Text { label: "password".to_owned(), value: login.password.0, form: Form::Field });
    }
    Item { id: entry.id, folder, name: entry.name, texts }
}
