//! `vdom mv`: gives a node another path.

use vdom_client::BranchSpec;
use vdom_core::NodePath;
use vdom_core::dom::diff::Diff;

use super::write::{self, WriteOptions};
use crate::exit::Failure;
use crate::names::parse_path;
use crate::output::Output;
use crate::server::ServerOptions;

/// Rename a node; it stays the same node, with its history
#[derive(clap::Args, Debug)]
pub(crate) struct MvArguments {
    /// Branch to write to
    #[arg(value_name = "REPO[@BRANCH]")]
    branch: BranchSpec,
    /// Where it is
    #[arg(value_parser = parse_path)]
    from: String,
    /// Where it goes
    #[arg(value_parser = parse_path)]
    to: String,
    #[command(flatten)]
    options: WriteOptions,
    #[command(flatten)]
    server: ServerOptions,
}

pub(crate) async fn run(arguments: MvArguments, output: &mut Output) -> Result<(), Failure> {
    let MvArguments { branch, from, to, options, server } = arguments;
    let diff = Diff::rename(&NodePath::parse(&to)?, None);
    let client = server.connect().await?;
    let answer = write::change_existing(&client, &branch, &from, diff, &options).await?;
    output.result(
        || write::record(&answer, &branch, &to),
        |_| format!("renamed {from} to {to} at revision {}", answer.revision),
    )?;
    Ok(())
}
