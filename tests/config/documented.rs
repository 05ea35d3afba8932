//! What the documentation shows is accepted, and every word is in it.

use super::*;

/// The fenced blocks of `docs/configuration.md` in `language`.
fn examples(language: &str) -> Vec<String> {
    let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/configuration.md")).unwrap();
    let fence = format!("```{language}\n");
    text.split(&fence).skip(1).map(|rest| rest.split("```").next().unwrap().to_owned()).collect()
}

#[test]
fn the_examples_of_the_documentation_are_accepted() {
    let blocks = examples("hcl");
    assert!(blocks.len() >= 6);
    for block in &blocks {
        let mut text = block.clone();
        if !text.contains("storage \"") {
            text.push_str("storage \"inmem\" {}\n");
        }
        if !text.contains("listener \"") {
            text.push_str("listener \"tcp\" {\n  tls_disable = true\n}\n");
        }
        Config::parse("configuration.md", &text).unwrap_or_else(|error| panic!("{error}\n{text}"));
    }
    assert_eq!(
        Config::parse("configuration.md", &blocks[0]).unwrap(),
        Config::parse("configuration.md", &examples("json")[0]).unwrap()
    );
}

#[test]
fn every_word_that_is_known_is_documented() {
    let document =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/configuration.md")).unwrap();
    let base = "storage \"inmem\" {}\n";
    let listener = "listener \"tcp\" {\n  tls_disable = true\n}\n";
    let key = "current_key_id = \"a\"\n  current_key = \"env://A\"";
    for text in [
        format!("{base}{listener}qqqqqqqqqqqq = 1\n"),
        format!("{base}listener \"tcp\" {{\n  tls_disable = true\n  qqqqqqqqqqqq = 1\n}}\n"),
        format!("storage \"redb\" {{\n  path = \"a\"\n  qqqqqqqqqqqq = 1\n}}\n{listener}"),
        format!("storage \"postgres\" {{\n  qqqqqqqqqqqq = 1\n}}\n{listener}"),
        format!("{base}{listener}seal \"static\" {{\n  {key}\n  qqqqqqqqqqqq = 1\n}}\n"),
        format!("{base}{listener}seal \"transit\" {{\n  qqqqqqqqqqqq = 1\n}}\n"),
        format!("{base}{listener}audit \"file\" \"a\" {{\n  file_path = \"a\"\n  qqqqqqqqqqqq = 1\n}}\n"),
        format!("{base}{listener}audit \"socket\" \"a\" {{\n  address = \"a:1\"\n  qqqqqqqqqqqq = 1\n}}\n"),
        format!("{base}{listener}telemetry {{\n  qqqqqqqqqqqq = 1\n}}\n"),
    ] {
        let error = Config::parse("a.hcl", &text).unwrap_err().to_string();
        let (_, known) = error.split_once("known here: ").or(error.split_once("it takes ")).expect(&error);
        for word in known.split(", ") {
            assert!(document.contains(&format!("`{word}`")), "docs/configuration.md does not speak of {word}");
        }
    }
}
