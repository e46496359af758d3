//! Writes what changed on the disk to the branch, as one change set.

use std::io::Read;

use bytes::Bytes;
use sha2::{Digest, Sha256};
use vdom_core::NodeId;
use vdom_core::limits::{CHANGE_SET_RESULTS_MAX, CHUNK_BYTES, UNARY_MESSAGE_MAX_BYTES};
use vdom_proto::v1::conflict_info::Reason;
use vdom_proto::v1::{ConflictInfo, WriteDiffResponse, WriteDiffsRequest, WriteDiffsResponse};

use super::outgoing::{NotNow, Outgoing};
use super::{BranchSide, Point, entries};
use crate::client::{ChangeSet, random_operation_id};
use crate::commands::mirror::disk::Disk;
use crate::commands::mirror::path::LocalPath;
use crate::commands::mirror::plan::Shape;
use crate::commands::mirror::state::Known;
use crate::exit::{Exit, Failure};

/// A change set up to this size, and of so many diffs, is sent in one message.
const MESSAGE_MAX_BYTES: usize = UNARY_MESSAGE_MAX_BYTES - (256 << 10);
const MESSAGE_MAX_DIFFS: usize = 4_096;
/// What a diff takes beside path and content.
const DIFF_OVERHEAD_BYTES: usize = 128;

/// What is to become of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::commands::mirror) enum Change {
    Create,
    Edit,
    Rename { from: LocalPath },
    Delete,
}

/// A file that the branch is to have.
#[derive(Clone, Debug)]
pub(in crate::commands::mirror) struct Wanted {
    pub(in crate::commands::mirror) path: LocalPath,
    pub(in crate::commands::mirror) change: Change,
    /// What the writer had seen; `None`: the node is new.
    pub(in crate::commands::mirror) node: Option<Known>,
    /// What that was.
    pub(in crate::commands::mirror) base: Option<Shape>,
    /// What the disk has; `None`: nothing.
    pub(in crate::commands::mirror) disk: Option<Shape>,
}

/// What became of it.
#[derive(Debug)]
pub(in crate::commands::mirror) enum Sent {
    /// The node has this shape now.
    Written {
        node: Known,
        shape: Shape,
    },
    /// It was merged with what stood there: the node must be read.
    Merged {
        id: NodeId,
        shape: Shape,
        at: Point,
    },
    Deleted,
    /// The branch has something else, at this node.
    Conflicting {
        id: NodeId,
        /// Of that node.
        version: u64,
        /// Merging was tried, or there is nothing to merge from.
        is_final: bool,
    },
    /// It was not written: the file, or another of the set, has to be looked at again.
    Later,
    /// It cannot be written.
    Refused(Failure),
}

impl BranchSide {
    /// Writes all of it, and answers what became of it and how far the branch is
    /// then. A failure is about the connection or the rights.
    pub(in crate::commands::mirror) async fn send(
        &self,
        disk: &Disk,
        wanted: Vec<Wanted>,
    ) -> Result<(Vec<(Wanted, Sent)>, Point), Failure> {
        let mut at = Point::default();
        let mut sent = Vec::with_capacity(wanted.len());
        let mut rest = wanted;
        while !rest.is_empty() {
            let set: Vec<_> = rest.drain(..rest.len().min(CHANGE_SET_RESULTS_MAX)).collect();
            match self.send_set(disk, &set, &mut at).await {
                Ok(outcomes) => sent.extend(set.into_iter().zip(outcomes)),
                Err(failure) if matches!(failure.exit, Exit::Unavailable | Exit::Denied) => {
                    return Err(failure);
                }
                Err(failure) if set.len() == 1 => {
                    sent.extend(set.into_iter().map(|one| (one, Sent::Refused(failure.clone()))));
                }
                // One of them is at fault; the others must not suffer for it.
                Err(_) => {
                    for one in set {
                        let outcome = self.send_one(disk, &one, &mut at).await?;
                        sent.push((one, outcome));
                    }
                }
            }
        }
        Ok((sent, at))
    }

    async fn send_one(
        &self,
        disk: &Disk,
        wanted: &Wanted,
        at: &mut Point,
    ) -> Result<Sent, Failure> {
        match self.send_set(disk, std::slice::from_ref(wanted), at).await {
            Ok(outcomes) => Ok(outcomes.into_iter().next().unwrap_or(Sent::Later)),
            Err(failure) if matches!(failure.exit, Exit::Unavailable | Exit::Denied) => {
                Err(failure)
            }
            Err(failure) => Ok(Sent::Refused(failure)),
        }
    }

