//! Tables of comma-separated values (RFC 4180): rows of cells with the line they begin on, in memory that is wiped.

use csv_core::{ReadRecordResult, Reader, ReaderBuilder};
use zeroize::Zeroizing;

/// A row: the number of its line, from 1, and its cells.
pub(crate) type Row = (usize, Vec<Zeroizing<String>>);

/// The most cells of a row.
const MAX_CELLS: usize = 256;

/// Reads the rows of `text` one after the other; blank lines are passed over, and with `comments` lines that begin with `#`.
pub(crate) struct Table<'a> {
    reader: Reader,
    rest: &'a [u8],
    /// Of `rest`, from 1.
    line: usize,
    comments: bool,
    /// What a row can be at most is what is left, so one buffer does for all.
    cells: Zeroizing<Vec<u8>>,
    done: bool,
}

impl<'a> Table<'a> {
    /// A table over `text`.
    pub fn new(text: &'a str, comments: bool) -> Self {
        let reader = ReaderBuilder::new().build();
        let cells = Zeroizing::new(vec![0; text.len() + 1]);
        Table { reader, rest: text.as_bytes(), line: 1, comments, cells, done: false }
    }

    fn row(&mut self) -> Result<Option<Row>, String> {
        self.skip();
        let line = self.line;
        let mut ends = [0_usize; MAX_CELLS];
        let (mut filled, mut ended) = (0, 0);
        loop {
            let (result, read, wrote, cells) =
                self.reader.read_record(self.rest, &mut self.cells[filled..], &mut ends[ended..]);
            self.pass(read);
            filled += wrote;
            ended += cells;
            match result {
                // All of the text was given at once: the second empty input says that it is the end.
                ReadRecordResult::InputEmpty => {}
                ReadRecordResult::End => return Ok(None),
                ReadRecordResult::OutputEndsFull => {
                    return Err(format!("line {line}: more than {MAX_CELLS} cells in a row"));
                }
                ReadRecordResult::OutputFull => return Err(format!("line {line}: a row without an end")),
                ReadRecordResult::Record => break,
            }
        }
        let mut row = Vec::with_capacity(ended);
        let mut from = 0;
        for end in &ends[..ended] {
            let cell = std::str::from_utf8(&self.cells[from..*end]).unwrap_or_default();
            row.push(Zeroizing::new(cell.to_owned()));
            from = *end;
        }
        Ok(Some((line, row)))
    }

    /// Passes over blank lines and comments.
    fn skip(&mut self) {
        loop {
            match self.rest.first() {
                Some(b'\n' | b'\r') => self.pass(1),
                Some(b'#') if self.comments => {
                    self.pass(memchr::memchr(b'\n', self.rest).unwrap_or(self.rest.len()));
                }
                _ => return,
            }
        }
    }

    fn pass(&mut self, bytes: usize) {
        let (passed, rest) = self.rest.split_at(bytes);
        self.line += passed.iter().filter(|byte| **byte == b'\n').count();
        self.rest = rest;
    }
}

impl Iterator for Table<'_> {
    /// A row, or a sentence that names the line.
    type Item = Result<Row, String>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        let row = self.row().transpose();
        self.done = !matches!(row, Some(Ok(_)));
        row
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(text: &str) -> Vec<(usize, Vec<String>)> {
        let plain = |(line, cells): Row| (line, cells.iter().map(|cell| cell.to_string()).collect());
        Table::new(text, true).map(|row| plain(row.unwrap())).collect()
    }

    #[test]
    fn rows_carry_the_line_they_begin_on() {
        let text = "a,b\n# a comment\n\nc,\"d\ne\"\r\nf,\"g \"\"h\"\"\"\nlast,row";
        let expected = [(1, ["a", "b"]), (4, ["c", "d\ne"]), (6, ["f", "g \"h\""]), (7, ["last", "row"])];
        let expected: Vec<_> =
            expected.map(|(line, cells)| (line, cells.map(str::to_owned).to_vec())).into_iter().collect();
        assert_eq!(rows(text), expected);
        assert_eq!(rows(""), []);
    }

    #[test]
    fn a_row_without_end_is_refused() {
        let wide = ",".repeat(MAX_CELLS + 1);
        assert!(Table::new(&wide, false).next().unwrap().unwrap_err().contains("line 1"));
    }
}
