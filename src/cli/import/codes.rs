//! From a file to the codes of one account: a list as it stands, or the item of an export.

use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::task::Task;
use super::{show, source};
use crate::cli::client::Failure;
use crate::cli::codefile::{About, Answers, Choice, CodeFile, Outcome, parse};
use crate::cli::console::Console;
use crate::cli::export::{self, Export};
use crate::crypto::secret::CodeText;

/// What a file is.
enum Contents {
    List(Zeroizing<Vec<u8>>),
    Export(Export),
}

/// Reads files for one account after the other; the last file stays, because an export holds many accounts.
#[derive(Default)]
pub(super) struct Reader {
    last: Option<(PathBuf, Contents)>,
}

/// The codes of an account, and where they were found, in words.
pub(super) struct Found {
    /// The codes.
    pub file: CodeFile,
    /// The file, and the place in it.
    pub place: String,
}

impl Reader {
    /// The codes for `task`, asking where somebody can answer.
    pub fn read(&mut self, task: &Task, console: &mut Console) -> Result<Found, Failure> {
        if self.last.as_ref().is_none_or(|(file, _)| *file != task.file) {
            self.last = None;
            self.last = Some((task.file.clone(), contents(&task.file)?));
        }
        let Some((_, contents)) = &self.last else { return Err(Failure::local("nothing was read")) };
        let name = show::source_named(&task.file);
        let mut found = match contents {
            Contents::List(bytes) => {
                if task.item.is_some() || task.field.is_some() {
                    return Err(Failure::local(format!(
                        "{name} is a list of codes, not an export: it has no items and no fields to name"
                    )));
                }
                Found { file: understand(bytes, task.used.is_some(), &name, console)?, place: name }
            }
            Contents::Export(export) => {
                let picked = export
                    .pick(task.item.as_deref(), task.field.as_deref())
                    .map_err(|refusal| Failure::local(format!("{name}: {refusal}")))?;
                let place = format!("{name}, {}", picked.place);
                let file = match picked.whole {
                    true => single(&picked.text),
                    false => understand(picked.text.as_bytes(), task.used.is_some(), &place, console)?,
                };
                Found { file, place }
            }
        };
        if let Some(slots) = &task.used {
            add_used(&mut found.file, slots)?;
        }
        Ok(found)
    }

    /// The bytes of the list that was read last, if it was one.
    pub fn list(&self) -> Option<&[u8]> {
        match &self.last {
            Some((_, Contents::List(bytes))) => Some(bytes),
            _ => None,
        }
    }
}

fn contents(file: &Path) -> Result<Contents, Failure> {
    let bytes = source::read(file)?;
    match export::read(&bytes) {
        Ok(Some(export)) => Ok(Contents::Export(export)),
        Ok(None) => Ok(Contents::List(bytes)),
        Err(refusal) => Err(Failure::local(format!("{}: {refusal}", show::source_named(file)))),
    }
}

/// Reads a list, asking where somebody can answer.
fn understand(bytes: &[u8], used_given: bool, name: &str, console: &mut Console) -> Result<CodeFile, Failure> {
    let mut answers = Answers::new();
    if used_given {
        answers.insert(About::Ticked, Choice::Unused);
    }
    loop {
        let outcome = parse(bytes, &answers);
        match outcome.map_err(|refusal| Failure::local(format!("{name}: {refusal}")))? {
            Outcome::Understood(file) => return Ok(file),
            Outcome::Unclear(questions) if console.can_ask() => {
                for question in questions {
                    let choice =
                        show::ask(&question, console).ok_or_else(|| Failure::local("stopped; nothing was sent"))?;
                    answers.insert(question.about, choice);
                }
            }
            Outcome::Unclear(questions) => return Err(Failure::local(show::unclear(&questions, name))),
        }
    }
}

/// One code whatever its characters are.
fn single(text: &Zeroizing<String>) -> CodeFile {
    CodeFile {
        codes: vec![CodeText::new(text.clone())],
        shapes: vec![("x".repeat(text.chars().count()), 1)],
        text_lines: Vec::new(),
        used: Vec::new(),
        columns: 1,
        numbered: false,
        gone: Vec::new(),
    }
}

/// Adds to what the file itself says.
fn add_used(file: &mut CodeFile, slots: &[usize]) -> Result<(), Failure> {
    if let Some(slot) = slots.iter().find(|slot| **slot > file.codes.len()) {
        return Err(Failure::local(format!("--used names code {slot}, but the file has {} codes", file.codes.len())));
    }
    file.used.extend(slots);
    file.used.sort_unstable();
    file.used.dedup();
    Ok(())
}
