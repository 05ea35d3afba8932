//! Files of recovery codes as providers and people write them, read back to exactly their codes or asked about.

use std::fs;
use std::path::Path;

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use serde_json::Value;
use sparekey::cli::codefile::{About, Answers, Choice, CodeFile, Outcome, Question, parse};

fn texts(file: &CodeFile) -> Vec<&str> {
    file.codes.iter().map(|code| code.expose()).collect()
}

fn read(text: &str) -> Result<CodeFile, Vec<Question>> {
    match parse(text.as_bytes(), &Answers::new()) {
        Ok(Outcome::Understood(file)) => Ok(file),
        Ok(Outcome::Unclear(questions)) => Err(questions),
        Err(refusal) => panic!("{refusal}: {text:?}"),
    }
}

fn about(name: &str) -> About {
    match name.split_once(' ') {
        Some(("Line", number)) => About::Line(number.parse().unwrap()),
        Some(("Shape", shape)) => About::Shape(shape.to_owned()),
        _ => match name {
            "Grouping" => About::Grouping,
            "Numbers" => About::Numbers,
            "Ticked" => About::Ticked,
            "Gone" => About::Gone,
            "Columns" => About::Columns,
            other => panic!("{other}"),
        },
    }
}

fn choice(name: &str) -> Choice {
    match name {
        "Code" => Choice::Code,
        "Text" => Choice::Text,
        "Counts" => Choice::Counts,
        "Belongs" => Choice::Belongs,
        "Used" => Choice::Used,
        "Unused" => Choice::Unused,
        "GoOn" => Choice::GoOn,
        groups => Choice::Groups(groups.strip_prefix("Groups ").unwrap().parse().unwrap()),
    }
}

fn understood(file: &CodeFile) -> Value {
    serde_json::json!({
        "codes": texts(file), "shape": file.shapes[0].0, "text_lines": file.text_lines, "used": file.used,
        "columns": file.columns, "numbered": file.numbered,
    })
}

fn asked(questions: &[Question]) -> Value {
    let one = |question: &Question| {
        let about = format!("{:?}", question.about);
        let name = about.split('(').next().unwrap().to_owned();
        serde_json::json!({"about": name, "lines": question.lines})
    };
    Value::Array(questions.iter().map(one).collect())
}

#[test]
fn every_fixture_is_read_as_its_neighbour_says() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/codes");
    let mut count = 0;
    let mut names: Vec<_> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    names.sort();
    for path in names.into_iter().filter(|path| path.extension().is_some_and(|end| end == "txt")) {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let mut expected: Value = serde_json::from_slice(&fs::read(path.with_extension("json")).unwrap()).unwrap();
        let answers = expected.as_object_mut().unwrap().remove("answers").unwrap_or_default();
        let pair = |pair: &Value| (about(pair[0].as_str().unwrap()), choice(pair[1].as_str().unwrap()));
        let answers: Answers = answers.as_array().into_iter().flatten().map(pair).collect();
        let bytes = fs::read(&path).unwrap();
        let told = match parse(&bytes, &answers) {
            Ok(Outcome::Understood(file)) => {
                assert_eq!(understood(&file), expected, "{name}");
                String::new()
            }
            Ok(Outcome::Unclear(questions)) => {
                assert_eq!(asked(&questions), expected["unclear"], "{name}: {questions:?}");
                assert!(questions.iter().all(|question| !question.choices.is_empty()), "{name}");
                questions.iter().map(|question| question.sentence.clone()).collect()
            }
            Err(refusal) => {
                let words = expected["refused"].as_str().unwrap_or_else(|| panic!("{name}: {refusal}"));
                assert!(refusal.to_string().contains(words), "{name}: {refusal}");
                refusal.to_string()
            }
        };
        // What is asked or refused shows no part of a code.
        for word in String::from_utf8_lossy(&bytes).split(|c: char| !c.is_ascii_alphanumeric()) {
            let telling = word.len() > 3 && word.bytes().any(|b| b.is_ascii_digit());
            assert!(!telling || !told.contains(word), "{name}: {told}");
        }
        count += 1;
    }
    assert!(count > 40, "only {count} fixtures were found");
}

