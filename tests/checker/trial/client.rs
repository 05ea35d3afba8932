//! A client: sends what it drew, writes down what came of it, and passes on what it learned.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::Sender;
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::cast::{Cast, Door};
use super::draw::{Draw, Request, Token};
use super::log::{Asked, Line, Said, Try, letter};
use super::world::{World, remember};
use crate::support::corpus::Dice;
use crate::support::http::Answer;
use crate::support::server::MOUNT;

/// How long a request is sent again before its client gives up, not knowing what became of it.
const PATIENCE: Duration = Duration::from_secs(20);
/// Between two tries.
const PAUSE: Duration = Duration::from_millis(8);

/// What everybody in a run shares.
pub struct Stage {
    pub world: World,
    pub cast: Cast,
    /// By one monotonic clock.
    pub began: Instant,
    pub over: AtomicBool,
    /// Acts that clients began.
    pub acts: AtomicUsize,
    /// Tries to which nobody listened: nothing was sent.
    pub unheard: AtomicUsize,
    pub mounted: bool,
}

impl Stage {
    /// Microseconds since the run began.
    pub fn micros(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX)
    }
    /// Whether the run is over.
    pub fn is_over(&self) -> bool {
        self.over.load(Ordering::SeqCst)
    }
}

/// One client.
pub struct Player<'a> {
    pub stage: &'a Stage,
    /// The ways to the engine; the next one is taken when one fails.
    pub doors: Vec<Door>,
    pub number: usize,
    pub dice: Dice,
    pub log: Sender<Line>,
}

impl Player<'_> {
    /// Acts until the run is over.
    pub fn play(&self) {
        let mut wanting = None;
        let mut door = self.number % self.doors.len();
        for turn in 0_u64.. {
            if self.stage.is_over() {
                return;
            }
            let act = format!("c{}-{turn}", self.number);
            let request = Draw {
                world: &self.stage.world,
                cast: &self.stage.cast,
                door: &self.doors[door],
                dice: &self.dice,
                client: self.number,
                act: &act,
                turn,
                mounted: self.stage.mounted,
            }
            .next(wanting.take());
            self.stage.acts.fetch_add(1, Ordering::Relaxed);
            // Who is not sure asks again, or does not.
            let insists = request.again && self.dice.below(10) < 8;
            wanting = self.carry_through(&act, &request, insists, &mut door);
        }
    }

    /// Sends it, and again while it is not known what became of it; answers the account if it wants a set.
    fn carry_through(&self, act: &str, request: &Request, insists: bool, door: &mut usize) -> Option<usize> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let one = self.send(act, request, *door);
            let known = one.as_ref().is_some_and(|(one, _)| one.is_acknowledged() || one.is_refused());
            if let Some((one, answer)) = one {
                let wanting = self.learn(act, request, &one, answer.as_ref());
                // The end of the log has gone only when the run has.
                let _ = self.log.send(Line::Try(one));
                if known {
                    return wanting;
                }
            }
            let unheard = !known;
            if Instant::now() > deadline || self.stage.is_over() || (unheard && !insists) {
                sleep(PAUSE);
                return None;
            }
            *door = (*door + 1) % self.doors.len();
            sleep(PAUSE);
        }
    }

    /// One try; nothing if nobody listened.
    fn send(&self, act: &str, request: &Request, door: usize) -> Option<(Try, Option<Answer>)> {
        let door = &self.doors[door];
        let name = self.stage.world.name(request.account);
        let client = match &request.token {
            Token::None => door.client.clone(),
            Token::Root => door.root.clone(),
            Token::Own(token) => door.client.token(token),
        };
        let client = if request.wrap { client.header("X-Vault-Wrap-TTL", "120s") } else { client };
        let outside = request.path.starts_with("sys/") || request.path.starts_with("auth/");
        let path = if outside { request.path.clone() } else { format!("{MOUNT}/{}", request.path) };
        let body = (!request.body.is_null()).then(|| request.body.to_string());
        let sent = self.stage.micros();
        let answer = client.try_send(request.method, &path, body.as_deref().map(str::as_bytes));
        let answered = self.stage.micros();
        if matches!(&answer, Err(error) if error.kind() == io::ErrorKind::ConnectionRefused) {
            self.stage.unheard.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        // What a vault says of a plugin that died under it, or a node that knows no leader, tells nothing of the act.
        let answer = answer.ok().filter(|answer| answer.status != 307);
        let one = Try {
            act: act.to_owned(),
            node: door.node,
            account: name.to_owned(),
            sent,
            answered,
            asked: request.asked.clone(),
            status: answer.as_ref().map(|answer| answer.status),
            said: answer.as_ref().map(|answer| said(&request.asked, answer)).unwrap_or_default(),
        };
        Some((one, answer))
    }

    /// Passes on what an answer says; answers the account if it wants a set.
    fn learn(&self, act: &str, request: &Request, one: &Try, answer: Option<&Answer>) -> Option<usize> {
        let mut view = self.stage.world.view(request.account);
        let said = &one.said;
        if one.is_refused() {
            let empty = matches!(said.refusal.as_str(), "exhausted" | "no-set" | "ended" | "quarantined");
            return (empty && matches!(request.asked, Asked::Retrieve { .. })).then_some(request.account);
        }
        if !one.is_acknowledged() {
            return None;
        }
        let body: Value = answer.and_then(|answer| serde_json::from_slice(&answer.body).ok()).unwrap_or(Value::Null);
        let latest = said.generation.max(said.slots.keys().last().copied()).unwrap_or(0);
        view.generation = view.generation.max(latest);
        let enrollment = body["data"]["enrollment"].as_u64().or(body["data"]["enrollment"]["number"].as_u64());
        view.enrollment = view.enrollment.max(enrollment.unwrap_or(0));
        match &request.asked {
            // Perhaps there is no set at all. Where none is, a code is stretched, which is slow.
            Asked::Verify { .. } if said.valid == Some(false) => {
                return (view.generation == 0 || self.dice.below(3) == 0).then_some(request.account);
            }
            Asked::Store { .. } => said.codes.iter().for_each(|code| remember(&mut view.made, code.clone())),
            Asked::Retrieve { wrapped: true, .. } => {
                if let Some(token) = body["wrap_info"]["token"].as_str() {
                    remember(&mut view.wraps, (act.to_owned(), token.to_owned()));
                }
            }
            Asked::Retrieve { .. } | Asked::Unwrap { .. } => {
                if let Some(place) = one.let_out() {
                    remember(&mut view.given, place);
                }
            }
            Asked::Login => {
                if let Some(token) = body["auth"]["client_token"].as_str() {
                    let mut tokens = self.stage.world.tokens.lock().expect("no client panicked");
                    remember(&mut tokens, (act.to_owned(), token.to_owned()));
                }
            }
            _ => {}
        }
        None
    }
}