    /// An outcome for each.
    async fn send_set(
        &self,
        disk: &Disk,
        set: &[Wanted],
        at: &mut Point,
    ) -> Result<Vec<Sent>, Failure> {
        let mut writing = Writing { side: self, disk, header: self.header()?, size: 0, open: None };
        let mut places: Vec<Result<Outgoing, NotNow>> = Vec::with_capacity(set.len());
        for wanted in set {
            let prepared = match self.names.to_node(&wanted.path) {
                Ok(kept) => Outgoing::prepare(disk, wanted, &kept),
                Err(failure) => Err(NotNow::Refused(failure)),
            };
            if let Ok(outgoing) = &prepared
                && !writing.push(wanted, outgoing).await?
            {
                // It changed while it was sent: nothing of the set counts.
                return Ok(set.iter().map(|_| Sent::Later).collect());
            }
            places.push(prepared.map(|outgoing| Outgoing {
                // What was sent is not needed any more.
                request: vdom_proto::v1::WriteDiffRequest::default(),
                ..outgoing
            }));
        }
        let has_any = places.iter().any(Result::is_ok);
        let answer = if has_any { writing.finish().await? } else { WriteDiffsResponse::default() };
        if answer.success {
            *at = Point { epoch: answer.epoch, revision: answer.last_revision };
        }
        let mut results = answer.results.into_iter();
        let outcome = |prepared: Result<Outgoing, NotNow>| match prepared {
            Err(NotNow::Changed) => Sent::Later,
            Err(NotNow::Refused(failure)) => Sent::Refused(failure),
            Ok(outgoing) => match results.next() {
                Some(result) => outcome(result, outgoing, answer.success),
                None => Sent::Later,
            },
        };
        Ok(places.into_iter().map(outcome).collect())
    }

    fn header(&self) -> Result<WriteDiffsRequest, Failure> {
        Ok(WriteDiffsRequest {
            realm: self.client.realm(),
            repo: self.branch.repo.clone(),
            branch: self.branch.branch.clone(),
            operation_id: random_operation_id()?,
            author: self.options.author.clone(),
            message: self.options.message.clone(),
            ..WriteDiffsRequest::default()
        })
    }
}

/// A change set that is being put together.
struct Writing<'a> {
    side: &'a BranchSide,
    disk: &'a Disk,
    header: WriteDiffsRequest,
    /// What is not sent yet, in bytes.
    size: usize,
    /// Where it goes once it is too much for one message.
    open: Option<ChangeSet>,
}

impl Writing<'_> {
    /// Adds a diff; false where the file is no longer what it was.
    async fn push(&mut self, wanted: &Wanted, outgoing: &Outgoing) -> Result<bool, Failure> {
        let request = outgoing.request.clone();
        if outgoing.is_streamed {
            let disk = self.disk;
            let set = self.open().await?;
            set.diff(request).await?;
            return stream(set, disk, wanted).await;
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

    async fn open(&mut self) -> Result<&mut ChangeSet, Failure> {
        if self.open.is_none() {
            let diffs = std::mem::take(&mut self.header.diffs);
            let mut open = self.side.client.open_set(self.header.clone()).await?;
            for diff in diffs {
                open.diff(diff).await?;
            }
            self.open = Some(open);
        }
        self.open.as_mut().ok_or_else(|| Failure::failed("the change set is not open"))
    }

    async fn finish(self) -> Result<WriteDiffsResponse, Failure> {
        match self.open {
            Some(open) => open.finish().await,
            None => self.side.client.write_set(self.header).await,
        }
    }
}

/// Sends a content piece by piece; false where it is not what was seen.
async fn stream(set: &mut ChangeSet, disk: &Disk, wanted: &Wanted) -> Result<bool, Failure> {
    let Ok(mut file) = disk.open_file(&wanted.path) else { return Ok(false) };
    let mut hasher = Sha256::new();
    loop {
        let mut piece = Vec::with_capacity(CHUNK_BYTES);
        if file.by_ref().take(CHUNK_BYTES as u64).read_to_end(&mut piece).is_err() {
            return Ok(false);
        }
        if piece.is_empty() {
            let sha256: [u8; 32] = hasher.finalize().into();
            return Ok(wanted.disk.is_some_and(|shape| shape.sha256 == sha256));
        }
        hasher.update(&piece);
        set.content(Bytes::from(piece)).await?;
    }
}

fn outcome(result: WriteDiffResponse, outgoing: Outgoing, is_written: bool) -> Sent {
    if let Some(conflict) = result.conflict {
        return conflicting(&conflict);
    }
    let Ok(id) = NodeId::from_slice(&result.node_id) else { return Sent::Later };
    match (outgoing.shape, is_written) {
        (_, false) => Sent::Later,
        (None, true) => Sent::Deleted,
        (Some(shape), true) if result.merged => {
            let at = Point { epoch: result.epoch, revision: result.revision };
            Sent::Merged { id, shape, at }
        }
        (Some(shape), true) => {
            let node = Known {
                id,
                path: outgoing.path,
                version: result.new_version,
                clock: entries(result.vector_clock),
                attributes: outgoing.attributes,
            };
            Sent::Written { node, shape }
        }
    }
}

fn conflicting(conflict: &ConflictInfo) -> Sent {
    let Ok(id) = NodeId::from_slice(&conflict.node_id) else { return Sent::Later };
    let is_final = matches!(conflict.reason(), Reason::Merge | Reason::StaleClock);
    Sent::Conflicting { id, version: conflict.current_version, is_final }
}
