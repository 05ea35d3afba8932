//! Exports of password managers and identity providers: the codes of one account come out of them, or it is said why not.

use std::fs;
use std::path::Path;

use proptest::prelude::*;
use serde_json::Value;
use sparekey::cli::codefile::{Answers, Outcome, parse};
use sparekey::cli::export::{self, MAX_EXPORT};

fn folder() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/exports")
}

/// What comes of a file: its codes, or a refusal.
fn codes(bytes: &[u8], item: Option<&str>, field: Option<&str>) -> Result<(Vec<String>, &'static str), String> {
    let export = export::read(bytes).map_err(|refusal| refusal.to_string())?.ok_or("not an export")?;
    let picked = export.pick(item, field).map_err(|refusal| refusal.to_string())?;
    if picked.whole {
        return Ok((vec![picked.text.to_string()], export.format));
    }
    match parse(picked.text.as_bytes(), &Answers::new()).map_err(|refusal| refusal.to_string())? {
        Outcome::Understood(file) => {
            Ok((file.codes.iter().map(|code| code.expose().to_owned()).collect(), export.format))
        }
        Outcome::Unclear(questions) => Err(format!("{questions:?}")),
    }
}

#[test]
fn every_export_gives_the_codes_of_its_case() {
    let cases: Value = serde_json::from_slice(&fs::read(folder().join("cases.json")).unwrap()).unwrap();
    let mut named = Vec::new();
    for case in cases.as_array().unwrap() {
        let text = |name: &str| case.get(name).and_then(Value::as_str);
        let file = text("file").unwrap();
        named.push(file.to_owned());
        let bytes = fs::read(folder().join(file)).unwrap();
        match (codes(&bytes, text("item"), text("field")), text("refused")) {
            (Ok((codes, format)), None) => {
                assert_eq!(serde_json::json!(codes), case["codes"], "{case}");
                assert!(text("format").is_none_or(|wanted| wanted == format), "{case}: {format}");
            }
            (Err(told), Some(words)) => {
                assert!(told.contains(words), "{case}: {told}");
                // A refusal repeats what was asked for, and nothing that stands in the file.
                for word in String::from_utf8_lossy(&bytes).split(|c: char| !c.is_ascii_alphanumeric()) {
                    let telling = word.len() > 3 && word.bytes().any(|b| b.is_ascii_digit());
                    assert!(!telling || !told.contains(word), "{case}: {told}");
                }
                assert!(!told.contains("not-a-code-at-all"), "{case}: {told}");
            }
            (Ok(_), Some(words)) => panic!("{case}: not refused: {words}"),
            (Err(told), None) => panic!("{case}: {told}"),
        }
    }
    for entry in fs::read_dir(folder()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(name == "cases.json" || named.contains(&name), "{name} has no case");
    }
}

#[test]
fn lists_of_codes_are_no_exports() {
    let lists = folder().with_file_name("codes");
    let mut seen = 0;
    for entry in fs::read_dir(lists).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|end| end == "txt") && !path.ends_with("json.txt") {
            assert!(matches!(export::read(&fs::read(&path).unwrap()), Ok(None)), "{}", path.display());
            seen += 1;
        }
    }
    assert!(seen > 40, "{seen}");
    for list in ["[x] ab123-cd456\n[ ] ab123-cd457\n", "name,note\n", "a,b,c\n", "{curly}\n", ""] {
        assert!(matches!(export::read(list.as_bytes()), Ok(None)), "{list:?}");
    }
}

#[test]
fn an_export_is_bounded() {
    let large = format!("{{\"encrypted\": false, \"items\": [], \"pad\": \"{}\"}}", " ".repeat(MAX_EXPORT));
    assert!(export::read(large.as_bytes()).err().unwrap().to_string().contains("MiB"));
}

#[test]
fn what_a_terminal_would_obey_is_not_in_a_refusal() {
    let export = "{\"encrypted\":false,\"items\":[{\"name\":\"\\u001b[2Ja1b2c\"},{\"name\":\"b\"}]}";
    let told = export::read(export.as_bytes()).unwrap().unwrap().pick(None, None).err().unwrap().to_string();
    assert!(!told.contains('\u{1b}') && !told.contains("a1b2c"), "{told}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_export_cut_or_changed_anywhere_panics(which in 0..13_usize, at in any::<prop::sample::Index>(), byte: u8, cut: bool) {
        let names = [
            "bitwarden.json", "bitwarden.csv", "1password.csv", "1password-export.data", "1password-item.json", "edge.csv",
            "entra-pass.json", "keycloak-realm.json", "bitwarden-organisation.json", "1password-items.json",
            "bitwarden-broken.csv", "list.json", "bitwarden-encrypted.json",
        ];
        let mut bytes = fs::read(folder().join(names[which])).unwrap();
        let at = at.index(bytes.len());
        if cut { bytes.truncate(at) } else { bytes[at] = byte }
        let _ = codes(&bytes, None, None);
        let _ = codes(&bytes, Some("GitHub"), Some("notes"));
    }
}
