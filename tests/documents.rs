//! The documents tell the truth: every link leads somewhere, every file that is named exists, every test that is named is a test,
//! and the map of the code is written from the code. `UPDATE_DOCS=1 cargo test --test documents` writes the map anew.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

#[path = "support/document.rs"]
mod document;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The documents, as paths from the root of the repository, with their text.
fn documents() -> BTreeMap<String, String> {
    let folders = ["", "docs/", "docs/runbooks/"].map(|prefix| (prefix, root().join(prefix)));
    let mut found = BTreeMap::new();
    for (prefix, folder) in folders {
        for entry in fs::read_dir(folder).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            if name.ends_with(".md") {
                let path = format!("{prefix}{name}");
                found.insert(path.clone(), fs::read_to_string(root().join(path)).unwrap());
            }
        }
    }
    for needed in ["README.md", "ARCHITECTURE.md", "SECURITY.md", "CONTRIBUTING.md", "CHANGELOG.md", "docs/README.md"] {
        assert!(found.contains_key(needed), "{needed} is missing");
    }
    found
}

/// The text without fenced blocks: what is prose.
fn prose(text: &str) -> String {
    let mut fenced = false;
    let mut out = String::new();
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        } else if !fenced {
            out.push_str(line);
            out.push('\n');
        }
    }
    assert!(!fenced, "a fenced block has no end");
    out
}

/// Links `[text](target)` of prose.
fn links(prose: &str) -> Vec<(&str, &str)> {
    let mut found = Vec::new();
    for (at, _) in prose.match_indices("](") {
        let Some(end) = prose[at..].find(')') else { continue };
        let Some(start) = prose[..at].rfind('[') else { continue };
        found.push((&prose[start + 1..at], &prose[at + 2..at + end]));
    }
    found
}

/// Texts in backticks.
fn ticked(prose: &str) -> Vec<&str> {
    prose.split('`').skip(1).step_by(2).collect()
}

/// Anchors as they are made of headings.
fn anchors(text: &str) -> BTreeSet<String> {
    let slug = |heading: &str| {
        let kept = heading.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
        kept.collect::<String>().to_lowercase().replace(' ', "-")
    };
    prose(text)
        .lines()
        .filter(|line| line.starts_with('#'))
        .map(|line| slug(line.trim_start_matches('#').trim()))
        .collect()
}

#[test]
fn every_link_leads_somewhere() {
    let documents = documents();
    let mut dead = Vec::new();
    let mut seen = 0;
    for (path, text) in &documents {
        let folder = Path::new(path).parent().unwrap();
        let prose = prose(text);
        for (_, target) in links(&prose) {
            if target.starts_with("https://") {
                continue;
            }
            seen += 1;
            let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
            let file = if file.is_empty() { PathBuf::from(path) } else { folder.join(file) };
            let resolved = root().join(&file).canonicalize();
            let inside = resolved.as_ref().is_ok_and(|resolved| resolved.starts_with(root().canonicalize().unwrap()));
            if !inside {
                dead.push(format!("{path}: {target}"));
            } else if !anchor.is_empty() && !anchors(&fs::read_to_string(root().join(&file)).unwrap()).contains(anchor)
            {
                dead.push(format!("{path}: {target}: no such heading"));
            }
        }
    }
    assert!(seen > 20, "the check has lost the links: {seen}");
    assert!(dead.is_empty(), "links that lead nowhere:\n{}", dead.join("\n"));
}

#[test]
fn every_file_that_is_named_exists() {
    let mut missing = Vec::new();
    let mut seen = 0;
    for (path, text) in documents() {
        for word in ticked(&prose(&text)) {
            let parts = ["src/", "tests/", "docs/", "benches/", ".ci/", "examples/"];
            if !parts.iter().any(|part| word.starts_with(part)) || word.contains(char::is_whitespace) {
                continue;
            }
            seen += 1;
            let exists = match word.split_once('*') {
                None => root().join(word.trim_end_matches('/')).exists(),
                Some((start, end)) => {
                    let (folder, start) = start.rsplit_once('/').unwrap();
                    let names = fs::read_dir(root().join(folder)).into_iter().flatten();
                    let fits = |name: &str| name.starts_with(start) && name.ends_with(end);
                    names.flatten().any(|entry| fits(&entry.file_name().to_string_lossy()))
                }
            };
            if !exists {
                missing.push(format!("{path}: {word}"));
            }
        }
    }
    assert!(seen > 60, "the check has lost the names: {seen}");
    assert!(missing.is_empty(), "files that do not exist:\n{}", missing.join("\n"));
}

