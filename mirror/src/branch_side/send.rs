//! Writes what changed on the disk to the branch, as one change set.

use std::io::Read;

use bytes::Bytes;
use sha2::{Digest, Sha256};
use vdom_client::{ChangeSetUpload, random_operation_id};
use vdom_core::NodeId;
use vdom_core::limits::{CHANGE_SET_RESULTS_MAX, CHUNK_BYTES, UNARY_MESSAGE_MAX_BYTES};
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

/// A change set up to this size, and of so many diffs, is sent in one message.
const MESSAGE_MAX_BYTES: usize = UNARY_MESSAGE_MAX_BYTES - (256 << 10);
const MESSAGE_MAX_DIFFS: usize = 4_096;
/// What a diff takes beside path and content.
const DIFF_OVERHEAD_BYTES: usize = 128;

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
        let mut writing =
            Writing { side: self, directory, header: self.header()?, size: 0, open: None };
        let mut places: Vec<std::result::Result<PreparedDiff, PrepareError>> =
            Vec::with_capacity(set.len());
        for pending in set {
            let prepared = match self.names.to_node(&pending.path) {
                Ok(kept) => PreparedDiff::prepare(directory, pending, &kept),
                Err(error) => Err(PrepareError::Refused(error)),
            };
            if let Ok(prepared_diff) = &prepared
                && !writing.push(pending, prepared_diff).await?
            {
                // It changed while it was sent: nothing of the set counts.
                return Ok(set.iter().map(|_| SendOutcome::Later).collect());
            }
            places.push(prepared.map(|prepared_diff| PreparedDiff {
                // What was sent is not needed any more.
                request: vdom_proto::v1::WriteDiffRequest::default(),
                ..prepared_diff
            }));
        }
        let has_any = places.iter().any(std::result::Result::is_ok);
        let answer = if has_any { writing.finish().await? } else { WriteDiffsResponse::default() };
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
        Ok(places.into_iter().map(outcome).collect())
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

/// A change set that is being put together.
struct Writing<'a> {
    side: &'a BranchSide,
    directory: &'a LocalDirectory,
    header: WriteDiffsRequest,
    /// What is not sent yet, in bytes.
    size: usize,
    /// Where it goes once it is too much for one message.
    open: Option<ChangeSetUpload>,
}

impl Writing<'_> {
    /// Adds a diff; false where the file is no longer what it was.
    async fn push(
        &mut self,
        pending: &PendingChange,
        prepared_diff: &PreparedDiff,
    ) -> Result<bool> {
        let request = prepared_diff.request.clone();
        if prepared_diff.is_streamed {
            let directory = self.directory;
            let set = self.open().await?;
            set.diff(request).await?;
            return stream(set, directory, pending).await;
        }
        if let Some(open) = &mut self.open {
            open.diff(request).await?;
            return Ok(true);
        }
        self.size += request.diff_bson.len() + request.path.len() + DIFF_OVERHEAD_BYTES;
        self.header.diffs.push(request);
        if self.size > MESSAGE_MAX_BYTES || self.header.diffs.len() > MESSAGE_MAX_DIFFS {
            self.open().await?;
        }
        Ok(true)
    }

    async fn open(&mut self) -> Result<&mut ChangeSetUpload> {
        if self.open.is_none() {
            let diffs = std::mem::take(&mut self.header.diffs);
            let mut open = self.side.client.upload_change_set(self.header.clone()).await?;
            for diff in diffs {
                open.diff(diff).await?;
            }
            self.open = Some(open);
        }
        self.open.as_mut().ok_or_else(|| Error::failed("the change set is not open"))
    }

    async fn finish(self) -> Result<WriteDiffsResponse> {
        match self.open {
            Some(open) => Ok(open.finish().await?),
            None => Ok(self.side.client.write_set(self.header).await?),
        }
    }
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
