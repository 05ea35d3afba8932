//! Requests over connections that are kept alive, how long each took and how it was answered, and what a process used meanwhile.

#![allow(dead_code, reason = "each bench uses its part of it")]

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::Request;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

/// A request that has not been sent.
pub type Prepared = Request<Full<Bytes>>;

/// What came back.
#[derive(Default)]
pub struct Run {
    /// How long each answer took.
    pub times: Vec<Duration>,
    /// How long all took together.
    pub elapsed: Duration,
    statuses: BTreeMap<u16, usize>,
    /// The first answer other than 200 or 204, or a broken connection.
    pub wrong: Option<String>,
}

impl Run {
    /// Takes another's answers over; the time together is not the sum where they ran side by side.
    pub fn add(&mut self, other: Run) {
        self.times.extend(other.times);
        for (status, count) in other.statuses {
            *self.statuses.entry(status).or_default() += count;
        }
        self.wrong = self.wrong.take().or(other.wrong);
    }
    /// Answers a second.
    pub fn rate(&self) -> f64 {
        self.times.len() as f64 / self.elapsed.as_secs_f64()
    }
    /// The time, in milliseconds, within which this part of the answers came.
    pub fn percentile(&mut self, part: f64) -> String {
        self.times.sort_unstable();
        let last = self.times.len().saturating_sub(1);
        let index = ((self.times.len() as f64 * part).ceil() as usize).saturating_sub(1).min(last);
        self.times.get(index).map_or("-".into(), |time| format!("{:.2}", time.as_secs_f64() * 1000.0))
    }
    /// How many answers had which status.
    pub const fn statuses(&self) -> &BTreeMap<u16, usize> {
        &self.statuses
    }
    /// The same in words.
    pub fn counts(&self) -> String {
        self.statuses.iter().map(|(status, count)| format!("{status}: {count}")).collect::<Vec<_>>().join(", ")
    }
}

/// Deals the requests out like cards: neighbours, which are about different accounts, are under way at the same time.
pub async fn send_all(address: SocketAddr, connections: usize, list: Vec<Prepared>) -> Run {
    let mut shares: Vec<Vec<Prepared>> = (0..connections).map(|_| Vec::new()).collect();
    for (index, request) in list.into_iter().enumerate() {
        shares[index % connections].push(request);
    }
    let started = Instant::now();
    let mut senders = JoinSet::new();
    for share in shares {
        senders.spawn(send_share(address, share));
    }
    let mut run = Run::default();
    while let Some(share) = senders.join_next().await {
        run.add(share.expect("a sender does not panic"));
    }
    run.elapsed = started.elapsed();
    run
}

async fn send_share(address: SocketAddr, share: Vec<Prepared>) -> Run {
    let mut run = Run::default();
    if share.is_empty() {
        return run;
    }
    let mut sender = match connect(address).await {
        Ok(sender) => sender,
        Err(error) => {
            run.wrong = Some(format!("no connection: {error}"));
            return run;
        }
    };
    for request in share {
        let started = Instant::now();
        match exchange(&mut sender, request).await {
            Ok((status, body)) => {
                run.times.push(started.elapsed());
                *run.statuses.entry(status).or_default() += 1;
                if !matches!(status, 200 | 204) {
                    run.wrong.get_or_insert_with(|| format!("{status} {}", String::from_utf8_lossy(&body).trim()));
                }
            }
            Err(error) => {
                run.wrong.get_or_insert_with(|| format!("a broken connection: {error}"));
                return run;
            }
        }
    }
    run
}

type Failure = Box<dyn std::error::Error + Send + Sync>;

async fn connect(address: SocketAddr) -> Result<SendRequest<Full<Bytes>>, Failure> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    Ok(sender)
}

async fn exchange(sender: &mut SendRequest<Full<Bytes>>, request: Prepared) -> Result<(u16, Bytes), Failure> {
    sender.ready().await?;
    let answer = sender.send_request(request).await?;
    let status = answer.status().as_u16();
    Ok((status, answer.into_body().collect().await?.to_bytes()))
}

/// What a process has used so far, as Linux tells it.
#[derive(Clone, Copy, Default)]
pub struct Process {
    /// Processor time.
    pub busy: Duration,
    /// Resident memory, in kilobytes.
    pub resident_kb: u64,
}

impl Process {
    /// Of the process of this id; nothing if there is none.
    pub fn of(pid: u32) -> Self {
        let proc = |file: &str| fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap_or_default();
        let stat = proc("stat");
        // After the program's name in brackets come state, then 10 more fields, then user and system time.
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        let ticks: u64 = [11, 12].iter().filter_map(|&index| fields.get(index)?.parse::<u64>().ok()).sum();
        let status = proc("status");
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        Process {
            // A tick is 10 ms on every Linux that Rust builds for.
            busy: Duration::from_millis(ticks * 10),
            resident_kb: resident.and_then(|text| text.split_whitespace().next()?.parse().ok()).unwrap_or(0),
        }
    }
}
