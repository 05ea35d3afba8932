//! A report on a terminal: a table where one fits, else one entry below the other; with colours only where they are wanted.

use super::sheet::{Column, Grade, Kind, Row, Sheet, Table};
use crate::cli::lines::{folded, hanging};
use crate::cli::paint::Paint;

/// Widest a column gets where nobody says how wide all may be; longer lines go on below.
const WIDEST: usize = 52;
/// A first column as narrow as this holds marks.
const MARK: usize = 8;
/// Between two columns.
const GAP: usize = 2;

/// The report as text, for a terminal of so many columns, or for whoever reads it where there is none.
pub fn render(sheet: &Sheet, paint: Paint, columns: Option<usize>) -> String {
    let width = columns.unwrap_or(usize::MAX);
    let title = format!("{} of {}, {} UTC", sheet.title, sheet.place, sheet.at);
    let title = hanging(&title, width.saturating_sub(GAP), GAP);
    let mut out = format!("{}{}\n\n", paint.bold(sheet.title), &title[sheet.title.len()..]);
    for (grade, count, what) in &sheet.counts {
        let space = " ".repeat(6usize.saturating_sub(count.to_string().len()));
        let count = if *count == 0 { count.to_string() } else { painted(paint, *grade, count) };
        out.push_str(&format!("{space}{count} {what}\n"));
    }
    for table in &sheet.tables {
        out.push('\n');
        if !table.heading.is_empty() {
            out.push_str(&format!("{}\n", paint.bold(&table.heading)));
        }
        if table.rows.is_empty() {
            out.push_str(&format!("{}\n", table.none));
            continue;
        }
        match widths(table, width) {
            Some(widths) => aligned(table, &widths, paint, &mut out),
            None => stacked(table, width, paint, &mut out),
        }
        if table.left_out > 0 {
            let all = table.rows.len() as u64 + table.left_out;
            out.push_str(&format!("… and {} more: --rows {all} shows them, --csv has all\n", table.left_out));
        }
    }
    if !sheet.notes.is_empty() {
        out.push('\n');
        sheet.notes.iter().for_each(|note| out.push_str(&format!("{}\n", hanging(note, width, 0))));
    }
    out
}

/// What a row begins with: a mark in colour, or a name that stands out.
fn marked(paint: Paint, grade: Grade, text: &str, width: usize) -> String {
    if width <= MARK { painted(paint, grade, text) } else { paint.bold(text) }
}

fn painted(paint: Paint, grade: Grade, text: impl std::fmt::Display) -> String {
    match grade {
        Grade::Now => paint.alarm(text),
        Grade::Soon => paint.warn(text),
        Grade::Fine => paint.good(text),
    }
}

/// How wide each column is, if the table can be had in `width`. Sentences give way first, because they are broken without harm.
fn widths(table: &Table, width: usize) -> Option<Vec<usize>> {
    let widest = |at: usize| {
        let cells = table.rows.iter().filter_map(|row| row.cells.get(at)).flatten().map(|line| line.chars().count());
        let exact = table.columns[at].kind == Kind::Exact;
        let most = cells.chain([table.columns[at].name.len()]).max().unwrap_or(0);
        if exact || width < usize::MAX { most } else { most.min(WIDEST) }
    };
    let mut widths: Vec<usize> = (0..table.columns.len()).map(widest).collect();
    let gaps = GAP * widths.len().saturating_sub(1);
    let steps = [
        (&[Kind::Said, Kind::Listed][..], 50),
        (&[Kind::Aside], 24),
        (&[Kind::Head], 28),
        (&[Kind::Said, Kind::Listed], 40),
    ];
    for (kinds, least) in steps {
        for _ in 0..widths.len() {
            let over = (widths.iter().sum::<usize>() + gaps).saturating_sub(width);
            let spare = |at: &usize| widths[*at].saturating_sub(least);
            let of_kind = |at: &usize| kinds.contains(&table.columns[*at].kind);
            let Some(at) = (0..widths.len()).filter(of_kind).max_by_key(spare) else { continue };
            widths[at] -= over.min(spare(&at));
        }
    }
    (widths.iter().sum::<usize>() + gaps <= width).then_some(widths)
}

