//! Lanes that are driven in turn, round after round, so that a busy moment of the machine meets all of them.

use std::net::SocketAddr;

use bytes::Bytes;

use super::load::{Drawn, Load, Pace, Proof, drive};
use super::meter::Used;
use super::results::{Round, Series};

/// Requests that go out before anything is measured, on every lane.
const WARM_UP: usize = 256;
/// Part of the slower one's rate that is offered to all, where the rate is fixed.
const OFFERED: f64 = 0.5;

type Prepare<'a> = Box<dyn FnMut(usize) -> Result<Vec<Bytes>, String> + 'a>;
type Then<'a> = Box<dyn FnMut(&[(usize, Bytes)]) -> Result<Vec<Bytes>, String> + 'a>;

/// One kind of request to one server.
pub struct Lane<'a> {
    pub name: &'static str,
    pub words: String,
    pub address: SocketAddr,
    /// The server's processes.
    pub pids: Vec<u32>,
    pub proof: Proof,
    /// Writes so many requests down; whatever they need is there when it returns.
    pub prepare: Prepare<'a>,
    /// Makes the second request of each act from the first one's answer.
    pub then: Option<Then<'a>>,
}

/// How long and how often.
#[derive(Clone, Copy)]
pub struct Extent {
    pub rounds: usize,
    /// About so long is each lane driven in a round.
    pub seconds: f64,
    /// Fewest and most acts in a round.
    pub acts: (usize, usize),
    /// Whether only Sparekey is driven.
    pub alone: bool,
}

impl Lane<'_> {
    /// Sends so many acts and says what they took.
    fn send(&mut self, connections: usize, pace: Pace, acts: usize) -> Result<Round, String> {
        let requests = (self.prepare)(acts)?;
        let (server, client) = (Used::of(&self.pids), Used::own());
        let load =
            |requests, keep| Load { address: self.address, connections, pace, proof: self.proof, keep, requests };
        let mut drawn = drive(load(requests, self.then.is_some()))?;
        let mut busy = (Used::of(&self.pids).since(&server), Used::own().since(&client));
        let mut elapsed = drawn.elapsed;
        if let Some(then) = &mut self.then {
            drawn.bodies.sort_by_key(|(index, _)| *index);
            let requests = then(&drawn.bodies)?;
            let (server, client) = (Used::of(&self.pids), Used::own());
            let second =
                drive(Load { address: self.address, connections, pace, proof: self.proof, keep: false, requests })?;
            let more = (Used::of(&self.pids).since(&server), Used::own().since(&client));
            busy.0.busy += more.0.busy;
            busy.0.written += more.0.written;
            busy.1.busy += more.1.busy;
            elapsed += second.elapsed;
            drawn.add(second);
            drawn.elapsed = elapsed;
        }
        let rate = acts as f64 / elapsed.as_secs_f64();
        Ok(round(&drawn, rate, acts, connections, pace, busy))
    }
}

fn round(drawn: &Drawn, rate: f64, acts: usize, connections: usize, pace: Pace, busy: (Used, Used)) -> Round {
    let each = |busy: Used| busy.busy.as_secs_f64() * 1e6 / acts as f64;
    // Where the rate is fixed times count from when a request was due. Where it is not, a connection that waits sends nothing
    // meanwhile: the histogram is completed with what would have waited behind a long answer.
    let corrected = match pace {
        Pace::Open(_) => drawn.times.clone(),
        Pace::Closed => {
            let usual = drawn.elapsed.as_micros() as f64 * connections as f64 / drawn.times.len().max(1) as f64;
            drawn.times.clone_correct((usual as u64).max(1))
        }
    };
    let at = |part: f64| corrected.value_at_quantile(part) as f64 / 1000.0;
    Round {
        rate,
        acts: acts as u64,
        p50: drawn.times.value_at_quantile(0.5) as f64 / 1000.0,
        p99: at(0.99),
        p999: at(0.999),
        longest: drawn.times.max() as f64 / 1000.0,
        p99_uncorrected: drawn.times.value_at_quantile(0.99) as f64 / 1000.0,
        server_us: each(busy.0),
        client_us: each(busy.1),
        written: busy.0.written as f64 / acts as f64,
        resident_mb: busy.0.resident_kb as f64 / 1024.0,
        statuses: drawn.statuses.clone(),
    }
}

/// Drives the lanes, of which Sparekey's is the first, in turn over each number of connections, each as fast as it answers; if `open`, then all of them at one rate
/// over the first number of connections.
///
/// # Errors
/// In words, if anything was answered otherwise than it must be: then nothing counts.
pub fn compare(
    lanes: &mut [Lane<'_>],
    connections: &[usize],
    open: bool,
    extent: Extent,
) -> Result<Vec<Series>, String> {
    let alone = if extent.alone { 1 } else { lanes.len() };
    let lanes = &mut lanes[..alone];
    let mut all = Vec::new();
    for connections in connections {
        let mut rates = Vec::new();
        for lane in lanes.iter_mut() {
            let warm = WARM_UP.min(extent.acts.1).max(*connections);
            rates.push(named(lane, |lane| lane.send(*connections, Pace::Closed, warm))?.rate);
        }
        all.extend(rounds(lanes, *connections, &mut rates, None, extent)?);
    }
    if let (true, Some(first)) = (open, connections.first()) {
        let slowest = all.iter().filter(|one| one.connections == *first).map(|one| one.median(|round| round.rate));
        let offered = slowest.fold(f64::INFINITY, f64::min) * OFFERED;
        all.extend(rounds(lanes, *first, &mut vec![offered; lanes.len()], Some(offered), extent)?);
    }
    Ok(all)
}

fn rounds(
    lanes: &mut [Lane<'_>],
    connections: usize,
    rates: &mut [f64],
    offered: Option<f64>,
    extent: Extent,
) -> Result<Vec<Series>, String> {
    let begin = |lane: &Lane<'_>| Series {
        lane: lane.name.to_owned(),
        words: lane.words.clone(),
        connections,
        offered,
        rounds: Vec::new(),
    };
    let mut series: Vec<Series> = lanes.iter().map(begin).collect();
    for _ in 0..extent.rounds {
        for (index, lane) in lanes.iter_mut().enumerate() {
            let acts = ((rates[index] * extent.seconds) as usize).clamp(extent.acts.0.max(connections), extent.acts.1);
            let pace = offered.map_or(Pace::Closed, Pace::Open);
            let round = named(lane, |lane| lane.send(connections, pace, acts))?;
            if offered.is_none() {
                rates[index] = round.rate;
            }
            series[index].rounds.push(round);
        }
    }
    for one in &series {
        let pace = one.offered.map_or(String::new(), |rate| format!(" at {rate:.0}/s offered"));
        eprintln!(
            "  {:<14} {connections:>3} conns{pace}: {:>8.0}/s  p50 {:.2}  p99 {:.2} ms  server {:.0} µs, client {:.0} µs, {:.0} B written",
            one.lane,
            one.median(|round| round.rate),
            one.median(|round| round.p50),
            one.median(|round| round.p99),
            one.median(|round| round.server_us),
            one.median(|round| round.client_us),
            one.median(|round| round.written),
        );
    }
    Ok(series)
}

fn named<T>(lane: &mut Lane<'_>, act: impl FnOnce(&mut Lane<'_>) -> Result<T, String>) -> Result<T, String> {
    act(lane).map_err(|wrong| format!("{}: {}: {wrong}", lane.name, lane.words))
}
