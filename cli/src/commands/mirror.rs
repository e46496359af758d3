//! `vdom mirror`: keeps a directory in step with a branch, both ways.

mod report;

use std::path::PathBuf;
use std::time::Duration;

use vdom_client::{BranchSpec, DEFAULT_BRANCH};
use vdom_mirror::{Mirror, MirrorOptions, Outcome};

use self::report::MirrorReport;
use super::serve::termination;
use super::write::WriteOptions;
use crate::exit::{Exit, Failure};
use crate::names::parse_prefix;
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
pub(crate) struct MirrorArguments {
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

pub(crate) async fn run(arguments: MirrorArguments, output: &mut Output) -> Result<(), Failure> {
    let terminated = termination()?;
    let branch = BranchSpec::new(&arguments.repo, &arguments.branch)?;
    let client = arguments.server.connect_retrying(AWAY_MAX).await?;
    let mirror = Mirror::open(
        client,
        MirrorOptions {
            directory: arguments.directory,
            branch: branch.clone(),
            prefix: arguments.prefix,
            author: arguments.options.author,
            message: arguments.options.message,
        },
    )?;
    let root = mirror.directory().to_owned();
    if !arguments.once {
        output.note(&format!("mirroring {} and {branch}; Ctrl-C ends it", root.display()))?;
    }
    let mut report = MirrorReport::new(output, branch, root);
    match mirror.run(arguments.once, &mut report, terminated).await? {
        Outcome::InStep | Outcome::Stopped => Ok(()),
        Outcome::ConflictsLeft => Err(Failure::silent(Exit::Conflict)),
        Outcome::ProblemsLeft => Err(Failure::silent(Exit::Failed)),
    }
}
