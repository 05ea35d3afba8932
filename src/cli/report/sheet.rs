//! What a report shows, whatever it is shown on.

/// How urgent a row is; the worst first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Grade {
    /// Somebody should act at once.
    Now,
    /// Somebody should act some time.
    Soon,
    /// Nothing is amiss.
    Fine,
}

/// A row: a cell holds lines.
#[derive(Debug, Clone)]
pub struct Row {
    /// How urgent.
    pub grade: Grade,
    /// Its cells, each one or several lines.
    pub cells: Vec<Vec<String>>,
}

/// A column: its name, and what stands in it.
#[derive(Debug, Clone, Copy)]
pub struct Column {
    /// What it is called.
    pub name: &'static str,
    /// What stands in it.
    pub kind: Kind,
}

/// What stands in a column. It decides what gets narrow first, and how a row reads where no table fits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// What the row is about.
    Head,
    /// A number.
    Number,
    /// Sentences that need no name.
    Said,
    /// Several things that need the column's name.
    Listed,
    /// A word or two that need the column's name.
    Aside,
    /// Something to be copied: never broken.
    Exact,
}

impl Column {
    /// A column.
    pub const fn new(name: &'static str, kind: Kind) -> Self {
        Column { name, kind }
    }
}

/// A table.
pub struct Table {
    /// What it is.
    pub heading: String,
    /// Its columns.
    pub columns: &'static [Column],
    /// Its rows.
    pub rows: Vec<Row>,
    /// How many there are that are not shown.
    pub left_out: u64,
    /// What is said where there is no row.
    pub none: &'static str,
}

/// A report to be shown.
pub struct Sheet {
    /// What it is.
    pub title: &'static str,
    /// Which server and mount.
    pub place: String,
    /// When it was judged.
    pub at: String,
    /// What it comes to: how urgent, how many, what.
    pub counts: Vec<(Grade, u64, String)>,
    /// Its tables.
    pub tables: Vec<Table>,
    /// What else the reader should know.
    pub notes: Vec<String>,
}

impl Sheet {
    /// What it comes to, in a line.
    pub fn summary(&self) -> String {
        let counts: Vec<_> = self.counts.iter().map(|(_, count, what)| format!("{count} {what}")).collect();
        counts.join(", ")
    }
}

/// The first rows by a key out of many, holding a few only.
pub struct Worst<K: Ord> {
    most: usize,
    rows: Vec<(K, Row)>,
    seen: u64,
}

impl<K: Ord> Worst<K> {
    /// Keeps `most` rows.
    pub fn new(most: usize) -> Self {
        Worst { most, rows: Vec::new(), seen: 0 }
    }
    /// Takes in a row.
    pub fn push(&mut self, key: K, row: Row) {
        self.seen += 1;
        self.rows.push((key, row));
        if self.rows.len() >= 2 * self.most + 64 {
            self.trim();
        }
    }
    fn trim(&mut self) {
        self.rows.sort_by(|(a, _), (b, _)| a.cmp(b));
        self.rows.truncate(self.most);
    }
    /// The rows in order, and how many there were besides.
    pub fn done(mut self) -> (Vec<Row>, u64) {
        self.trim();
        let left_out = self.seen - self.rows.len() as u64;
        (self.rows.into_iter().map(|(_, row)| row).collect(), left_out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_of_many_are_kept_in_order() {
        let mut worst = Worst::new(3);
        for number in (0..10_000u32).rev() {
            worst.push(number * 7919 % 10_000, Row { grade: Grade::Fine, cells: vec![vec![number.to_string()]] });
            assert!(worst.rows.len() < 80, "what is held is bounded");
        }
        let (rows, left_out) = worst.done();
        assert_eq!((rows.len(), left_out), (3, 9_997));
        assert_eq!(rows[0].cells[0][0], "0");
    }
}
