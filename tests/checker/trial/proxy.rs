//! A proxy of our own on loopback: cuts, delays, goes silent, and hangs up at any byte of a request or an answer.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tokio::time::sleep;

use crate::support::corpus::Dice;

/// What is done to a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Plan {
    Pass,
    /// The client hangs up after so many bytes of its request.
    CutRequest(usize),
    /// The connection breaks after so many bytes of the answer; at none, between the act and its answer.
    CutAnswer(usize),
    /// Each direction waits so long before each piece.
    Delay(u64),
    /// The request arrives, and nothing comes back until the connection breaks.
    HalfOpen(u64),
}

/// How often all connections were to be broken: at once, or with their next answer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Order {
    cut: u64,
    swallow: u64,
}

/// A proxy before one address.
pub struct Proxy {
    address: SocketAddr,
    orders: watch::Sender<Order>,
    counts: Arc<Mutex<BTreeMap<&'static str, usize>>>,
    runtime: Option<Runtime>,
}

impl Proxy {
    /// A proxy before `target` that breaks about every third connection, as its dice fall.
    pub fn before(target: SocketAddr, seed: u64) -> Self {
        Self::with(target, Some(Dice::new(seed)))
    }
    /// One that passes everything on until it is told otherwise.
    pub fn passing(target: SocketAddr) -> Self {
        Self::with(target, None)
    }
    fn with(target: SocketAddr, dice: Option<Dice>) -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
        let listener = runtime.block_on(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))).expect("a port");
        let address = listener.local_addr().expect("an address");
        let (orders, listening) = watch::channel(Order::default());
        let counts = Arc::new(Mutex::new(BTreeMap::new()));
        let counted = Arc::clone(&counts);
        runtime.spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let plan = dice.as_ref().map_or(Plan::Pass, plan);
                if plan != Plan::Pass {
                    *counted.lock().expect("counting does not panic").entry(plan.name()).or_default() += 1;
                }
                tokio::spawn(carry(client, target, plan, listening.clone()));
            }
        });
        Proxy { address, orders, counts, runtime: Some(runtime) }
    }
    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
    /// Breaks every connection that is open.
    pub fn cut_all(&self) {
        self.orders.send_modify(|order| order.cut += 1);
    }
    /// Breaks each connection that is open as soon as the next answer comes through it, which is lost.
    pub fn swallow_answers(&self) {
        self.orders.send_modify(|order| order.swallow += 1);
    }
    /// How often what was done.
    pub fn counts(&self) -> BTreeMap<&'static str, usize> {
        self.counts.lock().expect("counting does not panic").clone()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Plan {
    fn name(self) -> &'static str {
        match self {
            Plan::Pass => "passed",
            Plan::CutRequest(_) => "client hung up in its request",
            Plan::CutAnswer(0) => "cut between the act and its answer",
            Plan::CutAnswer(_) => "cut within the answer",
            Plan::Delay(_) => "delayed",
            Plan::HalfOpen(_) => "half-open",
        }
    }
}

fn plan(dice: &Dice) -> Plan {
    match dice.below(100) {
        0..=7 => Plan::CutRequest(dice.below(1400)),
        8..=14 => Plan::CutAnswer(0),
        15..=21 => Plan::CutAnswer(1 + dice.below(700)),
        22..=27 => Plan::Delay(1 + dice.below(30) as u64),
        28..=29 => Plan::HalfOpen(20 + dice.below(400) as u64),
        _ => Plan::Pass,
    }
}

/// Carries one connection as planned. When it returns both ends are closed.
async fn carry(mut client: TcpStream, target: SocketAddr, plan: Plan, mut orders: watch::Receiver<Order>) {
    let first = *orders.borrow_and_update();
    let mut swallows = false;
    let Ok(mut server) = TcpStream::connect(target).await else { return };
    let (mut up, mut down) = (vec![0; 16 << 10], vec![0; 16 << 10]);
    let (mut sent, mut answered) = (0, 0);
    loop {
        tokio::select! {
            changed = orders.changed() => {
                let order = *orders.borrow_and_update();
                if changed.is_err() || order.cut != first.cut {
                    return;
                }
                swallows = order.swallow != first.swallow;
            }
            read = client.read(&mut up) => {
                let Ok(count @ 1..) = read else { return };
                let mut count = count;
                let cut = matches!(plan, Plan::CutRequest(at) if sent + count > at);
                if let Plan::CutRequest(at) = plan {
                    count = count.min(at - sent);
                }
                wait(plan).await;
                if server.write_all(&up[..count]).await.is_err() || cut {
                    return;
                }
                sent += count;
            }
            read = server.read(&mut down) => {
                let Ok(count @ 1..) = read else { return };
                if swallows {
                    return;
                }
                let mut count = count;
                let cut = matches!(plan, Plan::CutAnswer(at) if answered + count > at);
                if let Plan::CutAnswer(at) = plan {
                    count = count.min(at - answered);
                }
                if let Plan::HalfOpen(millis) = plan {
                    sleep(Duration::from_millis(millis)).await;
                    return;
                }
                wait(plan).await;
                if client.write_all(&down[..count]).await.is_err() || cut {
                    return;
                }
                answered += count;
            }
        }
    }
}

async fn wait(plan: Plan) {
    if let Plan::Delay(millis) = plan {
        sleep(Duration::from_millis(millis)).await;
    }
}
