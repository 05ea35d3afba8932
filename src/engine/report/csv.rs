//! Rows as lines of CSV (RFC 4180) that a spreadsheet takes for text: no cell is a formula, whatever somebody put into a name.

use serde_json::Value;

/// Columns: the head, and what stands below it for a row.
pub type Columns = &'static [(&'static str, fn(&Value) -> String)];

/// The head line.
pub fn head(columns: Columns) -> String {
    let names: Vec<_> = columns.iter().map(|(name, _)| *name).collect();
    names.join(",") + "\r\n"
}

/// Writes the line of `row`.
pub fn line(columns: Columns, row: &Value, into: &mut String) {
    for (index, (_, cell)) in columns.iter().enumerate() {
        if index > 0 {
            into.push(',');
        }
        into.push_str(&quoted(&cell(row)));
    }
    into.push_str("\r\n");
}

/// A value in one cell: the items of a list one after the other, nothing for null.
pub fn texts(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(texts).collect::<Vec<_>>().join(" "),
        Value::Object(map) => {
            map.iter().map(|(name, value)| format!("{name}={}", texts(value))).collect::<Vec<_>>().join(" ")
        }
        other => other.to_string(),
    }
}

/// A text as a cell. Control characters become spaces. What a spreadsheet would take for a formula gets an apostrophe before it,
/// which the spreadsheet does not show; full-width signs count too, since some programs fold them.
fn quoted(text: &str) -> String {
    let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let formula = |c: char| matches!(c, '=' | '+' | '-' | '@' | '＝' | '＋' | '－' | '＠');
    let guarded = if text.trim_start().starts_with(formula) { format!("'{text}") } else { text };
    match guarded.contains([',', '"', '\'', ';']) || guarded.starts_with(' ') || guarded.ends_with(' ') {
        true => format!("\"{}\"", guarded.replace('"', "\"\"")),
        false => guarded,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn no_cell_is_a_formula() {
        for (text, cell) in [
            ("=cmd|' /C calc'!A0", "\"'=cmd|' /C calc'!A0\""),
            ("+1", "\"'+1\""),
            ("-2+3", "\"'-2+3\""),
            ("@SUM(A1)", "\"'@SUM(A1)\""),
            ("\t=1+1", "\"' =1+1\""),
            ("\r=1", "\"' =1\""),
            ("\n\n=1", "\"'  =1\""),
            ("  =1", "\"'  =1\""),
            ("＝1", "\"'＝1\""),
            ("a=b", "a=b"),
            ("a,\"b\"", "\"a,\"\"b\"\"\""),
            ("a\r\nb", "a  b"),
            ("\u{1b}[31mred", "\" [31mred\""),
            ("jane@example.com", "jane@example.com"),
            ("", ""),
        ] {
            assert_eq!(quoted(text), cell, "{text:?}");
        }
    }

    #[test]
    fn a_line_has_as_many_cells_as_the_head() {
        const COLUMNS: Columns = &[("name", |row| texts(&row["name"])), ("items", |row| texts(&row["items"]))];
        let mut text = head(COLUMNS);
        line(COLUMNS, &json!({"name": "a", "items": ["x", 1, null, true]}), &mut text);
        line(COLUMNS, &json!({"items": {"b": "c"}}), &mut text);
        assert_eq!(text, "name,items\r\na,x 1  true\r\n,b=c\r\n");
    }
}
