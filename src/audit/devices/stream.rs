//! Devices that only take lines and cannot be read back: standard output, TCP, Unix sockets. None is durable.

use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::{Sink, Standing};
use crate::audit::chain::Head;
use crate::audit::start::{Cause, Opening};

/// How long a peer that did not answer in time is left alone.
const PAUSE: Duration = Duration::from_secs(1);

/// Something to connect to.
pub trait Peer: Send + 'static {
    /// A connection.
    type Link: Link;
    /// Connects.
    fn connect(&self) -> io::Result<Self::Link>;
}

/// An open connection.
pub trait Link: Send + 'static {
    /// Writes all of it before the peer's deadline.
    fn send(&mut self, bytes: &[u8]) -> io::Result<()>;
    /// Whether the peer has hung up, as far as can be seen.
    fn gone(&mut self) -> bool;
}

/// A peer and the connection to it.
pub struct StreamSink<P: Peer> {
    peer: P,
    link: Option<P::Link>,
    /// Why the next connection is made.
    cause: Cause,
    pause_until: Option<Instant>,
}

impl<P: Peer> StreamSink<P> {
    /// `clean` says whether the last run closed the device in order, so that nothing followed the checkpoint in the store.
    pub fn new(peer: P, clean: bool) -> Self {
        let cause = if clean { Cause::Opened } else { Cause::Resumed };
        StreamSink { peer, link: None, cause, pause_until: None }
    }

    fn rest(&mut self, error: &io::Error) {
        if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) {
            self.pause_until = Some(Instant::now() + PAUSE);
        }
    }
}

impl<P: Peer> Sink for StreamSink<P> {
    fn standing(&mut self) -> io::Result<Standing> {
        let Some(link) = &mut self.link else { return Ok(Standing::Closed) };
        Ok(if link.gone() { Standing::Left(Cause::Reconnected) } else { Standing::Ready })
    }

    fn open(&mut self, _known: &Head) -> io::Result<Opening> {
        if self.pause_until.is_some_and(|until| Instant::now() < until) {
            return Err(io::Error::new(
                io::ErrorKind::TimedOut,
                "the peer did not answer in time; it is tried again shortly",
            ));
        }
        match self.peer.connect() {
            Ok(link) => {
                self.link = Some(link);
                Ok(Opening::plain(self.cause))
            }
            Err(error) => {
                self.rest(&error);
                Err(error)
            }
        }
    }

    fn append(&mut self, lines: &[u8], _sync: bool) -> io::Result<()> {
        let Some(link) = &mut self.link else { return Err(io::Error::other("not connected")) };
        if let Err(error) = link.send(lines) {
            self.link = None;
            self.rest(&error);
            return Err(error);
        }
        self.cause = Cause::Reconnected;
        Ok(())
    }

    fn leave(&mut self, cause: Cause) {
        self.link = None;
        self.cause = cause;
    }
}

/// The process's standard output.
#[derive(Default)]
pub struct Stdout {
    /// Whether the last write may have ended within a line.
    torn: Arc<AtomicBool>,
}

impl Peer for Stdout {
    type Link = Out;
    fn connect(&self) -> io::Result<Out> {
        Ok(Out { torn: Arc::clone(&self.torn) })
    }
}

/// A use of standard output.
pub struct Out {
    torn: Arc<AtomicBool>,
}

impl Link for Out {
    fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut out = io::stdout().lock();
        if self.torn.swap(true, Ordering::Relaxed) {
            out.write_all(b"\n")?;
        }
        out.write_all(bytes)?;
        out.flush()?;
        self.torn.store(false, Ordering::Relaxed);
        Ok(())
    }
    fn gone(&mut self) -> bool {
        false
    }
}

/// A TCP peer.
pub struct Tcp {
    /// `host:port`.
    pub address: String,
    /// Longest connect and longest write.
    pub timeout: Duration,
}

impl Peer for Tcp {
    type Link = Timed<TcpStream>;
    fn connect(&self) -> io::Result<Self::Link> {
        let mut last = io::Error::other("the address names no host");
        for address in self.address.to_socket_addrs()? {
            match TcpStream::connect_timeout(&address, self.timeout) {
                Ok(stream) => {
                    stream.set_nodelay(true)?;
                    return Ok(Timed { stream, timeout: self.timeout });
                }
                Err(error) => last = error,
            }
        }
        Err(last)
    }
}

/// A Unix domain socket.
pub struct Unix {
    /// Where it is.
    pub path: PathBuf,
    /// Longest write.
    pub timeout: Duration,
}

impl Peer for Unix {
    type Link = Timed<UnixStream>;
    fn connect(&self) -> io::Result<Self::Link> {
        Ok(Timed { stream: UnixStream::connect(&self.path)?, timeout: self.timeout })
    }
}

/// A socket whose writes have a deadline as a whole.
pub struct Timed<S> {
    stream: S,
    timeout: Duration,
}

/// What TCP and Unix sockets have in common.
pub trait Socket: Read + Write + Send + 'static {
    /// Sets the longest single write.
    fn limit(&self, span: Duration) -> io::Result<()>;
    /// Whether calls return at once instead of waiting.
    fn nonblocking(&self, on: bool) -> io::Result<()>;
}

impl Socket for TcpStream {
    fn limit(&self, span: Duration) -> io::Result<()> {
        self.set_write_timeout(Some(span))
    }
    fn nonblocking(&self, on: bool) -> io::Result<()> {
        self.set_nonblocking(on)
    }
}

impl Socket for UnixStream {
    fn limit(&self, span: Duration) -> io::Result<()> {
        self.set_write_timeout(Some(span))
    }
    fn nonblocking(&self, on: bool) -> io::Result<()> {
        self.set_nonblocking(on)
    }
}

impl<S: Socket> Link for Timed<S> {
    fn send(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        let until = Instant::now() + self.timeout;
        while !bytes.is_empty() {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(io::ErrorKind::TimedOut.into());
            }
            self.stream.limit(left)?;
            match self.stream.write(bytes) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => bytes = &bytes[written..],
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn gone(&mut self) -> bool {
        let mut said = [0; 64];
        let seen = self.stream.nonblocking(true).and_then(|()| self.stream.read(&mut said));
        let hung_up = match seen {
            Ok(read) => read == 0,
            Err(error) => error.kind() != io::ErrorKind::WouldBlock,
        };
        hung_up || self.stream.nonblocking(false).is_err()
    }
}
