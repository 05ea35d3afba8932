//! `sparekey report`: how accounts stand, who did what, who could; for a terminal, a spreadsheet, a program or paper.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Subcommand;

use crate::cli::client::{Client, Connection, Failure, Settings};
use crate::cli::console::Console;
use crate::cli::lines;
use crate::cli::paint::Paint;
use crate::clock::{Clock, SystemClock};
use crate::domain::time::Timestamp;
use crate::engine::report::csv::Columns;
use crate::engine::report::{access as access_path, posture as posture_path, usage as usage_path};

mod access;
mod html;
mod pages;
mod posture;
mod question;
mod sheet;
mod terminal;
mod text;
mod usage;

use pages::Pages;
use sheet::Sheet;

const EXAMPLES: &str = "Examples:
  What needs attention, the worst first:
    sparekey report posture
  The same on paper, for one folder:
    sparekey report posture github/ --html posture.html
  In a job: exit code 3 if an account is overdue or has no fallback:
    sparekey report posture --fail-on no-fallback,overdue
  Which codes left in the last week, and who had them:
    sparekey report usage --from 7d --act retrieve,verify
  Every act of the last month with the request's id, for a spreadsheet:
    sparekey report usage --from 30d --csv > usage.csv
  Who could have a code, who did, and when that was last reviewed:
    sparekey report access

Exit codes:
  0  done
  1  wrong usage, or no answer
  2  the server refused
  3  an account has what --fail-on names";

/// Report on all accounts: posture, usage, access. Reads page by page; needs a token that may read reports.
#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    #[command(subcommand)]
    which: Which,
}

#[derive(Subcommand, Debug)]
enum Which {
    /// How each account stands, and what is amiss.
    Posture(Posture),
    /// Who did what, under which role, and when.
    Usage(Usage),
    /// Who could retrieve codes, who did, and when that was reviewed.
    Access(Access),
}

#[derive(clap::Args, Debug)]
struct Posture {
    /// Only accounts with one of these warnings, such as low,owes; any: with one at all
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    only: Vec<String>,
    /// How long before its end a set expires soon, such as 30d [default: 14d]
    #[arg(long, value_name = "DURATION")]
    soon: Option<String>,
    /// Exit with 3 if an account has one of these: warnings, now (what needs action at once) or any
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    fail_on: Vec<String>,
    #[command(flatten)]
    common: Common,
}

#[derive(clap::Args, Debug)]
struct Usage {
    #[command(flatten)]
    window: Window,
    /// Only these acts, such as retrieve,verify
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    act: Vec<String>,
    /// Only acts under this role
    #[arg(long, value_name = "NAME")]
    role: Option<String>,
    /// Only acts of this subject
    #[arg(long, value_name = "NAME")]
    subject: Option<String>,
    #[command(flatten)]
    common: Common,
}

#[derive(clap::Args, Debug)]
struct Access {
    #[command(flatten)]
    window: Window,
    #[command(flatten)]
    common: Common,
}

#[derive(clap::Args, Debug)]
struct Window {
    /// Acts from then on: a time such as 2026-07-01T12:00:00Z, or how long ago, such as 7d
    #[arg(long, value_name = "TIME")]
    from: Option<String>,
    /// Acts before then
    #[arg(long, value_name = "TIME")]
    to: Option<String>,
}

#[derive(clap::Args, Debug)]
struct Common {
    /// Only this account or folder, such as github/
    prefix: Option<String>,
    /// Rows as JSON, an array with one row a line, all of them
    #[arg(long, group = "form")]
    json: bool,
    /// Rows as CSV, all of them
    #[arg(long, group = "form")]
    csv: bool,
    /// Write a page to look at and to print, in one file
    #[arg(long, value_name = "FILE", group = "form")]
    html: Option<PathBuf>,
    /// Most rows of a table on a terminal [default: 50] and on paper [default: 1000]; the worst are shown
    #[arg(long, value_name = "N")]
    rows: Option<usize>,
    /// Where the engine is mounted
    #[arg(long, value_name = "PATH", default_value = "backup-codes")]
    mount: String,
    /// How to reach the server
    #[command(flatten)]
    connection: Connection,
}