/// A test is named as a link, [`its_name`](its/file.rs), or in prose as `its_name` in `its/file.rs`.
#[test]
fn every_test_that_is_named_exists() {
    let mut wrong = Vec::new();
    let mut seen = 0;
    let mut check = |path: &str, name: &str, file: &Path| {
        seen += 1;
        let source = fs::read_to_string(root().join(file)).unwrap_or_default();
        let name = name.rsplit("::").next().unwrap_or(name);
        let is_test = source.match_indices(&format!("fn {name}(")).any(|(at, _)| {
            // The attribute stands above; a property test has its own inside the macro.
            source[..at].trim_end().trim_end_matches("async").trim_end().ends_with(']')
        });
        // Rows of a table of cases that a macro makes tests of.
        let is_case = source.contains("macro_rules!") && source.contains(&format!("    {name},"));
        if !is_test && !is_case {
            wrong.push(format!("{path}: {name} in {}", file.display()));
        }
    };
    for (path, text) in documents() {
        let folder = Path::new(&path).parent().unwrap().to_owned();
        let prose = prose(&text);
        for (name, target) in links(&prose) {
            if let (Some(name), true) = (ticked(name).first(), target.ends_with(".rs"))
                && !name.contains(['/', '.', ' '])
            {
                let file = root().join(folder.join(target)).canonicalize().unwrap_or_default();
                check(&path, name, file.strip_prefix(root().canonicalize().unwrap()).unwrap_or(Path::new("")));
            }
        }
        let words: Vec<&str> = prose.split('`').collect();
        for (name, joint, file) in words.windows(3).map(|three| (three[0], three[1], three[2])) {
            let joint: Vec<&str> = joint.split_whitespace().collect();
            if joint == ["in"] && file.starts_with("tests/") && file.ends_with(".rs") {
                check(&path, name, Path::new(file));
            }
        }
    }
    assert!(seen > 40, "the check has lost the tests: {seen}");
    assert!(wrong.is_empty(), "tests that do not exist:\n{}", wrong.join("\n"));
}

/// The table of known defects in SECURITY.md: P1 to P32, each with a test or with the reason why there is none.
#[test]
fn every_known_defect_has_its_test_or_its_reason() {
    let documents = documents();
    let security = prose(&documents["SECURITY.md"]);
    let rows: Vec<&str> = security.lines().filter(|line| line.starts_with("| P")).collect();
    assert_eq!(rows.len(), 32);
    for (number, row) in rows.iter().enumerate() {
        assert!(row.starts_with(&format!("| P{} | ", number + 1)), "P{} is not in its place: {row}", number + 1);
        let here = row.rsplit_once(" | ").map_or("", |(_, here)| here);
        let reason = ["not built", "does not apply"].iter().any(|words| here.contains(words));
        assert!(here.contains(".rs)") || reason, "neither a test nor a reason: {row}");
    }
}

/// Not a renderer: what most often breaks a drawing.
#[test]
fn every_drawing_is_whole() {
    let mut drawn = 0;
    for (path, text) in documents() {
        for block in text.split("```mermaid\n").skip(1) {
            let drawing = block.split("```").next().unwrap();
            let kind = drawing.split_whitespace().next().unwrap_or_default();
            assert!(["flowchart", "sequenceDiagram", "stateDiagram-v2"].contains(&kind), "{path}: {kind}");
            for line in drawing.lines() {
                assert!(line.matches('"').count().is_multiple_of(2), "{path}: a quote without its fellow: {line}");
            }
            let starts = |word: &str| drawing.lines().filter(|line| line.trim().starts_with(word)).count();
            let notes = if kind == "stateDiagram-v2" { starts("note ") } else { 0 };
            let ends = drawing.lines().filter(|line| matches!(line.trim(), "end" | "end note")).count();
            assert_eq!(starts("subgraph ") + notes, ends, "{path}: what begins, ends: {drawing}");
            drawn += 1;
        }
    }
    assert!(drawn >= 10, "{drawn} drawings are found");
}

