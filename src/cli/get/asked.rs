//! Asking the server for the code, and what its answer means for the request that is remembered.

use serde::Serialize;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::pending::{Memory, Pending};
use super::show::{self, Around};
use super::{Args, Ended, Tools};
use crate::cli::client::{Client, Failure, Reply};
use crate::cli::console::Console;
use crate::cli::lines;

#[derive(Serialize)]
struct Body<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    jwt: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ticket: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    slot: Option<u32>,
    idempotency_key: &'a str,
}

/// A request on its way.
pub(super) struct Asked<'a> {
    pub args: &'a Args,
    pub tools: &'a Tools<'a>,
    pub client: &'a Client,
    pub memory: Option<&'a Memory>,
    pub pending: &'a mut Pending,
    /// Whether it was sent before, so that a code may have left.
    pub asked_before: bool,
}

impl Asked<'_> {
    /// Sends it. What certainly came to nothing is forgotten.
    pub fn send(&mut self, target: &str, jwt: Option<&str>) -> Result<Reply, Ended> {
        let body = Body {
            role: self.pending.role.as_deref(),
            jwt,
            reason: self.pending.reason.as_deref(),
            ticket: self.pending.ticket.as_deref(),
            slot: self.pending.slot,
            idempotency_key: &self.pending.key,
        };
        let mut text = Zeroizing::new(Vec::with_capacity(jwt.map_or(0, str::len) + 16 * 1024));
        serde_json::to_writer(&mut *text, &body).map_err(|error| Failure::local(error.to_string()))?;
        let sent = self.client.put_wrapped(target, text, self.pending.wrap.as_deref());
        let reply = match sent {
            Ok(reply) => reply,
            Err(failure) if failure.outcome_unknown() => return Err(self.unknown(&failure)),
            Err(failure) => return Err(self.refused(failure)),
        };
        let status = reply.status();
        match reply.success(self.client.settings()) {
            Ok(reply) => Ok(reply),
            Err(failure) if status >= 500 || status == 408 => Err(self.unknown(&failure)),
            Err(failure) => Err(self.refused(failure)),
        }
    }
    fn unknown(&self, failure: &Failure) -> Ended {
        let again = match &self.args.idempotency_key {
            Some(key) => format!("with --idempotency-key {key}"),
            None => "the same command".to_owned(),
        };
        Ended {
            told: format!(
                "{failure}.\nIt is not known whether a code left. Ask again ({again}): it is the same code, and costs no other."
            ),
            code: 4,
        }
    }
    /// Nothing left by this request. One that was asked before may have.
    fn refused(&self, failure: Failure) -> Ended {
        if self.asked_before {
            let told = format!(
                "{failure}.\nYour request of {} stays open: once what is in the way is gone, the same command shows its code.",
                show::clock(self.pending.since())
            );
            return Ended { told, code: failure.exit_code() };
        }
        self.forget();
        failure.into()
    }
    fn forget(&self) {
        if let Some(memory) = self.memory.filter(|_| self.args.idempotency_key.is_none()) {
            memory.forget(&self.pending.at, &self.pending.account);
        }
    }

    /// Shows what came, and remembers which code it is.
    pub fn show(&mut self, mut reply: Reply, console: &mut Console) -> Result<(), Ended> {
        if let Some(token) = reply.take_secret("wrap_info", "token") {
            return self.show_wrapped(&reply, &token, console);
        }
        let code = reply.take_secret("data", "code");
        let data = reply.data();
        let number = |name: &str| data.get(name).and_then(Value::as_u64);
        if let (Some(generation), Some(slot)) = (number("generation"), number("slot")) {
            self.pending.left = Some((generation, slot));
            if let Some(memory) = self.memory.filter(|_| self.args.idempotency_key.is_none()) {
                // The code is here: that its slot cannot be written down must not keep it from being shown.
                let _ = memory.keep(self.pending);
            }
        }
        let Some(code) = code else {
            let account = &self.pending.account;
            let told = format!(
                "the code you asked for at {} was shown then, and is not shown again: its time is over.\nSay what came of it \
                 (sparekey outcome {account} worked), or get the next one:  sparekey get {account} --another",
                show::clock(self.pending.since())
            );
            return Err(Ended { told, code: 2 });
        };
        if self.args.act.json {
            let mut all = data.clone();
            all.insert("warnings".to_owned(), json!(reply.warnings()));
            console.say(&with_code(&Value::Object(all), "code", &code)?);
            return Ok(());
        }
        let around = Around {
            data: &data,
            account: &self.pending.account,
            flags: &flags(self.args),
            warnings: reply.warnings(),
            now: self.tools.now,
        };
        console.say(&show::page(&code, &around, self.tools.paint, self.tools.columns));
        Ok(())
    }
    fn show_wrapped(&self, reply: &Reply, token: &str, console: &mut Console) -> Result<(), Ended> {
        let ttl = reply.body().pointer("/wrap_info/ttl").and_then(Value::as_u64).unwrap_or_default();
        if self.args.act.json {
            let all = json!({"account": self.pending.account, "ttl": ttl, "asked_before": self.asked_before});
            console.say(&with_code(&all, "wrapping_token", token)?);
            return Ok(());
        }
        let columns = self.tools.columns.saturating_sub(2);
        let account = &self.pending.account;
        let said = match self.asked_before {
            false => format!(
                "A code of {account} is used up and waits, wrapped, for {ttl} seconds. Whoever has this token gets it, once:"
            ),
            // What is inside cannot be seen from here.
            true => format!(
                "You asked for this code of {account} at {}. This token stands for the same one, for {ttl} seconds: it holds the \
                 code if nobody has taken it and its time was not over, else only that it was done:",
                show::clock(self.pending.since())
            ),
        };
        let mut page = format!(
            "\n  {}\n\n    {}\n\n  Get it with\n    bao unwrap {token}\n",
            lines::hanging(&said, columns, 2),
            self.tools.paint.bold(token)
        );
        if self.asked_before {
            page.push_str(&format!(
                "\n  If no code is in it, get the next one\n    sparekey get {account} --another\n"
            ));
        }
        console.say(&page);
        Ok(())
    }
}

/// JSON text of `object` with one more field, which is a secret: in memory that is wiped.
fn with_code(object: &Value, name: &str, secret: &str) -> Result<Zeroizing<String>, Ended> {
    let broken = |error: serde_json::Error| Failure::local(error.to_string());
    let plain = serde_json::to_string(object).map_err(broken)?;
    let mut text = Zeroizing::new(Vec::with_capacity(plain.len() + 2 * secret.len() + 64));
    text.push(b'{');
    serde_json::to_writer(&mut *text, name).map_err(broken)?;
    text.push(b':');
    serde_json::to_writer(&mut *text, secret).map_err(broken)?;
    text.push(b',');
    text.extend_from_slice(plain.trim_start_matches('{').as_bytes());
    let text = std::str::from_utf8(&text).map_err(|error| Failure::local(error.to_string()))?;
    Ok(Zeroizing::new(text.to_owned()))
}

/// What `outcome` needs to be told to reach the same engine.
fn flags(args: &Args) -> String {
    let mut flags = String::new();
    if args.act.mount() != "backup-codes" {
        flags.push_str(&format!(" --mount {}", args.act.mount));
    }
    if let Some(address) = &args.act.connection.address {
        flags.push_str(&format!(" --address {address}"));
    }
    flags
}
