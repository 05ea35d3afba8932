//! What the import says and asks. Never a code or a part of one: counts, shapes, slots and line numbers.

use std::path::Path;

use serde_json::Value;

use super::Args;
use super::task::Task;
use crate::cli::client::{Failure, Reply, printable};
use crate::cli::codefile::{About, Choice, CodeFile, Question, lines_named, numbers_named};
use crate::cli::console::Console;

/// `1 code`, `16 codes`.
pub(super) fn codes_named(count: usize) -> String {
    if count == 1 { "1 code".to_owned() } else { format!("{count} codes") }
}

/// `1 account`, `16 accounts`.
pub(super) fn accounts_named(count: usize) -> String {
    if count == 1 { "1 account".to_owned() } else { format!("{count} accounts") }
}

/// What was understood of the file.
pub(super) fn understood(file: &CodeFile, place: &str) -> String {
    let shape = match file.shapes.as_slice() {
        [(shape, _)] => format!("of the shape {shape}"),
        several => {
            let each: Vec<_> = several.iter().map(|(shape, count)| format!("{count} like {shape}")).collect();
            format!("of {} shapes: {}", several.len(), each.join(", "))
        }
    };
    let mut said = vec![format!("Read {place}: {} {shape}.", codes_named(file.codes.len()))];
    match (file.numbered, file.columns) {
        (true, _) if !file.gone.is_empty() => {
            said.push(format!(
                "  Number {} has no code any more: the codes behind it moved up.",
                numbers_named(&file.gone)
            ));
        }
        (true, _) => said.push("  Numbered: each code keeps its number as its slot.".to_owned()),
        (false, 0 | 1) => {}
        (false, columns) => said.push(format!("  {columns} columns without numbers: slots run along the lines.")),
    }
    if !file.text_lines.is_empty() {
        said.push(format!("  Taken as text and left out: {}.", lines_named(&file.text_lines)));
    }
    if !file.used.is_empty() {
        let left = file.codes.len() - file.used.len();
        let slots = if file.used.len() == 1 { "slot" } else { "slots" };
        said.push(format!("  Used already: {slots} {}. {} left.", numbers_named(&file.used), codes_named(left)));
    }
    said.join("\n")
}

/// Asks one question; nothing if the answer is to stop.
pub(super) fn ask(question: &Question, console: &mut Console) -> Option<Choice> {
    let choices: Vec<_> = question.choices.iter().map(|choice| (*choice, key_of(*choice))).collect();
    let offered: Vec<_> = choices.iter().map(|(_, (key, meaning))| format!("[{key}] {meaning}")).collect();
    let prompt = format!("{}\n  {}, [enter] stop: ", asked(question), offered.join(", "));
    for _ in 0..3 {
        let answer = console.ask(&prompt)?.to_lowercase();
        if answer.is_empty() {
            return None;
        }
        if let Some((choice, _)) = choices.iter().find(|(_, (key, _))| *key == answer) {
            return Some(*choice);
        }
    }
    None
}

/// All questions, where nobody can answer.
pub(super) fn unclear(questions: &[Question], place: &str) -> String {
    let mut said = vec![format!("{place} can be read in more than one way. Nothing was sent.")];
    said.extend(questions.iter().map(|question| format!("  {}", asked(question))));
    said.push(if questions.iter().any(|question| question.about == About::Ticked) {
        "Say which codes are used with --used 1,3 (or --used none).".to_owned()
    } else {
        "Change the file, or run this on a terminal without --yes to answer.".to_owned()
    });
    said.join("\n")
}

/// The set is stored: what the server said, and what to do next.
pub(super) fn stored(reply: &Reply, args: &Args, task: &Task) -> String {
    let account = &task.account;
    let data = reply.data();
    let number = |name: &str| data.get(name).and_then(Value::as_u64);
    let mut said = Vec::new();
    match (number("generation"), number("count")) {
        (Some(generation), Some(count)) => {
            let left = number("remaining").filter(|left| *left != count);
            let left = left.map(|left| format!(", {left} of them unused")).unwrap_or_default();
            let count = codes_named(usize::try_from(count).unwrap_or(usize::MAX));
            said.push(format!("Stored generation {generation} of {account}: {count}{left}."));
        }
        _ => said.push(format!("The server took the codes of {account}, but did not say as which generation.")),
    }
    let superseded = generations(data.get("superseded"));
    if !superseded.is_empty() {
        said.push(format!("  Generation {} is superseded and gives out no more codes.", numbers_named(&superseded)));
    }
    said.extend(reply.warnings().iter().map(|warning| format!("  Warning: {}", printable(warning))));
    said.push(format!("Next: see it with  bao read {}/accounts/{account}", args.mount.trim_matches('/')));
    if !args.remove_source && task.file.as_os_str() != "-" {
        said.push(format!(
            "      {} still holds the codes: delete it (--remove-source does so after an import).",
            task.file.display()
        ));
    }
    said.join("\n")
}

/// The request may have arrived, the answer did not.
pub(super) fn unknown(failure: &Failure, key: &str) -> Failure {
    Failure::local(format!(
        "{failure}. It is not known whether the set was stored. Repeat the same command with --idempotency-key {key}: \
         it stores the set if it is not there, and changes nothing if it is"
    ))
}

/// The file is deleted, and what that does not do.
pub(super) fn removed(name: &Path) -> String {
    format!(
        "Deleted {}.\nDeleting a file does not reach everything: backups and snapshots made before, the file system's journal, the old \
         blocks of an SSD, cloud folders that were in step, and the browser's list of downloads may still hold it. Where that \
         matters, let the provider make new codes and import those.",
        name.display()
    )
}

fn asked(question: &Question) -> String {
    let lines = lines_named(&question.lines);
    let (first, rest) = lines.split_at(1);
    format!("{}{rest}: {}", first.to_uppercase(), question.sentence)
}

/// The key to press, and what it means.
fn key_of(choice: Choice) -> (String, String) {
    let (key, meaning) = match choice {
        Choice::Code => ("c", "code"),
        Choice::Text => ("t", "text, leave it out"),
        Choice::Groups(1) => return ("1".to_owned(), "each group is a code".to_owned()),
        Choice::Groups(count) => return (count.to_string(), format!("{count} groups are a code")),
        Choice::Counts => ("n", "the number only counts"),
        Choice::Belongs => ("p", "part of the code"),
        Choice::Used => ("u", "used"),
        Choice::Unused => ("n", "not used"),
        Choice::GoOn => ("g", "go on"),
    };
    (key.to_owned(), meaning.to_owned())
}

/// The file as it is spoken of.
pub(super) fn source_named(name: &Path) -> String {
    if name.as_os_str() == "-" { "standard input".to_owned() } else { name.display().to_string() }
}

/// One number or a list of them.
fn generations(value: Option<&Value>) -> Vec<usize> {
    let one = |value: &Value| value.as_u64().and_then(|number| usize::try_from(number).ok());
    match value {
        Some(Value::Array(list)) => list.iter().filter_map(one).collect(),
        Some(value) => one(value).into_iter().collect(),
        None => Vec::new(),
    }
}
