//! `WriteDiffs` and `WriteDiffsStream`: several diffs accepted as one.
//!
//! The diffs are checked and stored as they come; then the branch's writer judges
//! all of them against the head before the set, each node at most once and one path
//! per node after it, and one append makes them visible.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use bytes::Bytes;
use futures::StreamExt;
use sha2::{Digest, Sha256};
use vdom_core::dom::calls::{
    AckLevel, ChangeSetPart, Conflict, DiffSource, OnConflict, SetConflicts, SetOutcome,
    SetWritten, WriteDiff, WriteDiffs,
};
use vdom_core::dom::change::{ChangeSetHeader, sha256};
use vdom_core::limits::{CHANGE_SET_MAX_BYTES, CHANGE_SET_MAX_DIFFS, CHANGE_SET_RESULTS_MAX};
use vdom_core::{
    ContentChunk, Diff, Error, ErrorCode, Hash, NodeId, NodeKind, NodePath, Operation, OperationId,
    Result, VectorClock,
};
use vdom_edge::ServiceStream;
use vdom_store::OperationKey;

use super::branch::{Applied, Branch};
use super::content::ContentWriter;
use super::decide::{StagedSet, Staging, Verdict, concerns_the_store};
use super::operations;
use super::packs::{PackWriter, StoredDiff};
use super::records::operation_key;
use super::shared::Shared;
use super::write_diff::{request_hash, staged, store_apart};
use super::writer::{Command, Proposal};
use vdom_security::Permit;

/// How many conflicts of a set too large for a result each are told.
const CONFLICTS_MAX: usize = 100;

/// A change set that was checked as far as it can be without the branch's state.
#[derive(Debug)]
pub(crate) struct SetProposal {
    /// The right to write it.
    pub permit: Permit,
    /// What it says of all its changes.
    pub header: Arc<ChangeSetHeader>,
    /// Who made it.
    pub author: String,
    /// When, ms since the Unix epoch, where that is another time.
    pub authored_at_ms: Option<i64>,
    /// The revision that the branch must be at.
    pub expected_revision: Option<u64>,
    /// What makes it safe to repeat, and how the store finds it.
    pub operation: Option<(Operation, OperationKey)>,
    /// Its diffs.
    pub items: Vec<SetItem>,
    /// What holds them, where the batch does not.
    pub packs: Vec<ContentChunk>,
}

/// A diff of a change set.
#[derive(Debug)]
pub(crate) struct SetItem {
    /// Which node, where the writer knows it.
    pub node_id: Option<NodeId>,
    /// Where.
    pub path: Option<NodePath>,
    /// What it holds.
    pub kind: Option<NodeKind>,
    /// How it changes.
    pub stored: StoredDiff,
    /// SHA-256 of that.
    pub diff_hash: Hash,
    /// What the writer had seen.
    pub clock: VectorClock,
    /// What to do when that is not how it stands.
    pub on_conflict: OnConflict,
    /// Whose clock entry moves.
    pub actor: String,
    /// Why, where the set does not say it.
    pub message: String,
    /// Free words.
    pub metadata: BTreeMap<String, String>,
}

/// What becomes of a set if the head is proven.
pub(crate) enum Judged {
    /// All of it is staged.
    Accepted {
        /// The stored records, and what they make.
        changes: Vec<(Vec<u8>, Applied)>,
        /// The answer.
        written: SetWritten,
    },
    /// It was accepted before.
    Repeated(SetWritten),
    /// It disagrees with what stands there.
    Conflicted(SetConflicts),
}

/// Takes the diffs in and writes them.
pub(crate) async fn write(
    room: &Shared,
    permit: Permit,
    request: WriteDiffs,
    parts: ServiceStream<ChangeSetPart>,
) -> Result<SetOutcome> {
    if request.min_ack == AckLevel::Local {
        return Err(Error::invalid(
            "a gateway promises COMMITTED, never LOCAL: leave min_ack out, or ask a sidecar",
        ));
    }
    let address = request.address.clone();
    let operation_id = request.operation_id;
    let proposal =
        Intake::new(room, &permit, &request).take(parts).await?.proposal(permit, request);
    write_proposal(room, &address, operation_id, proposal).await
}

