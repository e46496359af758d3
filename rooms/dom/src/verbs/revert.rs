//! `RevertChanges`: the inverse of a range of changes, as an ordinary change set.
//!
//! For every node that the range changed, a diff that makes what it was before of
//! what it was after; evaluated like any diff made of that state. A node that the range
//! deleted is created anew.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use bytes::Bytes;
use sha2::{Digest, Sha256};
use vdom_core::dom::calls::{
    ConflictReason, OnConflict, RevertChanges, SetConflicts, SetOutcome, SetWritten,
};
use vdom_core::dom::change::{ChangeSetHeader, sha256};
use vdom_core::dom::diff::PutContent;
use vdom_core::limits::CHANGE_SET_MAX_DIFFS;
use vdom_core::{Diff, Error, ErrorCode, Hash, Node, NodeId, Operation, Result, VectorClock};
use vdom_security::Permit;
use vdom_store::{ChunkId, OperationKey};

use crate::branch::Branch;
use crate::branch::point_in_time::{EntryReader, node_at_revision};
use crate::content;
use crate::content::packs::PackWriter;
use crate::records::operation_key;
use crate::registry::BranchRegistry;
use crate::registry::read_consistency::epoch_changed;
use crate::uploads::Upload;
use crate::verbs::change_set::write_proposal;
use crate::writer::{BranchHandle, SetItem, SetProposal, recorded};

/// How often an inverse is made again because what it overwrites has changed meanwhile.
const ATTEMPTS_MAX: u32 = 16;
const ATTEMPTS_AT_HEAD_MAX: u32 = 8;

/// Writes the inverse of the range.
pub(crate) async fn revert(
    registry: &BranchRegistry,
    permit: Permit,
    request: RevertChanges,
) -> Result<SetOutcome> {
    let operation = request.operation_id.map(|id| {
        let operation = Operation { id, request: request_hash(&request) };
        (operation, operation_key(permit.subject(), id))
    });
    let mut handle = registry.verified_existing(&permit, &request.address).await?;
    if let Some(first) = recorded(&handle, operation, registry.environment.now_ms()).await? {
        let operation_id = request.operation_id;
        return Ok(SetOutcome::Written(SetWritten { operation_id, ..first.set_written() }));
    }
    let mut attempts = 0;
    loop {
        let head = handle.branch.head().revision;
        attempts += 1;
        let overwrites = request.on_conflict == OnConflict::Overwrite;
        // At first nothing at all may come between; where too much does, only what
        // concerns the nodes is looked at.
        let expected = (overwrites && attempts <= ATTEMPTS_AT_HEAD_MAX).then_some(head);
        let upload = registry.uploads.begin(&permit, &request.address);
        let proposal = proposal(&handle, permit.clone(), upload, &request, operation).await?;
        let proposal = SetProposal { expected_revision: expected, ..proposal };
        let outcome = write_proposal(&handle, request.operation_id, proposal).await;
        let is_outdated = match &outcome {
            Ok(SetOutcome::Conflicted(conflicts)) => overwrites && has_changed(conflicts),
            Err(error) => {
                error.code == ErrorCode::FailedPrecondition
                    && expected.is_some_and(|head| head != handle.branch.head().revision)
            }
            Ok(_) => false,
        };
        if !is_outdated || attempts == ATTEMPTS_MAX {
            return outcome;
        }
        // What is undone is compared with what stands, also where others write.
        handle = registry.verified_existing(&permit, &request.address).await?;
    }
}

/// Whether a node that was to be overwritten was changed since it was looked at.
fn has_changed(conflicts: &SetConflicts) -> bool {
    let mut conflicts = conflicts.results.iter().flatten();
    conflicts.any(|conflict| conflict.reason == ConflictReason::StaleClock)
}

