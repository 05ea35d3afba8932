//! What a verifier finds in a file that was tampered with.

use sparekey::audit::{Head, Report};

use crate::support::{Act, Rig, verify, verify_against, write};

/// A file of 13 lines: start, checkpoint, ten requests, checkpoint.
async fn written() -> (Rig, Vec<String>) {
    let rig = Rig::new();
    let broker = rig.main().await;
    write(&broker, 10).await;
    broker.close().await;
    let report = verify(&[&rig.main_path()]);
    assert!(report.intact, "{:?}", report.findings);
    assert_eq!((report.lines, report.first_seq, report.last_seq, report.unsealed_tail), (13, 1, 13, 0));
    let text = std::fs::read_to_string(rig.main_path()).unwrap();
    (rig, text.lines().map(str::to_owned).collect())
}

fn replay(rig: &Rig, lines: &[String]) -> Report {
    std::fs::write(rig.main_path(), lines.iter().map(|line| format!("{line}\n")).collect::<String>()).unwrap();
    verify(&[&rig.main_path()])
}

fn first(report: &Report) -> (u64, &str) {
    assert!(!report.intact, "nobody noticed");
    let finding = &report.findings[0];
    (finding.line, &finding.what)
}

#[tokio::test]
async fn any_altered_byte_is_found_and_its_line_named() {
    let (rig, lines) = written().await;
    for victim in 0..lines.len() {
        let at = lines[victim].len() / 2;
        let mut altered = lines.clone();
        let byte = altered[victim].as_bytes()[at];
        let other = if byte == b'0' { "1" } else { "0" };
        altered[victim].replace_range(at..=at, other);
        let report = replay(&rig, &altered);
        assert_eq!(first(&report).0, victim as u64 + 1, "{:?}", report.findings);
        assert!(report.findings.iter().all(|finding| finding.line == victim as u64 + 1), "{:?}", report.findings);
    }
}

#[tokio::test]
async fn a_link_that_was_altered_is_told_from_a_line_that_was() {
    let (rig, lines) = written().await;
    let mut altered = lines.clone();
    let at = altered[5].find("\"prev\":\"").unwrap() + 8;
    let digit = if altered[5].as_bytes()[at] == b'0' { "1" } else { "0" };
    altered[5].replace_range(at..=at, digit);
    let report = replay(&rig, &altered);
    assert_eq!(first(&report), (6, "altered: its link to the line before"));
}

#[tokio::test]
async fn of_many_altered_lines_the_first_is_named() {
    let (rig, lines) = written().await;
    let all: Vec<String> = lines.iter().map(|line| line.replace("127.0.0.1", "127.0.0.2")).collect();
    assert_eq!(first(&replay(&rig, &all)).0, 3);
}

#[tokio::test]
async fn dropped_repeated_and_swapped_lines_are_found() {
    let (rig, lines) = written().await;
    for victim in 1..lines.len() - 1 {
        let mut dropped = lines.clone();
        dropped.remove(victim);
        let report = replay(&rig, &dropped);
        let number = victim + 1;
        assert_eq!(
            first(&report),
            (number as u64, format!("numbers {number} to {number} are missing before it").as_str())
        );
        assert_eq!(report.findings_total, 1, "{:?}", report.findings);

        let mut doubled = lines.clone();
        doubled.insert(victim, lines[victim].clone());
        let report = replay(&rig, &doubled);
        assert_eq!(first(&report), (number as u64 + 1, format!("repeats number {number}").as_str()));

        let mut swapped = lines.clone();
        swapped.swap(victim, victim + 1);
        let report = replay(&rig, &swapped);
        assert_eq!(first(&report).0, number as u64, "{:?}", report.findings);
        assert!(report.findings.iter().any(|finding| finding.what.contains("out of order")), "{:?}", report.findings);
    }
}