/// Has the branch's writer judge a set.
pub(crate) async fn write_proposal(
    room: &Shared,
    address: &vdom_core::BranchAddress,
    operation_id: Option<OperationId>,
    proposal: SetProposal,
) -> Result<SetOutcome> {
    let handle = room.existing_or_new(&proposal.permit, address).await?;
    let proposal = Box::new(proposal);
    let mut outcome = handle.ask(|reply| Command::WriteSet { proposal, reply }).await?;
    match &mut outcome {
        SetOutcome::Written(written) => written.operation_id = operation_id,
        SetOutcome::Conflicted(conflicts) => conflicts.operation_id = operation_id,
    }
    Ok(outcome)
}

/// Judges a set against the head.
pub(crate) async fn judge(branch: &Branch, now_ms: i64, set: &SetProposal) -> Result<Judged> {
    let head = branch.head();
    if let Some((operation, key)) = set.operation
        && let [Some(first)] = &operations::find(branch, &[key], now_ms).await?[..]
    {
        if first.operation.request == operation.request {
            return Ok(Judged::Repeated(first.set_written()));
        }
        return Err(Staging::new(branch, now_ms).used_before(operation));
    }
    if let Some(expected) = set.expected_revision.filter(|expected| *expected != head.revision) {
        return Err(Error::new(
            ErrorCode::FailedPrecondition,
            format!(
                "{} is at revision {}, not at the expected {expected}: read what changed and \
                 decide again",
                branch.address, head.revision
            ),
        )
        .resource(&branch.address)
        .at(head.epoch, head.revision));
    }
    let resolved = Resolved::of(branch, set).await?;
    let size = set.items.len() as u32;
    let staged_set = StagedSet {
        id: set_id(branch, set),
        size,
        header: set.header.clone(),
        leaving: resolved.leaving,
    };
    let marked = size > 1;
    let mut staging = Staging::of_set(branch, now_ms, marked.then_some(staged_set));
    let mut packs = branch.packs();
    let mut results = Vec::with_capacity(set.items.len());
    let mut conflicts: Vec<Option<Box<Conflict>>> = Vec::with_capacity(set.items.len());
    for (index, (item, id)) in set.items.iter().zip(&resolved.nodes).enumerate() {
        let at = |error| in_diff(error, index, item);
        let bytes = packs.diff(&item.stored).await?;
        let pack = packs.holding(&item.stored).await?;
        let proposal = set.proposal_of(index, item, Diff::parse_stored(&bytes)?, pack, !marked);
        let current = match id {
            Some(id) => branch.node(*id).await?,
            None => None,
        };
        let target = match (&proposal.diff, &current) {
            (Diff::Rename { to, .. }, _) => Some(to),
            (_, None) => proposal.path.as_ref(),
            _ => None,
        };
        if let Some(target) = target.filter(|target| staging.is_taken_by_set(target)) {
            let error = Error::invalid(format!("another diff of the set ends at `{target}` too"));
            return Err(at(error.resource(branch.address.node(target))));
        }
        match staging.judge(&proposal, current).await {
            Ok(
                Verdict::Accepted(written) | Verdict::Repeated(written) | Verdict::Same(written),
            ) => {
                results.push(written);
                conflicts.push(None);
            }
            Ok(Verdict::Conflicted(conflict)) => conflicts.push(Some(conflict)),
            Err(error) if concerns_the_store(&error) => return Err(error),
            Ok(Verdict::Refused(error)) | Err(error) => return Err(at(error)),
        }
    }
    if conflicts.iter().any(Option::is_some) {
        return Ok(Judged::Conflicted(SetConflicts {
            epoch: head.epoch,
            revision: head.revision,
            operation_id: None,
            results: told(conflicts),
        }));
    }
    if results.len() > CHANGE_SET_RESULTS_MAX {
        results.clear();
    }
    let written = SetWritten {
        epoch: head.epoch,
        first_revision: head.revision + 1,
        last_revision: head.revision + u64::from(size),
        ack: AckLevel::Committed,
        timestamp_ms: now_ms,
        operation_id: None,
        results,
    };
    Ok(Judged::Accepted { changes: staging.changes, written })
}

