//! The end of the process: whoever learns that the host has gone says so here, and acts that are under way are waited for.

use std::sync::Arc;

use tokio::sync::watch;

/// Shared by everything that runs in the process.
#[derive(Clone)]
pub struct Exit {
    wanted: Arc<watch::Sender<bool>>,
    acts: Arc<watch::Sender<usize>>,
}

/// An act under way; over when dropped.
pub struct UnderWay(Arc<watch::Sender<usize>>);

impl Exit {
    /// Nothing is under way, nobody wants to end.
    pub fn new() -> Self {
        Exit { wanted: Arc::new(watch::Sender::new(false)), acts: Arc::new(watch::Sender::new(0)) }
    }
    /// Ends the process once acts under way are done, or after a grace.
    pub fn ask(&self) {
        self.wanted.send_replace(true);
    }
    /// Whether somebody has asked.
    pub fn is_asked(&self) -> bool {
        *self.wanted.borrow()
    }
    /// Until somebody asks.
    pub async fn asked(&self) {
        // Fails only if the sender is gone, which `self` holds.
        let _ = self.wanted.subscribe().wait_for(|wanted| *wanted).await;
    }
    /// Notes an act that must not be cut off.
    pub fn under_way(&self) -> UnderWay {
        self.acts.send_modify(|acts| *acts += 1);
        UnderWay(self.acts.clone())
    }
    /// Until nothing is under way.
    pub async fn idle(&self) {
        let _ = self.acts.subscribe().wait_for(|acts| *acts == 0).await;
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.send_modify(|acts| *acts -= 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn asked_and_idle_come_when_they_are_true_and_no_earlier() {
        let exit = Exit::new();
        let (first, second) = (exit.under_way(), exit.under_way());
        let waiting = tokio::spawn({
            let exit = exit.clone();
            async move {
                exit.asked().await;
                exit.idle().await;
            }
        });
        drop(first);
        exit.ask();
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        drop(second);
        waiting.await.unwrap();
    }
}
