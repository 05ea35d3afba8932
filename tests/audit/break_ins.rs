//! Files that were touched while the server ran, or while it did not.

use std::fs;

use sparekey::audit::Broker;

use crate::support::{Act, Rig, copy, read, snapshot, verify, write};

async fn disclose(broker: &Broker, id: &str) {
    broker.disclosure(Act::new(id).response()).await.unwrap();
}

/// The first request after acknowledged lines were destroyed is refused; after that a new part begins.
async fn refused_once(broker: &Broker) {
    let refused =
        broker.disclosure(Act::new("refused").response()).await.err().expect("nobody noticed that the record is gone");
    assert_eq!(refused.kind().status(), 503);
    assert!(!broker.status()[0].healthy);
    disclose(broker, "after").await;
    assert!(broker.status()[0].healthy);
}

fn causes(rig: &Rig) -> Vec<String> {
    let starts = rig.lines().into_iter().filter(|line| line["type"] == "start");
    starts.map(|line| line["start"]["cause"].as_str().unwrap().to_owned()).collect()
}

fn has(rig: &Rig, id: &str) -> bool {
    rig.lines().iter().any(|line| line["request"]["id"] == id)
}

#[tokio::test]
async fn a_deleted_file_is_noticed_by_the_next_request() {
    let rig = Rig::new();
    let broker = rig.main().await;
    write(&broker, 3).await;
    fs::remove_file(rig.main_path()).unwrap();
    refused_once(&broker).await;
    assert!(has(&rig, "after"), "the line is where a reader looks for it");
    assert_eq!(causes(&rig), ["deleted"]);
    let start = rig.lines().remove(0);
    assert_eq!((start["chain"]["seq"].as_u64(), start["start"]["previous"]["seq"].as_u64()), (Some(6), Some(5)));
    assert!(!verify(&[&rig.main_path()]).intact, "the loss is on the record");
}

#[tokio::test]
async fn a_moved_file_goes_on_in_a_new_one() {
    let rig = Rig::new();
    let broker = rig.main().await;
    write(&broker, 3).await;
    let old = rig.path("old");
    fs::rename(rig.main_path(), &old).unwrap();
    disclose(&broker, "after").await;
    assert!(has(&rig, "after"));
    assert_eq!(causes(&rig), ["moved"]);
    broker.close().await;
    let report = verify(&[&old, &rig.main_path()]);
    assert!(report.intact, "{:?}", report.findings);
    assert!(verify(&[&rig.main_path()]).intact);
}

#[tokio::test]
async fn a_loss_that_a_checkpoint_found_first_is_still_told_to_a_request() {
    let mut rig = Rig::new();
    rig.pace.checkpoint_every = std::time::Duration::from_millis(10);
    let broker = rig.main().await;
    write(&broker, 1).await;
    fs::remove_file(rig.main_path()).unwrap();
    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    assert!(broker.disclosure(Act::new("refused").response()).await.is_err());
    disclose(&broker, "after").await;
}

#[tokio::test]
async fn an_operator_who_reopens_has_been_told() {
    let rig = Rig::new();
    let broker = rig.main().await;
    write(&broker, 1).await;
    fs::remove_file(rig.main_path()).unwrap();
    broker.reopen().await.unwrap();
    disclose(&broker, "after").await;
    assert_eq!(causes(&rig), ["deleted"]);
}

#[tokio::test]
async fn a_replaced_file_is_noticed() {
    let rig = Rig::new();
    let broker = rig.main().await;
    write(&broker, 3).await;
    fs::rename(rig.main_path(), rig.path("old")).unwrap();
    fs::write(rig.main_path(), "something else, without a line end").unwrap();
    disclose(&broker, "after").await;
    let text = fs::read_to_string(rig.main_path()).unwrap();
    let mut lines = text.lines();
    assert_eq!(lines.next(), Some("something else, without a line end"), "not ours to cut, not joined to ours");
    assert!(lines.next().unwrap().contains("\"cause\":\"replaced\""));
    assert!(text.contains("\"id\":\"after\""));
    assert!(!verify(&[&rig.main_path()]).intact);
}

#[tokio::test]
async fn a_truncated_file_is_noticed() {
    for (keep_lines, extra) in [(0, 0), (2, 0), (3, 40)] {
        let rig = Rig::new();
        let broker = rig.main().await;
        write(&broker, 5).await;
        let text = fs::read_to_string(rig.main_path()).unwrap();
        let keep = text.split_inclusive('\n').take(keep_lines).map(str::len).sum::<usize>() + extra;
        fs::OpenOptions::new().write(true).open(rig.main_path()).unwrap().set_len(keep as u64).unwrap();
        refused_once(&broker).await;
        assert!(has(&rig, "after"), "every line is whole, too");
        assert_eq!(causes(&rig).last().unwrap(), "truncated");
        broker.close().await;
        assert!(!verify(&[&rig.main_path()]).intact);
        let broker = rig.main().await;
        assert_eq!(causes(&rig).last().unwrap(), "opened", "told once, then a chain again");
        broker.close().await;
    }
}

#[tokio::test]
async fn a_line_that_somebody_adds_is_noticed() {
    let rig = Rig::new();
    let broker = rig.main().await;
    write(&broker, 3).await;
    let mut text = fs::read_to_string(rig.main_path()).unwrap();
    let last = text.lines().last().unwrap().to_owned();
    text.push_str(&last);
    text.push('\n');
    fs::write(rig.main_path(), text).unwrap();
    refused_once(&broker).await;
    assert_eq!(causes(&rig).last().unwrap(), "altered");
    assert!(has(&rig, "after"));
}

