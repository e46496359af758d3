//! `vdom mirror`: keeps a directory in step with a branch, both ways.

mod branch;
mod disk;
mod hexadecimal;
mod home;
mod path;
mod plan;
mod report;
mod round;
mod session;
mod state;
mod view;

use std::path::PathBuf;
use std::time::Duration;

use self::branch::BranchSide;
use self::disk::Disk;
use self::path::Names;
use self::report::Report;
use self::session::Session;
use self::state::{Mirrored, State};
use super::serve::termination;
use super::write::WriteOptions;
use crate::branch::{Branch, DEFAULT_BRANCH, parse_prefix};
use crate::client::Client;
use crate::exit::{Exit, Failure};
use crate::output::Output;
use crate::server::ServerOptions;

/// How long one write may find the server away; then the whole is tried again.
const AWAY_MAX: Duration = Duration::from_secs(2);

/// Keep a directory in step with a branch, both ways, so that builds and editors
/// have files
///
/// What changes in DIR goes to the branch, what changes in the branch goes to DIR;
/// changes of both sides to one text are merged. What `.gitignore` and `.ignore`
/// files name is left out, unless the branch has it. Ctrl-C ends it; started again,
/// it brings both sides what they missed.
///
/// Where both sides changed a file and that cannot be merged, the file stays as it
/// is, and the branch's version is laid beside it as NAME.vdom-theirs. Edit the file
/// as it should be and remove NAME.vdom-theirs, or move that over the file: then it
/// goes on. Where one side deleted a file that the other changed, it stays.
#[derive(clap::Args, Debug)]
pub(crate) struct Arguments {
    /// Directory to keep; it is made where there is none
    #[arg(value_name = "DIR")]
    directory: PathBuf,
    /// Repo of the branch
    #[arg(long, value_name = "NAME")]
    repo: String,
    /// Branch to keep it in step with; the first file makes it
    #[arg(long, default_value = DEFAULT_BRANCH)]
    branch: String,
    /// Only what lies below this path of the branch
    #[arg(long, value_parser = parse_prefix, value_name = "PATH", default_value = "", hide_default_value = true)]
    prefix: String,
    /// Bring both sides in step once and exit: with 4 where conflicts are left
    #[arg(long)]
    once: bool,
    #[command(flatten)]
    options: WriteOptions,
    #[command(flatten)]
    server: ServerOptions,
}

/// Keeps it until it is told to end.
pub(crate) async fn run(arguments: Arguments, output: &mut Output) -> Result<(), Failure> {
    let terminated = termination()?;
    let branch = Branch::new(&arguments.repo, &arguments.branch)
        .map_err(|problem| Failure::new(Exit::Usage, problem))?;
    let names = Names::new(&arguments.prefix)?;
    let client = Client::connect(&arguments.server).await?.retry_for(AWAY_MAX);
    let mirrored = Mirrored {
        realm: client.realm(),
        repo: branch.repo.clone(),
        branch: branch.branch.clone(),
        prefix: arguments.prefix.clone(),
    };
    let disk = Disk::open(&arguments.directory)?;
    let state = State::load(&disk.home().state_file(), mirrored)?;
    if !arguments.once {
        let root = disk.root().display();
        output.note(&format!("mirroring {root} and {branch}; Ctrl-C ends it"))?;
    }
    let report = Report::new(output, branch.clone(), disk.root().to_owned());
    let side = BranchSide::new(client, branch, names, arguments.options);
    let mut session = Session::new(disk, side, state, report)?;
    let outcome = tokio::select! {
        outcome = session.run(arguments.once) => outcome,
        () = terminated => Ok(()),
    };
    let saved = session.end();
    outcome.and(saved)
}
