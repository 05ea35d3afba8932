//! Many who ask at the same moment.

use std::sync::Barrier;
use std::thread;

use super::http::Answer;

/// How many.
pub const CROWD: usize = 24;

/// The answers of a crowd that starts together; each asks with its number.
pub fn together(ask: impl Fn(usize) -> Answer + Sync) -> Vec<Answer> {
    let start = Barrier::new(CROWD);
    thread::scope(|scope| {
        let asking: Vec<_> = (0..CROWD)
            .map(|who| {
                let (start, ask) = (&start, &ask);
                scope.spawn(move || {
                    start.wait();
                    ask(who)
                })
            })
            .collect();
        asking.into_iter().map(|asking| asking.join().unwrap()).collect()
    })
}
