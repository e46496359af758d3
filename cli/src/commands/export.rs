//! `vdom export`: writes the files of a branch into a directory, or the history
//! of a repo as a stream for git.

mod directory;
mod git;

use std::path::PathBuf;

use vdom_client::DEFAULT_BRANCH;

use crate::exit::Failure;
use crate::output::Output;
use crate::server::ServerOptions;

/// Write the files of a branch into a directory, or the history of a repo for git
///
/// With --git, the stream for `git fast-import` goes to standard output:
/// `vdom export --git --repo site | git -C new.git fast-import`. Commits that came
/// from git are as they were; every other change set becomes a commit.
#[derive(clap::Args, Debug)]
pub(crate) struct ExportArguments {
    /// Directory to write to; it is made where there is none
    #[arg(value_name = "DIR", required_unless_present = "git")]
    directory: Option<PathBuf>,
    /// Write the whole history of the repo for `git fast-import`
    #[arg(long, conflicts_with_all = ["directory", "branch", "revision", "overwrite"])]
    git: bool,
    /// Repo to read
    #[arg(long, value_name = "NAME")]
    repo: String,
    /// Branch to read
    #[arg(long, default_value = DEFAULT_BRANCH)]
    branch: String,
    /// As of this revision [default: the latest]
    #[arg(long, value_name = "NUMBER", default_value_t = 0, hide_default_value = true)]
    revision: u64,
    /// Write into a directory that is not empty, over files of the same name
    #[arg(long)]
    overwrite: bool,
    /// Also the signatures of commits, which need git 2.50 or newer to be read
    #[arg(long, requires = "git")]
    signatures: bool,
    #[command(flatten)]
    server: ServerOptions,
}

pub(crate) async fn run(arguments: ExportArguments, output: &mut Output) -> Result<(), Failure> {
    match &arguments.directory {
        Some(directory) if !arguments.git => directory::export(directory, &arguments, output).await,
        _ => git::export(&arguments, output).await,
    }
}
