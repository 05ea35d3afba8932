//! The statements: text made once for a table, parameters typed here and not by the server, so that each is one round trip and
//! none leaves a prepared statement behind (a pooler may give the next one to another session).
//!
//! They keep to what PostgreSQL and the engines that speak like it have in common: one change of the table in a statement, no
//! advisory locks, no functions of our own.

use super::connection::LINE;
use super::options::Table;

pub(super) struct Statements {
    /// `$1` keys, `$2` known revisions → place (from 1), revision, value (NULL where the known revision is the stored one).
    pub(super) get: String,
    /// `$1` act, `$2` place, `$3` key, `$4` expected revision, `$5` value, `$6` revision, `$7` keys to hold as they are, `$8` keys to
    /// change, `$9` revisions to replace → acts that conflict, their places, the server's line, 1.
    pub(super) put: String,
    /// The same on a server without lines.
    pub(super) put_without_line: String,
    /// `$1` keys, `$2` their revisions → one row for each that went.
    pub(super) delete: String,
    /// `$1` prefix, `$2` from, `$3` whether `from` itself counts, `$4` limit → first key of each entry.
    pub(super) list: String,
    /// `$1` keys → key, revision.
    pub(super) revisions: String,
    /// Two statements, sent as one and so one transaction, which leaves nothing and has to be committed all the same.
    pub(super) settle: String,
    /// `$1` last key, `$2` limit, `$3` bytes → key, value, revision of the next rows: as many as fit, and one at least.
    pub(super) page: String,
}

impl Statements {
    pub(super) fn new(table: &Table) -> Self {
        let table = table.records();
        Statements {
            get: format!(
                "SELECT asked.place, stored.revision, \
                        CASE WHEN stored.revision IS DISTINCT FROM asked.known THEN stored.value END \
                 FROM unnest($1, $2) WITH ORDINALITY AS asked(key, known, place) \
                 JOIN {table} AS stored ON stored.key = asked.key"
            ),
            put: put(table, LINE),
            put_without_line: put(table, "NULL::text"),
            delete: format!("DELETE FROM {table} WHERE key = ANY($1) AND revision = ANY($2) RETURNING key"),
            list: list(table),
            // No key begins with a zero byte.
            settle: format!(
                "INSERT INTO {table} (key, value, revision) VALUES ('\\x00'::bytea, ''::bytea, ''::bytea); \
                 DELETE FROM {table} WHERE key = '\\x00'::bytea"
            ),
            page: page(table),
            revisions: format!("SELECT key, revision FROM {table} WHERE key = ANY($1)"),
        }
    }
}

/// Many acts in one statement, each with its own verdict.
///
/// Rows are locked in the order of their keys, so that statements wait for each other and never in a circle. The lock brings
/// the newest committed revision, by which every act is judged; acts that pass are written, with the revision in the WHERE
/// clause once more (one of those that may be replaced: no two keys ever share one). A row that appeared after the statement's snapshot is not seen by the judge and not overwritten by the
/// write: then fewer rows are written than passed, and the last column divides by zero, so that nothing is.
fn put(table: &str, line: &str) -> String {
    format!(
        "WITH asked AS ( \
           SELECT * FROM unnest($1, $2, $3, $4, $5, $6) AS a(act, place, key, expect, value, revision) \
         ), firm AS ( \
           SELECT key, revision FROM {table} WHERE key = ANY($7) ORDER BY key FOR SHARE \
         ), held AS ( \
           SELECT key, revision FROM {table} WHERE key = ANY($8) ORDER BY key FOR UPDATE \
         ), conflict AS ( \
           SELECT a.act, min(a.place) AS place FROM asked AS a \
           LEFT JOIN (SELECT key, revision FROM firm UNION ALL SELECT key, revision FROM held) AS stored ON stored.key = a.key \
           WHERE stored.revision IS DISTINCT FROM a.expect GROUP BY a.act \
         ), written AS ( \
           INSERT INTO {table} AS stored (key, value, revision) \
           SELECT key, value, revision FROM asked \
           WHERE revision IS NOT NULL AND act NOT IN (SELECT act FROM conflict) ORDER BY key \
           ON CONFLICT (key) DO UPDATE SET value = excluded.value, revision = excluded.revision \
           WHERE stored.revision = ANY($9) \
           RETURNING key \
         ) \
         SELECT ARRAY(SELECT act FROM conflict ORDER BY act), ARRAY(SELECT place FROM conflict ORDER BY act), {line}, \
           1 / CASE WHEN (SELECT count(*) FROM written) = (SELECT count(*) FROM asked \
             WHERE revision IS NOT NULL AND act NOT IN (SELECT act FROM conflict)) THEN 1 ELSE 0 END"
    )
}

/// The keys of a page come with the lengths of the values before any value is read.
fn page(table: &str) -> String {
    format!(
        "WITH ahead AS ( \
           SELECT key, length(key) + length(value) AS bytes FROM {table} WHERE key > $1 ORDER BY key LIMIT $2 \
         ), fitting AS ( \
           SELECT key, sum(bytes) OVER (ORDER BY key) - bytes AS before FROM ahead \
         ) \
         SELECT stored.key, stored.value, stored.revision FROM fitting JOIN {table} AS stored ON stored.key = fitting.key \
         WHERE fitting.before < $3 ORDER BY stored.key"
    )
}

/// One level of the tree of keys by seeking: from an entry straight past all that lies in its folder. `\x2f` is `/`, `\x30`
/// the byte after it.
fn list(table: &str) -> String {
    let first = format!(
        "SELECT stored.key FROM {table} AS stored WHERE stored.key >= $2 AND ($3 OR stored.key > $2) ORDER BY stored.key LIMIT 1"
    );
    let rest = "substring(level.key from length($1) + 1)";
    let slash = format!("position('\\x2f'::bytea in {rest})");
    let past = format!(
        "CASE WHEN {slash} > 0 THEN substring(level.key from 1 for length($1) + {slash} - 1) || '\\x30'::bytea \
              ELSE level.key || '\\x00'::bytea END"
    );
    let inside = "substring(level.key from 1 for length($1)) = $1";
    format!(
        "WITH RECURSIVE level(key, place) AS ( \
           SELECT ({first}), 1 \
           UNION ALL \
           SELECT (SELECT stored.key FROM {table} AS stored WHERE stored.key >= {past} ORDER BY stored.key LIMIT 1), place + 1 \
           FROM level WHERE level.key IS NOT NULL AND {inside} AND place < $4 \
         ) SELECT level.key FROM level WHERE level.key IS NOT NULL AND {inside} ORDER BY place"
    )
}
