//! Charts in SVG, small and without script: bars of ratios, bars of latencies, lines of memory.

use std::fmt::Write as _;

use super::page::number;
use super::results::Outcome;
use super::targets::{self, Target};

const WIDTH: f64 = 760.0;
const LEFT: f64 = 290.0;
const RIGHT: f64 = 90.0;
const ROW: f64 = 26.0;
/// Colours that stand on a light page and on a dark one.
const MINE: &str = "#2f81f7";
const OTHER: &str = "#8b949e";
const MARK: &str = "#d29922";

fn open(height: f64, title: &str) -> String {
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" height=\"{height}\" \
         font-family=\"system-ui, sans-serif\" font-size=\"12\" fill=\"#6e7681\" role=\"img\" aria-label=\"{title}\">\n\
         <text x=\"0\" y=\"16\" font-size=\"14\" font-weight=\"600\">{title}</text>\n"
    )
}

fn text(svg: &mut String, x: f64, y: f64, anchor: &str, words: &str) {
    let words = words.replace('&', "&amp;").replace('<', "&lt;").replace('`', "");
    let _ = writeln!(svg, "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{words}</text>");
}

fn bar(svg: &mut String, x: f64, y: f64, width: f64, height: f64, colour: &str) {
    let width = width.max(1.0);
    let _ = writeln!(
        svg,
        "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" rx=\"2\" fill=\"{colour}\"/>"
    );
}

/// How far along a scale of ratios that doubles.
fn along(ratio: f64, most: f64) -> f64 {
    const LEAST: f64 = 0.125;
    ((ratio.max(LEAST) / LEAST).log2() / (most / LEAST).log2()).min(1.0)
}

/// Rates beside the other's, each with a mark where the target lies.
pub fn ratios(outcomes: &[(&str, Outcome)]) -> String {
    let of = |target: &'static Target| {
        let (_, outcome) = outcomes.iter().find(|(name, _)| *name == target.work)?;
        let check = target.wanted.first()?.first()?;
        let reached = check.reached(outcome)?;
        check.at_least.then_some((target, reached, check.bound))
    };
    let rows: Vec<_> = targets::ALL.iter().filter_map(of).collect();
    let most = rows.iter().fold(2.0, |most: f64, (_, reached, bound)| most.max(*reached).max(*bound)) * 1.1;
    let mut svg = open(
        rows.len() as f64 * ROW + 64.0,
        "Sparekey's rate beside the other's (doubling scale; mark: target, blue: reached)",
    );
    let width = WIDTH - LEFT - RIGHT;
    let one = LEFT + width * along(1.0, most);
    for (index, (target, reached, bound)) in rows.iter().enumerate() {
        let y = 32.0 + index as f64 * ROW;
        text(&mut svg, LEFT - 8.0, y + 13.0, "end", target.words);
        bar(&mut svg, LEFT, y + 2.0, width * along(*reached, most), 15.0, if reached >= bound { MINE } else { OTHER });
        let mark = LEFT + width * along(*bound, most);
        bar(&mut svg, mark - 1.0, y - 1.0, 2.0, 21.0, MARK);
        let end = LEFT + width * along(*reached, most).max(along(*bound, most));
        text(&mut svg, end + 6.0, y + 13.0, "start", &format!("{} ×", number(*reached)));
    }
    let bottom = 34.0 + rows.len() as f64 * ROW;
    let _ = writeln!(
        svg,
        "<line x1=\"{one:.1}\" y1=\"28\" x2=\"{one:.1}\" y2=\"{bottom:.1}\" stroke=\"#6e7681\" stroke-dasharray=\"2 3\"/>"
    );
    text(&mut svg, one, bottom + 16.0, "middle", "as fast");
    svg + "</svg>\n"
}

/// Median and p99 where all were offered the same rate.
pub fn latency(outcomes: &[(&str, Outcome)]) -> String {
    let mut rows = Vec::new();
    for (work, outcome) in outcomes {
        for series in outcome.series.iter().filter(|series| series.offered.is_some()) {
            let name = format!("{work}: {} at {}/s", series.lane, number(series.offered.unwrap_or_default()));
            rows.push((
                name,
                series.lane == "sparekey",
                series.median(|round| round.p50),
                series.median(|round| round.p99),
            ));
        }
    }
    let most = rows.iter().fold(0.25, |most: f64, row| most.max(row.3)) * 1.1;
    let mut svg =
        open(rows.len() as f64 * ROW + 44.0, "Latency at the same fixed rate: p50 and p99, ms (doubling scale)");
    let width = WIDTH - LEFT - RIGHT;
    for (index, (name, mine, p50, p99)) in rows.iter().enumerate() {
        let y = 32.0 + index as f64 * ROW;
        let colour = if *mine { MINE } else { OTHER };
        text(&mut svg, LEFT - 8.0, y + 13.0, "end", name);
        bar(&mut svg, LEFT, y + 7.0, width * along(*p99, most), 5.0, colour);
        bar(&mut svg, LEFT, y + 2.0, width * along(*p50, most), 15.0, colour);
        let words = format!("{} · {}", number(*p50), number(*p99));
        text(&mut svg, LEFT + width * along(*p99, most) + 6.0, y + 13.0, "start", &words);
    }
    svg + "</svg>\n"
}

/// Resident memory from the start to the end of the acts.
pub fn memory(outcomes: &[(&str, Outcome)]) -> String {
    const HEIGHT: f64 = 220.0;
    const EDGE: f64 = 60.0;
    const NAMES: f64 = 120.0;
    let outcome = outcomes.iter().find(|(name, _)| *name == "memory").map(|(_, outcome)| outcome);
    let line = |name: &str| {
        let figure = outcome?.figures.iter().find(|figure| figure.name == name)?;
        Some(figure.values.clone())
    };
    let lines = [("Sparekey", MINE, line("sparekey-over-time")), ("OpenBao", OTHER, line("openbao-over-time"))];
    let acts = outcome.and_then(|outcome| outcome.figure("acts")).unwrap_or_default();
    let most =
        lines.iter().filter_map(|line| line.2.as_ref()).flatten().fold(1.0, |most: f64, value| most.max(*value)) * 1.1;
    let mut svg = open(HEIGHT + 70.0, "Resident memory over the acts, MB");
    let (bottom, width) = (HEIGHT + 36.0, WIDTH - EDGE - NAMES);
    let _ = writeln!(
        svg,
        "<line x1=\"{EDGE}\" y1=\"{bottom}\" x2=\"{:.1}\" y2=\"{bottom}\" stroke=\"#6e7681\"/>",
        EDGE + width
    );
    for part in [0.0, 0.5, 1.0] {
        text(&mut svg, EDGE - 6.0, bottom - HEIGHT * part + 4.0, "end", &number(most * part));
        text(&mut svg, EDGE + width * part, bottom + 18.0, "middle", &number(acts * part));
    }
    for (name, colour, values) in lines {
        let Some(values) = values.filter(|values| values.len() > 1) else { continue };
        let step = width / (values.len() - 1) as f64;
        let point = |(index, value): (usize, &f64)| {
            format!("{:.1},{:.1}", EDGE + step * index as f64, bottom - HEIGHT * value / most)
        };
        let points: Vec<String> = values.iter().enumerate().map(point).collect();
        let _ = writeln!(
            svg,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>",
            points.join(" ")
        );
        let last = values.last().copied().unwrap_or_default();
        text(
            &mut svg,
            EDGE + width + 6.0,
            bottom - HEIGHT * last / most + 4.0,
            "start",
            &format!("{name} {}", number(last)),
        );
    }
    svg + "</svg>\n"
}
