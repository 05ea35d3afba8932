//! The page that is made of what was measured: a table of targets, charts, every series, the machine, how to repeat it.

use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};

use super::chart;
use super::machine;
use super::results::{Kept, Outcome, Series};
use super::stage::Plan;
use super::targets::{self, Target};
use super::works;

/// Writes `benchmarks.md` and the charts beside it into `place`, and says where the page is.
pub fn write(kept: &Kept, full: bool, place: &Path) -> io::Result<PathBuf> {
    let outcomes: Vec<(&str, Outcome)> =
        works::ALL.iter().filter_map(|(name, _)| Some((*name, kept.load(name)?))).collect();
    let charts = place.join("benchmarks");
    std::fs::create_dir_all(&charts)?;
    std::fs::write(charts.join("ratios.svg"), chart::ratios(&outcomes))?;
    std::fs::write(charts.join("latency.svg"), chart::latency(&outcomes))?;
    std::fs::write(charts.join("memory.svg"), chart::memory(&outcomes))?;
    let path = place.join("benchmarks.md");
    std::fs::write(&path, page(&outcomes, full))?;
    Ok(path)
}

fn page(outcomes: &[(&str, Outcome)], full: bool) -> String {
    let mut text = String::from("# Benchmarks: beside OpenBao\n\n");
    text.push_str("Written by `cargo bench --bench side-by-side`; do not edit. ");
    text.push_str(if full {
        "This is a full run.\n"
    } else {
        "**This is the short form**, a first look of a few minutes: spreads are wide, and memory and start are of small stores.\n"
    });
    text.push_str(RULES);
    let find = |work: &str| outcomes.iter().find(|(name, _)| *name == work).map(|(_, outcome)| outcome);
    text.push_str("\n## Targets\n\nRatios are medians over the rounds of the two rates of one round.\n\n");
    text.push_str("| work | Sparekey | beside | its figure | wanted | reached | |\n|---|---|---|---|---|---|---|\n");
    let mut open = Vec::new();
    for target in targets::ALL {
        let outcome = find(target.work);
        text.push_str(&row(target, outcome));
        if !outcome.is_some_and(|outcome| target.met(outcome)) {
            open.push((target, outcome));
        }
    }
    let met = targets::ALL.len() - open.len();
    let _ = writeln!(text, "\n{met} of {} are met.", targets::ALL.len());
    if !open.is_empty() {
        text.push_str("\n### Not met\n\n");
        for (target, outcome) in open {
            let _ = writeln!(text, "* **{}**: {}", target.words, reason(target, outcome));
        }
    }
    text.push_str("\n## Charts\n\n![Sparekey's rate beside the other's](benchmarks/ratios.svg)\n\n");
    text.push_str(
        "![Latency at the same fixed rate](benchmarks/latency.svg)\n\n![Resident memory](benchmarks/memory.svg)\n",
    );
    text.push_str("\n## Every series\n\n");
    text.push_str(
        "*Offered* is the fixed rate, if there was one: the same for all, half of what the slowest gave, and then times count from the moment at \
         which a request was due. Otherwise p99 and p99.9 are corrected for coordinated omission. Processor time, client's too, and bytes to \
         the file system are for one act; of what is mounted they count the vault and the plugin, and of PostgreSQL's own processes nothing.\n\n",
    );
    text.push_str("| work | who | what | conns | offered | acts/s (lowest to highest) | p50 ms | p99 | p99.9 | server µs | client µs | bytes written | resident MB |\n");
    text.push_str("|---|---|---|---|---|---|---|---|---|---|---|---|---|\n");
    for (work, outcome) in outcomes {
        outcome.series.iter().for_each(|series| text.push_str(&line(work, series)));
    }
    text.push_str("\n## Other figures\n\n| work | what | median |\n|---|---|---|\n");
    for (work, outcome) in outcomes {
        for figure in outcome.figures.iter().filter(|figure| !figure.name.ends_with("over-time")) {
            let value = number(outcome.figure(&figure.name).unwrap_or(f64::NAN));
            let unit = if figure.unit.is_empty() { String::new() } else { format!(" {}", figure.unit) };
            let _ = writeln!(text, "| {work} | {} | {value}{unit} |", figure.words);
        }
    }
    text.push_str("\n## Machine\n\n| | |\n|---|---|\n");
    let mut days: Vec<String> = outcomes.iter().map(|(_, outcome)| machine::date(outcome.at)).collect();
    days.sort_unstable();
    days.dedup();
    let _ = writeln!(text, "| measured on | {} |", days.join(", "));
    for (what, which) in machine::rows() {
        let _ = writeln!(text, "| {what} | {which} |");
    }
    text.push_str(&repeat(outcomes, full));
    text
}

