//! The operator: turns a role and an issuer on and off, makes new keys and wraps the old ones' sets anew, one thing after the other.

use std::sync::mpsc::Sender;
use std::thread::sleep;
use std::time::Duration;

use serde_json::{Value, json};

use super::cast::{Cast, Door, GUEST, TURNING};
use super::client::{Stage, said};
use super::log::{Asked, Line, Try};
use crate::support::corpus::Dice;
use crate::support::server::MOUNT;

/// The one operator of a run.
pub struct Operator<'a> {
    pub stage: &'a Stage,
    pub doors: Vec<Door>,
    pub dice: Dice,
    pub log: Sender<Line>,
}

impl Operator<'_> {
    /// Acts until the run is over.
    pub fn play(&self) {
        let mut may = [true; 2];
        for turn in 0_u64.. {
            sleep(Duration::from_millis(self.dice.below(120) as u64));
            if self.stage.is_over() {
                return;
            }
            let act = format!("o-{turn}");
            let (path, body, asked) = match self.dice.below(10) {
                0..=3 => {
                    may[0] = !may[0];
                    let asked = Asked::Role { name: TURNING.to_owned(), may: may[0] };
                    (format!("{MOUNT}/roles/{TURNING}"), Cast::turning(may[0]), asked)
                }
                4..=6 => {
                    may[1] = !may[1];
                    let asked = Asked::Issuer { name: GUEST.to_owned(), may: may[1] };
                    (format!("{MOUNT}/issuers/guests"), self.stage.cast.issuer(may[1]), asked)
                }
                7 => (format!("{MOUNT}/config/keys/rotate"), json!({}), Asked::Rotate),
                8 if !self.stage.mounted => ("sys/rotate".to_owned(), json!({}), Asked::Rotate),
                _ => (format!("{MOUNT}/config/keys/rewrap"), json!({"batch": 5}), Asked::Rewrap),
            };
            self.insist(&act, &path, &body, &asked);
        }
    }

    /// Sends it until it is known what became of it.
    fn insist(&self, act: &str, path: &str, body: &Value, asked: &Asked) {
        for door in self.doors.iter().cycle() {
            let sent = self.stage.micros();
            let answer = door.root.try_write(path, body);
            let answered = self.stage.micros();
            // What never arrived is no try.
            if !matches!(&answer, Err(error) if error.kind() == std::io::ErrorKind::ConnectionRefused) {
                let one = Try {
                    act: act.to_owned(),
                    node: door.node,
                    account: String::new(),
                    sent,
                    answered,
                    asked: asked.clone(),
                    status: answer.as_ref().ok().map(|answer| answer.status).filter(|status| *status != 307),
                    said: answer.as_ref().map(|answer| said(asked, answer)).unwrap_or_default(),
                };
                let known = one.is_acknowledged() || one.is_refused();
                let _ = self.log.send(Line::Try(one));
                if known {
                    return;
                }
            }
            if self.stage.is_over() {
                return;
            }
            sleep(Duration::from_millis(8));
        }
    }
}
