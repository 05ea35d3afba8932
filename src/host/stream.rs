//! Answers that are made while they are sent: whoever reads them sets the pace, and what is made ahead is bounded.

use std::fmt;
use std::task::{Context, Poll};

use tokio::sync::mpsc;

/// Pieces that wait to be sent at most.
const AHEAD: usize = 2;

/// Where the pieces of an answer go.
pub struct Sink(mpsc::Sender<Piece>);

/// The pieces of an answer, as the face takes them.
pub struct Stream(mpsc::Receiver<Piece>);

enum Piece {
    Bytes(Vec<u8>),
    End,
}

/// The answer ended before its end: whoever reads it must notice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Interrupted;

impl fmt::Display for Interrupted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the answer was interrupted")
    }
}

impl std::error::Error for Interrupted {}

/// Both ends of an answer.
pub fn stream() -> (Sink, Stream) {
    let (sender, receiver) = mpsc::channel(AHEAD);
    (Sink(sender), Stream(receiver))
}

impl Sink {
    /// Sends `bytes` once there is room; `false` if nobody reads any more.
    pub async fn send(&self, bytes: Vec<u8>) -> bool {
        self.0.send(Piece::Bytes(bytes)).await.is_ok()
    }
    /// Ends the answer. One whose sink is dropped without this was [`Interrupted`].
    pub async fn end(self) {
        // Nobody reads any more: then nobody misses the end.
        let _ = self.0.send(Piece::End).await;
    }
}

impl Stream {
    /// The next piece; none at the end.
    pub fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Vec<u8>, Interrupted>>> {
        self.0.poll_recv(context).map(|piece| match piece {
            Some(Piece::Bytes(bytes)) => Some(Ok(bytes)),
            Some(Piece::End) => None,
            None => Some(Err(Interrupted)),
        })
    }
}
