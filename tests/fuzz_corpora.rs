//! The corpora of the fuzz targets, and small changes of each of their files: what must hold, holds.

#[path = "../fuzz/bodies.rs"]
mod bodies;

use std::fs;
use std::path::Path;

use bodies::{ALL, Corpus, changed};

/// Changes of each file that are tried.
const CHANGES: u64 = 300;

fn corpus(target: &str) -> Corpus {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let files = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    files
        .map(|file| {
            let file = file.unwrap();
            (file.file_name().into_string().unwrap(), fs::read(file.path()).unwrap())
        })
        .collect()
}

#[test]
fn nothing_in_the_corpora_breaks_a_promise() {
    for (target, body) in ALL {
        let corpus = corpus(target);
        let mut accepted = 0;
        for (name, input) in &corpus {
            // Files whose names say so are accepted, and no others: a corpus that is all refused tries nothing.
            assert_eq!(body(input), name.starts_with("good-"), "{target}/{name}");
            accepted += usize::from(name.starts_with("good-"));
        }
        assert!(accepted >= 3 && corpus.len() - accepted >= 3, "{target}: {accepted} of {} are good", corpus.len());
    }
}

#[test]
fn nothing_near_the_corpora_breaks_a_promise() {
    for (target, body) in ALL {
        let corpus = corpus(target);
        let inputs: Vec<&Vec<u8>> = corpus.values().collect();
        let (mut accepted, mut refused) = (0, 0);
        for (at, input) in inputs.iter().enumerate() {
            for seed in 0..CHANGES {
                let other = inputs[(at + seed as usize) % inputs.len()];
                match body(&changed(input, other, seed)) {
                    true => accepted += 1,
                    false => refused += 1,
                }
            }
        }
        assert!(accepted > 0 && refused > 0, "{target}: {accepted} accepted, {refused} refused: too tame, or too wild");
    }
}

/// After a long run: `cargo test --test fuzz_corpora -- --ignored` with `FUZZ_NEW` set to a folder that holds a folder a target takes a few
/// small inputs of each over, named for what becomes of them.
#[test]
#[ignore = "adds files to the corpora, from the folder that FUZZ_NEW names"]
fn new_inputs_join_the_corpora() {
    const MOST: usize = 6;
    let from = std::env::var("FUZZ_NEW").expect("FUZZ_NEW");
    for (target, body) in ALL {
        let known: Vec<Vec<u8>> = corpus(target).into_values().collect();
        let files = fs::read_dir(Path::new(&from).join(target)).unwrap();
        let mut inputs: Vec<Vec<u8>> = files.map(|file| fs::read(file.unwrap().path()).unwrap()).collect();
        inputs.retain(|input| (8..=400).contains(&input.len()) && !known.contains(input));
        // From every size some: the shortest alone would say little.
        inputs.sort_by_key(|input| (input.len(), input.clone()));
        for (word, wanted) in [("good", true), ("bad", false)] {
            let fitting: Vec<&Vec<u8>> = inputs.iter().filter(|input| body(input) == wanted).collect();
            for (number, input) in fitting.iter().step_by(fitting.len().div_ceil(MOST).max(1)).enumerate() {
                let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
                fs::write(folder.join(format!("{word}-found-{number}")), input).unwrap();
            }
        }
    }
}
