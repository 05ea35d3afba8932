//! The listener: connections within bounds of number, size and time, each served until it ends or the server drains. What
//! is answered is a [`Service`]'s.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::Request;
use hyper::body::Incoming;
use hyper::header::{CONNECTION, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::body::Bounds;
use super::paced::Paced;
use super::places::{Place, Places};
use super::render::Reply;
use super::tls::TlsReloader;

/// What answers the requests of a listener.
pub trait Service: Send + Sync + 'static {
    /// The answer to `request`, which came from `peer`. It is dropped where it waits if the client goes away; also if its place
    /// is wanted before it says that it is [at work](Place::at_work), which it does once it has read the whole request.
    fn answer(&self, peer: SocketAddr, request: Request<Incoming>, place: &Place)
    -> impl Future<Output = Reply> + Send;
}

/// Bounds of the listener.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Most connections at once; a further one takes the place of the one that has kept us waiting for longest.
    pub max_connections: usize,
    /// Longest request head, in bytes.
    pub max_head: usize,
    /// Longest body that is read, in bytes.
    pub max_body: usize,
    /// Longest time for a TLS handshake, and from the end of one answer to the end of the next request's head.
    pub head_time: Duration,
    /// Longest time for a body.
    pub body_time: Duration,
    /// Longest time without any progress of a connection that has something to send.
    pub stall_time: Duration,
    /// How much of an over-long body is thrown away so that its sender comes to read the answer, in bytes.
    pub drain_size: usize,
    /// Longest time for that.
    pub drain_time: Duration,
    /// Whether `sys/metrics` asks for no token.
    pub open_metrics: bool,
    /// How long the server goes on as before once it was told to stop. `sys/health` says so meanwhile, and every answer ends its
    /// connection, so that balancers and clients go elsewhere while nothing is refused yet.
    pub delay: Duration,
    /// How long requests at work get to end when the server stops.
    pub grace: Duration,
}

impl Default for Limits {
    /// 1024 connections, 64 KiB heads, 1 MiB bodies, 30 s for a head, a body or a stall, 8 MiB and 5 s of draining, no delay and
    /// 30 s of grace at the end.
    fn default() -> Self {
        Limits {
            max_connections: 1024,
            max_head: 64 * 1024,
            max_body: 1024 * 1024,
            head_time: Duration::from_secs(30),
            body_time: Duration::from_secs(30),
            stall_time: Duration::from_secs(30),
            drain_size: 8 * 1024 * 1024,
            drain_time: Duration::from_secs(5),
            open_metrics: false,
            delay: Duration::ZERO,
            grace: Duration::from_secs(30),
        }
    }
}

impl Limits {
    /// The bounds of a body.
    pub fn bounds(&self) -> Bounds {
        Bounds { size: self.max_body, time: self.body_time, drain_size: self.drain_size, drain_time: self.drain_time }
    }
}

/// Lets `service` answer what comes to `listener` until `shutdown` turns true and [`Limits::delay`] has passed; then takes no new
/// connection but those that have come about already, lets requests at work end (at most [`Limits::grace`]) and returns.
pub async fn listen<S: Service>(
    listener: TcpListener,
    tls: Option<Arc<TlsReloader>>,
    service: Arc<S>,
    limits: Limits,
    shutdown: watch::Receiver<bool>,
) {
    let places = Places::new(limits.max_connections);
    let (close, closed) = watch::channel(false);
    let mut connections = JoinSet::new();
    let serve = |connections: &mut JoinSet<()>, stream, peer, place| {
        let (shutdown, closed) = (shutdown.clone(), closed.clone());
        let connection = Connection { service: Arc::clone(&service), limits, peer, shutdown, closed };
        connections.spawn(connection.begin(stream, tls.clone(), place));
    };
    let mut told = shutdown.clone();
    let mut closing = pin!(async {
        stopped(&mut told).await;
        tokio::time::sleep(limits.delay).await;
    });
    let mut last = Vec::new();
    loop {
        let accepted = tokio::select! {
            biased;
            () = &mut closing => break,
            Some(_) = connections.join_next() => continue,
            accepted = accept(&listener) => accepted,
        };
        let Some((stream, peer)) = accepted else { continue };
        tokio::select! {
            biased;
            place = places.take() => match place {
                Some(place) => serve(&mut connections, stream, peer, place),
                None => break,
            },
            () = &mut closing => {
                last.push((stream, peer));
                break;
            }
        }
    }
    close.send_replace(true);
    // The system took these for us: who waits in its queue has sent a request and would be cut off without an answer.
    last.extend(queued(listener, limits.max_connections));
    for (stream, peer) in last {
        match tokio::time::timeout(LAST_CALL, places.take()).await {
            Ok(Some(place)) => serve(&mut connections, stream, peer, place),
            _ => tracing::debug!(%peer, "no place came free for it before the end"),
        }
    }
    let all = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(limits.grace, all).await.is_err() {
        tracing::warn!("connections were still open when the grace period ended");
    }
}