/// The inverse of the range, made of what stands now.
async fn proposal(
    handle: &BranchHandle,
    permit: Permit,
    upload: Upload,
    request: &RevertChanges,
    operation: Option<(Operation, OperationKey)>,
) -> Result<SetProposal> {
    let branch = &*handle.branch;
    let (first, last) = (request.first_revision, request.last_revision);
    let subject = permit.subject().clone();
    check_range(handle, request)?;
    let mut diffs = PackWriter::new(&upload);
    let mut items = Vec::new();
    for id in changed_in(branch, first, last).await? {
        let before = match node_at_revision(branch, id, first - 1).await? {
            Some(node) => Some(content::inline(branch.store(), &branch.address, node).await?),
            None => None,
        };
        let after = node_at_revision(branch, id, last).await?;
        let Some((item, diff)) = inverse(branch, request, before, after).await? else { continue };
        if let Some(chunks) = Diff::parse_stored(&diff)?.put().and_then(PutContent::chunks) {
            let chunks: Vec<_> = chunks.iter().map(|chunk| ChunkId(chunk.hash.0)).collect();
            content::touch(branch.store(), &branch.address, &chunks).await?;
        }
        let item = Inverse { actor: subject.to_string(), hash: sha256(&diff), ..item };
        diffs.add(diff).await?;
        items.push(item);
    }
    if items.is_empty() {
        return Err(Error::new(
            ErrorCode::FailedPrecondition,
            format!("revisions {first} to {last} undo each other: there is nothing to revert"),
        )
        .resource(&branch.address));
    }
    let (stored, packs) = diffs.finish().await?;
    let items = items.into_iter().zip(stored).map(|(item, stored)| SetItem {
        node_id: item.node_id,
        path: item.created.as_ref().map(|node| node.path.clone()),
        kind: item.created.as_ref().map(|node| node.kind),
        stored,
        diff_hash: item.hash,
        clock: item.clock,
        on_conflict: item.on_conflict,
        actor: item.actor,
        message: String::new(),
        metadata: BTreeMap::new(),
    });
    let message = match request.message.as_str() {
        "" => format!("Revert revisions {first} to {last}"),
        message => message.to_owned(),
    };
    let author = request.author.clone().filter(|author| !author.is_empty());
    Ok(SetProposal {
        author: author.unwrap_or_else(|| subject.to_string()),
        permit,
        header: Arc::new(ChangeSetHeader { message, metadata: BTreeMap::new() }),
        authored_at_ms: None,
        expected_revision: None,
        operation,
        items: items.collect(),
        packs,
        upload,
    })
}

fn check_range(handle: &BranchHandle, request: &RevertChanges) -> Result<()> {
    let branch = &handle.branch;
    let (first, last) = (request.first_revision, request.last_revision);
    if let Some(epoch) = request.epoch.filter(|epoch| *epoch != branch.head().epoch) {
        return Err(epoch_changed(branch, epoch));
    }
    if first == 0 || first > last {
        return Err(Error::invalid(format!(
            "revisions {first} to {last} are no range: the first is at least 1 and at most the last"
        )));
    }
    if last - first >= CHANGE_SET_MAX_DIFFS as u64 {
        return Err(Error::too_large(format!(
            "revisions {first} to {last} are more than {CHANGE_SET_MAX_DIFFS} changes: revert the \
             later ones first"
        )));
    }
    let head = branch.head();
    if last > head.revision {
        return Err(Error::not_found(format!(
            "{} has no revision {last} yet: it is at {}",
            branch.address, head.revision
        ))
        .resource(&branch.address)
        .at(head.epoch, head.revision));
    }
    Ok(())
}

/// The nodes that a range changed, in the order in which it did.
async fn changed_in(branch: &Branch, first: u64, last: u64) -> Result<Vec<NodeId>> {
    let mut reader = EntryReader::new(branch);
    let mut known = HashSet::new();
    let mut nodes = Vec::new();
    for revision in first..=last {
        let id = reader.at_revision(revision).await?.change.node_id;
        if known.insert(id) {
            nodes.push(id);
        }
    }
    Ok(nodes)
}

/// A diff of the revert, but for the diff itself.
struct Inverse {
    node_id: Option<NodeId>,
    created: Option<Arc<Node>>,
    clock: VectorClock,
    on_conflict: OnConflict,
    actor: String,
    hash: Hash,
}

/// What makes `before` of `after`; `None` where they are the same.
async fn inverse(
    branch: &Branch,
    request: &RevertChanges,
    before: Option<Arc<Node>>,
    after: Option<Arc<Node>>,
) -> Result<Option<(Inverse, Bytes)>> {
    let after = after.filter(|node| node.live);
    let found = match &after {
        // What stands there is overwritten, whatever became of it since.
        Some(node) if request.on_conflict == OnConflict::Overwrite => branch.node(node.id).await?,
        after => after.clone(),
    };
    let Some(diff) = Diff::restore(found.as_deref(), before.as_deref())? else { return Ok(None) };
    let (actor, hash) = (String::new(), Hash::default());
    let on_conflict = request.on_conflict;
    let item = if let Some(node) = after {
        let (clock, on_conflict) = match found.filter(|found| found.live) {
            // The diff is made of just this.
            Some(found) if on_conflict == OnConflict::Overwrite => {
                (found.clock.clone(), OnConflict::Reject)
            }
            _ => (node.clock.clone(), on_conflict),
        };
        Inverse { node_id: Some(node.id), created: None, clock, on_conflict, actor, hash }
    } else {
        let clock = VectorClock::default();
        Inverse { node_id: None, created: before, clock, on_conflict, actor, hash }
    };
    Ok(Some((item, diff)))
}

/// The same range reverted again, under one operation id, is the same request.
fn request_hash(request: &RevertChanges) -> Hash {
    let mut hasher = Sha256::new_with_prefix(b"vdom.revert.1");
    hasher.update(request.first_revision.to_be_bytes());
    hasher.update(request.last_revision.to_be_bytes());
    Hash(hasher.finalize().into())
}