const RULES: &str = "
Both servers run on one machine, on loopback without TLS, with the load program on the same processors. Lanes take turns, round after round, so that a
busy moment of the machine meets all; a server that is not driven is idle. Read ratios, not rates.

* **Sparekey**: redb or, where the row says so, PostgreSQL; a `file` audit device, fsynced before a code leaves; `single_use` on; sets of ten codes of 16
  characters; an ES256 assertion of about 500 bytes for each request, signed beforehand.
* **OpenBao**: raft storage, one node, which fsyncs each batch; a `file` audit device, which is not fsynced; a token with a policy; secrets of ten codes of
  16 characters, written in turn, each version under `cas`.
* A request is bytes that were written down before the clock started. An answer that is not the expected one makes the work void.
* **The floor** is a program on the same libraries that does only what cannot be left out: it answers by hyper, verifies one ES256 signature with aws-lc-rs and
  commits the bytes of a retrieval to redb, many requests in one commit. It seals nothing, judges nothing and writes no audit.
";

fn row(target: &Target, outcome: Option<&Outcome>) -> String {
    let (words, beside) = (target.words, target.beside);
    let wanted = each(target, |check| check.bound());
    let Some(outcome) = outcome else { return format!("| {words} | | {beside} | | {wanted} | not measured | |\n") };
    if outcome.void.is_some() {
        return format!("| {words} | | {beside} | | {wanted} | void | **no** |\n");
    }
    let reached = each(target, |check| match check.reached(outcome) {
        Some(value) => format!("{} {}", number(value), check.unit.split(' ').next().unwrap_or_default()),
        None => "–".to_owned(),
    });
    let verdict = if target.met(outcome) { "yes" } else { "**no**" };
    let (mine, its) = (shown(outcome, target.shown.0), shown(outcome, target.shown.1));
    format!("| {words} | {mine} | {beside} | {its} | {wanted} | {reached} | {verdict} |\n")
}

/// All checks of a target, those of which any suffices joined by *or*.
fn each(target: &Target, of: impl Fn(&super::targets::Check) -> String) -> String {
    let any = target.wanted.iter().map(|any| any.iter().map(&of).collect::<Vec<_>>().join(" or "));
    any.collect::<Vec<_>>().join("; ")
}

/// A rate, or a figure (`=NAME`); `LANE@CONNECTIONS` where they are not the usual many.
fn shown(outcome: &Outcome, what: &str) -> String {
    if let Some(name) = what.strip_prefix('=') {
        let unit = outcome.figures.iter().find(|figure| figure.name == name).map_or("", |figure| figure.unit.as_str());
        return outcome.figure(name).map_or("–".into(), |value| format!("{} {unit}", number(value)));
    }
    let (lane, connections) = match what.split_once('@') {
        Some((lane, connections)) => (lane, connections.parse().unwrap_or(targets::MANY)),
        None => (what, targets::MANY),
    };
    let series = outcome.series(lane, connections, false);
    series.map_or("–".into(), |series| format!("{}/s", number(series.median(|round| round.rate))))
}

