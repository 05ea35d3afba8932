//! The end of a file, compared with what the store or the running server knows of it.

use std::io::{self, BufRead, BufReader, Read};

use super::volume::Handle;
use crate::audit::chain::{self, Head, Line, MAX_LINE};
use crate::audit::start::Cut;

/// How far back an unfinished last line may reach before the file counts as not ours.
const REACH: u64 = 4 * MAX_LINE as u64;
/// Where bisection ends and reading line by line begins.
const STRETCH: u64 = 128 * 1024;

/// What stands at the end of a file.
#[derive(Debug, PartialEq, Eq)]
pub struct Tail {
    /// Length up to and including the last line feed.
    pub whole: u64,
    /// The last finished line, if it is one of ours.
    pub last: Option<Head>,
    /// What follows the last line feed, if it is the beginning of a line of ours.
    pub torn: Option<Cut>,
    /// Whether something else follows the last line feed.
    pub foreign: bool,
}

/// How a file compares with the line that should be in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It holds that line, and every line after it hangs together.
    Agrees,
    /// It holds no line.
    Empty,
    /// It ends before that line.
    Shorter,
    /// That line or a later one was altered, or the file is not ours.
    Altered,
    /// That line is in an earlier file, but this one does not begin right after it.
    Unanchored,
}

/// Reads the end of a file of `len` bytes.
pub fn examine(file: &impl Handle, len: u64) -> io::Result<Tail> {
    let from = len.saturating_sub(REACH);
    let mut end = Vec::new();
    At { file, offset: from, end: len }.read_to_end(&mut end)?;
    let Some(feed) = end.iter().rposition(|byte| *byte == b'\n') else {
        let ours = from == 0 && !end.is_empty() && chain::begins_a_line(&end);
        let torn = ours.then(|| Cut { bytes: len, hash: chain::hash(&end) });
        return Ok(Tail { whole: 0, last: None, foreign: len > 0 && torn.is_none(), torn });
    };
    let rest = &end[feed + 1..];
    let start = end[..feed].iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    let line = &end[start..feed];
    let last = Line::parse(line).map(|read| Head { seq: read.seq, hash: chain::hash(line) });
    let torn = (!rest.is_empty() && chain::begins_a_line(rest))
        .then(|| Cut { bytes: rest.len() as u64, hash: chain::hash(rest) });
    Ok(Tail { whole: from + feed as u64 + 1, last, foreign: !rest.is_empty() && torn.is_none(), torn })
}

/// Whether the file holds `known`, the last line that the store remembers, and hangs together from there to its end.
pub fn compare(file: &impl Handle, tail: &Tail, known: &Head) -> io::Result<Verdict> {
    let Some(last) = tail.last else {
        return Ok(if tail.whole == 0 && !tail.foreign { Verdict::Empty } else { Verdict::Altered });
    };
    if last.seq < known.seq {
        return Ok(Verdict::Shorter);
    }
    if last.seq == known.seq {
        return Ok(if last == *known { Verdict::Agrees } else { Verdict::Altered });
    }
    let Some(offset) = find(file, tail.whole, known.seq)? else { return Ok(Verdict::Altered) };
    follow(file, offset, tail.whole, known)
}

/// Follows the lines from `offset` to `end`.
fn follow(file: &impl Handle, offset: u64, end: u64, known: &Head) -> io::Result<Verdict> {
    let mut lines = BufReader::with_capacity(STRETCH as usize, At { file, offset, end });
    let mut buffer = Vec::new();
    let mut head: Option<Head> = None;
    let (mut earlier, mut unanchored) = (false, false);
    while next(&mut lines, &mut buffer)? {
        let Some(line) = Line::parse(&buffer) else { return Ok(Verdict::Altered) };
        let now = Head { seq: line.seq, hash: chain::hash(&buffer) };
        match head {
            None if line.seq < known.seq => {
                earlier = true;
                continue;
            }
            None if line.seq == known.seq => {
                if now != *known {
                    return Ok(Verdict::Altered);
                }
            }
            // The known line was taken out of this file.
            None if earlier => return Ok(Verdict::Altered),
            // It is in an earlier one.
            None => unanchored = line.seq != known.seq + 1 || line.prev != known.hash,
            Some(before) => {
                if line.seq != before.seq + 1 || line.prev != before.hash {
                    return Ok(Verdict::Altered);
                }
            }
        }
        head = Some(now);
    }
    Ok(match head {
        None => Verdict::Altered,
        Some(_) if unanchored => Verdict::Unanchored,
        Some(_) => Verdict::Agrees,
    })
}

/// The offset of a line at or shortly before number `seq`, by bisection: numbers only grow. `None` if lines cannot be read.
fn find(file: &impl Handle, end: u64, seq: u64) -> io::Result<Option<u64>> {
    let (mut low, mut high) = (0, end);
    while high - low > STRETCH {
        let middle = low + (high - low) / 2;
        let mut lines = BufReader::with_capacity(2 * MAX_LINE, At { file, offset: middle, end });
        let mut buffer = Vec::new();
        let skipped = lines.by_ref().take(REACH).read_until(b'\n', &mut buffer)? as u64;
        let start = middle + skipped;
        if start >= high || !next(&mut lines, &mut buffer)? {
            high = middle;
            continue;
        }
        match Line::parse(&buffer) {
            None => return Ok(None),
            Some(line) if line.seq <= seq => low = start,
            Some(_) => high = middle,
        }
    }
    Ok(Some(low))
}

/// Reads the next line into `buffer`, without its line feed; false at the end. A line beyond the limit comes in pieces, which
/// no reader takes for lines.
fn next(lines: &mut impl BufRead, buffer: &mut Vec<u8>) -> io::Result<bool> {
    buffer.clear();
    lines.take(MAX_LINE as u64 + 1).read_until(b'\n', buffer)?;
    let any = !buffer.is_empty();
    if buffer.last() == Some(&b'\n') {
        buffer.pop();
    }
    Ok(any)
}

/// A stretch of a file as a reader.
struct At<'a, H> {
    file: &'a H,
    offset: u64,
    end: u64,
}

impl<H: Handle> Read for At<'_, H> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.end.saturating_sub(self.offset)).unwrap_or(usize::MAX);
        let want = buffer.len().min(left);
        let read = self.file.read_at(&mut buffer[..want], self.offset)?;
        self.offset += read as u64;
        Ok(read)
    }
}
