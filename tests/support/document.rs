//! Documents whose tables and examples a test writes: everything between `<!-- begin NAME -->` and `<!-- end NAME -->`.

use std::fs;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

/// One test at a time reads and writes a document.
static WRITING: Mutex<()> = Mutex::new(());

/// Compares the block `name` of the document at `path` (from the root of the repository) with `text`. With `UPDATE_DOCS=1` in
/// the environment the block is written instead.
#[allow(dead_code, reason = "each test binary uses one of the two")]
pub fn block(path: &str, name: &str, text: &str) {
    block_but_for(path, name, text, str::to_owned);
}

/// The same, where what `mask` takes out may differ from run to run.
pub fn block_but_for(path: &str, name: &str, text: &str, mask: fn(&str) -> String) {
    let _one = WRITING.lock().unwrap_or_else(PoisonError::into_inner);
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    let document = fs::read_to_string(&file).unwrap_or_else(|error| panic!("{path}: {error}"));
    let (begin, end) = (format!("<!-- begin {name} -->\n"), format!("<!-- end {name} -->"));
    let (Some(from), Some(to)) = (document.find(&begin), document.find(&end)) else {
        panic!("{path}: no block {name}: it needs the lines {begin}{end}");
    };
    let (from, wanted) = (from + begin.len(), format!("\n{}\n\n", text.trim()));
    if mask(&document[from..to]) == mask(&wanted) {
        return;
    }
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(&file, [&document[..from], &wanted, &document[to..]].concat()).unwrap();
        return;
    }
    let (old, new): (Vec<&str>, Vec<&str>) = (document[from..to].lines().collect(), wanted.lines().collect());
    let differs = old.iter().zip(&new).position(|(old, new)| old != new).unwrap_or(old.len().min(new.len()));
    panic!(
        "{path}, block {name}: the document does not say what the code does; UPDATE_DOCS=1 writes it anew.\n\
         line {} says    {}\nand should say {}",
        differs + 1,
        old.get(differs).unwrap_or(&"(nothing)"),
        new.get(differs).unwrap_or(&"(nothing)"),
    );
}
