//! The mapping file: which file, or item of an export, holds the codes of which account.
//!
//! A table (CSV, RFC 4180) with a header. `account` and `file` must be there; `item`, `field`, `profile`, `cas`, `used`, `bound_at`,
//! `enrollment`, `custody` may be, in any order. An empty cell says what the command line says. Lines that begin with `#` are
//! comments. Files are looked for beside the mapping file. Every mistake is told, with its line.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::Args;
use super::source;
use super::task::{Task, bound_at, used};
use crate::cli::client::Failure;
use crate::cli::export::table::Table;

/// The largest mapping file, in bytes.
const MAX_MAP: usize = 4 << 20;

/// The most accounts of one import.
pub(super) const MAX_TASKS: usize = 10_000;

const COLUMNS: [&str; 10] =
    ["account", "file", "item", "field", "profile", "cas", "used", "bound_at", "enrollment", "custody"];

/// Reads the mapping file `map`.
pub(super) fn read(args: &Args, map: &Path) -> Result<Vec<Task>, Failure> {
    let bytes = source::read_bounded(map, MAX_MAP, "no mapping file")?;
    let named = map.display();
    let text = std::str::from_utf8(bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes))
        .map_err(|_| Failure::local(format!("{named} is not UTF-8 text")))?;
    let mut rows = Table::new(text, true);
    let header = match rows.next() {
        Some(row) => row.map_err(|error| Failure::local(format!("{named}, {error}")))?,
        None => return Err(Failure::local(format!("{named} is empty. Its first line is a header: account,file"))),
    };
    let header = columns(&header).map_err(|why| Failure::local(format!("{named}, line {}: {why}", header.0)))?;
    let mut tasks = Vec::new();
    let mut wrong = Vec::new();
    for row in rows {
        match row
            .and_then(|(line, row)| task(args, map, &header, line, &row).map_err(|why| format!("line {line}: {why}")))
        {
            Ok(task) => tasks.push(task),
            Err(why) => wrong.push(format!("{named}, {why}")),
        }
    }
    wrong.extend(twice(&tasks).into_iter().map(|why| format!("{named}, {why}")));
    if tasks.len() > MAX_TASKS {
        wrong.push(format!("{named} maps {} accounts; an import takes at most {MAX_TASKS}. Split it", tasks.len()));
    }
    match wrong.is_empty() {
        true if tasks.is_empty() => Err(Failure::local(format!("{named} has a header and no accounts"))),
        true => Ok(tasks),
        false => Err(Failure::local(super::report::listed(&wrong))),
    }
}

/// The columns of the header, in its order.
fn columns((_, row): &(usize, Vec<Zeroizing<String>>)) -> Result<Vec<&'static str>, String> {
    let mut found = Vec::new();
    for cell in row {
        let Some(name) = COLUMNS.iter().find(|name| **name == cell.trim()) else {
            return Err(format!(
                "the header has a column that is not known. It may have {}; account and file it must have",
                COLUMNS.join(", ")
            ));
        };
        if found.contains(name) {
            return Err(format!("the header has the column {name} twice"));
        }
        found.push(*name);
    }
    match COLUMNS[..2].iter().find(|name| !found.contains(name)) {
        Some(missing) => Err(format!("the header has no column {missing}")),
        None => Ok(found),
    }
}

fn task(
    args: &Args,
    map: &Path,
    header: &[&'static str],
    line: usize,
    row: &[Zeroizing<String>],
) -> Result<Task, String> {
    if row.len() != header.len() {
        return Err(format!(
            "{} cells, and the header has {}. A comma in a cell needs quotes around it",
            row.len(),
            header.len()
        ));
    }
    let cells: BTreeMap<&str, &str> =
        header.iter().copied().zip(row.iter().map(|cell| cell.trim())).filter(|(_, cell)| !cell.is_empty()).collect();
    let text = |name: &str| cells.get(name).map(|cell| (*cell).to_owned());
    let number = |name: &str| match cells.get(name) {
        Some(cell) => cell.parse().map(Some).map_err(|_| format!("{name}: a whole number such as 0 or 3")),
        None => Ok(None),
    };
    let account = cells.get("account").ok_or("account is empty")?;
    let file = map.parent().unwrap_or(Path::new("")).join(cells.get("file").ok_or("file is empty")?);
    let plain = |failure: Failure| failure.to_string();
    let mut task = Task::new(args, account, file).map_err(plain)?;
    task.line = Some(line);
    task.item = text("item").or(task.item);
    task.field = text("field").or(task.field);
    task.profile = text("profile").or(task.profile);
    task.custody = text("custody").or(task.custody);
    task.cas = number("cas")?.or(task.cas);
    task.enrollment = number("enrollment")?.or(task.enrollment);
    if let Some(slots) = cells.get("used") {
        task.used = Some(used("used", slots).map_err(plain)?);
    }
    if let Some(time) = cells.get("bound_at") {
        task.bound_at = Some(bound_at("bound_at", time).map_err(plain)?);
    }
    Ok(task)
}

/// An account that is there twice would end its own set; codes that are there twice belong to one of the two.
fn twice(tasks: &[Task]) -> Vec<String> {
    let mut accounts: BTreeMap<&str, usize> = BTreeMap::new();
    let mut places: BTreeMap<(&PathBuf, &Option<String>, &Option<String>), usize> = BTreeMap::new();
    let mut wrong = Vec::new();
    for task in tasks {
        let line = task.line.unwrap_or_default();
        if let Some(first) = accounts.insert(task.account.as_str(), line) {
            wrong.push(format!("line {line}: {} is in line {first}, too", task.account));
        } else if let Some(first) = places.insert((&task.file, &task.item, &task.field), line) {
            wrong.push(format!("line {line}: the same codes are in line {first}, for another account"));
        }
    }
    wrong
}
