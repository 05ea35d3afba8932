//! A report as one page to look at and to print: no script, nothing from elsewhere, every text escaped.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use super::sheet::{Grade, Kind, Sheet, Table};
use crate::cli::client::Failure;

const STYLE: &str = "
:root{color-scheme:light dark;--ink:#1c2128;--paper:#fff;--quiet:#57606a;--line:#d8dee4;--edge:#8c959f;--now:#b3261e;--soon:#8a4f00;--mark:#d9902f;--fine:#1a7f37}
*{box-sizing:border-box}
body{font:14px/1.45 system-ui,-apple-system,'Segoe UI',Roboto,'Liberation Sans',sans-serif;color:var(--ink);background:var(--paper);margin:2rem auto;max-width:76rem;padding:0 1.5rem}
h1{font-size:1.7rem;margin:0 0 .2rem}
h2{font-size:1.1rem;margin:2rem 0 .6rem}
.where{color:var(--quiet);margin:0 0 1.4rem}
.counts{display:flex;gap:.8rem;flex-wrap:wrap;margin:0 0 1.6rem;padding:0;list-style:none}
.counts li{border:1px solid var(--line);border-left:5px solid var(--edge);border-radius:6px;padding:.5rem 1rem;min-width:11rem}
.counts b{display:block;font-size:1.7rem;line-height:1.15}
.counts .now{border-left-color:var(--now)}.counts .now b{color:var(--now)}
.counts .soon{border-left-color:var(--mark)}.counts .soon b{color:var(--soon)}
.counts .fine{border-left-color:var(--fine)}
.counts .zero{border-left-color:var(--edge)}.counts .zero b{color:var(--quiet)}
table{border-collapse:collapse;width:100%}
th{text-align:left;font-size:.75rem;letter-spacing:.03em;color:var(--quiet);border-bottom:2px solid var(--edge);padding:.35rem .6rem}
td{vertical-align:top;border-bottom:1px solid var(--line);padding:.45rem .6rem;overflow-wrap:anywhere}
th,td{min-width:4.5rem}
td div+div{margin-top:.15rem}
.number{text-align:right;font-variant-numeric:tabular-nums;min-width:3.2rem}
tr.now td:first-child{border-left:4px solid var(--now)}tr.soon td:first-child{border-left:4px solid var(--mark)}tr.fine td:first-child{border-left:4px solid transparent}
.state{font-weight:600;white-space:nowrap}tr.now .state{color:var(--now)}tr.soon .state{color:var(--soon)}
.wide{min-width:13.5rem;font-weight:600}
.said{min-width:14rem}
.listed{min-width:10rem}
.exact{white-space:nowrap;font:.72rem/1.8 ui-monospace,Consolas,'Liberation Mono',monospace}
.more,.notes,.none{color:var(--quiet)}
@media screen and (prefers-color-scheme:dark){
:root{--ink:#e6edf3;--paper:#0d1117;--quiet:#9aa4af;--line:#30363d;--edge:#6e7681;--now:#ff7b72;--soon:#e3b341;--mark:#d29922;--fine:#3fb950}
}
@media screen and (max-width:46rem){
body{margin:1rem auto;padding:0 1rem}
.counts li{flex:1 1 0;min-width:0;padding:.4rem .6rem}
thead{display:none}
table,tbody,tr,td{display:block;width:auto}
tr{border:1px solid var(--line);border-left:4px solid var(--line);border-radius:6px;margin:0 0 .8rem;padding:.4rem .8rem}
tr.now{border-left-color:var(--now)}tr.soon{border-left-color:var(--mark)}
tr.now td:first-child,tr.soon td:first-child,tr.fine td:first-child{border-left:0}
td,.number,.wide,.said,.listed{border:0;padding:.12rem 0;min-width:0;text-align:left}
td:empty{display:none}
.number::before,.listed::before,.aside::before,.exact::before{content:attr(data-name) ': ';color:var(--quiet);font-size:.75rem}
.number div,.aside div,.exact div{display:inline}
.exact{white-space:normal}
}
@page{size:A4 landscape;margin:14mm 14mm 16mm;@bottom-right{content:counter(page) ' / ' counter(pages);font:8pt sans-serif;color:#57606a}}
@media print{
:root{color-scheme:light}
body{margin:0;max-width:none;padding:0;font-size:9pt}
td{padding:.28rem .5rem}
.said{min-width:19rem}
thead{display:table-header-group}
tr,.counts li{break-inside:avoid}
h2{break-after:avoid}
*{print-color-adjust:exact;-webkit-print-color-adjust:exact}
}
";

/// The page.
pub fn render(sheet: &Sheet) -> String {
    let mut out = format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
         <meta name=\"referrer\" content=\"no-referrer\">\n<meta name=\"viewport\" content=\"width=device-width\">\n\
         <title>{title} {at}</title>\n<style>{STYLE}{foot}</style>\n</head>\n<body>\n<h1>{title}</h1>\n\
         <p class=\"where\">{place} · {at} UTC</p>\n<ul class=\"counts\">\n",
        foot = foot(sheet),
        title = escaped(sheet.title),
        at = escaped(&sheet.at),
        place = escaped(&sheet.place),
    );
    for (grade, count, what) in &sheet.counts {
        let zero = if *count == 0 { " zero" } else { "" };
        out.push_str(&format!("<li class=\"{}{zero}\"><b>{count}</b>{}</li>\n", class(*grade), escaped(what)));
    }
    out.push_str("</ul>\n");
    sheet.tables.iter().for_each(|each| table(each, &mut out));
    for note in &sheet.notes {
        out.push_str(&format!("<p class=\"notes\">{}</p>\n", escaped(note)));
    }
    out.push_str("</body>\n</html>\n");
    out
}

/// What stands at the foot of each printed page: what it is and of when. A time is digits and signs, or nothing.
fn foot(sheet: &Sheet) -> String {
    let at: String = sheet.at.chars().filter(|c| c.is_ascii_digit() || matches!(c, '-' | ':' | ' ')).collect();
    format!(
        "@page{{@bottom-left{{content:'Sparekey · {} · {at} UTC';font:8pt sans-serif;color:#57606a}}}}\n",
        sheet.title
    )
}

/// Writes the page where a reader finds either the old one or the new one, whole. Only its owner may read it.
pub fn write(file: &Path, page: &str) -> Result<(), Failure> {
    let mut beside = file.as_os_str().to_owned();
    beside.push(".part");
    let beside = Path::new(&beside);
    let written = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(beside)
        .and_then(|mut part| part.write_all(page.as_bytes()).and_then(|()| part.sync_all()))
        .and_then(|()| fs::rename(beside, file));
    written.map_err(|error| Failure::local(format!("{} cannot be written: {error}", file.display())))
}

fn table(table: &Table, out: &mut String) {
    if !table.heading.is_empty() {
        out.push_str(&format!("<h2>{}</h2>\n", escaped(&table.heading)));
    }
    if table.rows.is_empty() {
        out.push_str(&format!("<p class=\"none\">{}</p>\n", escaped(table.none)));
        return;
    }
    out.push_str("<table>\n<thead><tr>");
    for column in table.columns {
        let class = if column.kind == Kind::Number { " class=\"number\"" } else { "" };
        out.push_str(&format!("<th{class}>{}</th>", escaped(column.name)));
    }
    out.push_str("</tr></thead>\n<tbody>\n");
    for row in &table.rows {
        out.push_str(&format!("<tr class=\"{}\">", class(row.grade)));
        for (cell, column) in row.cells.iter().zip(table.columns) {
            if cell.iter().all(String::is_empty) {
                out.push_str("<td></td>");
                continue;
            }
            let kind = match (column.name, column.kind) {
                ("STATE" | "AT (UTC)", _) => "state",
                (_, Kind::Head) => "wide",
                (_, Kind::Number) => "number",
                (_, Kind::Said) => "said",
                (_, Kind::Listed) => "listed",
                (_, Kind::Aside) => "aside",
                (_, Kind::Exact) => "exact",
            };
            let kind = format!(" class=\"{kind}\" data-name=\"{}\"", escaped(&column.name.to_lowercase()));
            let lines: Vec<_> = cell.iter().map(|line| format!("<div>{}</div>", escaped(line))).collect();
            out.push_str(&format!("<td{kind}>{}</td>", lines.concat()));
        }
        out.push_str("</tr>\n");
    }
    out.push_str("</tbody>\n</table>\n");
    if table.left_out > 0 {
        out.push_str(&format!("<p class=\"more\">… and {} more that are not shown here.</p>\n", table.left_out));
    }
}

const fn class(grade: Grade) -> &'static str {
    match grade {
        Grade::Now => "now",
        Grade::Soon => "soon",
        Grade::Fine => "fine",
    }
}

fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}