#[test]
fn every_document_is_in_the_index() {
    let documents = documents();
    let index = prose(&documents["docs/README.md"]);
    let targets: BTreeSet<&str> = links(&index).into_iter().map(|(_, target)| target).collect();
    for path in documents.keys().filter(|path| *path != "docs/README.md") {
        let target = path.strip_prefix("docs/").map_or(format!("../{path}"), str::to_owned);
        assert!(targets.contains(target.as_str()), "docs/README.md does not name {target}");
    }
}

#[test]
fn every_layout_is_in_the_format() {
    let labels = fs::read_to_string(root().join("src/crypto/labels.rs")).unwrap();
    let format = fs::read_to_string(root().join("docs/format.md")).unwrap();
    let (head, _) = labels.split_once("use super").unwrap();
    let purposes = head.lines().filter(|line| line.starts_with("//! | ") && !line.contains("purpose"));
    let purposes: Vec<&str> = purposes.filter_map(|line| ticked(line).get(1).copied()).collect();
    assert!(purposes.len() > 10, "the check has lost the purposes: {purposes:?}");
    for purpose in purposes.iter().filter(|purpose| !purpose.contains('…')) {
        assert!(format.contains(&format!("`{purpose}`")), "docs/format.md does not draw {purpose}");
    }
}

/// Every source file with the first sentence of its own documentation.
#[test]
fn the_map_shows_every_file() {
    let mut folders: BTreeMap<String, Vec<(String, String)>> = BTreeMap::new();
    for file in sources(&root().join("src")) {
        let text = fs::read_to_string(&file).unwrap();
        let name = file.strip_prefix(root()).unwrap().to_str().unwrap().to_owned();
        let Some(sentence) = first_sentence(&text) else {
            assert!(name.ends_with("/tests.rs"), "{name} does not say what it is for (//! in its first line)");
            continue;
        };
        let (folder, name) = name.rsplit_once('/').unwrap();
        folders.entry(folder.to_owned()).or_default().push((name.to_owned(), sentence));
    }
    let mut out = String::new();
    for (folder, mut files) in folders {
        files.sort_by_key(|(name, _)| (name != "mod.rs" && name != "lib.rs", name.clone()));
        let _ = writeln!(out, "**`{folder}/`**\n\n| file | |\n|---|---|");
        for (name, sentence) in files {
            let _ = writeln!(out, "| [`{name}`]({folder}/{name}) | {} |", sentence.replace('|', "\\|"));
        }
        out.push('\n');
    }
    document::block("ARCHITECTURE.md", "map", &out);
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => found.extend(sources(&path)),
            false if path.extension().is_some_and(|extension| extension == "rs") => found.push(path),
            false => {}
        }
    }
    found.sort();
    found
}

/// The first sentence of a file's documentation, without the brackets of links to items.
fn first_sentence(text: &str) -> Option<String> {
    let lines = text.lines().map_while(|line| line.strip_prefix("//!")).take_while(|line| !line.trim().is_empty());
    let joined = lines.map(str::trim).collect::<Vec<_>>().join(" ");
    let end = joined.match_indices(". ").map(|(at, _)| at + 1).find(|at| !joined[..*at].ends_with("e.g."));
    let sentence = joined[..end.unwrap_or(joined.len())].trim().to_owned();
    let mut plain = String::new();
    let mut rest = sentence.as_str();
    while let Some(at) = rest.find("[`") {
        plain.push_str(&rest[..at]);
        let Some(end) = rest[at..].find("`]") else { break };
        plain.push_str(&rest[at + 1..at + end + 1]);
        rest = &rest[at + end + 2..];
        if let Some(target) = rest.strip_prefix('(') {
            rest = target.split_once(')').map_or("", |(_, after)| after);
        }
    }
    plain.push_str(rest);
    (!plain.is_empty()).then_some(plain)
}
