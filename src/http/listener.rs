//! The listener: connections within bounds of number, size and time, each served until it ends or the server drains. What
//! is answered is a [`Service`]'s.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
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
    /// How long requests at work get to end when the server stops.
    pub grace: Duration,
}

impl Default for Limits {
    /// 1024 connections, 64 KiB heads, 1 MiB bodies, 30 s for a head, a body or a stall, 8 MiB and 5 s of draining, 30 s grace.
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

/// Lets `service` answer what comes to `listener` until `shutdown` turns true; then takes no new connection, lets requests at
/// work end (at most [`Limits::grace`]) and returns.
pub async fn listen<S: Service>(
    listener: TcpListener,
    tls: Option<Arc<TlsReloader>>,
    service: Arc<S>,
    limits: Limits,
    mut shutdown: watch::Receiver<bool>,
) {
    let places = Places::new(limits.max_connections);
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            biased;
            () = stopped(&mut shutdown) => break,
            Some(_) = connections.join_next() => continue,
            accepted = accept(&listener) => accepted,
        };
        let Some((stream, peer)) = accepted else { continue };
        let place = tokio::select! {
            biased;
            () = stopped(&mut shutdown) => break,
            place = places.take() => place,
        };
        let Some(place) = place else { break };
        let connection = Connection { service: Arc::clone(&service), limits, peer, shutdown: shutdown.clone() };
        let acceptor = tls.as_ref().map(|tls| tls.acceptor());
        connections.spawn(async move {
            match acceptor {
                None => connection.serve(stream, &place).await,
                Some(acceptor) => {
                    let shaken = tokio::select! {
                        shaken = tokio::time::timeout(limits.head_time, acceptor.accept(stream)) => shaken,
                        () = place.sent_away() => return,
                    };
                    match shaken {
                        Ok(Ok(stream)) => connection.serve(stream, &place).await,
                        Ok(Err(error)) => tracing::debug!(%peer, %error, "TLS handshake failed"),
                        Err(_) => tracing::debug!(%peer, "TLS handshake took too long"),
                    }
                }
            }
        });
    }
    drop(listener);
    let all = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(limits.grace, all).await.is_err() {
        tracing::warn!("connections were still open when the grace period ended");
    }
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
    shutdown: watch::Receiver<bool>,
}

impl<S: Service> Connection<S> {
    async fn serve(mut self, stream: impl AsyncRead + AsyncWrite + Unpin, place: &Place) {
        let (service, limits, peer) = (self.service, self.limits, self.peer);
        let service = service_fn(move |request| {
            let service = Arc::clone(&service);
            async move { Ok::<_, Infallible>(service.answer(peer, request, place).await) }
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
            () = stopped(&mut self.shutdown) => {
                connection.as_mut().graceful_shutdown();
                connection.await
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
