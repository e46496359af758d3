//! `vdom revert`: undoes a range of changes by a new change set.

use serde_json::{Value, json};
use vdom_client::{BranchSpec, random_operation_id};
use vdom_proto::v1::{OnConflict, RevertChangesRequest, WriteDiffsResponse};

use super::revision_spec::RevisionRange;
use super::write::{self, WriteOptions};
use crate::exit::Failure;
use crate::humanize::count;
use crate::output::Output;
use crate::server::ServerOptions;

/// Undo a range of changes; what was done since stays
///
/// Writes the inverse as an ordinary change set, which can be reverted itself.
/// Where a node was changed since, nothing is written unless --merge or
/// --overwrite says how.
#[derive(clap::Args, Debug)]
pub(crate) struct RevertArguments {
    /// Branch to write to
    #[arg(value_name = "REPO[@BRANCH]")]
    branch: BranchSpec,
    /// Revisions to undo, both ends included; or a single one
    #[arg(value_name = "FIRST..LAST")]
    revisions: RevisionRange,
    /// Merge with what was done to the same nodes since
    #[arg(long, conflicts_with = "overwrite")]
    merge: bool,
    /// Write over what was done to the same nodes since
    #[arg(long)]
    overwrite: bool,
    #[command(flatten)]
    options: WriteOptions,
    #[command(flatten)]
    server: ServerOptions,
}

pub(crate) async fn run(arguments: RevertArguments, output: &mut Output) -> Result<(), Failure> {
    let RevertArguments { branch, revisions, merge, overwrite, options, server } = arguments;
    let client = server.connect().await?;
    let on_conflict = match (merge, overwrite) {
        (true, _) => OnConflict::Merge,
        (_, true) => OnConflict::Overwrite,
        _ => OnConflict::Reject,
    };
    let request = RevertChangesRequest {
        realm: client.realm(),
        repo: branch.repo.clone(),
        branch: branch.branch.clone(),
        first_revision: revisions.first,
        last_revision: revisions.last,
        on_conflict: on_conflict.into(),
        author: options.author,
        message: options.message,
        operation_id: random_operation_id()?,
        ..RevertChangesRequest::default()
    };
    let answer = client.revert(request).await?;
    let answer = write::accepted_set(answer, &branch)?;
    output.result(|| record(&answer, &branch, revisions), |_| line(&answer, revisions))?;
    Ok(())
}

fn record(answer: &WriteDiffsResponse, branch: &BranchSpec, revisions: RevisionRange) -> Value {
    json!({
        "repo": branch.repo,
        "branch": branch.branch,
        "reverted": { "first": revisions.first, "last": revisions.last },
        "epoch": answer.epoch,
        "first_revision": answer.first_revision,
        "last_revision": answer.last_revision,
    })
}

fn line(answer: &WriteDiffsResponse, RevisionRange { first, last }: RevisionRange) -> String {
    let changes = (answer.last_revision + 1).saturating_sub(answer.first_revision);
    format!(
        "reverted {first}..{last} by {} up to revision {}",
        count(changes, "change", "changes"),
        answer.last_revision
    )
}