#[test]
fn a_question_comes_back_until_it_is_answered_with_one_of_its_choices() {
    let text = "12345678 23456789\n34567890 45678901\n";
    let Ok(Outcome::Unclear(questions)) = parse(text.as_bytes(), &Answers::new()) else { panic!() };
    assert_eq!(questions[0].choices, [Choice::Groups(1), Choice::Groups(2)]);
    let mut answers = Answers::from([(About::Grouping, Choice::Groups(3))]);
    assert!(matches!(parse(text.as_bytes(), &answers), Ok(Outcome::Unclear(_))));
    answers.insert(About::Grouping, Choice::Groups(1));
    let Ok(Outcome::Understood(file)) = parse(text.as_bytes(), &answers) else { panic!() };
    assert_eq!(texts(&file), ["12345678", "23456789", "34567890", "45678901"]);
}

#[test]
fn what_differs_from_all_others_is_asked_about() {
    for (odd, text) in [
        (5, "81234567\n23456781\n34567812\n45678123\n5678123a\n67812345\n"), // the only one with a letter
        (1, "Abcdefg1\nabcdefg2\nabcdefg3\nabcdefg4\nabcdefg5\n"),           // the only one with a capital
        (3, "ab-cdef12\nab-cdef13\nabcdef14\nab-cdef15\n"),                  // divided otherwise
        (1, "secret\nab1def\nab2def\nab3def\n"),                             // a word at the edge, shaped like a code
        (2, "ab1def\nsecret\n\nab2def\nab3def\n"),                           // a word before a gap
    ] {
        let questions = read(text).err().unwrap_or_else(|| panic!("{text:?}"));
        assert_eq!((questions.len(), &questions[0].lines), (1, &vec![odd]), "{text:?}: {questions:?}");
        assert!(questions[0].choices.contains(&Choice::Code) && questions[0].choices.contains(&Choice::Text));
        let answers = Answers::from([(questions[0].about.clone(), Choice::Code)]);
        assert!(matches!(parse(text.as_bytes(), &answers), Ok(Outcome::Understood(_))), "{text:?}");
    }
    let inside = read("ab1def\nsecret\nab2def\nab3def\n").ok().unwrap();
    assert_eq!(texts(&inside)[1], "secret", "among its like it is a code");
}

#[test]
fn a_line_that_hides_a_code_is_never_passed_over() {
    let with = |line: &str| format!("ab123-cd456\nab123-cd457\n{line}\nab123-cd458\n");
    for line in [
        "spare: ab123-cd459",
        "spare ab123cd459",
        "ab123-cd459, ab123-cd460",
        "ab123-cd459;",
        "[x] ab123-cd459 \u{2713}",
        "ab123-cd459 ab123-cd460 used",
        "ab123-cd459   laptop",
        "ab123\u{2013}cd459",
        "ab123-cd459-",
        "ab12",
        "ab123 -cd459",
    ] {
        let questions = read(&with(line)).err().unwrap_or_else(|| panic!("{line:?}"));
        assert_eq!((&questions[0].about, questions.len()), (&About::Line(3), 1), "{line:?}: {questions:?}");
        assert_eq!(questions[0].choices, [Choice::Text], "{line:?}");
    }
    for line in [
        "",
        "---",
        "Write them down, jane@example.com!",
        "https://example.com/ab123-cd459",
        "made 2026-07-01, 12 in all",
    ] {
        assert_eq!(texts(&read(&with(line)).ok().unwrap()), ["ab123-cd456", "ab123-cd457", "ab123-cd458"], "{line:?}");
    }
    let wide = read("1. ab123cd4   ab123cd5\n2. ab123cd6\n").err().unwrap();
    assert_eq!(wide[0].about, About::Line(1), "two things behind one number");
    let words = read("recovery\nqwertzui\nasdfghjk\nyxcvbnml\n").err().unwrap();
    assert_eq!(words[0].about, About::Line(1), "a heading as long as codes that are all letters");
}

#[test]
fn a_file_full_of_doubt_is_refused_at_once() {
    let text: String = (0..40).map(|n| format!("abc{n:03}\nx{n}y\n")).collect();
    let Err(refusal) = parse(text.as_bytes(), &Answers::new()) else { panic!() };
    assert!(refusal.to_string().contains("line 2 on"), "{refusal}");
}

