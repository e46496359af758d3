//! Writes what changed on the disk to the branch, as one change set.

use std::io::Read;

use bytes::Bytes;
use sha2::{Digest, Sha256};
use vdom_client::{ChangeSetUpload, ChangeSetWriter, random_operation_id};
use vdom_core::NodeId;
use vdom_core::limits::{CHANGE_SET_RESULTS_MAX, CHUNK_BYTES};
use vdom_proto::v1::conflict_info::Reason;
use vdom_proto::v1::{ConflictInfo, WriteDiffResponse, WriteDiffsRequest, WriteDiffsResponse};

use super::pending_change::PendingChange;
use super::prepared_diff::{PrepareError, PreparedDiff};
use super::{BranchSide, entries};
use crate::error::{Error, Result};
use crate::fingerprint::Fingerprint;
use crate::local_directory::LocalDirectory;
use crate::log_position::LogPosition;
use crate::state::KnownNode;

/// What became of a change that was sent.
#[derive(Debug)]
pub(crate) enum SendOutcome {
    /// The node has this fingerprint now.
    Written {
        node: KnownNode,
        fingerprint: Fingerprint,
    },
    /// It was merged with what stood there: the node must be read.
    Merged {
        id: NodeId,
        fingerprint: Fingerprint,
        at: LogPosition,
    },
    Deleted,
    /// The branch has something else, at this node.
    Conflicting {
        id: NodeId,
        /// The version of that node.
        version: u64,
        /// Merging was tried, or there is nothing to merge from.
        is_final: bool,
    },
    /// It was not written: the file, or another of the set, has to be looked at again.
    Later,
    /// It cannot be written.
    Refused(Error),
}

impl BranchSide {
    /// Writes all of it, and answers what became of it and how far the branch is
    /// then. A error is about the connection or the rights.
    pub(crate) async fn send(
        &self,
        directory: &LocalDirectory,
        pending: Vec<PendingChange>,
    ) -> Result<(Vec<(PendingChange, SendOutcome)>, LogPosition)> {
        let mut at = LogPosition::default();
        let mut sent = Vec::with_capacity(pending.len());
        let mut rest = pending;
        while !rest.is_empty() {
            let set: Vec<_> = rest.drain(..rest.len().min(CHANGE_SET_RESULTS_MAX)).collect();
            match self.send_set(directory, &set, &mut at).await {
                Ok(outcomes) => sent.extend(set.into_iter().zip(outcomes)),
                Err(error) if error.is_of_connection() => {
                    return Err(error);
                }
                Err(error) if set.len() == 1 => {
                    sent.extend(
                        set.into_iter().map(|one| (one, SendOutcome::Refused(error.clone()))),
                    );
                }
                // One of them is at fault; the others must not suffer for it.
                Err(_) => {
                    for one in set {
                        let outcome = self.send_one(directory, &one, &mut at).await?;
                        sent.push((one, outcome));
                    }
                }
            }
        }
        Ok((sent, at))
    }

    async fn send_one(
        &self,
        directory: &LocalDirectory,
        pending: &PendingChange,
        at: &mut LogPosition,
    ) -> Result<SendOutcome> {
        match self.send_set(directory, std::slice::from_ref(pending), at).await {
            Ok(outcomes) => Ok(outcomes.into_iter().next().unwrap_or(SendOutcome::Later)),
            Err(error) if error.is_of_connection() => Err(error),
            Err(error) => Ok(SendOutcome::Refused(error)),
        }
    }

