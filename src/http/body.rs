//! Reading a body within bounds of size, time and the memory of all bodies together, and getting rid of one that is too long.

use std::sync::Arc;
use std::time::Duration;

use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};
use hyper::header::{EXPECT, HeaderMap};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use zeroize::Zeroizing;

use crate::host::answer::Refusal;

/// Why a body was not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unread {
    /// Longer than the bound. What was left of it is being drained.
    TooLarge,
    /// Not all there in time.
    TooSlow,
    /// The connection broke, or the framing is wrong.
    Broken,
    /// Too many long bodies were being read for half of the time that it had.
    NoRoom,
}

/// Longest body that needs no room of its own, in bytes: an act with its assertion, a set of codes.
const SHORT: usize = 64 * 1024;
/// What all longer bodies together may hold, in units of 1 KiB.
const ROOM: usize = 32 * 1024;

/// The memory of longer bodies, shared by all connections of a listener.
pub struct Room(Arc<Semaphore>);

impl Default for Room {
    /// 32 MiB.
    fn default() -> Self {
        Room(Arc::new(Semaphore::new(ROOM)))
    }
}

/// A body that was read, and its part of the [`Room`].
pub struct Read {
    /// The bytes, as sent.
    pub bytes: Zeroizing<Vec<u8>>,
    _room: Option<OwnedSemaphorePermit>,
}

impl Unread {
    /// The answer to it.
    pub fn refusal(self) -> Refusal {
        match self {
            Unread::TooLarge => Refusal::new(413, "http: request body too large"),
            Unread::TooSlow => Refusal::new(408, "the request body did not come in time"),
            Unread::Broken => Refusal::new(400, "the request body is broken"),
            Unread::NoRoom => Refusal::new(503, "too many long request bodies at once; send it again in a moment"),
        }
    }
}

/// How much of a body is read, and for how long.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Longest body that is read, in bytes.
    pub size: usize,
    /// Longest time for that.
    pub time: Duration,
    /// How much of a longer body is thrown away so that an ordinary client comes to read the answer, in bytes.
    pub drain_size: usize,
    /// Longest time for that.
    pub drain_time: Duration,
}

/// Reads the whole body. A long one waits for room first.
pub async fn read(headers: &HeaderMap, body: Incoming, bounds: Bounds, room: &Room) -> Result<Read, Unread> {
    let announced = body.size_hint().exact();
    if announced.is_some_and(|announced| announced > bounds.size as u64) {
        if !headers.contains_key(EXPECT) {
            tokio::spawn(drain(body, bounds));
        }
        return Err(Unread::TooLarge);
    }
    let mut body = body;
    let mut held = None;
    // Without a length it may become as long as any.
    let announced = announced.and_then(|announced| usize::try_from(announced).ok());
    let all = async {
        let mut bytes = Zeroizing::new(Vec::new());
        if let Some(announced) = announced {
            if announced > SHORT {
                held = Some(room.of(announced, bounds.time / 2).await?);
            }
            bytes.reserve_exact(announced);
        }
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|_| Unread::Broken)?;
            if let Ok(data) = frame.into_data() {
                if data.len() > bounds.size - bytes.len() {
                    return Err(Unread::TooLarge);
                }
                if held.is_none() && bytes.len() + data.len() > SHORT {
                    held = Some(room.of(bounds.size, bounds.time / 2).await?);
                }
                grow(&mut bytes, data.len());
                bytes.extend_from_slice(&data);
            }
        }
        Ok(bytes)
    };
    match tokio::time::timeout(bounds.time, all).await {
        Ok(Ok(bytes)) => Ok(Read { bytes, _room: held }),
        Ok(Err(Unread::TooLarge)) => {
            tokio::spawn(drain(body, bounds));
            Err(Unread::TooLarge)
        }
        Ok(Err(other)) => Err(other),
        Err(_) => Err(Unread::TooSlow),
    }
}

impl Room {
    async fn of(&self, bytes: usize, patience: Duration) -> Result<OwnedSemaphorePermit, Unread> {
        let units = u32::try_from(bytes.div_ceil(1024).min(ROOM)).map_err(|_| Unread::NoRoom)?;
        match tokio::time::timeout(patience, Arc::clone(&self.0).acquire_many_owned(units)).await {
            Ok(Ok(permit)) => Ok(permit),
            Ok(Err(_)) | Err(_) => Err(Unread::NoRoom),
        }
    }
}

/// Makes room without leaving an unwiped copy of what is there already.
fn grow(bytes: &mut Vec<u8>, more: usize) {
    if bytes.capacity() - bytes.len() >= more {
        return;
    }
    let mut larger = Vec::with_capacity((bytes.len() + more).next_power_of_two().max(4096));
    larger.extend_from_slice(bytes);
    drop(Zeroizing::new(std::mem::replace(bytes, larger)));
}

async fn drain(mut body: Incoming, bounds: Bounds) {
    let all = async {
        let mut left = bounds.drain_size;
        while let Some(Ok(frame)) = body.frame().await {
            let length = frame.data_ref().map_or(0, |data| data.len());
            match left.checked_sub(length) {
                Some(rest) => left = rest,
                None => return,
            }
        }
    };
    // Whatever is still coming after the bound is cut off by closing the connection, which dropping the body does.
    let _ = tokio::time::timeout(bounds.drain_time, all).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn growing_keeps_what_is_there() {
        let mut bytes = Vec::new();
        for n in 0..10_000_u32 {
            grow(&mut bytes, 4);
            bytes.extend_from_slice(&n.to_be_bytes());
        }
        assert_eq!(bytes.len(), 40_000);
        assert_eq!(bytes[39_996..], 9_999_u32.to_be_bytes());
    }
}