/// Takes the parts of a set: everything is checked, and what is large is stored,
/// before the next is looked at.
struct Intake<'a> {
    room: &'a Shared,
    request: &'a WriteDiffs,
    subject: Arc<str>,
    items: Vec<WriteDiff>,
    hashes: Vec<Hash>,
    diffs: PackWriter<'a>,
    content: Option<ContentWriter<'a>>,
    bytes: u64,
    requests: Vec<Hash>,
}

/// A set that was taken in.
struct Taken {
    items: Vec<SetItem>,
    packs: Vec<ContentChunk>,
    request: Hash,
}

impl<'a> Intake<'a> {
    fn new(room: &'a Shared, permit: &Permit, request: &'a WriteDiffs) -> Self {
        Self {
            room,
            request,
            subject: permit.subject().clone(),
            items: Vec::new(),
            hashes: Vec::new(),
            diffs: PackWriter::new(&*room.store, &request.address),
            content: None,
            bytes: 0,
            requests: Vec::new(),
        }
    }

    async fn take(mut self, mut parts: ServiceStream<ChangeSetPart>) -> Result<Taken> {
        while let Some(part) = parts.next().await {
            match part? {
                ChangeSetPart::Diff(diff) => self.diff(*diff).await?,
                ChangeSetPart::Content(piece) => {
                    self.count(piece.len())?;
                    let Some(content) = &mut self.content else {
                        return Err(Error::invalid(
                            "content comes where no diff waits for it: it follows a `put` \
                             without `v`",
                        ));
                    };
                    content.add(&piece).await?;
                }
            }
        }
        self.end_content().await?;
        if self.items.is_empty() {
            return Err(Error::invalid("the change set has no diff"));
        }
        let (stored, packs) = self.diffs.finish().await?;
        let subject = self.subject;
        let items = self.items.into_iter().zip(stored).zip(self.hashes);
        let items = items.map(|((item, stored), diff_hash)| SetItem {
            node_id: item.node_id,
            path: item.path,
            kind: item.kind,
            stored,
            diff_hash,
            clock: item.clock,
            on_conflict: item.on_conflict,
            actor: item
                .actor
                .filter(|actor| !actor.is_empty())
                .unwrap_or_else(|| subject.to_string()),
            message: item.message,
            metadata: item.metadata,
        });
        Ok(Taken { items: items.collect(), packs, request: of_set(&self.requests) })
    }

    async fn diff(&mut self, mut diff: WriteDiff) -> Result<()> {
        self.end_content().await?;
        let index = self.items.len();
        if index == CHANGE_SET_MAX_DIFFS {
            return Err(Error::too_large(format!(
                "the change set has more than {CHANGE_SET_MAX_DIFFS} diffs: nothing was written"
            )));
        }
        let path = diff.path.clone();
        let at = |error: Error| located(error, index, path.as_ref());
        if diff.keep_conflict {
            return Err(at(Error::invalid(
                "keep_conflict is for a diff of its own: a change set is all or nothing",
            )));
        }
        match std::mem::replace(&mut diff.diff, DiffSource::Follows) {
            DiffSource::Bson(bytes) => {
                self.count(bytes.len())?;
                let parsed = Diff::parse(&bytes).map_err(at)?;
                let (store, address) = (&*self.room.store, &self.request.address);
                let (_, stored) = store_apart(store, address, parsed, bytes).await.map_err(at)?;
                self.add(diff, stored).await
            }
            DiffSource::Staged(chunks) => self.add(diff, staged(chunks).1).await,
            DiffSource::Follows => {
                if diff.kind.is_some_and(NodeKind::is_document) {
                    return Err(at(Error::invalid(
                        "only a FILE takes a streamed content: send a document in a `put` diff",
                    )));
                }
                self.content = Some(ContentWriter::new(&*self.room.store, &self.request.address));
                self.items.push(diff);
                Ok(())
            }
        }
    }