/// How long a connection on which nothing is at work may still bring a request once the listener is closed.
const LAST_CALL: Duration = Duration::from_secs(1);

/// Takes an address to listen at. As many connections as the server serves may come at the same moment: the system's usual 128 would
/// leave the others without an answer until they try again, a second later.
///
/// # Errors
/// The address is taken, not of this machine, or not allowed.
pub fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // A server that starts again does not wait for connections of the last one to be forgotten.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(u32::try_from(Limits::default().max_connections).unwrap_or(u32::MAX))
}

/// Closes the listener; answers the connections that it had and nobody took yet, `most` at most.
fn queued(listener: TcpListener, most: usize) -> Vec<(TcpStream, SocketAddr)> {
    let Ok(listener) = listener.into_std() else { return Vec::new() };
    let mut queued = Vec::new();
    while queued.len() < most
        && let Ok((stream, peer)) = listener.accept()
    {
        let ours = stream.set_nonblocking(true).and_then(|()| TcpStream::from_std(stream));
        queued.extend(ours.ok().map(|stream| (stream, peer)));
    }
    queued
}

/// Waits until `shutdown` turns true.
pub(super) async fn stopped(shutdown: &mut watch::Receiver<bool>) {
    // A sender that is gone can stop nothing any more.
    if shutdown.wait_for(|stop| *stop).await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// The next connection.
async fn accept(listener: &TcpListener) -> Option<(TcpStream, SocketAddr)> {
    match listener.accept().await {
        Ok((stream, peer)) => {
            // A failure here only costs a little latency.
            let _ = stream.set_nodelay(true);
            Some((stream, peer))
        }
        Err(error) => {
            tracing::warn!(%error, "accepting a connection failed");
            // Out of file handles, most likely: give connections time to end.
            tokio::time::sleep(Duration::from_millis(50)).await;
            None
        }
    }
}

struct Connection<S> {
    service: Arc<S>,
    limits: Limits,
    peer: SocketAddr,
    /// The server was told to stop: every answer ends its connection.
    shutdown: watch::Receiver<bool>,
    /// The listener is closed: what is not at work has to end.
    closed: watch::Receiver<bool>,
}

impl<S: Service> Connection<S> {
    async fn begin(self, stream: TcpStream, tls: Option<Arc<TlsReloader>>, place: Place) {
        let (peer, limits) = (self.peer, self.limits);
        let Some(tls) = tls else { return self.serve(stream, &place).await };
        let shaken = tokio::select! {
            shaken = tokio::time::timeout(limits.head_time, tls.acceptor().accept(stream)) => shaken,
            () = place.sent_away() => return,
        };
        match shaken {
            Ok(Ok(stream)) => self.serve(stream, &place).await,
            Ok(Err(error)) => tracing::debug!(%peer, %error, "TLS handshake failed"),
            Err(_) => tracing::debug!(%peer, "TLS handshake took too long"),
        }
    }
    async fn serve(mut self, stream: impl AsyncRead + AsyncWrite + Unpin, place: &Place) {
        let (service, limits, peer, shutdown) = (self.service, self.limits, self.peer, self.shutdown);
        let service = service_fn(move |request| {
            let (service, shutdown) = (Arc::clone(&service), shutdown.clone());
            async move {
                let mut reply = service.answer(peer, request, place).await;
                if *shutdown.borrow() {
                    reply.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
                }
                Ok::<_, Infallible>(reply)
            }
        });
        let stream = TokioIo::new(Paced::new(stream, limits.stall_time));
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(limits.head_time)
            // Who has said everything may still listen: a code that was burned must reach its client.
            .half_close(true)
            .max_header_size(limits.max_head)
            .max_buf_size(MAX_BUFFER.max(limits.max_head))
            .serve_connection(stream, service);
        let mut connection = pin!(connection);
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = stopped(&mut self.closed) => {
                // A request may be on its way. Closing at once would leave its sender without an answer, in doubt whether it was carried out.
                match tokio::time::timeout(LAST_CALL, connection.as_mut()).await {
                    Ok(ended) => ended,
                    Err(_) => {
                        connection.as_mut().graceful_shutdown();
                        connection.await
                    }
                }
            }
            () = place.sent_away() => {
                tracing::debug!(%peer, "its place was wanted, and no request came");
                return;
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%peer, %error, "connection ended early");
        }
    }
}

/// How much of a connection's bytes hyper holds at most, read or to be written.
const MAX_BUFFER: usize = 256 * 1024;
