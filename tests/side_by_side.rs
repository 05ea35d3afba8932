//! The program that measures beside OpenBao, for a moment: that its lanes still get the answers they must get, and that it writes its page.

#[path = "../benches/side-by-side/side/mod.rs"]
#[allow(dead_code, unreachable_pub, reason = "the program uses all of it")]
mod side;
mod support;

use side::lane::compare;
use side::results::{Kept, Outcome};
use side::stage::{Plan, Stage};
use side::{machine, page, works};

/// What is cheap enough for every run of the tests.
const TRIED: [&str; 3] = ["retrieve", "wrap", "size"];

#[test]
fn lanes_are_answered_as_they_must_be_and_the_page_is_written() {
    let stage = Stage::new(Plan::smoke());
    let folder = tempfile::tempdir().unwrap();
    let kept = Kept::at(folder.path().join("results"));
    for (name, work) in works::ALL.iter().filter(|(name, _)| TRIED.contains(name)) {
        let outcome = work(&stage).unwrap_or_else(|void| panic!("{name}: {void}"));
        assert!(outcome.series.iter().all(|one| one.rounds.iter().all(|round| round.rate > 0.0)), "{name}");
        kept.save(name, &Outcome { build: machine::build(), ..outcome });
    }
    let path = page::write(&kept, false, folder.path()).unwrap();
    let text = std::fs::read_to_string(path).unwrap();
    assert!(text.contains("| retrieve, an ES256 assertion each, redb | "), "{text}");
    assert!(folder.path().join("benchmarks/ratios.svg").exists());

    // A wrong answer voids what was measured: these codes are gone.
    let engine = &stage.sparekey().engine;
    let account = engine.filled(1).unwrap().start;
    let mut spent = engine.retrieve();
    spent.prepare = Box::new(|count| Ok((0..count).map(|number| engine.retrieval(account, number, &[])).collect()));
    let void = compare(&mut [spent], &[1], false, stage.plan.extent).err().expect("more than ten codes of one set");
    assert!(void.contains("exhausted"), "{void}");
}