#[tokio::test]
async fn a_lost_folder_refuses_until_it_is_back() {
    let rig = Rig::new();
    let folder = rig.path("logs");
    let path = folder.join("audit.log");
    let device = rig.device("file", "main", &[("file_path", path.to_str().unwrap())]);
    let broker = rig.open(vec![device]).await;
    disclose(&broker, "before").await;
    fs::remove_dir_all(&folder).unwrap();
    let act = Act::new("lost");
    assert_eq!(broker.disclosure(act.response()).await.err().unwrap().kind().status(), 503);
    let refused = broker.request(act.request()).await.unwrap_err();
    assert_eq!((refused.kind().status(), refused.public()), (500, "internal error"));
    assert!(!broker.status()[0].healthy);
    fs::create_dir(&folder).unwrap();
    disclose(&broker, "after").await;
    assert!(broker.status()[0].healthy);
    let lines = read(&path);
    assert!(lines.iter().any(|line| line["request"]["id"] == "after"));
    let missed = lines.iter().find(|line| line["type"] == "missed").unwrap();
    assert_eq!(missed["missed"]["lines"], 2);
}

#[tokio::test]
async fn a_file_is_compared_with_the_store_when_it_is_opened() {
    type Harm = fn(&mut Vec<String>);
    let table: &[(&str, Harm)] = &[
        ("opened", |_| {}),
        ("missing", |lines| lines.clear()),
        ("shorter", |lines| drop(lines.pop())),
        ("shorter", |lines| lines.truncate(3)),
        ("altered", |lines| {
            let last = lines.last_mut().unwrap();
            *last = last.replace("checkpoint", "checkp0int");
        }),
        ("altered", |lines| *lines.last_mut().unwrap() = "garbage".into()),
        ("altered", |lines| {
            let last = lines.last().unwrap().replace("\"seq\":7", "\"seq\":8");
            lines.push(last);
        }),
    ];
    for (number, (cause, harm)) in table.iter().enumerate() {
        let rig = Rig::new();
        let broker = rig.main().await;
        write(&broker, 4).await;
        broker.close().await;
        let text = fs::read_to_string(rig.main_path()).unwrap();
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        assert_eq!(lines.len(), 7);
        harm(&mut lines);
        fs::write(rig.main_path(), lines.iter().map(|line| format!("{line}\n")).collect::<String>()).unwrap();
        let broker = rig.main().await;
        let text = fs::read_to_string(rig.main_path()).unwrap();
        let start = text.lines().rfind(|line| line.contains("\"type\":\"start\"")).unwrap();
        assert!(start.contains(&format!("\"cause\":\"{cause}\"")), "case {number}: {start}");
        assert!(start.contains("\"previous\":{\"seq\":7,"), "it names the old head: {start}");
        disclose(&broker, "after").await;
        broker.close().await;
        let report = verify(&[&rig.main_path()]);
        assert_eq!(report.intact, *cause == "opened", "case {number}: {:?}", report.findings);
    }
}

#[tokio::test]
async fn lines_after_the_last_checkpoint_are_followed_after_a_crash() {
    let rig = Rig::new();
    let broker = rig.main().await;
    disclose(&broker, "sealed").await;
    // A crash: the file as it was in the middle of the run, the store as it was then.
    write(&broker, 3).await;
    let crashed = fs::read(rig.main_path()).unwrap();
    let frozen = snapshot(&rig, "main").await;
    broker.close().await;
    for (cut, wanted) in
        [(0, "opened"), (30, "opened"), (crashed.len() / 2, "opened"), (crashed.len() - 500, "shorter")]
    {
        let rig = Rig { storage: copy(&frozen).await, ..Rig::new() };
        fs::write(rig.main_path(), &crashed[..crashed.len() - cut]).unwrap();
        let broker = rig.main().await;
        assert_eq!(causes(&rig).last().unwrap(), wanted, "cut {cut}");
        let start = rig.lines().into_iter().rfind(|line| line["type"] == "start").unwrap();
        let torn = !crashed[..crashed.len() - cut].ends_with(b"\n");
        assert_eq!(start["start"]["cut"]["bytes"].is_u64(), torn, "an unfinished line is cut off and told");
        broker.close().await;
        let report = verify(&[&rig.main_path()]);
        assert_eq!(report.intact, wanted == "opened", "{:?}", report.findings);
    }
    // One byte altered after the checkpoint: the links do not hold.
    let rig = Rig { storage: copy(&frozen).await, ..Rig::new() };
    let text = String::from_utf8(crashed).unwrap();
    let (at, _) = text.rmatch_indices("127.0.0.1").nth(1).unwrap();
    fs::write(rig.main_path(), [&text[..at], "127.0.0.2", &text[at + 9..]].concat()).unwrap();
    let _broker = rig.main().await;
    assert_eq!(causes(&rig).last().unwrap(), "altered");
}

#[tokio::test]
async fn a_file_that_the_store_does_not_know_is_gone_on_with() {
    let rig = Rig::new();
    let broker = rig.main().await;
    write(&broker, 2).await;
    broker.close().await;
    let second = Rig { storage: Rig::new().storage, folder: rig.folder, pace: rig.pace };
    let broker = second.main().await;
    broker.close().await;
    assert_eq!(causes(&second), ["opened", "adopted"]);
    let report = verify(&[&second.main_path()]);
    assert!(report.intact, "{:?}", report.findings);
}