fn aligned(table: &Table, widths: &[usize], paint: Paint, out: &mut String) {
    let head: Vec<String> = table.columns.iter().map(|column| column.name.to_owned()).collect();
    out.push_str(&paint.dim(line(&head, widths, table.columns)));
    out.push('\n');
    for Row { grade, cells } in &table.rows {
        let cells: Vec<Vec<String>> = cells.iter().zip(widths).map(|(cell, width)| set_in(cell, *width)).collect();
        for number in 0..cells.iter().map(Vec::len).max().unwrap_or(0) {
            let cells: Vec<String> = cells.iter().map(|cell| cell.get(number).cloned().unwrap_or_default()).collect();
            let text = line(&cells, widths, table.columns);
            // The first column carries the colour: what it says in words is said without it as well.
            match cells.first().filter(|first| !first.is_empty() && *grade != Grade::Fine) {
                Some(first) => {
                    let mark = marked(paint, *grade, first, widths[0]);
                    out.push_str(&format!("{mark}{}", &text[first.len()..]));
                }
                None => out.push_str(&text),
            }
            out.push('\n');
        }
    }
}

fn line(cells: &[String], widths: &[usize], columns: &[Column]) -> String {
    let mut out = String::new();
    for ((cell, width), column) in cells.iter().zip(widths).zip(columns) {
        let space = " ".repeat(width.saturating_sub(cell.chars().count()));
        match column.kind {
            Kind::Number => out.push_str(&format!("{space}{cell}  ")),
            _ => out.push_str(&format!("{cell}{space}  ")),
        }
    }
    out.trim_end().to_owned()
}

/// The lines of a cell, none longer than its column; what goes on below is set in.
fn set_in(cell: &[String], width: usize) -> Vec<String> {
    let mut out = Vec::new();
    for text in cell {
        let mut lines = folded(text, width);
        if lines.len() > 1 {
            let first = lines.remove(0);
            let rest = text[first.len()..].trim_start();
            lines = folded(rest, width - GAP).iter().map(|line| format!("  {line}")).collect();
            out.push(first);
        }
        out.append(&mut lines);
    }
    out
}

