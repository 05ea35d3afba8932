//! The body of an answer: bytes that are all there, or a stream that is made while it is sent.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::{Body, Frame, SizeHint};

use super::places::AtWork;
use crate::host::stream::{Interrupted, Stream};

/// What hyper sends.
pub struct Outgoing(State);

enum State {
    Whole(Full<Bytes>),
    Stream(Stream, Option<AtWork>),
    Ended,
}

impl Outgoing {
    /// A body that is made while it is sent.
    pub fn stream(stream: Stream) -> Self {
        Outgoing(State::Stream(stream, None))
    }
    /// Lets the connection keep its place until a stream is at its end; other bodies are on their way at once.
    pub fn keep(&mut self, at_work: AtWork) {
        if let State::Stream(_, kept) = &mut self.0 {
            *kept = Some(at_work);
        }
    }
}

impl From<Full<Bytes>> for Outgoing {
    fn from(whole: Full<Bytes>) -> Self {
        Outgoing(State::Whole(whole))
    }
}

impl Default for Outgoing {
    fn default() -> Self {
        Full::default().into()
    }
}

impl Body for Outgoing {
    type Data = Bytes;
    type Error = Interrupted;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Interrupted>>> {
        match &mut self.0 {
            State::Whole(whole) => Pin::new(whole).poll_frame(context).map_err(|never| match never {}),
            State::Stream(stream, _) => {
                let next = stream.poll_next(context);
                if let Poll::Ready(None | Some(Err(_))) = &next {
                    self.0 = State::Ended;
                }
                next.map(|next| next.map(|piece| piece.map(|bytes| Frame::data(Bytes::from(bytes)))))
            }
            State::Ended => Poll::Ready(None),
        }
    }
    fn is_end_stream(&self) -> bool {
        match &self.0 {
            State::Whole(whole) => whole.is_end_stream(),
            State::Stream(..) => false,
            State::Ended => true,
        }
    }
    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            State::Whole(whole) => whole.size_hint(),
            State::Stream(..) | State::Ended => SizeHint::default(),
        }
    }
}