    /// Writes one change set; answers with an outcome for each of its changes.
    async fn send_set(
        &self,
        directory: &LocalDirectory,
        set: &[PendingChange],
        at: &mut LogPosition,
    ) -> Result<Vec<SendOutcome>> {
        let mut writer = ChangeSetWriter::new(self.client.clone(), self.header()?);
        let mut prepared_diffs: Vec<std::result::Result<PreparedDiff, PrepareError>> =
            Vec::with_capacity(set.len());
        for pending in set {
            let prepared = match self.names.to_node(&pending.path) {
                Ok(kept) => PreparedDiff::prepare(directory, pending, &kept),
                Err(error) => Err(PrepareError::Refused(error)),
            };
            if let Ok(prepared_diff) = &prepared
                && !push(&mut writer, directory, pending, prepared_diff).await?
            {
                // It changed while it was sent: nothing of the set counts.
                return Ok(set.iter().map(|_| SendOutcome::Later).collect());
            }
            prepared_diffs.push(prepared.map(|prepared_diff| PreparedDiff {
                // What was sent is not needed any more.
                request: vdom_proto::v1::WriteDiffRequest::default(),
                ..prepared_diff
            }));
        }
        let has_any = prepared_diffs.iter().any(std::result::Result::is_ok);
        let answer = if has_any { writer.finish().await? } else { WriteDiffsResponse::default() };
        if answer.success {
            *at = LogPosition { epoch: answer.epoch, revision: answer.last_revision };
        }
        let mut results = answer.results.into_iter();
        let outcome = |prepared: std::result::Result<PreparedDiff, PrepareError>| match prepared {
            Err(PrepareError::Changed) => SendOutcome::Later,
            Err(PrepareError::Refused(error)) => SendOutcome::Refused(error),
            Ok(prepared_diff) => match results.next() {
                Some(result) => outcome(result, prepared_diff, answer.success),
                None => SendOutcome::Later,
            },
        };
        Ok(prepared_diffs.into_iter().map(outcome).collect())
    }

    fn header(&self) -> Result<WriteDiffsRequest> {
        Ok(WriteDiffsRequest {
            realm: self.client.realm(),
            repo: self.branch.repo.clone(),
            branch: self.branch.branch.clone(),
            operation_id: random_operation_id()?,
            author: self.author.clone(),
            message: self.message.clone(),
            ..WriteDiffsRequest::default()
        })
    }
}

/// Adds a diff, with the content of its file where that follows in pieces; false where
/// the file is no longer what it was.
async fn push(
    writer: &mut ChangeSetWriter,
    directory: &LocalDirectory,
    pending: &PendingChange,
    prepared_diff: &PreparedDiff,
) -> Result<bool> {
    let request = prepared_diff.request.clone();
    if prepared_diff.is_streamed {
        let upload = writer.push_put(request).await?;
        return stream(upload, directory, pending).await;
    }
    writer.push(request).await?;
    if writer.exceeds_message() {
        writer.upload().await?;
    }
    Ok(true)
}

/// Sends a content piece by piece; false where it is not what was seen.
async fn stream(
    set: &mut ChangeSetUpload,
    directory: &LocalDirectory,
    pending: &PendingChange,
) -> Result<bool> {
    let Ok(mut file) = directory.open_file(&pending.path) else { return Ok(false) };
    let mut hasher = Sha256::new();
    loop {
        let mut piece = Vec::with_capacity(CHUNK_BYTES);
        if file.by_ref().take(CHUNK_BYTES as u64).read_to_end(&mut piece).is_err() {
            return Ok(false);
        }
        if piece.is_empty() {
            let sha256: [u8; 32] = hasher.finalize().into();
            return Ok(pending.local.is_some_and(|fingerprint| fingerprint.sha256 == sha256));
        }
        hasher.update(&piece);
        set.content(Bytes::from(piece)).await?;
    }
}

fn outcome(
    result: WriteDiffResponse,
    prepared_diff: PreparedDiff,
    is_written: bool,
) -> SendOutcome {
    if let Some(conflict) = result.conflict {
        return conflicting(&conflict);
    }
    let Ok(id) = NodeId::from_slice(&result.node_id) else { return SendOutcome::Later };
    match (prepared_diff.fingerprint, is_written) {
        (_, false) => SendOutcome::Later,
        (None, true) => SendOutcome::Deleted,
        (Some(fingerprint), true) if result.merged => {
            let at = LogPosition { epoch: result.epoch, revision: result.revision };
            SendOutcome::Merged { id, fingerprint, at }
        }
        (Some(fingerprint), true) => {
            let node = KnownNode {
                id,
                path: prepared_diff.path,
                version: result.new_version,
                clock: entries(result.vector_clock),
                attributes: prepared_diff.attributes,
            };
            SendOutcome::Written { node, fingerprint }
        }
    }
}

fn conflicting(conflict: &ConflictInfo) -> SendOutcome {
    let Ok(id) = NodeId::from_slice(&conflict.node_id) else { return SendOutcome::Later };
    let is_final = matches!(conflict.reason(), Reason::Merge | Reason::StaleClock);
    SendOutcome::Conflicting { id, version: conflict.current_version, is_final }
}
