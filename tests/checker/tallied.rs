//! Figures of several sittings add up, and those of two builds never do.

use std::fs;

use crate::trial::tally::{Figures, Tally};

fn round(acts: usize) -> Figures {
    let faults = [("node killed (SIGKILL)".to_owned(), 2), ("clock of a node set back by hours".to_owned(), 1)];
    Figures { rounds: 1, seconds: 30.0, acts, kills: 2, faults: faults.into(), ..Figures::default() }
}

#[test]
fn a_later_sitting_goes_on_from_what_was_kept() {
    let folder = tempfile::tempdir().unwrap();
    let (server, file) = (folder.path().join("server"), folder.path().join("below/long.json"));
    fs::write(&server, "one build").unwrap();
    let sitting = || Tally::new(&server).unwrap().go_on(&file);
    let mut first = sitting().unwrap();
    assert_eq!(first.next_seed(), None);
    first.add("redb", 7, &round(100));
    first.add("mounted", 8, &round(40));
    first.keep(&file).unwrap();

    let mut second = sitting().unwrap();
    assert_eq!((&second, second.next_seed()), (&first, Some(9)));
    second.add("redb", 9, &round(5));
    assert_eq!((second.all.acts, second.all.kills, second.all.rounds), (145, 6, 3));
    assert_eq!(second.all.faults["node killed (SIGKILL)"], 6);
    assert_eq!((second.forms["redb"].figures.acts, &second.forms["redb"].seeds[..]), (105, &[7, 9][..]));
    assert!(second.text().contains("seeds of redb: 7, 9\n"), "{}", second.text());

    fs::write(&server, "another build").unwrap();
    let refused = sitting().unwrap_err().to_string();
    assert!(refused.contains("another build"), "{refused}");
    fs::write(&file, "{}").unwrap();
    assert!(sitting().is_err(), "a file without a server's sum is no tally");
}
