//! `vdom mirror`: keeps a directory in step with a branch, both ways.

mod report;

use std::io::IsTerminal;
use std::path::PathBuf;
use std::time::Duration;

use tokio::sync::mpsc;
use vdom_client::{BranchSpec, DEFAULT_BRANCH};
use vdom_mirror::{ManyDeletions, Mirror, MirrorOptions, Outcome};

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
///
/// Where more than half of more than 20 files are gone from DIR, nothing is deleted
/// in the branch before somebody said so: on a terminal it asks, else they wait for
/// the files to come back or for --allow-deletions.
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
    /// Delete in the branch without asking, even more than half of more than 20 files
    #[arg(long)]
    allow_deletions: bool,
    #[command(flatten)]
    options: WriteOptions,
    #[command(flatten)]
    server: ServerOptions,
}

pub(crate) async fn run(arguments: MirrorArguments, output: &mut Output) -> Result<(), Failure> {
    let terminated = termination()?;
    let branch = BranchSpec::new(&arguments.repo, &arguments.branch)?;
    let client = arguments.server.connect_retrying(AWAY_MAX).await?;
    let many_deletions = if arguments.allow_deletions {
        ManyDeletions::Allow
    } else if output.is_for_people() && std::io::stdin().is_terminal() {
        ManyDeletions::Ask(answers_of_a_person())
    } else {
        ManyDeletions::Hold
    };
    let asks = matches!(many_deletions, ManyDeletions::Ask(_));
    let mirror = Mirror::open(
        client,
        MirrorOptions {
            directory: arguments.directory,
            branch: branch.clone(),
            prefix: arguments.prefix,
            author: arguments.options.author,
            message: arguments.options.message,
            many_deletions,
        },
    )?;
    let root = mirror.directory().to_owned();
    if !arguments.once {
        output.note(&format!("mirroring {} and {branch}; Ctrl-C ends it", root.display()))?;
    }
    let mut report = MirrorReport::new(output, branch, root, asks);
    match mirror.run(arguments.once, &mut report, terminated).await? {
        Outcome::InStep | Outcome::Stopped => Ok(()),
        Outcome::ConflictsLeft => Err(Failure::silent(Exit::Conflict)),
        Outcome::ProblemsLeft => Err(Failure::silent(Exit::Failed)),
    }
}

/// Whether each line that is typed means yes.
fn answers_of_a_person() -> mpsc::Receiver<bool> {
    let (answers, receiver) = mpsc::channel(1);
    // It ends with the process: nothing else ends a wait for a terminal.
    std::thread::spawn(move || {
        for line in std::io::stdin().lines() {
            let Ok(line) = line else { return };
            let is_yes = matches!(line.trim().to_ascii_lowercase().as_str(), "y" | "yes");
            if answers.blocking_send(is_yes).is_err() {
                return;
            }
        }
    });
    receiver
}