    /// The content of the last diff is complete.
    async fn end_content(&mut self) -> Result<()> {
        let Some(content) = self.content.take() else { return Ok(()) };
        let stored = match content.finish().await? {
            DiffSource::Bson(bytes) => bytes,
            DiffSource::Staged(chunks) => staged(chunks).1,
            DiffSource::Follows => return Err(Error::internal("a content without an end")),
        };
        let Some(diff) = self.items.pop() else {
            return Err(Error::internal("a content without its diff"));
        };
        self.add(diff, stored).await
    }

    async fn add(&mut self, diff: WriteDiff, stored: Bytes) -> Result<()> {
        self.requests.push(request_hash(diff.node_id, diff.path.as_ref(), &stored));
        self.hashes.push(sha256(&stored));
        self.items.push(diff);
        self.diffs.add(stored).await
    }

    fn count(&mut self, bytes: usize) -> Result<()> {
        self.bytes += bytes as u64;
        if self.bytes > CHANGE_SET_MAX_BYTES {
            return Err(Error::too_large(format!(
                "the change set has more than {CHANGE_SET_MAX_BYTES} bytes: nothing was written"
            )));
        }
        Ok(())
    }
}

impl Taken {
    fn proposal(self, permit: Permit, request: WriteDiffs) -> SetProposal {
        let subject = permit.subject();
        let operation = request
            .operation_id
            .map(|id| (Operation { id, request: self.request }, operation_key(subject, id)));
        let author = request.author.filter(|author| !author.is_empty());
        SetProposal {
            author: author.unwrap_or_else(|| subject.to_string()),
            permit,
            header: Arc::new(ChangeSetHeader {
                message: request.message,
                metadata: request.metadata,
            }),
            authored_at_ms: request.authored_at_ms,
            expected_revision: request.expected_revision,
            operation,
            items: self.items,
            packs: self.packs,
        }
    }
}

impl SetProposal {
    /// One diff as a proposal of its own. A set of one is a plain change, which says
    /// for itself what the set says.
    fn proposal_of(
        &self,
        index: usize,
        item: &SetItem,
        diff: Diff,
        pack: Option<(ContentChunk, Bytes)>,
        alone: bool,
    ) -> Proposal {
        let (mut message, mut metadata) = (item.message.clone(), item.metadata.clone());
        if alone {
            if message.is_empty() {
                message.clone_from(&self.header.message);
            }
            for (name, value) in &self.header.metadata {
                metadata.entry(name.clone()).or_insert_with(|| value.clone());
            }
        }
        Proposal {
            permit: self.permit.clone(),
            node_id: item.node_id,
            path: item.path.clone(),
            kind: item.kind,
            diff,
            stored: item.stored.clone(),
            diff_hash: item.diff_hash,
            pack,
            clock: item.clock.clone(),
            on_conflict: item.on_conflict,
            actor: item.actor.clone(),
            author: self.author.clone(),
            authored_at_ms: self.authored_at_ms,
            message,
            metadata,
            operation: self.operation.filter(|_| index == 0),
            merged: false,
            keep_conflict: false,
            resolves: None,
        }
    }
}

/// The nodes that a set is about, as they stand before it.
struct Resolved {
    /// For each diff; `None` where it creates one.
    nodes: Vec<Option<NodeId>>,
    /// The paths that are free once the set is written.
    leaving: HashSet<NodePath>,
}

