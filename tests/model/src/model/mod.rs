//! The reference model: what DESIGN section 4 promises, in plain lines. No I/O, no time.
//!
//! A branch is a list of changes, each with the node after it; a fork has the list of what
//! it continues up to a revision. Nothing is ever removed but by saying which revision is
//! the oldest that can be asked for.

pub mod answers;
pub mod branches;
mod conflict_answers;
pub mod conflicts;
pub mod reads;
mod set_answers;
pub mod sets;
pub mod writes;

use std::collections::BTreeMap;
use std::rc::Rc;

use bytes::Bytes;
use vdom_core::dom::calls::{OnConflict, ResolveConflict, SetWritten, WriteDiff, Written};
use vdom_core::{
    BranchName, ChangeKind, ConflictId, Content, Node, NodeId, NodeKind, NodePath, OperationId,
    VectorClock,
};

/// All that there is.
#[derive(Clone, Debug, Default)]
pub struct World {
    /// Every incarnation of every branch, in the order of creation.
    pub logs: Vec<Log>,
    /// How many live nodes there may be.
    pub quota_nodes: Option<u64>,
    /// How many gateways there are.
    pub gateways: u8,
    /// The newest revision that a gateway has answered of a log.
    pub answered: BTreeMap<(u8, usize), u64>,
    /// Whether two calls were asked at the same time.
    pub is_racing: bool,
    /// How many changes another compaction at the same time keeps.
    pub also_kept: Option<u64>,
    /// Whether views may lag so much that calls which need them are told to wait.
    pub is_flaky: bool,
}

/// One incarnation of a branch.
#[derive(Clone, Debug)]
pub struct Log {
    /// Its branch.
    pub name: BranchName,
    /// Told by the first answer.
    pub epoch: u64,
    /// What it continues.
    pub parent: Option<Parent>,
    /// Its own changes, in order.
    pub changes: Vec<Rc<Change>>,
    /// Whether it was deleted, or restored into another.
    pub closed: bool,
    /// The oldest of its own revisions that is kept; 0: all.
    pub limit: u64,
    /// Whether a compaction to there may be half done.
    pub is_half_compacted: bool,
    /// Calls with an operation id that were answered, by subject and id.
    pub operations: BTreeMap<(String, OperationId), Recorded>,
    /// Refused writes that are kept.
    pub conflicts: BTreeMap<ConflictId, Kept>,
    /// How it was created.
    pub created_by: Option<(String, OperationId)>,
    /// How it was deleted.
    pub deleted_by: Option<(String, OperationId)>,
}

/// What a branch has from another log.
#[derive(Clone, Copy, Debug)]
pub struct Parent {
    /// Which.
    pub log: usize,
    /// Up to here.
    pub revision: u64,
    /// The same branch, before a restore.
    pub restored: bool,
}

/// One accepted diff.
#[derive(Clone, Debug)]
pub struct Change {
    /// Its position in the branch.
    pub revision: u64,
    /// What it did.
    pub kind: ChangeKind,
    /// The node after it.
    pub node: Rc<State>,
    /// Where the node was before a rename.
    pub old_path: Option<NodePath>,
    /// Its place in its change set.
    pub set: Option<(u32, u32)>,
    /// Whose clock entry moved.
    pub actor: String,
    /// Who wrote it.
    pub subject: String,
}

/// A node after a change.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "as in `Node`")]
pub struct State {
    pub id: NodeId,
    pub path: NodePath,
    pub kind: NodeKind,
    pub live: bool,
    pub version: u64,
    pub clock: VectorClock,
    pub content: Bytes,
    pub attributes: BTreeMap<String, String>,
    pub author: String,
    pub revision: u64,
}

/// The first answer to a call with an operation id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Recorded {
    /// To one diff.
    Write(WriteDiff, Written),
    /// To a set, or a revert.
    Set(SetRequest, SetWritten),
    /// To a resolution.
    Resolve(ResolveConflict, Option<Written>),
}

/// What makes two sets the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SetRequest {
    /// Its diffs.
    Diffs(Vec<WriteDiff>),
    /// The range that it reverts, and what it does to what has changed since.
    Revert(u64, u64, OnConflict),
}