/// What an answer says, as far as it is judged.
pub fn said(asked: &Asked, answer: &Answer) -> Said {
    let body: Value = serde_json::from_slice(&answer.body).unwrap_or(Value::Null);
    let data = &body["data"];
    let mut said = Said::default();
    if answer.status >= 400 {
        let sentence = body["errors"][0].as_str().or(body["err"].as_str()).unwrap_or_default();
        let first = sentence.trim_start_matches("1 error occurred:").trim_start_matches(['\n', '\t', '*', ' ']);
        said.refusal = first.split([':', ' ']).next().unwrap_or_default().to_owned();
        // An assertion that a clock which jumped finds too old says nothing of what the role allows.
        if said.refusal == "role" && sentence.contains("older than") {
            said.refusal = "too-old".to_owned();
        }
        return said;
    }
    let text = |value: &Value| value.as_str().map(str::to_owned);
    said.generation = match asked {
        Asked::Revoke { .. } => data["revoked"].as_u64(),
        Asked::Release => data["released"].as_u64(),
        _ => data["generation"].as_u64(),
    };
    said.slot = data["slot"].as_u64();
    said.code = text(&data["code"]);
    said.codes = data["codes"].as_array().into_iter().flatten().filter_map(text).collect();
    said.repeat = data["repeat"] == true;
    said.done = data["done"] == true;
    said.unchanged = data["unchanged"] == true;
    said.valid = data["valid"].as_bool();
    said.unlocked = data["unlocked"] == true;
    said.slots = slots(data);
    said
}

/// By generation the states of all slots that an account's metadata tell of, a letter each.
pub fn slots(data: &Value) -> std::collections::BTreeMap<u64, String> {
    let of = |set: &Value| {
        let states = set["slots"].as_array()?.iter().map(|slot| letter(slot["state"].as_str().unwrap_or_default()));
        Some((set["generation"].as_u64()?, states.collect()))
    };
    data["sets"].as_array().into_iter().flatten().filter_map(of).collect()
}