#[tokio::test]
async fn a_head_that_was_cut_off_is_found() {
    let (rig, lines) = written().await;
    assert_eq!(first(&replay(&rig, &lines[1..])), (1, "no start line before it: earlier lines were cut off"));
    // Not even up to the start line of a later run.
    let rig = Rig::new();
    for _ in 0..2 {
        let broker = rig.main().await;
        write(&broker, 3).await;
        broker.close().await;
    }
    let text = std::fs::read_to_string(rig.main_path()).unwrap();
    let lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let second = lines.iter().rposition(|line| line.contains("\"cause\":\"opened\"")).unwrap();
    let report = replay(&rig, &lines[second..]);
    assert_eq!(first(&report).0, 1);
}

#[tokio::test]
async fn a_tail_cut_at_a_line_end_is_found_by_the_anchor() {
    let (rig, lines) = written().await;
    let whole = verify(&[&rig.main_path()]);
    let mut hash = [0; 32];
    hex::decode_to_slice(&whole.head, &mut hash).unwrap();
    let anchor = Head { seq: whole.last_seq, hash };
    assert!(verify_against(&[&rig.main_path()], Some(anchor)).intact);
    let report = replay(&rig, &lines[..lines.len() - 1]);
    assert!(report.intact, "no chain can know what should follow it");
    assert_eq!(report.unsealed_tail, 10);
    let report = verify_against(&[&rig.main_path()], Some(anchor));
    assert!(first(&report).1.contains("cut short"), "{:?}", report.findings);
}

#[tokio::test]
async fn a_line_cut_in_the_middle_is_found() {
    let (rig, lines) = written().await;
    let text = lines.join("\n");
    std::fs::write(rig.main_path(), &text[..text.len() - 5]).unwrap();
    let report = verify(&[&rig.main_path()]);
    assert_eq!(first(&report).0, 13);
}

#[tokio::test]
async fn a_chain_computed_anew_does_not_pass_its_checkpoint() {
    let (rig, lines) = written().await;
    // A forger who knows the format alters a line and repairs every link after it, as anybody can.
    let mut forged = lines.clone();
    forged[4] = forged[4].replace("127.0.0.1", "127.0.0.2");
    for at in 5..forged.len() {
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, forged[at - 1].as_bytes());
        let start = forged[at].find("\"prev\":\"").unwrap() + 8;
        forged[at].replace_range(start..start + 64, &hex::encode(digest));
    }
    assert_eq!(first(&replay(&rig, &forged)), (13, "a checkpoint for another line than the one before it"));
    // Repairing the checkpoint's own words does not help either.
    let head = forged[12].find("\"prev\":\"").unwrap() + 8;
    let head = forged[12][head..head + 64].to_owned();
    let start = forged[12].find("\"head\":\"").unwrap() + 8;
    forged[12].replace_range(start..start + 64, &head);
    assert_eq!(first(&replay(&rig, &forged)), (13, "a checkpoint whose signature is wrong"));
}

#[tokio::test]
async fn foreign_lines_are_found() {
    let (rig, lines) = written().await;
    let mut strange = lines.clone();
    strange.insert(6, "{\"type\":\"request\"}".into());
    assert_eq!(first(&replay(&rig, &strange)).0, 7);
    let mut strange = lines;
    strange.insert(6, String::new());
    assert_eq!(first(&replay(&rig, &strange)).0, 7);
}

#[tokio::test]
async fn parts_in_several_files_are_one_chain() {
    let rig = Rig::new();
    let broker = rig.main().await;
    write(&broker, 3).await;
    let old = rig.path("main.log.1");
    std::fs::rename(rig.main_path(), &old).unwrap();
    broker.reopen().await.unwrap();
    broker.request(Act::new("later").request()).await.unwrap();
    broker.close().await;
    let both = verify(&[&old, &rig.main_path()]);
    assert!(both.intact, "{:?}", both.findings);
    let alone = verify(&[&rig.main_path()]);
    assert!(alone.intact, "{:?}", alone.findings);
    assert_eq!(alone.starts[0].cause, "rotated");
    assert_eq!((alone.first_seq, alone.starts[0].after), (6, 5));
    let swapped = verify(&[&rig.main_path(), &old]);
    assert!(!swapped.intact);
}
