//! What a client does next, drawn from its own dice. The numbers follow from the seed alone; what they choose from is what was heard
//! so far, and so depends on timing.

use serde_json::{Value, json};

use super::cast::{Cast, Door, GUEST, TURNING, WORKER, source_of};
use super::log::{Asked, Manner};
use super::world::{Told, View, World, remember};
use crate::support::corpus::Dice;
use crate::support::scene::codes;

/// Codes of a set that is brought.
const CODES: usize = 12;

/// A request that has not been sent.
pub struct Request {
    pub asked: Asked,
    pub account: usize,
    pub method: &'static str,
    /// Below the mount, or below `sys/` and `auth/` where it begins so.
    pub path: String,
    pub body: Value,
    /// Whether to send it with the operator's token, with this one, or with none.
    pub token: Token,
    pub wrap: bool,
    /// Whether it may be sent again if it is not known what became of it.
    pub again: bool,
}

/// Whose token a request carries.
#[derive(Clone, PartialEq, Eq)]
pub enum Token {
    None,
    Root,
    Own(String),
}

/// One client's choice.
pub struct Draw<'a> {
    pub world: &'a World,
    pub cast: &'a Cast,
    pub door: &'a Door,
    pub dice: &'a Dice,
    pub client: usize,
    pub act: &'a str,
    pub turn: u64,
    /// Whether a vault mounts the engine: it has tokens of its own.
    pub mounted: bool,
}

