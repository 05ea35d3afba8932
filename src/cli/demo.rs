//! `sparekey demo`: the main job, played over real HTTP against the real server, with each line as a person would type it.

use std::path::PathBuf;
use std::process::ExitCode;

mod cast;
mod server;
mod stage;
mod story;

use cast::Cast;
use server::Server;
use stage::Stage;

/// Show the main job: import, retrieve, re-enroll, refused.
#[derive(clap::Args)]
#[group(skip)]
#[command(after_help = "\
Examples:
  sparekey demo
  sparekey demo --keep         leaves the server up, with the next commands to try

The server listens on loopback only; its store, audit file and keys lie in a fresh folder that is removed at the end.")]
pub struct Args {
    /// Leave the server up when the story is told.
    #[arg(long)]
    keep: bool,
    /// Where the server keeps its files; must not exist yet [default: a fresh folder under the temporary one].
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

/// What went wrong, as a sentence for the person in front of it.
type Result<T> = std::result::Result<T, String>;

/// Runs `sparekey demo`.
pub fn run(args: Args) -> ExitCode {
    let mut stage = Stage::standard();
    match play(&args, &mut stage) {
        Ok(()) => ExitCode::SUCCESS,
        Err(sentence) => {
            stage.fail(&sentence);
            ExitCode::from(2)
        }
    }
}

fn play(args: &Args, stage: &mut Stage) -> Result<()> {
    let mut server = Server::start(args.dir.as_deref())?;
    let cast = Cast::gather(server.folder())?;
    stage.title("Sparekey: backup codes under seal, handed out once, on the record, ended by re-enrollment");
    stage.remark(&format!("A server is up at {}", server.address()));
    stage.remark(&format!("Store (redb), audit file and keys: {}", server.folder().display()));
    server.initialise(stage)?;
    story::tell(&server, &cast, stage)?;
    if args.keep { keep(&mut server, stage) } else { server.stop() }
}

/// Leaves the server up and says how to go on.
fn keep(server: &mut Server, stage: &mut Stage) -> Result<()> {
    let folder = server.folder().display().to_string();
    stage.heading("The server stays up: try these in another terminal");
    stage.line(&format!("export BAO_ADDR={} BAO_TOKEN={}", server.address(), server.root_token()));
    stage.line("bao list backup-codes/accounts/github");
    stage.line(&format!(
        "bao write backup-codes/retrieve/github/acme-owner role=oncall reason='trying it out' jwt=\"$(sparekey dev jwt \
         --dev-dir {folder} --sub jane@example.com --aud sparekey --claim team=on-call)\""
    ));
    stage.line("bao read backup-codes/history/github/acme-owner");
    stage.remark("Ctrl-C ends it; the folder is then removed.");
    server.wait()
}