/// Rows below each other: the name, sentences, and what else there is with its column's name.
fn stacked(table: &Table, width: usize, paint: Paint, out: &mut String) {
    let of = |kind: Kind| table.columns.iter().enumerate().filter(move |(_, column)| column.kind == kind);
    let heads: Vec<usize> = of(Kind::Head).map(|(at, _)| at).collect();
    let first = table.rows.iter().filter_map(|row| row.cells.get(*heads.first()?)?.first());
    let first = first.map(|text| text.chars().count()).max().unwrap_or(0);
    // Below a short mark, else just set in.
    let indent = if heads.len() > 1 && first <= MARK { first + GAP } else { GAP };
    for row in &table.rows {
        let said =
            |at: usize| row.cells.get(at).into_iter().flatten().filter(|text| !matches!(text.as_str(), "" | "–"));
        let names: Vec<&str> = heads.iter().flat_map(|at| said(*at)).map(String::as_str).collect();
        let mark = names.first().copied().unwrap_or_default();
        let space = if names.len() > 1 { (first + GAP).saturating_sub(mark.chars().count()) } else { 0 };
        let name = format!("{mark}{}{}", " ".repeat(space), names[1.min(names.len())..].join("  "));
        let name = name.trim_end();
        let begin = mark.len();
        let rest = hanging(name[begin..].trim_start(), width.saturating_sub(begin + space), begin + space);
        let mark = match row.grade {
            Grade::Fine => paint.bold(mark),
            grade => marked(paint, grade, mark, first),
        };
        let rest = if rest.is_empty() { rest } else { paint.bold(rest) };
        out.push_str(&format!("{mark}{}{rest}\n", " ".repeat(space)));
        let mut put = |text: &str| {
            let text = hanging(text, width.saturating_sub(indent + GAP), indent + GAP);
            out.push_str(&format!("{}{text}\n", " ".repeat(indent)));
        };
        of(Kind::Said).flat_map(|(at, _)| said(at)).for_each(|text| put(text));
        for (at, column) in of(Kind::Listed).chain(of(Kind::Exact)) {
            said(at).for_each(|text| put(&format!("{}: {text}", column.name.to_lowercase())));
        }
        let asides = table.columns.iter().enumerate().filter(|(_, c)| matches!(c.kind, Kind::Aside | Kind::Number));
        let asides = asides.flat_map(|(at, column)| {
            said(at).map(|text| format!("{}: {text}", column.name.replace(" (UTC)", "").to_lowercase()))
        });
        let asides: Vec<String> = asides.collect();
        if !asides.is_empty() {
            put(&asides.join(" · "));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: &[Column] = &[
        Column::new("STATE", Kind::Head),
        Column::new("ACCOUNT", Kind::Head),
        Column::new("LEFT", Kind::Number),
        Column::new("OWNER", Kind::Aside),
    ];

    fn sheet() -> Sheet {
        let row =
            |grade, cells: &[&str]| Row { grade, cells: cells.iter().map(|cell| vec![(*cell).to_owned()]).collect() };
        Sheet {
            title: "Posture",
            place: "here".to_owned(),
            at: "2026-07-01 12:00".to_owned(),
            counts: vec![(Grade::Now, 1, "bad".to_owned()), (Grade::Soon, 0, "so so".to_owned())],
            tables: vec![Table {
                heading: String::new(),
                columns: COLUMNS,
                rows: vec![
                    row(Grade::Now, &["ACT NOW", &"a".repeat(60), "7", "jane@example.com"]),
                    row(Grade::Soon, &["soon", "b", "10", ""]),
                ],
                left_out: 2,
                none: "none",
            }],
            notes: vec!["By kind.".to_owned()],
        }
    }

    const TOP: &str = "Posture of here, 2026-07-01 12:00 UTC\n\n     1 bad\n     0 so so\n\n";
    const END: &str = "… and 2 more: --rows 4 shows them, --csv has all\n\nBy kind.\n";

    #[test]
    fn columns_stand_below_each_other_and_long_names_are_broken_not_lost() {
        let text = render(&sheet(), Paint::new(false), None);
        let long = "a".repeat(52);
        let wanted = format!(
            "{TOP}STATE    ACCOUNT{}  LEFT  OWNER\nACT NOW  {long}     7  jane@example.com\n           aaaaaaaa\nsoon     b{}    10\n{END}",
            " ".repeat(45),
            " ".repeat(51),
        );
        assert_eq!(text, wanted);
        for columns in [74, 85, 86, 200] {
            let text = render(&sheet(), Paint::new(false), Some(columns));
            assert!(text.contains("STATE    ACCOUNT"), "{columns}: {text}");
            assert!(text.lines().all(|line| line.chars().count() <= columns), "{columns}: {text}");
        }
    }

    #[test]
    fn where_no_table_fits_one_entry_stands_below_the_other() {
        let text = render(&sheet(), Paint::new(false), Some(50));
        let wanted = format!(
            "{TOP}ACT NOW  {}\n         {}\n         left: 7 · owner: jane@example.com\nsoon     b\n         left: 10\n{END}",
            "a".repeat(41),
            "a".repeat(19),
        );
        assert_eq!(text, wanted);
    }

    #[test]
    fn colours_add_nothing_but_colour() {
        for columns in [None, Some(50)] {
            let coloured = render(&sheet(), Paint::new(true), columns);
            assert!(coloured.contains("\u{1b}[1;37;41mACT NOW\u{1b}[0m"), "{coloured:?}");
            let mut plain = String::new();
            let mut rest = coloured.as_str();
            while let Some((before, after)) = rest.split_once('\u{1b}') {
                plain.push_str(before);
                rest = after.split_once('m').unwrap().1;
            }
            plain.push_str(rest);
            assert_eq!(plain, render(&sheet(), Paint::new(false), columns));
        }
    }
}
