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
    /// What a row can be at most is what is left, so one buffer does for all.
    cells: Zeroizing<Vec<u8>>,
    done: bool,
}

impl<'a> Table<'a> {
    /// A table over `text`.
    pub fn new(text: &'a str, comments: bool) -> Self {
        let reader = ReaderBuilder::new().comment(comments.then_some(b'#')).build();
        Table { reader, rest: text.as_bytes(), cells: Zeroizing::new(vec![0; text.len() + 1]), done: false }
    }

    fn row(&mut self) -> Result<Option<Row>, String> {
        let mut ends = [0_usize; MAX_CELLS];
        let (mut filled, mut ended) = (0, 0);
        loop {
            let line = self.line();
            let (result, read, wrote, cells) =
                self.reader.read_record(self.rest, &mut self.cells[filled..], &mut ends[ended..]);
            self.rest = &self.rest[read..];
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
        // The reader stands behind the row; the row began as many line ends before as it holds, and one.
        let held = self.cells[..filled].iter().filter(|byte| **byte == b'\n').count();
        Ok(Some((self.line().saturating_sub(held + 1).max(1), row)))
    }

    fn line(&self) -> usize {
        usize::try_from(self.reader.line()).unwrap_or(usize::MAX)
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