impl Draw<'_> {
    /// The next request; `wanting` is the account that was found empty just now, if one was.
    pub fn next(&self, wanting: Option<usize>) -> Request {
        let account = self.dice.below(self.world.len());
        let chance = self.dice.below(100);
        if let Some(account) = wanting.filter(|_| self.dice.below(4) > 0) {
            return self.store(account);
        }
        let manner = self.world.manner(account);
        match chance {
            0..=6 => self.store(account),
            7..=11 => self.unwrap(account).unwrap_or_else(|| self.retrieve(account)),
            12..=16 => self.outcome(account).unwrap_or_else(|| self.retrieve(account)),
            17..=20 => self.check(account),
            21..=23 => self.event(account),
            24..=25 => self.enroll(account),
            26..=27 => self.revoke(account),
            28..=30 => self.act("release", account, Asked::Release, json!({}), true),
            31..=33 => self.confirm(account),
            34..=38 => self.read(account, None),
            39..=40 => self.plain(account, "DELETE", Asked::Delete),
            41 => self.plain(account, "POST", Asked::Create),
            42..=45 if !self.mounted => self.token(account),
            _ if manner == Manner::Issued => self.verify(account),
            _ => self.retrieve(account),
        }
    }

    fn act(&self, base: &str, account: usize, asked: Asked, fields: Value, again: bool) -> Request {
        self.act_as(WORKER, base, account, asked, fields, again)
    }
    fn act_as(&self, role: &str, base: &str, account: usize, asked: Asked, fields: Value, again: bool) -> Request {
        let mut body = json!({
            "role": role, "jwt": self.cast.assertion(role, self.act, (self.door.now)()), "reason": format!("act {}", self.act),
        });
        if let (Value::Object(body), Value::Object(fields)) = (&mut body, fields) {
            body.extend(fields.into_iter().filter(|(_, value)| !value.is_null()));
        }
        let path = format!("{base}/{}", self.world.name(account));
        // A vault lets nobody in without a token.
        let token = if self.mounted { Token::Root } else { Token::None };
        Request { asked, account, method: "POST", path, body, token, wrap: false, again }
    }
    fn key(&self, of_ten: usize) -> Option<String> {
        (self.dice.below(10) < of_ten).then(|| format!("key-{}", self.act))
    }
    fn picked<T: Clone>(&self, list: &[T]) -> Option<T> {
        let chance = self.dice.below(1 << 20);
        list.get(chance % list.len().max(1)).cloned()
    }

    fn store(&self, account: usize) -> Request {
        let (manner, mut view) = (self.world.manner(account), self.world.view(account));
        let now = (self.door.now)();
        let (cas, key) = (self.dice.below(10) < 6, self.key(7));
        let cas = cas.then_some(view.generation);
        let (when, age) = (self.dice.below(10), self.dice.below(60) as u64);
        let old = self.dice.below(8) == 0;
        let mut file = codes(self.client as u64 * 1_000_000 + self.turn, CODES);
        let (mut bound_at, mut enrollment) = (None, None);
        match when {
            0..=4 => bound_at = Some(now),
            5 => bound_at = Some(now - age),
            6..=8 => enrollment = Some(view.enrollment),
            _ => {}
        }
        if manner == Manner::Issued {
            (file, bound_at, enrollment) = (Vec::new(), None, None);
        } else if old && !view.files.is_empty() {
            file = self.picked(&view.files).unwrap_or(file);
            // Last year's file with its lines in another order is last year's file.
            file.reverse();
        } else {
            remember(&mut view.files, file.clone());
        }
        drop(view);
        let again = key.is_some() || cas.is_some();
        let fields = json!({
            "codes": (!file.is_empty()).then_some(&file), "cas": cas, "bound_at": bound_at, "enrollment": enrollment,
            "idempotency_key": key, "profile": manner.profile(),
        });
        self.act("sets", account, Asked::Store { codes: file, cas, bound_at, enrollment }, fields, again)
    }
    fn retrieve(&self, account: usize) -> Request {
        let (wrapped, key) = (self.dice.below(100) < 15, self.key(6));
        let slot = (self.dice.below(8) == 0).then(|| self.dice.below(CODES) as u64 + 1);
        let role = match self.dice.below(10) {
            0 => TURNING,
            1 => GUEST,
            _ => WORKER,
        };
        let again = key.is_some();
        let asked = Asked::Retrieve { slot, wrapped, role: role.to_owned() };
        let fields = json!({"slot": slot, "idempotency_key": key});
        let request = self.act_as(role, "retrieve", account, asked, fields, again);
        Request { wrap: wrapped, ..request }
    }
    fn unwrap(&self, account: usize) -> Option<Request> {
        let (of, token) = self.picked(&self.world.view(account).wraps)?;
        Some(Request {
            asked: Asked::Unwrap { of },
            account,
            method: "POST",
            path: "sys/wrapping/unwrap".to_owned(),
            body: json!({}),
            token: Token::Own(token),
            wrap: false,
            again: false,
        })
    }
    fn outcome(&self, account: usize) -> Option<Request> {
        let (generation, slot) = self.picked(&self.world.view(account).given)?;
        let what = (*self.dice.pick(&["worked", "refused", "unused"])).to_owned();
        let fields = json!({"generation": generation, "slot": slot, "outcome": what});
        Some(self.act("outcome", account, Asked::Outcome { generation, slot, what }, fields, true))
    }
    fn presented(&self, account: usize) -> String {
        let view = self.world.view(account);
        let known = self.picked(&view.made).or_else(|| self.picked(&view.files).and_then(|file| self.picked(&file)));
        drop(view);
        let code = known.filter(|_| self.dice.below(12) > 0);
        let code = code.unwrap_or_else(|| "NOCODE-OF-OURS-AT-ALL-22".to_owned());
        match self.dice.below(4) {
            0 => code.to_lowercase(),
            1 => code.replace('-', " "),
            2 => code.replace('0', "o").replace('-', ""),
            _ => code,
        }
    }
    fn verify(&self, account: usize) -> Request {
        let (code, key) = (self.presented(account), self.key(5));
        let again = key.is_some();
        let fields = json!({"code": code, "idempotency_key": key});
        self.act("verify", account, Asked::Verify { code }, fields, again)
    }
    fn check(&self, account: usize) -> Request {
        let code = self.presented(account);
        let fields = json!({"code": code});
        self.act("check", account, Asked::Check { code }, fields, false)
    }
    fn event(&self, account: usize) -> Request {
        let now = (self.door.now)();
        let (again, age) = (self.dice.below(3) == 0, self.dice.below(40) as u64);
        let (name, mut view) = (self.world.name(account), self.world.view(account));
        let earlier = self.picked(&view.told).filter(|told| again && told.set.is_some());
        let told = earlier.unwrap_or_else(|| {
            let mut at = now - age;
            let source = source_of(self.client);
            // A source tells of an account's events each with a second of its own, so that the history names them.
            let taken = |view: &View, at: u64| {
                view.told.iter().any(|told| {
                    matches!(&told.asked, Asked::Event { source: other, at: was, .. } if *other == source && *was == at)
                })
            };
            while taken(&view, at) {
                at -= 1;
            }
            let told = Told {
                asked: Asked::Event { id: self.act.to_owned(), source: source.clone(), at },
                set: Some(self.cast.event(name, at, now)),
            };
            view.told.push(told.clone());
            told
        });
        let Asked::Event { source, .. } = &told.asked else { unreachable!("only events have a signed token") };
        Request {
            account,
            method: "POST",
            path: format!("events/{source}"),
            body: json!({"set": told.set}),
            token: Token::None,
            wrap: false,
            again: true,
            asked: told.asked,
        }
    }
    fn enroll(&self, account: usize) -> Request {
        let now = (self.door.now)();
        let (again, age) = (self.dice.below(3) == 0, self.dice.below(90) as u64);
        let mut view = self.world.view(account);
        let earlier = self.picked(&view.told).filter(|told| again && told.set.is_none());
        let told = earlier.unwrap_or_else(|| {
            let told = Told { asked: Asked::Enroll { id: self.act.to_owned(), at: now - age }, set: None };
            view.told.push(told.clone());
            told
        });
        drop(view);
        let Asked::Enroll { id, at } = &told.asked else { unreachable!("only enrollments have none") };
        let fields = json!({"enrollment_id": id, "occurred_at": at});
        self.act("enroll", account, told.asked.clone(), fields, true)
    }
    fn revoke(&self, account: usize) -> Request {
        let generation = self.world.view(account).generation;
        let generation = (generation > 0 && self.dice.below(2) == 0).then_some(generation);
        let fields = json!({"generation": generation});
        self.act("revoke", account, Asked::Revoke { generation }, fields, generation.is_some())
    }
    fn confirm(&self, account: usize) -> Request {
        let generation = self.world.view(account).generation.saturating_sub(self.dice.below(4) as u64).max(1);
        self.act("confirm", account, Asked::Confirm { generation }, json!({"generation": generation}), true)
    }
    fn read(&self, account: usize, token: Option<(String, String)>) -> Request {
        let request = self.plain(account, "GET", Asked::Read { token: token.as_ref().map(|(name, _)| name.clone()) });
        Request { token: token.map_or(Token::Root, |(_, token)| Token::Own(token)), ..request }
    }
    fn plain(&self, account: usize, method: &'static str, asked: Asked) -> Request {
        let (name, manner) = (self.world.name(account), self.world.manner(account));
        let body = if asked == Asked::Create { json!({"profile": manner.profile()}) } else { Value::Null };
        let path = format!("accounts/{name}");
        Request { asked, account, method, path, body, token: Token::Root, wrap: false, again: true }
    }
    /// Somebody logs in, goes in by a token, or ends one; those that were ended are tried again.
    fn token(&self, account: usize) -> Request {
        let tokens = self.world.tokens.lock().expect("no client panicked");
        let one = self.picked(&tokens);
        drop(tokens);
        match (one, self.dice.below(4)) {
            (Some(one), 0 | 1) => self.read(account, Some(one)),
            (Some((token, secret)), 2) => Request {
                asked: Asked::End { token },
                account,
                method: "POST",
                path: "auth/token/revoke-self".to_owned(),
                body: json!({}),
                token: Token::Own(secret),
                wrap: false,
                again: true,
            },
            _ => Request {
                asked: Asked::Login,
                account,
                method: "POST",
                path: "auth/jwt/login".to_owned(),
                body: json!({"role": "reader", "jwt": self.cast.assertion("reader", self.act, (self.door.now)())}),
                token: Token::None,
                wrap: false,
                again: false,
            },
        }
    }
}