/// A refused write that is kept.
#[derive(Clone, Debug)]
pub struct Kept {
    /// What was asked.
    pub request: WriteDiff,
    /// Who asked.
    pub subject: String,
    /// What stood in the way.
    pub node_id: NodeId,
    /// Nobody has resolved it.
    pub open: bool,
}

impl World {
    /// The newest incarnation of a branch.
    pub fn newest(&self, name: &BranchName) -> Option<usize> {
        self.logs.iter().rposition(|log| log.name == *name)
    }

    /// The open incarnation of a branch.
    pub fn open(&self, name: &BranchName) -> Option<usize> {
        self.newest(name).filter(|log| !self.logs[*log].closed)
    }

    /// Its last revision.
    pub fn head(&self, log: usize) -> u64 {
        let log = &self.logs[log];
        let begun = log.parent.map_or(0, |parent| parent.revision);
        log.changes.last().map_or(begun, |change| change.revision)
    }

    /// Where its own changes begin.
    pub fn inherited(&self, log: usize) -> u64 {
        self.logs[log].parent.map_or(0, |parent| parent.revision)
    }

    /// The oldest revision that may be asked for.
    pub fn oldest(&self, log: usize) -> u64 {
        match (self.logs[log].limit, self.logs[log].parent) {
            (0, Some(parent)) => self.oldest(parent.log).min(parent.revision),
            (limit, _) => limit,
        }
    }

    /// All changes up to a revision, also those of what it continues.
    pub fn changes(&self, log: usize, upto: u64) -> Vec<Rc<Change>> {
        let of = &self.logs[log];
        let mut changes = match of.parent {
            Some(parent) => self.changes(parent.log, upto.min(parent.revision)),
            None => Vec::new(),
        };
        changes.extend(of.changes.iter().filter(|change| change.revision <= upto).cloned());
        changes
    }

    /// Every node as of a revision, tombstones included.
    pub fn nodes(&self, log: usize, revision: u64) -> BTreeMap<NodeId, Rc<State>> {
        let changes = self.changes(log, revision);
        changes.iter().map(|change| (change.node.id, change.node.clone())).collect()
    }

    /// A node as of a revision, tombstones included.
    pub fn node(&self, log: usize, id: NodeId, revision: u64) -> Option<Rc<State>> {
        let of = &self.logs[log];
        let own = of.changes.iter().rev().filter(|change| change.revision <= revision);
        match (own.clone().find(|change| change.node.id == id), of.parent) {
            (Some(change), _) => Some(change.node.clone()),
            (None, Some(parent)) => self.node(parent.log, id, revision.min(parent.revision)),
            (None, None) => None,
        }
    }

    /// The live node at a path as of a revision.
    pub fn node_at(&self, log: usize, path: &NodePath, revision: u64) -> Option<Rc<State>> {
        let mut nodes = self.nodes(log, revision).into_values();
        nodes.find(|node| node.live && node.path == *path)
    }

    /// The node that was at a path last, also one that is gone.
    pub fn last_at(&self, log: usize, path: &NodePath, revision: u64) -> Option<Rc<State>> {
        if let Some(node) = self.node_at(log, path, revision) {
            return Some(node);
        }
        let changes = self.changes(log, revision);
        let last = changes
            .iter()
            .rev()
            .find(|change| change.node.path == *path || change.old_path.as_ref() == Some(path))?;
        self.node(log, last.node.id, revision)
    }

    /// The live nodes as of a revision, by path.
    pub fn tree(&self, log: usize, revision: u64) -> BTreeMap<String, Rc<State>> {
        let nodes = self.nodes(log, revision).into_values().filter(|node| node.live);
        nodes.map(|node| (node.path.as_str().to_owned(), node)).collect()
    }

    /// How many live nodes count for the quota: each branch counts those that it has
    /// changed itself, until it is deleted.
    pub fn used_nodes(&self) -> u64 {
        let counted = |log: &usize| !self.logs[*log].closed;
        let own = |log| self.own_nodes(log).values().filter(|live| **live).count() as u64;
        (0..self.logs.len()).filter(counted).map(own).sum()
    }

    /// The other branch that a branch continues, also of before restores.
    pub fn origin(&self, log: usize) -> Option<Parent> {
        match self.logs[log].parent {
            Some(parent) if parent.restored => self.origin(parent.log),
            parent => parent,
        }
    }

