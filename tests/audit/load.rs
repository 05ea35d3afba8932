//! Many at once.

use std::sync::Arc;

use crate::support::{Act, Rig, verify};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_tasks_make_one_chain_with_few_fsyncs() {
    let rig = Rig::new();
    let broker = Arc::new(rig.main().await);
    let mut tasks = tokio::task::JoinSet::new();
    for task in 0..64 {
        let broker = Arc::clone(&broker);
        tasks.spawn(async move {
            for number in 0..100 {
                let act = Act::new(format!("id-{task}-{number}"));
                broker.request(act.request()).await.unwrap();
                broker.disclosure(act.response()).await.unwrap();
            }
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
    let status = broker.status().remove(0);
    assert!(status.lines >= 12_800, "{status:?}");
    assert!(status.syncs * 4 < status.lines, "{} fsyncs for {} lines", status.syncs, status.lines);
    broker.close().await;
    let report = verify(&[&rig.main_path()]);
    assert!(report.intact, "{:?}", report.findings);
    assert_eq!((report.types["request"], report.types["response"], report.disclosures), (6400, 6400, 6400));
    assert_eq!((report.unanswered, report.unsealed_tail), (0, 0));
}
