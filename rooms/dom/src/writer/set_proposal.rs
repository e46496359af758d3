//! A change set, evaluated against the state before it: each node at most once, one path per
//! node after it.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use bytes::Bytes;
use sha2::{Digest, Sha256};
use vdom_core::dom::calls::{AckLevel, Conflict, OnConflict, SetConflicts, SetWritten};
use vdom_core::dom::change::ChangeSetHeader;
use vdom_core::limits::CHANGE_SET_RESULTS_MAX;
use vdom_core::{
    ContentChunk, Diff, Error, ErrorCode, Hash, NodeId, NodeKind, NodePath, Operation, OperationId,
    Result, VectorClock,
};
use vdom_security::Permit;
use vdom_store::OperationKey;

use crate::branch::{Branch, idempotency};
use crate::content::packs::StoredDiff;
use crate::uploads::Upload;
use crate::writer::Proposal;
use crate::writer::staging::{StagedEnd, StagedSet, Staging};
use crate::writer::verdict::{Verdict, concerns_the_store};

/// How many conflicts are answered of a set that is too large for a result each.
const CONFLICTS_MAX: usize = 100;

/// A change set that was checked as far as it can be without the branch's state.
#[derive(Debug)]
pub(crate) struct SetProposal {
    /// The right to write it.
    pub permit: Permit,
    /// What it says of all its changes.
    pub header: Arc<ChangeSetHeader>,
    pub author: String,
    /// When, ms since the Unix epoch, where that is another time.
    pub authored_at_ms: Option<i64>,
    /// The revision that the branch must be at.
    pub expected_revision: Option<u64>,
    /// What makes it safe to repeat, and how the store finds it.
    pub operation: Option<(Operation, OperationKey)>,
    pub items: Vec<SetItem>,
    /// What holds them, where the batch does not.
    pub packs: Vec<ContentChunk>,
    /// What holds the chunks that it names, and those that evaluating it makes.
    pub upload: Upload,
}

/// A diff of a change set; the fields are those of a proposal.
#[derive(Debug)]
pub(crate) struct SetItem {
    /// Which node, where the writer knows it.
    pub node_id: Option<NodeId>,
    pub path: Option<NodePath>,
    pub kind: Option<NodeKind>,
    pub stored: StoredDiff,
    /// SHA-256 of `stored`.
    pub diff_hash: Hash,
    /// What the writer had seen.
    pub clock: VectorClock,
    /// What to do when that is not how it stands.
    pub on_conflict: OnConflict,
    pub actor: String,
    /// Why, where the set does not say it.
    pub message: String,
    pub metadata: BTreeMap<String, String>,
}

/// What becomes of a set if the head is proven.
pub(crate) enum SetVerdict {
    /// All of it is staged.
    Accepted(SetWritten),
    /// It was accepted before.
    Repeated(SetWritten),
    /// It is one diff, and what that wants is what stands there.
    Same(SetWritten),
    /// It disagrees with what stands there.
    Conflicted(SetConflicts),
    /// It expects a revision that is still to come; the refusal, should that not come.
    Early(Error),
}

