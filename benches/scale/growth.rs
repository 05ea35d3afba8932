//! More and more accounts: how fast they come in, how much room they take, what an act costs at every power of ten.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::Options;
use crate::probe::{acts, forget_peak, memory};
use crate::table::Table;
use crate::traffic::send_all;
use crate::world::World;

/// Accounts that are prepared and sent together, under one assertion.
const CHUNK: u32 = 10_000;

/// Imports up to the number that is wanted, and measures on the way.
pub async fn run(world: &mut World, options: &Options, table: &mut Table) {
    let mut here = 0;
    let steps = (3..).map(|power| 10u32.pow(power)).take_while(|step| *step < options.accounts);
    for step in steps.chain([options.accounts]) {
        let pid = world.server.pid().expect("it runs");
        forget_peak(pid);
        let before = world.audit_bytes();
        let spent = import(world, here, step, options.importers).await;
        let (_, peak) = memory(pid);
        let came = step - here;
        here = step;
        let (store, audit) = (world.store_bytes(), world.audit_bytes());
        table.row(
            "import",
            vec![
                ("accounts", json!(step)),
                ("imported a second", json!((f64::from(came) / spent.as_secs_f64()) as u64)),
                ("store MB", json!(store >> 20)),
                ("store, bytes an account", json!(store / u64::from(step))),
                ("audit, bytes an import", json!((audit - before) / u64::from(came))),
                ("memory at most MB", json!(peak)),
            ],
        );
        forget_peak(pid);
        let mut row = vec![("accounts", json!(step))];
        row.extend(acts(world, step, options.probes).await);
        let (now, peak) = memory(pid);
        row.extend([("memory MB", json!(now)), ("at most MB", json!(peak))]);
        table.row("acts", row);
    }
}

/// Imports accounts `from..to`; the time that the server was busy with it.
async fn import(world: &World, from: u32, to: u32, connections: u32) -> Duration {
    let mut spent = Duration::ZERO;
    let mut at = from;
    let began = Instant::now();
    while at < to {
        let end = to.min(at + CHUNK);
        let mut tries = 0;
        let rate = loop {
            // An assertion that is not for a disclosure serves as long as it is young.
            let jwt = world.scene.automation();
            let list = (at..end).map(|account| world.store_ten(account, &jwt)).collect();
            let run = send_all(world.address(), connections as usize, list).await;
            spent += run.elapsed;
            let refused = |from: u16, to: u16| run.statuses().range(from..to).map(|(_, count)| count).sum::<usize>();
            // On a machine that is busy with other things the server may give up on a disk. Sets that went in are refused the next
            // time, by their `cas`.
            let again = refused(500, 600) > 0 || run.times.len() < (end - at) as usize;
            assert!(tries > 0 || refused(400, 500) == 0, "VOID: {:?}", run.wrong);
            if !again {
                break run.rate();
            }
            tries += 1;
            assert!(tries < 5, "VOID: {:?}", run.wrong);
            eprintln!("once more from account {at} on: {:?}", run.wrong);
        };
        at = end;
        if at.is_multiple_of(CHUNK * 5) {
            eprintln!("{at} accounts after {:.0} s, {rate:.0} a second", began.elapsed().as_secs_f64());
        }
    }
    spent
}
