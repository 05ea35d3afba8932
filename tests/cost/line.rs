//! A connection that is kept alive and allocates nothing while it asks: what is counted is the server's.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// One connection.
pub struct Line(TcpStream);

impl Line {
    /// Connects.
    pub fn to(address: SocketAddr) -> Line {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        Line(stream)
    }

    /// Sends these bytes and reads one whole answer; it must be one of 200, 202 or 204.
    pub fn ask(&mut self, request: &[u8]) {
        self.0.write_all(request).unwrap();
        let mut buffer = [0; 64 * 1024];
        let mut filled = 0;
        loop {
            let read = self.0.read(&mut buffer[filled..]).unwrap();
            assert!(read > 0, "the server hung up");
            filled += read;
            if whole(&buffer[..filled]) {
                break;
            }
        }
        let good =
            [&b"HTTP/1.1 200"[..], b"HTTP/1.1 202", b"HTTP/1.1 204"].iter().any(|status| buffer.starts_with(status));
        assert!(good, "{}", String::from_utf8_lossy(&buffer[..filled]));
    }
}

fn whole(answer: &[u8]) -> bool {
    let Some(end) = answer.windows(4).position(|window| window == b"\r\n\r\n") else { return false };
    let head = std::str::from_utf8(&answer[..end]).unwrap();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    answer.len() >= end + 4 + length.map_or(0, |length| length.parse::<usize>().unwrap())
}