/// Evaluates a set against the sets that are staged, and stages it: whoever calls lets it stand,
/// or takes it back.
pub(super) async fn evaluate(staging: &mut Staging<'_>, set: &SetProposal) -> Result<SetVerdict> {
    let (branch, now_ms) = (staging.branch, staging.now_ms);
    staging.begin_set(None);
    let before = staging.end;
    if let Some((operation, key)) = set.operation
        && let [Some(first)] = &idempotency::find(branch, &[key], now_ms).await?[..]
    {
        if first.operation.request == operation.request {
            return Ok(SetVerdict::Repeated(first.set_written()));
        }
        return Err(idempotency::used_before(operation.id, &branch.address));
    }
    match check_expected(branch, before.revision, set.expected_revision) {
        Err(refused) if set.expected_revision > Some(before.revision) => {
            return Ok(SetVerdict::Early(refused));
        }
        expected => expected?,
    }
    set.upload.check_age()?;
    let resolved = Resolved::of(staging, set).await?;
    let size = set.items.len() as u32;
    let staged_set = StagedSet {
        id: set_id(branch, before, set),
        size,
        header: set.header.clone(),
        leaving: resolved.leaving,
    };
    let marked = size > 1;
    staging.begin_set(marked.then_some(staged_set));
    let mut packs = branch.packs();
    let mut results = Vec::with_capacity(set.items.len());
    let mut conflicts: Vec<Option<Box<Conflict>>> = Vec::with_capacity(set.items.len());
    for (index, (item, id)) in set.items.iter().zip(&resolved.nodes).enumerate() {
        let at = |error| in_diff(error, index, item);
        let bytes = packs.diff(&item.stored).await?;
        let pack = packs.holding(&item.stored).await?;
        let proposal = set.proposal_of(index, item, Diff::parse_stored(&bytes)?, pack, !marked);
        let current = match id {
            Some(id) => staging.node(*id).await?,
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
        match staging.evaluate_against(&proposal, current).await {
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
        return Ok(SetVerdict::Conflicted(SetConflicts {
            epoch: staging.epoch,
            revision: before.revision,
            operation_id: None,
            results: truncated(conflicts),
        }));
    }
    if results.len() > CHANGE_SET_RESULTS_MAX {
        results.clear();
    }
    if staging.changes_of_set() == 0
        && let [stands] = &results[..]
    {
        return Ok(SetVerdict::Same(SetWritten {
            epoch: stands.epoch,
            first_revision: stands.revision,
            last_revision: stands.revision,
            ack: AckLevel::Committed,
            timestamp_ms: stands.timestamp_ms,
            operation_id: None,
            results,
        }));
    }
    let written = SetWritten {
        epoch: staging.epoch,
        first_revision: before.revision + 1,
        last_revision: staging.end.revision,
        ack: AckLevel::Committed,
        timestamp_ms: now_ms,
        operation_id: None,
        results,
    };
    Ok(SetVerdict::Accepted(written))
}

/// Refuses where the branch, which is at `revision`, is not where a change set expects it.
pub(crate) fn check_expected(branch: &Branch, revision: u64, expected: Option<u64>) -> Result<()> {
    let Some(expected) = expected.filter(|expected| *expected != revision) else {
        return Ok(());
    };
    Err(Error::new(
        ErrorCode::FailedPrecondition,
        format!(
            "{} is at revision {revision}, not at the expected {expected}: read what changed and \
             decide again",
            branch.address
        ),
    )
    .resource(&branch.address)
    .at(branch.head().epoch, revision))
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
            upload: self.upload.clone(),
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
    async fn of(staging: &Staging<'_>, set: &SetProposal) -> Result<Self> {
        let mut packs = staging.branch.packs();
        let mut resolved = Self { nodes: vec![None; set.items.len()], leaving: HashSet::new() };
        let mut named: HashMap<NodeId, usize> = HashMap::with_capacity(set.items.len());
        let mut puts_by_path = Vec::new();
        for (index, item) in set.items.iter().enumerate() {
            let diff = Diff::parse_stored(&packs.diff(&item.stored).await?)?;
            let node = match (item.node_id, &item.path) {
                (Some(id), _) => staging.node(id).await?,
                (None, Some(path)) if diff.creates() => {
                    puts_by_path.push((index, path));
                    continue;
                }
                (None, Some(path)) => staging.node_at(path).await?,
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
            let Some(node) = staging.node_at(path).await? else { continue };
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

/// The same set evaluated twice has the same id: the client's, else derived.
fn set_id(branch: &Branch, before: StagedEnd, set: &SetProposal) -> OperationId {
    if let Some((operation, _)) = set.operation {
        return operation.id;
    }
    let mut hasher = Sha256::new_with_prefix(b"vdom.change_set.1");
    hasher.update(branch.log.0);
    hasher.update(before.revision.to_be_bytes());
    hasher.update(before.hash.as_bytes());
    for item in &set.items {
        hasher.update(item.diff_hash.as_bytes());
    }
    let digest: [u8; 32] = hasher.finalize().into();
    let mut id = [0; 16];
    id.copy_from_slice(&digest[..16]);
    OperationId(id)
}

/// A result for each diff while they are few, else the first conflicts.
fn truncated(conflicts: Vec<Option<Box<Conflict>>>) -> Vec<Option<Box<Conflict>>> {
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

/// An error that says which diff of its set it is about.
pub(crate) fn located(error: Error, index: usize, path: Option<&NodePath>) -> Error {
    let at = path.map(|path| format!(" (`{path}`)")).unwrap_or_default();
    Error { message: format!("diff {index}{at}: {}", error.message), ..error }
}
