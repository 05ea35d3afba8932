//! Tables of passwords: the CSV exports of Bitwarden, 1Password, Microsoft Edge and browsers of its kind.

use zeroize::Zeroizing;

use super::table::Table;
use super::{Export, Form, Item, Refusal, Text};

/// Where the columns are that matter.
struct Columns {
    format: &'static str,
    name: usize,
    notes: usize,
    folder: Option<usize>,
    fields: Option<usize>,
    password: Option<usize>,
}

/// Reads `text` if its first line is the header of such a table.
pub(super) fn read(text: &str) -> Result<Option<Export>, Refusal> {
    let Some(header) = text.lines().next().filter(|line| line.contains(',')) else { return Ok(None) };
    let Some(Ok((_, header))) = Table::new(header, false).next() else { return Ok(None) };
    let Some(columns) = columns(&header) else { return Ok(None) };
    let mut items = Vec::new();
    for row in Table::new(text, false).skip(1) {
        let (line, row) = row.map_err(Refusal::new)?;
        if row.len() != header.len() {
            return Err(Refusal::new(format!(
                "line {line}: {} cells, and the header has {}. Was it changed by hand? Export it again",
                row.len(),
                header.len()
            )));
        }
        items.push(item(row, &columns));
    }
    Ok(Some(Export { format: columns.format, items }))
}

fn columns(header: &[Zeroizing<String>]) -> Option<Columns> {
    let at =
        |names: &[&str]| header.iter().position(|cell| names.iter().any(|name| cell.trim().eq_ignore_ascii_case(name)));
    let password = at(&["password", "login_password"])?;
    let format = match () {
        () if at(&["login_password"]).is_some() => "a Bitwarden export (CSV)",
        () if at(&["otpauth"]).is_some() => "a 1Password export (CSV)",
        () => "a table of passwords as Microsoft Edge exports it (CSV)",
    };
    Some(Columns {
        format,
        name: at(&["name", "title"])?,
        notes: at(&["notes", "note"])?,
        folder: at(&["folder", "collections"]),
        fields: at(&["fields"]),
        password: Some(password),
    })
}

fn item(mut row: Vec<Zeroizing<String>>, columns: &Columns) -> Item {
    let mut take = |place: Option<usize>| place.map(|place| std::mem::take(&mut row[place])).unwrap_or_default();
    let fields = take(columns.fields);
    let mut texts: Vec<Text> = fields.lines().filter_map(field).collect();
    texts.push(Text { label: "notes".to_owned(), value: take(Some(columns.notes)), form: Form::Lines });
    texts.push(Text { label: "password".to_owned(), value: take(columns.password), form: Form::Field });
    Item {
        id: String::new(),
        folder: take(columns.folder).to_string(),
        name: take(Some(columns.name)).to_string(),
        texts,
    }
}

/// `label: value`, one a line.
fn field(line: &str) -> Option<Text> {
    let (label, value) = line.split_once(": ")?;
    Some(Text { label: label.to_owned(), value: Zeroizing::new(value.to_owned()), form: Form::Field })
}