fn reason(target: &Target, outcome: Option<&Outcome>) -> String {
    let Some(outcome) = outcome else { return "not measured in this run.".into() };
    if let Some(void) = &outcome.void {
        return format!("void: {}", void.replace('\n', " "));
    }
    let short = target.wanted.iter().filter(|any| !any.iter().any(|check| check.met(outcome)));
    let short = short.map(|any| {
        let said = any
            .iter()
            .filter_map(|check| Some(format!("{} where {} is wanted", number(check.reached(outcome)?), check.bound())));
        said.collect::<Vec<_>>().join(", ")
    });
    let mut text = short.collect::<Vec<_>>().join("; ");
    if let (Some(mine), Some(its)) =
        (outcome.series("sparekey", targets::MANY, false), outcome.series("openbao", targets::MANY, false))
    {
        let _ = write!(
            text,
            ". Processor time for one act: {} µs beside {} µs, the client's {} µs on top",
            number(mine.median(|round| round.server_us)),
            number(its.median(|round| round.server_us)),
            number(mine.median(|round| round.client_us)),
        );
    }
    text.push_str(". ");
    text.push_str(target.reason);
    text.trim_end().to_owned()
}

fn line(work: &str, series: &Series) -> String {
    let of = |of: fn(&super::results::Round) -> f64| number(series.median(of));
    let (low, high) = series.spread();
    let offered = series.offered.map_or(String::new(), |rate| format!("{}/s", number(rate)));
    format!(
        "| {work} | {} | {} | {} | {offered} | {} ({} to {}) | {} | {} | {} | {} | {} | {} | {} |\n",
        series.lane,
        series.words,
        series.connections,
        of(|round| round.rate),
        number(low),
        number(high),
        of(|round| round.p50),
        of(|round| round.p99),
        of(|round| round.p999),
        of(|round| round.server_us),
        of(|round| round.client_us),
        of(|round| round.written),
        of(|round| round.resident_mb),
    )
}

fn repeat(outcomes: &[(&str, Outcome)], full: bool) -> String {
    let seconds: f64 = outcomes.iter().map(|(_, outcome)| outcome.seconds).sum();
    let plan = if full { Plan::full() } else { Plan::short() };
    let mut text = format!(
        "\n## How to repeat it\n\n```sh\ncargo bench --bench side-by-side                             # the short form\n\
         cargo bench --bench side-by-side -- --full                   # everything, on a machine that does nothing else\n\
         cargo bench --bench side-by-side -- --full --resume          # goes on where it was stopped\n\
         cargo bench --bench side-by-side -- --full --work retrieve   # one work\n```\n\n\
         Works took {seconds:.0} seconds together, in {} rounds of about {} seconds a lane unless `--rounds` or `--seconds` said otherwise. Results lie in \
         `target/side-by-side/` as JSON.\n",
        plan.extent.rounds, plan.extent.seconds
    );
    let mut builds: Vec<&str> = outcomes.iter().map(|(_, outcome)| outcome.build.as_str()).collect();
    builds.sort_unstable();
    builds.dedup();
    if builds.len() > 1 {
        text.push_str("\nNot all works are of one build: the JSON says of which.\n");
    }
    text
}

/// A number as a person reads it: three digits that count.
pub fn number(value: f64) -> String {
    let digits = match value.abs() {
        _ if !value.is_finite() => return "–".into(),
        0.0 => 0,
        small if small < 10.0 => 2,
        small if small < 100.0 => 1,
        _ => 0,
    };
    let text = format!("{value:.digits$}");
    let (whole, rest) =
        text.split_once('.').map_or((text.as_str(), String::new()), |(whole, rest)| (whole, format!(".{rest}")));
    let mut grouped = String::new();
    for (index, digit) in whole.chars().enumerate() {
        if index > 0 && (whole.len() - index) % 3 == 0 && whole.len() > 4 {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped + &rest
}