/// What a command line asks for beyond the server's answer.
pub struct Surroundings<'a> {
    /// The variables.
    pub environment: &'a dyn Fn(&str) -> Option<String>,
    /// The time, for windows that are told as "7d".
    pub now: Timestamp,
    /// Colours.
    pub paint: Paint,
    /// Columns of the terminal that reads this, if one does.
    pub columns: Option<usize>,
}

/// What a report collects from the rows of all pages; what it holds is bounded.
trait Collect {
    /// Takes in a page's own members, its rows apart.
    fn page(&mut self, data: &serde_json::Map<String, serde_json::Value>);
    /// Takes in a row.
    fn row(&mut self, row: &serde_json::Value);
    /// What there is to show.
    fn sheet(self: Box<Self>) -> Sheet;
    /// Whether the command shall say that it found what was asked for.
    fn alarm(&self) -> bool {
        false
    }
}

/// Runs the subcommand on this process's console and environment.
pub fn run(args: Args) -> ExitCode {
    let mut console = Console::standard();
    let environment = |name: &str| std::env::var(name).ok();
    let (paint, columns) = (Paint::of_output(&environment), lines::of_output());
    let around = Surroundings { environment: &environment, now: SystemClock.now(), paint, columns };
    match report(&args, &around, &mut console) {
        Ok(false) => ExitCode::SUCCESS,
        Ok(true) => ExitCode::from(3),
        Err(failure) => {
            console.complain(&format!("sparekey report: {failure}"));
            ExitCode::from(failure.exit_code())
        }
    }
}

/// Reports as `args` say; answers whether an account has what `--fail-on` names.
pub fn report(args: &Args, around: &Surroundings<'_>, console: &mut Console) -> Result<bool, Failure> {
    let (common, which) = match &args.which {
        Which::Posture(posture) => (&posture.common, "posture"),
        Which::Usage(usage) => (&usage.common, "usage"),
        Which::Access(access) => (&access.common, "access"),
    };
    let rows = common.rows.unwrap_or(if common.html.is_some() { 1000 } else { 50 }).clamp(1, 100_000);
    let (query, columns, mut collect): (_, Columns, Box<dyn Collect>) = match &args.which {
        Which::Posture(asked) => (
            question::posture(&asked.only, asked.soon.as_deref()),
            posture_path::COLUMNS,
            Box::new(posture::Postures::new(&asked.fail_on, rows)?),
        ),
        Which::Usage(asked) => {
            (question::usage(asked, around.now)?, usage_path::COLUMNS, Box::new(usage::Acts::new(rows)))
        }
        Which::Access(asked) => {
            (question::window(&asked.window, around.now)?, access_path::COLUMNS, Box::new(access::Ways::new(rows)))
        }
    };
    let client = Client::new(Settings::resolve(&common.connection, around.environment)?)?;
    let mut pages = Pages::new(&client, &common.mount, which, common.prefix.as_deref(), query)?;
    let mut stream = pages::Stream::new(common.json, common.csv, columns);
    while let Some(page) = pages.next(console)? {
        collect.page(&page.data);
        page.rows.iter().for_each(|row| collect.row(row));
        stream.page(&page.rows, console);
    }
    stream.end(console);
    let alarm = collect.alarm();
    if !stream.is_on() {
        let mut sheet = collect.sheet();
        sheet.place = format!("{} ({})", client.settings().address(), common.mount.trim_matches('/'));
        match &common.html {
            None => console.say(terminal::render(&sheet, around.paint, around.columns).trim_end()),
            Some(file) => {
                html::write(file, &html::render(&sheet))?;
                console.say(&format!("Wrote {}: {}", file.display(), sheet.summary()));
            }
        }
    }
    Ok(alarm)
}
