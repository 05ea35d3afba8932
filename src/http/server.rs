//! The standalone server: the host behind the listener.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::Request;
use hyper::body::Incoming;
use tokio::net::TcpListener;
use tokio::sync::watch;

use super::body::{self, Room};
use super::listener::{Limits, Service, listen, stopped};
use super::places::Place;
use super::render::{self, Reply};
use super::tls::TlsReloader;
use super::wire;
use crate::host::Host;
use crate::host::call::Verb;
use crate::host::sys::nodes::SEEN_EVERY;

/// Serves `listener` until `shutdown` turns true; goes on for [`Limits::delay`], while `sys/health` says so; then takes no
/// new connection, lets requests at work end (at most [`Limits::grace`]) and returns. Closing the host is the caller's.
pub async fn serve(
    listener: TcpListener,
    tls: Option<Arc<TlsReloader>>,
    host: Arc<Host>,
    limits: Limits,
    shutdown: watch::Receiver<bool>,
) {
    let tidying = tokio::spawn(tidy(Arc::clone(&host), shutdown.clone()));
    let rewrapping = tokio::spawn(rewrap(Arc::clone(&host), shutdown.clone()));
    let reporting = tokio::spawn(report(Arc::clone(&host)));
    let face = Face { host, limits, bodies: Room::default(), shutdown: shutdown.clone() };
    listen(listener, tls, Arc::new(face), limits, shutdown).await;
    // It ends by itself, after the sweep that it is at.
    if tokio::time::timeout(limits.grace, tidying).await.is_err() {
        tracing::warn!("records were still being tidied when the grace period ended");
    }
    // Wherever it stops, it goes on from there.
    rewrapping.abort();
    reporting.abort();
}

/// How often records whose time is over are removed.
const TIDY_EVERY: Duration = Duration::from_secs(600);

/// How often a re-wrapping of keys that somebody began is looked after, and for how long at most.
const REWRAP_EVERY: Duration = Duration::from_secs(30);
const REWRAP_FOR: Duration = Duration::from_secs(25);

async fn rewrap(host: Arc<Host>, mut shutdown: watch::Receiver<bool>) {
    let mut next = tokio::time::interval(REWRAP_EVERY);
    next.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            biased;
            () = stopped(&mut shutdown) => return,
            _ = next.tick() => {}
        }
        if let Err(error) = host.rewrap(REWRAP_FOR).await {
            tracing::warn!(?error, "keys could not be re-wrapped; tried again");
        }
    }
}

async fn report(host: Arc<Host>) {
    let mut next = tokio::time::interval(SEEN_EVERY);
    next.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        next.tick().await;
        if let Err(error) = host.report_node().await {
            tracing::warn!(?error, "this node could not say that it is there; tried again");
        }
    }
}

async fn tidy(host: Arc<Host>, mut shutdown: watch::Receiver<bool>) {
    let mut next = tokio::time::interval(TIDY_EVERY);
    next.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            biased;
            () = stopped(&mut shutdown) => return,
            _ = next.tick() => {}
        }
        match host.tidy(|| !*shutdown.borrow()).await {
            Ok(0) => {}
            Ok(gone) => tracing::info!(gone, "removed records whose time was over"),
            Err(error) => tracing::warn!(?error, "records whose time is over could not be removed"),
        }
    }
}

struct Face {
    host: Arc<Host>,
    limits: Limits,
    bodies: Room,
    shutdown: watch::Receiver<bool>,
}

impl Service for Face {
    async fn answer(&self, peer: SocketAddr, request: Request<Incoming>, place: &Place) -> Reply {
        let (parts, incoming) = request.into_parts();
        let mut call = match wire::head(&parts, Some(peer)) {
            Ok(call) => call,
            Err(reply) => return *reply,
        };
        call.open_metrics = self.limits.open_metrics;
        call.shutting_down = *self.shutdown.borrow();
        let mut held = None;
        if call.refused.is_none() && matches!(call.verb, Verb::Update | Verb::Patch) {
            match body::read(&parts.headers, incoming, self.limits.bounds(), &self.bodies).await {
                Ok(read) => match wire::body(&parts.headers, &held.insert(read).bytes) {
                    Ok(fields) => call.body = fields,
                    Err(error) => call.refused = Some(error.into()),
                },
                Err(unread) => call.refused = Some(unread.refusal()),
            }
        }
        let at_work = place.at_work();
        let mut reply = render::reply(self.host.handle(call).await);
        reply.body_mut().keep(at_work);
        reply
    }
}