    /// Where the changes of the branch itself begin, also of before restores.
    pub fn begins(&self, log: usize) -> u64 {
        self.origin(log).map_or(0, |origin| origin.revision)
    }

    /// Whether every change of a range is kept, in whichever log it stands.
    pub fn keeps(&self, log: usize, first: u64, last: u64) -> bool {
        (first..=last).all(|revision| revision > self.logs[self.owner(log, revision)].limit)
    }

    /// The nodes that a branch has changed itself, and whether they live.
    fn own_nodes(&self, log: usize) -> BTreeMap<NodeId, bool> {
        let mut own = match self.logs[log].parent {
            // After a restore a branch is what it was.
            Some(parent) if parent.restored => self.own_nodes(parent.log),
            _ => BTreeMap::new(),
        };
        let changes = &self.logs[log].changes;
        own.extend(changes.iter().map(|change| (change.node.id, change.node.live)));
        own
    }

    /// The revisions where open branches, or what they need, continue a log.
    fn pins(&self, log: usize) -> Vec<u64> {
        let children = (0..self.logs.len()).filter_map(|child| {
            let parent = self.logs[child].parent?;
            let owner = self.owner(parent.log, parent.revision);
            // Where nothing was written yet, nothing is needed.
            let is_needed = parent.revision > self.inherited(owner);
            (owner == log && is_needed && self.is_in_use(child)).then_some(parent.revision)
        });
        children.collect()
    }

    /// The log that a revision of a branch stands in.
    pub fn owner(&self, log: usize, revision: u64) -> usize {
        match self.logs[log].parent {
            Some(parent) if revision <= parent.revision => self.owner(parent.log, revision),
            _ => log,
        }
    }

    fn is_in_use(&self, log: usize) -> bool {
        !self.logs[log].closed
            || (0..self.logs.len()).any(|child| {
                // Who left it before its own changes needs what it continues, and not it.
                self.logs[child]
                    .parent
                    .is_some_and(|parent| self.owner(parent.log, parent.revision) == log)
                    && self.is_in_use(child)
            })
    }

    /// How far a log may be compacted where all but `keep` changes may go.
    pub fn limit_max(&self, log: usize, keep: u64) -> u64 {
        let wanted = self.head(log).saturating_sub(keep);
        self.pins(log).into_iter().fold(wanted, u64::min)
    }

    /// Whether a revision is the end of a change or of a whole change set.
    pub fn is_boundary(&self, log: usize, revision: u64) -> bool {
        let change = self.changes(log, revision).pop().filter(|last| last.revision == revision);
        change.is_none_or(|last| last.set.is_none_or(|(index, size)| index + 1 == size))
    }

    /// Appends a change to a log.
    pub fn push(&mut self, log: usize, change: Change) {
        self.logs[log].changes.push(Rc::new(change));
    }

    /// A new incarnation of a branch.
    pub fn begin(&mut self, name: &BranchName, epoch: u64, parent: Option<Parent>) -> usize {
        self.logs.push(Log {
            name: name.clone(),
            epoch,
            parent,
            changes: Vec::new(),
            closed: false,
            limit: 0,
            is_half_compacted: false,
            operations: BTreeMap::new(),
            conflicts: BTreeMap::new(),
            created_by: None,
            deleted_by: None,
        });
        self.logs.len() - 1
    }

    /// The epoch of the newest incarnation of a branch; 0: there was none.
    pub fn last_epoch(&self, name: &BranchName) -> u64 {
        self.newest(name).map_or(0, |log| self.logs[log].epoch)
    }
}

impl State {
    /// As the room's own words have it.
    pub fn to_node(&self) -> Node {
        Node {
            id: self.id,
            path: self.path.clone(),
            kind: self.kind,
            live: self.live,
            version: self.version,
            clock: self.clock.clone(),
            last_used: BTreeMap::new(),
            content: Content::Inline(self.content.clone()),
            attributes: self.attributes.clone(),
            author: self.author.clone(),
            timestamp_ms: 0,
            metadata: BTreeMap::new(),
            epoch: 0,
            changed_revision: self.revision,
        }
    }
}
