//! What the writing verbs share: who writes and why, and what became of it.

use bytes::Bytes;
use serde_json::{Value, json};
use vdom_client::{BranchSpec, Client, random_operation_id};
use vdom_proto::v1::conflict_info::Reason;
use vdom_proto::v1::{
    ConflictInfo, OnConflict, WriteDiffRequest, WriteDiffResponse, WriteDiffsResponse,
};

use crate::exit::{Exit, Failure};
use crate::humanize::{printable, time};

/// Who writes, and why.
#[derive(clap::Args, Clone, Debug, Default)]
pub(crate) struct WriteOptions {
    /// Why: kept with the change
    #[arg(long, short, default_value = "", hide_default_value = true)]
    pub(crate) message: String,
    /// Write in another's name (needs the scope dom.author)
    #[arg(long, default_value = "", hide_default_value = true, value_name = "NAME")]
    pub(crate) author: String,
}

impl WriteOptions {
    /// A request for this path, without diff, clock and node.
    pub(crate) fn request(
        &self,
        client: &Client,
        branch: &BranchSpec,
        path: &str,
    ) -> WriteDiffRequest {
        WriteDiffRequest {
            realm: client.realm(),
            repo: branch.repo.clone(),
            branch: branch.branch.clone(),
            path: path.to_owned(),
            author: self.author.clone(),
            message: self.message.clone(),
            on_conflict: OnConflict::Reject.into(),
            ..WriteDiffRequest::default()
        }
    }
}

/// Writes `diff` to the node that stands at `path` now.
pub(crate) async fn change_existing(
    client: &Client,
    branch: &BranchSpec,
    path: &str,
    diff: Bytes,
    options: &WriteOptions,
) -> Result<WriteDiffResponse, Failure> {
    let Some(current) = client.stat(branch, path).await? else {
        return Err(Failure::new(Exit::NotFound, format!("{branch} has no {path}"))
            .advice(format!("`vdom ls {branch}` lists what is there")));
    };
    let request = WriteDiffRequest {
        diff_bson: diff,
        node_id: current.node_id,
        vector_clock: current.vector_clock,
        operation_id: random_operation_id()?,
        ..options.request(client, branch, path)
    };
    accepted(client.write(request).await?, branch, path)
}

/// The answer of an accepted write; a refused one says what stands there.
pub(crate) fn accepted(
    answer: WriteDiffResponse,
    branch: &BranchSpec,
    path: &str,
) -> Result<WriteDiffResponse, Failure> {
    if answer.success {
        return Ok(answer);
    }
    let Some(conflict) = answer.conflict else {
        return Err(Failure::failed("the server refused the write and did not say why"));
    };
    let advice = match conflict.reason() {
        Reason::Merge => format!("`vdom cat {branch} {path}` shows what stands there"),
        _ => format!(
            "`vdom cat {branch} {path}` shows what stands there; then try again, or write over it \
             with --overwrite where the verb has it"
        ),
    };
    Err(Failure::new(Exit::Conflict, describe_conflict(&conflict, branch, path)).advice(advice))
}

/// The answer of an accepted change set; a refused one says where it failed.
pub(crate) fn accepted_set(
    answer: WriteDiffsResponse,
    branch: &BranchSpec,
) -> Result<WriteDiffsResponse, Failure> {
    if answer.success {
        return Ok(answer);
    }
    let conflicts: Vec<_> =
        answer.results.iter().filter_map(|result| result.conflict.as_ref()).collect();
    if conflicts.is_empty() {
        return Err(Failure::failed("the server refused the change set and did not say why"));
    }
    let mut message = "nothing was written:".to_owned();
    for conflict in conflicts {
        let path = printable(&conflict.path);
        message.extend(["\n  ", &describe_conflict(conflict, branch, &path)]);
    }
    Err(Failure::new(Exit::Conflict, message)
        .advice(format!("`vdom log {branch}` shows what was done since")))
}

/// One accepted write for programs.
pub(crate) fn record(answer: &WriteDiffResponse, branch: &BranchSpec, path: &str) -> Value {
    json!({
        "repo": branch.repo,
        "branch": branch.branch,
        "path": path,
        "node_id": hex::encode(&answer.node_id),
        "version": answer.new_version,
        "epoch": answer.epoch,
        "revision": answer.revision,
        "merged": answer.merged,
    })
}

fn describe_conflict(conflict: &ConflictInfo, branch: &BranchSpec, path: &str) -> String {
    let current = || {
        format!(
            "version {} by {} of {}",
            conflict.current_version,
            printable(&conflict.current_author),
            time(conflict.current_timestamp.as_ref())
        )
    };
    let what = match conflict.reason() {
        Reason::PathExists => format!("it exists already: {}", current()),
        Reason::Deleted => "it was deleted meanwhile".to_owned(),
        Reason::TargetExists => {
            format!("the new path {} is taken: {}", printable(&conflict.path), current())
        }
        Reason::Merge => format!(
            "it was changed meanwhile ({}), and {} cannot be merged",
            current(),
            crate::humanize::count(conflict.hunks.len() as u64, "place", "places")
        ),
        Reason::StaleClock | Reason::Unspecified => {
            format!("it was changed meanwhile: {}", current())
        }
    };
    format!("nothing was written to {branch} {path}: {what}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_write_says_what_stands_there_and_exits_with_4() {
        let answer = WriteDiffResponse {
            conflict: Some(ConflictInfo {
                reason: Reason::StaleClock.into(),
                current_version: 7,
                current_author: "bob\u{1b}[2J".to_owned(),
                ..ConflictInfo::default()
            }),
            ..WriteDiffResponse::default()
        };
        let branch = BranchSpec::new("site", "main").expect("valid");
        let failure = accepted(answer, &branch, "a.txt").expect_err("a conflict");
        assert_eq!(failure.exit, Exit::Conflict);
        assert!(failure.message.contains("version 7 by bob"), "{failure}");
        assert!(!failure.message.contains('\u{1b}'), "{failure:?}");
        assert!(failure.advice.is_some_and(|advice| advice.contains("vdom cat site@main a.txt")));
    }
}