#[test]
fn size_is_bounded_and_time_with_it() {
    assert!(parse(&vec![b'a'; 256 * 1024 + 1], &Answers::new()).is_err());
    for piece in ["a1b2c3 ", "a1b2c3\n", "1. ", "a1-", "* [x] used ", "\t1.a\n", "x y  z\n", "\u{2013}1", "7 "] {
        let text = piece.repeat(256 * 1024 / piece.len());
        let _ = parse(text.as_bytes(), &Answers::new());
    }
    let many_shapes: String = (6..700).map(|n| format!("{}1\n", "a".repeat(n % 250 + 6))).collect();
    assert!(parse(many_shapes.as_bytes(), &Answers::new()).is_err());
}

/// How a set can be written.
#[derive(Debug, Clone)]
struct Style {
    mark: usize,
    columns: usize,
    gap: &'static str,
    newline: &'static str,
    header: bool,
    trailing: &'static str,
    encoding: usize,
}

const ALPHABETS: [&str; 4] = [
    "0123456789",
    "0123456789abcdef",
    "abcdefghijklmnopqrstuvwxyz234567",
    "ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnpqrstuvwxyz23456789",
];
const SHAPES: [&str; 8] = [
    "xxxxx-xxxxx",
    "xxxx xxxx",
    "xxxxxxxxxxxxxxxx",
    "xxxxxxxx",
    "xxxx-xxxx-xxxx-xxxx",
    "xxxxxxxxxx",
    "xxx xxx",
    "xxxxxx",
];

fn a_set() -> impl Strategy<Value = Vec<String>> {
    (0..SHAPES.len(), 0..ALPHABETS.len(), 1..40_usize).prop_flat_map(|(shape, alphabet, count)| {
        prop::collection::vec(prop::collection::vec(any::<prop::sample::Index>(), 24), count).prop_map(move |picks| {
            distinct(picks.iter().map(|picks| fill(SHAPES[shape], ALPHABETS[alphabet], picks)).collect())
        })
    })
}

fn distinct(codes: Vec<String>) -> Vec<String> {
    let mut seen = std::collections::HashSet::new();
    codes.into_iter().filter(|code| seen.insert(code.to_lowercase())).collect()
}

fn fill(shape: &str, alphabet: &str, picks: &[prop::sample::Index]) -> String {
    let alphabet: Vec<char> = alphabet.chars().collect();
    let mut picks = picks.iter();
    shape.chars().map(|c| if c == 'x' { alphabet[picks.next().unwrap().index(alphabet.len())] } else { c }).collect()
}

fn a_style() -> impl Strategy<Value = Style> {
    let gap = prop_oneof![Just("\t"), Just("   "), Just("\t\t")];
    let newline = prop_oneof![Just("\n"), Just("\r\n"), Just("\r")];
    let trailing = prop_oneof![Just(""), Just("  "), Just("\t")];
    (0..9_usize, 1..4_usize, gap, newline, any::<bool>(), trailing, 0..4_usize).prop_map(
        |(mark, columns, gap, newline, header, trailing, encoding)| Style {
            mark,
            columns,
            gap,
            newline,
            header,
            trailing,
            encoding,
        },
    )
}

fn render(codes: &[String], style: &Style) -> Vec<u8> {
    let marked = |place: usize| {
        let (number, code) = (place + 1, &codes[place]);
        match style.mark {
            0 => format!("{number}. {code}"),
            1 => format!("{number}) {code}"),
            2 => format!("{number:02}: {code}"),
            3 => format!("* {code}"),
            4 => format!("- [ ] {code}"),
            5 => format!("\u{2022} {code}"),
            6 => format!("{number} {code}"),
            7 => format!("{number:>2}.{code}"),
            _ => code.clone(),
        }
    };
    let rows = codes.len().div_ceil(style.columns);
    let numbered = matches!(style.mark, 0..=2 | 6 | 7);
    let mut lines: Vec<String> = Vec::new();
    if style.header {
        lines
            .extend(["Backup codes for jane@example.com", "Keep them where your phone is not.", ""].map(str::to_owned));
    }
    for row in 0..rows {
        // Numbered lists run down the columns, others along the rows.
        let cells =
            (0..style.columns).map(|column| if numbered { column * rows + row } else { row * style.columns + column });
        let cells: Vec<String> = cells.filter(|place| *place < codes.len()).map(marked).collect();
        lines.push(format!("{}{}", cells.join(style.gap), style.trailing));
    }
    if style.header {
        lines.extend(["", "* Each works once.", "More: https://accounts.example.com/2sv"].map(str::to_owned));
    }
    let text = lines.join(style.newline);
    match style.encoding {
        0 => format!("\u{feff}{text}").into_bytes(),
        1 => "\u{feff}".encode_utf16().chain(text.encode_utf16()).flat_map(u16::to_le_bytes).collect(),
        _ => text.into_bytes(),
    }
}