impl Resolved {
    async fn of(branch: &Branch, set: &SetProposal) -> Result<Self> {
        let mut packs = branch.packs();
        let mut resolved = Self { nodes: vec![None; set.items.len()], leaving: HashSet::new() };
        let mut named: HashMap<NodeId, usize> = HashMap::with_capacity(set.items.len());
        let mut puts_by_path = Vec::new();
        for (index, item) in set.items.iter().enumerate() {
            let diff = Diff::parse_stored(&packs.diff(&item.stored).await?)?;
            let node = match (item.node_id, &item.path) {
                (Some(id), _) => branch.node(id).await?,
                (None, Some(path)) if diff.creates() => {
                    puts_by_path.push((index, path));
                    continue;
                }
                (None, Some(path)) => branch.node_at(path).await?,
                (None, None) => {
                    let error = Error::invalid("name the node by `path` or by `node_id`");
                    return Err(in_diff(error, index, item));
                }
            };
            let id = node.as_ref().map(|node| node.id).or(item.node_id);
            if let Some(id) = id
                && let Some(other) = named.insert(id, index)
            {
                return Err(named_twice(index, other, item));
            }
            resolved.nodes[index] = id;
            if let Some(node) = node.filter(|node| node.live)
                && matches!(diff, Diff::Delete | Diff::Rename { .. })
            {
                resolved.leaving.insert(node.path.clone());
            }
        }
        for (index, path) in puts_by_path {
            let Some(node) = branch.node_at(path).await? else { continue };
            match named.get(&node.id) {
                // Another diff takes it away: this one makes a new node.
                Some(_) if resolved.leaving.contains(path) => {}
                Some(other) => return Err(named_twice(index, *other, &set.items[index])),
                None => {
                    named.insert(node.id, index);
                    resolved.nodes[index] = Some(node.id);
                }
            }
        }
        Ok(resolved)
    }
}

/// What makes two sets the same. A set of one is a plain write, and is the same as one
/// that came as such.
fn of_set(requests: &[Hash]) -> Hash {
    if let [request] = requests {
        return *request;
    }
    let mut hasher = Sha256::new_with_prefix(b"vdom.change_set.1");
    for request in requests {
        hasher.update(request.as_bytes());
    }
    Hash(hasher.finalize().into())
}

/// The same set judged twice has the same id: the client's, else derived.
fn set_id(branch: &Branch, set: &SetProposal) -> OperationId {
    if let Some((operation, _)) = set.operation {
        return operation.id;
    }
    let head = branch.head();
    let mut hasher = Sha256::new_with_prefix(b"vdom.change_set.1");
    hasher.update(branch.log.0);
    hasher.update(head.revision.to_be_bytes());
    hasher.update(head.hash.as_bytes());
    for item in &set.items {
        hasher.update(item.diff_hash.as_bytes());
    }
    let digest: [u8; 32] = hasher.finalize().into();
    let mut id = [0; 16];
    id.copy_from_slice(&digest[..16]);
    OperationId(id)
}

/// A result for each diff while they are few, else the first conflicts.
fn told(conflicts: Vec<Option<Box<Conflict>>>) -> Vec<Option<Box<Conflict>>> {
    if conflicts.len() <= CHANGE_SET_RESULTS_MAX {
        return conflicts;
    }
    conflicts.into_iter().flatten().take(CONFLICTS_MAX).map(Some).collect()
}

fn named_twice(index: usize, other: usize, item: &SetItem) -> Error {
    let error = Error::invalid(format!(
        "diff {other} names the same node: a change set names each node at most once"
    ));
    in_diff(error, index, item)
}

/// Says which diff of the set an error is about.
fn in_diff(error: Error, index: usize, item: &SetItem) -> Error {
    located(error, index, item.path.as_ref())
}

fn located(error: Error, index: usize, path: Option<&NodePath>) -> Error {
    let at = path.map(|path| format!(" (`{path}`)")).unwrap_or_default();
    Error { message: format!("diff {index}{at}: {}", error.message), ..error }
}
