//! A blocking HTTP/1.1 client: one connection a request, no retries, nothing hidden. What goes out is what the test wrote.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::Value;

/// Speaks to one server with one token (or none).
#[derive(Clone)]
pub struct Client {
    address: SocketAddr,
    headers: Vec<(String, String)>,
}

impl Client {
    /// A client without a token.
    pub fn new(address: SocketAddr) -> Self {
        Client { address, headers: Vec::new() }
    }
    /// The same client with this token.
    pub fn token(&self, token: &str) -> Self {
        self.header("X-Vault-Token", token)
    }
    /// The same client with one more header on every request.
    pub fn header(&self, name: &str, value: &str) -> Self {
        let mut headers = self.headers.clone();
        headers.push((name.into(), value.into()));
        Client { address: self.address, headers }
    }
    /// `GET /v1/PATH`.
    pub fn read(&self, path: &str) -> Answer {
        self.send("GET", path, None)
    }
    /// `LIST /v1/PATH`.
    pub fn list(&self, path: &str) -> Answer {
        self.send("LIST", path, None)
    }
    /// `DELETE /v1/PATH`.
    pub fn delete(&self, path: &str) -> Answer {
        self.send("DELETE", path, None)
    }
    /// `POST /v1/PATH` with a JSON body.
    pub fn write(&self, path: &str, body: &Value) -> Answer {
        self.send("POST", path, Some(body.to_string().as_bytes()))
    }
    /// Any method and body; panics if no answer comes.
    pub fn send(&self, method: &str, path: &str, body: Option<&[u8]>) -> Answer {
        self.try_send(method, path, body).unwrap_or_else(|error| panic!("{method} /v1/{path}: {error}"))
    }
    /// `POST /v1/PATH`, where the server may die at any moment.
    pub fn try_write(&self, path: &str, body: &Value) -> io::Result<Answer> {
        self.try_send("POST", path, Some(body.to_string().as_bytes()))
    }
    /// Any method and body; an error if the connection breaks before the whole answer is here.
    pub fn try_send(&self, method: &str, path: &str, body: Option<&[u8]>) -> io::Result<Answer> {
        let mut head = format!("{method} /v1/{path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n", self.address);
        for (name, value) in &self.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        if let Some(body) = body {
            head.push_str(&format!("Content-Length: {}\r\n", body.len()));
        }
        head.push_str("\r\n");
        self.exchange(&[head.as_bytes(), body.unwrap_or_default()].concat())
    }
    /// Sends these very bytes and reads one answer.
    pub fn exchange(&self, bytes: &[u8]) -> io::Result<Answer> {
        let mut stream = TcpStream::connect_timeout(&self.address, Duration::from_secs(10))?;
        stream.set_read_timeout(Some(Duration::from_secs(60)))?;
        stream.write_all(bytes)?;
        let mut answer = Vec::new();
        let closed = stream.read_to_end(&mut answer);
        // A reset after a complete answer is the server closing on a request it did not read to the end.
        match (Answer::parse(&answer), closed) {
            (Some(answer), _) => Ok(answer),
            (None, Err(error)) => Err(error),
            (None, Ok(_)) => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the answer is not complete")),
        }
    }
}

/// One answer.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// Header names as sent, with their values.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Answer {
    fn parse(bytes: &[u8]) -> Option<Self> {
        let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
        let head = String::from_utf8_lossy(&bytes[..end]);
        let mut lines = head.split("\r\n");
        let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
        let headers: Vec<(String, String)> = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.to_string(), value.trim().to_string()))
            .collect();
        let mut answer = Answer { status, headers, body: bytes[end + 4..].to_vec() };
        if let Some(length) = answer.header("content-length") {
            let length = length.parse().ok()?;
            if answer.body.len() < length {
                return None;
            }
            answer.body.truncate(length);
        } else if answer.header("transfer-encoding").is_some() {
            answer.body = unchunk(&answer.body)?;
        }
        Some(answer)
    }
    /// A header's value, whatever its name's case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(have, _)| have.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }
    /// The same answer; panics with its body if the status is another.
    #[track_caller]
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "answer: {}", self.text());
        self
    }
    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
    /// The body as JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("not JSON ({error}): {}", self.text()))
    }
    /// The envelope's `data`.
    #[track_caller]
    pub fn data(&self) -> Value {
        self.json()["data"].clone()
    }
    /// The first of `errors`, or nothing.
    pub fn error(&self) -> String {
        serde_json::from_slice::<Value>(&self.body)
            .ok()
            .and_then(|body| body["errors"][0].as_str().map(str::to_string))
            .unwrap_or_default()
    }
}

fn unchunk(mut rest: &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let end = rest.windows(2).position(|window| window == b"\r\n")?;
        let size = usize::from_str_radix(std::str::from_utf8(&rest[..end]).ok()?.split(';').next()?.trim(), 16).ok()?;
        rest = rest.get(end + 2..)?;
        if size == 0 {
            return Some(body);
        }
        body.extend_from_slice(rest.get(..size)?);
        rest = rest.get(size + 2..)?;
    }
}
