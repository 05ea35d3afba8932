//! The host's periodic call: what is over makes room, on the node that may write.

use std::path::Path;

use serde_json::json;

use crate::fake_host::FakeHost;
use crate::host::Plugin;
use crate::support::server::BINARY;
use crate::support::signer::now;

/// An entry: a revision, then the record.
fn event(at: u64) -> Vec<u8> {
    let millis = (at * 1000).to_be_bytes();
    [&[7; 16][..], &[0x01, 0x82, 0x1b], &millis, &[0x80]].concat()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_over_makes_room_when_the_host_calls() {
    for host in [FakeHost::with_transactions(), FakeHost::without_transactions()] {
        let mut plugin = Plugin::start(Path::new(BINARY)).await;
        let mount = plugin.mount(&host).await;
        mount.ask("update", "config", json!({"event_retention": "24h"})).await;
        let old: Vec<String> = (0..700).map(|number| format!("events/idp/{number:04}")).collect();
        for key in &old {
            host.set(key, &event(now() - 86_400 - 60));
        }
        host.set("events/idp/young", &event(now() - 86_400 + 600));
        let left = || host.keys().iter().filter(|key| key.starts_with("events/")).count();

        // Not where only another node may write, and not one call tries to.
        host.read_only(true);
        let again = plugin.mount(&host).await;
        host.calls();
        again.ask("rollback", "", json!(null)).await;
        let calls = host.calls();
        let writes = |call: &&String| ["Put", "Delete", "Commit"].iter().any(|word| call.starts_with(word));
        assert_eq!((left(), calls.iter().find(writes)), (701, None));

        host.read_only(false);
        let again = plugin.mount(&host).await;
        again.ask("rollback", "", json!(null)).await;
        assert!((201..=701 - 400).contains(&left()), "a turn is bounded: {}", left());
        again.ask("rollback", "", json!(null)).await;
        assert_eq!(left(), 1, "the next goes on");
        assert!(host.keys().contains("events/idp/young"));
        assert_eq!((host.strays(), host.left_open()), (Vec::new(), 0));
    }
}