/// Asking about everything would be safe and useless.
#[test]
fn most_sets_raise_no_question() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let understood = (0..600).filter(|_| {
        let codes = a_set().new_tree(&mut runner).unwrap().current();
        let style = a_style().new_tree(&mut runner).unwrap().current();
        matches!(parse(&render(&codes, &style), &Answers::new()), Ok(Outcome::Understood(_)))
    });
    let count = understood.count();
    assert!(count > 400, "only {count} of 600");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn a_set_in_any_style_is_read_exactly_or_asked_about(codes in a_set(), style in a_style()) {
        match parse(&render(&codes, &style), &Answers::new()) {
            Ok(Outcome::Understood(file)) => {
                prop_assert_eq!(texts(&file), codes.iter().map(String::as_str).collect::<Vec<_>>());
                prop_assert!(file.used.is_empty());
            }
            Ok(Outcome::Unclear(questions)) => prop_assert!(!questions.is_empty()),
            Err(refusal) => prop_assert!(false, "{} {:?}", refusal, String::from_utf8_lossy(&render(&codes, &style))),
        }
    }

    #[test]
    fn the_common_shapes_raise_no_question(
        picks in prop::collection::vec(prop::collection::vec(any::<prop::sample::Index>(), 16), 10),
        provider in 0..3_usize,
        style in a_style(),
    ) {
        let (shape, alphabet) = [("xxxxx-xxxxx", 1), ("xxxx xxxx", 0), ("xxxxxxxxxxxxxxxx", 1)][provider];
        let codes = distinct(picks.iter().map(|picks| fill(shape, ALPHABETS[alphabet], picks)).collect());
        prop_assume!(codes.len() == 10);
        let style = Style { columns: style.columns.min(2), ..style };
        match parse(&render(&codes, &style), &Answers::new()) {
            Ok(Outcome::Understood(file)) => prop_assert_eq!(texts(&file), codes.iter().map(String::as_str).collect::<Vec<_>>()),
            Ok(Outcome::Unclear(questions)) => prop_assert!(false, "{:?} {:?}", questions, String::from_utf8_lossy(&render(&codes, &style))),
            Err(refusal) => prop_assert!(false, "{}", refusal),
        }
    }

    #[test]
    fn no_bytes_whatever_panic(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        let _ = parse(&bytes, &Answers::new());
    }

    #[test]
    fn no_text_whatever_panics_and_what_is_read_is_in_the_file(
        pieces in prop::collection::vec(prop_oneof![
            "[a-z0-9]{1,9}", Just(" ".to_owned()), Just("  ".to_owned()), Just("\t".to_owned()), Just("\n".to_owned()),
            "[0-9]{1,3}[.):]?", Just("[x]".to_owned()), Just("[ ]".to_owned()), Just("-".to_owned()), Just("* ".to_owned()),
            Just("used".to_owned()), Just("~~".to_owned()), Just("\u{2013}".to_owned()), "\\PC{1,3}",
        ], 0..80),
        answers in prop::collection::vec(0..8_usize, 12),
    ) {
        let text = pieces.concat();
        let mut given = Answers::new();
        let mut answers = answers.into_iter();
        // Answer whatever is asked, as long as there are answers.
        while let Ok(outcome) = parse(text.as_bytes(), &given) {
            match outcome {
                Outcome::Understood(file) => {
                    let spaced = text.replace(['\t', '\u{a0}'], " ");
                    for code in texts(&file) {
                        prop_assert!(spaced.contains(code), "{code:?} in {text:?}");
                    }
                    prop_assert!(file.used.iter().all(|slot| (1..=file.codes.len()).contains(slot)));
                    break;
                }
                Outcome::Unclear(questions) => {
                    let Some(pick) = answers.next() else { break };
                    let question = &questions[0];
                    prop_assert!(!given.contains_key(&question.about), "asked again: {question:?} in {text:?}");
                    given.insert(question.about.clone(), question.choices[pick % question.choices.len()]);
                }
            }
        }
    }
}
