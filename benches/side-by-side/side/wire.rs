//! One connection that is kept alive: a request that was written down beforehand goes out, one answer is read.

use std::io;
use std::net::SocketAddr;

use bytes::{Buf as _, Bytes, BytesMut};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// Headers an answer may have.
const HEADERS: usize = 64;
/// The longest answer that is read.
const LONGEST: usize = 64 << 20;

/// A whole HTTP/1.1 request as it goes over the wire. `path` comes behind `/v1/`.
pub fn request(address: SocketAddr, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Bytes {
    let mut text = format!("{method} /v1/{path} HTTP/1.1\r\nhost: {address}\r\nx-vault-request: true\r\n");
    for (name, value) in headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    if method == "POST" {
        text.push_str(&format!("content-length: {}\r\n", body.len()));
    }
    text.push_str("\r\n");
    text.push_str(body);
    Bytes::from(text)
}

/// An open connection.
pub struct Wire {
    stream: TcpStream,
    buffer: BytesMut,
}

/// How a body's length is told.
enum Length {
    Known(usize),
    Chunked,
}

impl Wire {
    /// Connects.
    pub async fn open(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Wire { stream, buffer: BytesMut::with_capacity(16 << 10) })
    }

    /// Sends the request and reads the status and the body of its answer.
    pub async fn ask(&mut self, request: &[u8]) -> io::Result<(u16, Bytes)> {
        self.stream.write_all(request).await?;
        let (status, length) = loop {
            if let Some(head) = self.head()? {
                break head;
            }
            self.more().await?;
        };
        let body = match length {
            Length::Known(length) => self.take(length).await?,
            Length::Chunked => self.chunks().await?,
        };
        Ok((status, body))
    }

    async fn more(&mut self) -> io::Result<()> {
        if self.buffer.len() > LONGEST {
            return Err(io::Error::other("an answer without end"));
        }
        match self.stream.read_buf(&mut self.buffer).await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }

    /// The head of an answer, taken off the buffer; nothing while it is not all there.
    fn head(&mut self) -> io::Result<Option<(u16, Length)>> {
        let mut headers = [httparse::EMPTY_HEADER; HEADERS];
        let mut answer = httparse::Response::new(&mut headers);
        let end = match answer.parse(&self.buffer).map_err(io::Error::other)? {
            httparse::Status::Partial => return Ok(None),
            httparse::Status::Complete(end) => end,
        };
        let status = answer.code.unwrap_or_default();
        let find = |name: &str| answer.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name));
        let length =
            find("content-length").and_then(|header| std::str::from_utf8(header.value).ok()?.trim().parse().ok());
        let length = match length {
            Some(length) => Length::Known(length),
            None if find("transfer-encoding").is_some() => Length::Chunked,
            None => Length::Known(0),
        };
        self.buffer.advance(end);
        Ok(Some((status, length)))
    }

    async fn take(&mut self, length: usize) -> io::Result<Bytes> {
        while self.buffer.len() < length {
            self.more().await?;
        }
        Ok(self.buffer.split_to(length).freeze())
    }

    async fn chunks(&mut self) -> io::Result<Bytes> {
        let mut body = BytesMut::new();
        loop {
            let parsed = httparse::parse_chunk_size(&self.buffer).map_err(|_| io::Error::other("not a chunk"))?;
            let httparse::Status::Complete((line, size)) = parsed else {
                self.more().await?;
                continue;
            };
            let size = usize::try_from(size).map_err(io::Error::other)?;
            let _ = self.take(line).await?;
            let chunk = self.take(size + 2).await?;
            if size == 0 {
                return Ok(body.freeze());
            }
            body.extend_from_slice(&chunk[..size]);
        }
    }
}
