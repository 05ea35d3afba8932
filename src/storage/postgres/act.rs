//! A list of writes as the database sees it: one row for each key, with what is expected of it and what becomes of it.

use std::collections::HashMap;

use crate::storage::{Change, Expect, Revision, Write};

/// One `put_all`.
pub(super) struct Act {
    /// One for each key, in the order of first mention.
    pub(super) rows: Vec<Row>,
    /// The first write that the ones before it make impossible, whatever the table holds.
    pub(super) doomed: Option<usize>,
    /// Bytes of keys and values.
    pub(super) bytes: usize,
}

/// What one key is expected to be and what becomes of it.
pub(super) struct Row {
    pub(super) key: String,
    /// Index of the write that expects it.
    pub(super) place: usize,
    pub(super) expect: Option<Revision>,
    pub(super) fate: Fate,
}

/// What becomes of a key in the end.
pub(super) enum Fate {
    /// It stays as it is; nobody may change it meanwhile.
    Stay,
    /// It is and stays absent; nobody may create it meanwhile.
    Vacant,
    /// A new value.
    Put(Vec<u8>, Revision),
    /// It goes.
    Delete,
}

impl Act {
    /// Folds `writes`: a write sees those before it, so that only the first expectation of a key is for the table to answer.
    pub(super) fn new(writes: Vec<Write>) -> Self {
        let mut act = Act { rows: Vec::with_capacity(writes.len()), doomed: None, bytes: 0 };
        let mut places: HashMap<String, usize> = HashMap::new();
        for (place, Write { key, expect, change }) in writes.into_iter().enumerate() {
            let at = *places.entry(key.clone()).or_insert_with(|| {
                let expect = match expect {
                    Expect::Absent => None,
                    Expect::At(revision) => Some(revision),
                };
                act.rows.push(Row { key, place, expect, fate: Fate::still(expect) });
                act.rows.len() - 1
            });
            let Some(row) = act.rows.get_mut(at) else { continue };
            if !expect.holds(row.now()) {
                act.doomed = Some(place);
                break;
            }
            match change {
                Change::Put { value, revision } => row.fate = Fate::Put(value, revision),
                Change::Delete => row.fate = if row.expect.is_some() { Fate::Delete } else { Fate::Vacant },
                Change::Check => {}
            }
        }
        act.bytes = act.rows.iter().map(Row::bytes).sum();
        act
    }
    /// Whether it needs a transaction of its own: the one statement for many acts neither removes rows nor holds absent ones.
    pub(super) fn stands_alone(&self) -> bool {
        self.rows.iter().any(|row| matches!(row.fate, Fate::Delete | Fate::Vacant))
    }
    /// Whether all that is left to find out is which conflict is the first.
    pub(super) fn only_asks(&self) -> bool {
        self.doomed.is_some()
    }
}

impl Fate {
    fn still(expect: Option<Revision>) -> Self {
        if expect.is_some() { Fate::Stay } else { Fate::Vacant }
    }
}

impl Row {
    /// What the key is by now, if the table agrees with what is expected.
    fn now(&self) -> Option<Revision> {
        match &self.fate {
            Fate::Stay => self.expect,
            Fate::Put(_, revision) => Some(*revision),
            Fate::Vacant | Fate::Delete => None,
        }
    }
    /// Whether others must not so much as hold it meanwhile.
    pub(super) fn changes(&self) -> bool {
        !matches!(self.fate, Fate::Stay)
    }
    fn bytes(&self) -> usize {
        self.key.len()
            + match &self.fate {
                Fate::Put(value, _) => value.len(),
                _ => 0,
            }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(key: &str, expect: Expect, revision: u8) -> Write {
        Write { key: key.into(), expect, change: Change::Put { value: vec![revision], revision: at(revision) } }
    }
    fn at(revision: u8) -> Revision {
        Revision([revision; 16])
    }

    #[test]
    fn writes_of_one_key_become_one_row() {
        let act = Act::new(vec![
            put("a", Expect::Absent, 1),
            Write::check("b", at(9)),
            put("a", Expect::At(at(1)), 2),
            Write::delete("c", at(3)),
            put("c", Expect::Absent, 4),
            put("d", Expect::Absent, 5),
            Write::delete("d", at(5)),
        ]);
        assert!(act.doomed.is_none());
        let rows: Vec<_> = act.rows.iter().map(|row| (row.key.as_str(), row.place, row.expect)).collect();
        assert_eq!(rows, [("a", 0, None), ("b", 1, Some(at(9))), ("c", 3, Some(at(3))), ("d", 5, None)]);
        assert!(matches!(&act.rows[0].fate, Fate::Put(value, revision) if *value == [2] && *revision == at(2)));
        assert!(matches!(act.rows[1].fate, Fate::Stay));
        assert!(matches!(&act.rows[2].fate, Fate::Put(_, revision) if *revision == at(4)));
        assert!(matches!(act.rows[3].fate, Fate::Vacant), "made and removed");
    }

    #[test]
    fn what_cannot_hold_is_found_without_asking() {
        let act = Act::new(vec![
            put("a", Expect::Absent, 1),
            Write::check("b", at(2)),
            put("a", Expect::Absent, 3),
            put("c", Expect::Absent, 4),
        ]);
        assert_eq!(act.doomed, Some(2));
        assert_eq!(act.rows.len(), 2, "what comes after it is not asked for");
    }
}
