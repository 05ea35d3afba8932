//! A report on a terminal: aligned, with colours only where they are wanted.

use super::sheet::{Grade, Row, Sheet, Table};

/// Widest a column gets; longer lines go on below.
const WIDEST: usize = 52;

/// The report as text.
pub fn render(sheet: &Sheet, colour: bool) -> String {
    let paint = |text: &str, style: &str| match colour {
        true => format!("\u{1b}[{style}m{text}\u{1b}[0m"),
        false => text.to_owned(),
    };
    let mut out = format!("{} of {}, {} UTC\n\n", paint(sheet.title, "1"), sheet.place, sheet.at);
    for (grade, count, what) in &sheet.counts {
        let number = format!("{count:>6}");
        let number = if *count == 0 { number } else { paint(&number, style(*grade)) };
        out.push_str(&format!("{number} {what}\n"));
    }
    for table in &sheet.tables {
        out.push('\n');
        if !table.heading.is_empty() {
            out.push_str(&format!("{}\n", paint(&table.heading, "1")));
        }
        lines(table, &paint, &mut out);
    }
    if !sheet.notes.is_empty() {
        out.push('\n');
        sheet.notes.iter().for_each(|note| out.push_str(&format!("{note}\n")));
    }
    out
}

const fn style(grade: Grade) -> &'static str {
    match grade {
        Grade::Now => "1;31",
        Grade::Soon => "33",
        Grade::Fine => "32",
    }
}

fn lines(table: &Table, paint: &dyn Fn(&str, &str) -> String, out: &mut String) {
    if table.rows.is_empty() {
        out.push_str(&format!("{}\n", table.none));
        return;
    }
    let rows: Vec<Vec<Vec<String>>> =
        table.rows.iter().map(|row| row.cells.iter().map(|cell| folded(cell)).collect()).collect();
    let widest = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column)).flatten().map(|line| line.chars().count());
        cells.chain([table.columns[column].trim_start_matches('#').len()]).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..table.columns.len()).map(widest).collect();
    let head: Vec<String> = table.columns.iter().map(|name| name.trim_start_matches('#').to_owned()).collect();
    out.push_str(&paint(&line(&head, &widths, table.columns), "2"));
    out.push('\n');
    for (row, Row { grade, .. }) in rows.iter().zip(&table.rows) {
        for number in 0..row.iter().map(Vec::len).max().unwrap_or(0) {
            let cells: Vec<String> = row.iter().map(|cell| cell.get(number).cloned().unwrap_or_default()).collect();
            let text = line(&cells, &widths, table.columns);
            // The first column carries the colour: what it says in words is said without it as well.
            let end = text.char_indices().nth(widths[0]).map_or(text.len(), |(end, _)| end);
            match *grade {
                Grade::Fine => out.push_str(&text),
                grade => out.push_str(&format!("{}{}", paint(&text[..end], style(grade)), &text[end..])),
            }
            out.push('\n');
        }
    }
    if table.left_out > 0 {
        out.push_str(&format!(
            "… and {} more: --rows {} shows them, --csv has all\n",
            table.left_out,
            table.rows.len() as u64 + table.left_out
        ));
    }
}

fn line(cells: &[String], widths: &[usize], columns: &[&str]) -> String {
    let mut out = String::new();
    for ((cell, width), name) in cells.iter().zip(widths).zip(columns) {
        let space = " ".repeat(width.saturating_sub(cell.chars().count()));
        match name.starts_with('#') {
            true => out.push_str(&format!("{space}{cell}  ")),
            false => out.push_str(&format!("{cell}{space}  ")),
        }
    }
    out.trim_end().to_owned()
}

/// Lines no longer than a column, broken between words where there are any; what goes on below is set in.
fn folded(cell: &[String]) -> Vec<String> {
    let mut out = Vec::new();
    for text in cell {
        let mut rest: Vec<char> = text.chars().collect();
        while rest.len() > WIDEST {
            let space = rest[..=WIDEST].iter().rposition(|c| *c == ' ').filter(|at| *at > WIDEST / 2);
            let tail = rest.split_off(space.unwrap_or(WIDEST));
            out.push(rest.into_iter().collect());
            rest = [' ', ' '].into_iter().chain(tail.into_iter().skip(usize::from(space.is_some()))).collect();
        }
        out.push(rest.into_iter().collect());
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

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
                columns: &["STATE", "ACCOUNT", "#LEFT"],
                rows: vec![row(Grade::Now, &["ACT NOW", &"a".repeat(60), "7"]), row(Grade::Fine, &["", "b", "10"])],
                left_out: 2,
                none: "none",
            }],
            notes: vec!["By kind.".to_owned()],
        }
    }

    #[test]
    fn columns_stand_below_each_other_and_long_names_are_broken_not_lost() {
        let text = render(&sheet(), false);
        let long = "a".repeat(52);
        let wanted = format!(
            "Posture of here, 2026-07-01 12:00 UTC\n\n     1 bad\n     0 so so\n\nSTATE    ACCOUNT{}  LEFT\nACT NOW  {long}     7\n           aaaaaaaa\n         b{}    10\n… and 2 more: --rows 4 shows them, --csv has all\n\nBy kind.\n",
            " ".repeat(45),
            " ".repeat(51),
        );
        assert_eq!(text, wanted);
    }

    #[test]
    fn colours_add_nothing_but_colour() {
        let coloured = render(&sheet(), true);
        assert!(coloured.contains("\u{1b}[1;31mACT NOW\u{1b}[0m"), "{coloured:?}");
        let mut plain = String::new();
        let mut rest = coloured.as_str();
        while let Some((before, after)) = rest.split_once('\u{1b}') {
            plain.push_str(before);
            rest = after.split_once('m').unwrap().1;
        }
        plain.push_str(rest);
        assert_eq!(plain, render(&sheet(), false));
    }
}
