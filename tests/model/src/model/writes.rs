//! One diff: what becomes of it on a head.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use bytes::Bytes;
use vdom_core::dom::calls::{ConflictReason, DiffSource, OnConflict, WriteDiff};
use vdom_core::dom::diff::{self, NewContent, PutContent};
use vdom_core::dom::merge::{Merged, merge, merge_attributes};
use vdom_core::limits::{CHUNK_BYTES, MERGE_MAX_BYTES};
use vdom_core::{
    ChangeKind, ClockOrdering, Diff, ErrorCode, NodeId, NodeKind, NodePath, VectorClock,
};

use super::{State, World};

/// What becomes of a diff.
#[derive(Clone, Debug)]
pub enum Verdict {
    /// It is a change.
    Written(Box<Staged>),
    /// What it wants is what stands there.
    Same(Rc<State>),
    /// It disagrees with what stands there.
    Conflict(ConflictReason, Rc<State>),
    /// It cannot be.
    Refused(ErrorCode),
    /// Its base is the oldest state that is kept: that may be looked for or not.
    Either(Box<[Verdict; 2]>),
}

/// A change in the making.
#[derive(Clone, Debug)]
pub struct Staged {
    /// The node after it; its id is the writer's, or is still to be told.
    pub node: State,
    /// What it does.
    pub kind: ChangeKind,
    /// Where the node was before a rename.
    pub old_path: Option<NodePath>,
    /// Whether a merge made it.
    pub merged: bool,
    /// Whether it makes the node.
    pub is_new: bool,
}

/// A head, and what a change set has made of it so far.
pub struct Stage<'a> {
    world: &'a World,
    log: usize,
    head: u64,
    nodes: BTreeMap<NodeId, Rc<State>>,
    paths: BTreeMap<NodePath, Option<NodeId>>,
    grown: i64,
    /// Paths that nodes of the set leave; `None`: it is no set.
    pub leaving: Option<BTreeSet<NodePath>>,
}

/// What a writer had seen, where that is still known.
enum Base {
    Kept(Rc<State>),
    /// As the oldest state that is kept.
    Oldest(Rc<State>),
    Gone,
}

impl<'a> Stage<'a> {
    /// Nothing staged yet.
    pub fn new(world: &'a World, log: usize) -> Self {
        Self {
            world,
            log,
            head: world.head(log),
            nodes: BTreeMap::new(),
            paths: BTreeMap::new(),
            grown: 0,
            leaving: None,
        }
    }

    /// Whether a change of the set takes a node to a path.
    pub fn is_taken(&self, path: &NodePath) -> bool {
        matches!(self.paths.get(path), Some(Some(_)))
    }

    /// What becomes of a diff about the node that it names.
    pub fn evaluate(&self, subject: &str, write: &WriteDiff) -> Verdict {
        let current = match (write.node_id, &write.path) {
            (Some(id), _) => self.world.node(self.log, id, self.head),
            (None, Some(path)) => self.node_at(path),
            (None, None) => return Verdict::Refused(ErrorCode::InvalidArgument),
        };
        self.evaluate_against(subject, write, current)
    }

    /// The same about this node, or about none.
    pub fn evaluate_against(
        &self,
        subject: &str,
        write: &WriteDiff,
        current: Option<Rc<State>>,
    ) -> Verdict {
        let actor = write.actor.clone().unwrap_or_else(|| subject.to_owned());
        let changes = self.world.changes(self.log, self.head);
        let owner = changes.iter().rev().find(|change| change.actor == actor);
        if actor != subject && owner.is_some_and(|change| change.subject != subject) {
            return Verdict::Refused(ErrorCode::PermissionDenied);
        }
        let DiffSource::Bson(bytes) = &write.diff else {
            return Verdict::Refused(ErrorCode::InvalidArgument);
        };
        let Ok(diff) = Diff::parse(bytes) else {
            return Verdict::Refused(ErrorCode::InvalidArgument);
        };
        let overwrite = write.on_conflict == OnConflict::Overwrite;
        if write.clock.is_empty() {
            return match current {
                Some(node) if !node.live => Verdict::Conflict(ConflictReason::Deleted, node),
                Some(node) if overwrite => self.change(&actor, write, &diff, &node),
                Some(node) => Verdict::Conflict(ConflictReason::PathExists, node),
                None => self.create(&actor, write, &diff),
            };
        }
        if write.node_id.is_none() {
            return Verdict::Refused(ErrorCode::InvalidArgument);
        }
        let Some(node) = current else { return Verdict::Refused(ErrorCode::NotFound) };
        match write.clock.compare(&node.clock) {
            ClockOrdering::Ahead => Verdict::Refused(ErrorCode::FailedPrecondition),
            ClockOrdering::Equal if !node.live => Verdict::Refused(ErrorCode::FailedPrecondition),
            ClockOrdering::Equal => match &write.path {
                Some(path) if *path != node.path => Verdict::Refused(ErrorCode::FailedPrecondition),
                _ => self.change(&actor, write, &diff, &node),
            },
            _ if !node.live => Verdict::Conflict(ConflictReason::Deleted, node),
            _ if overwrite => self.change(&actor, write, &diff, &node),
            _ if write.on_conflict == OnConflict::Merge => self.merge(&actor, write, &diff, node),
            _ => Verdict::Conflict(ConflictReason::StaleClock, node),
        }
    }

    /// Remembers a change of the set.
    pub fn stage(&mut self, staged: &Staged) {
        let node = Rc::new(staged.node.clone());
        let left = staged.old_path.as_ref().or(Some(&node.path).filter(|_| !node.live));
        if let Some(left) = left
            && self.paths.get(left).is_none_or(|holder| *holder == Some(node.id))
        {
            self.paths.insert(left.clone(), None);
        }
        self.grown += self.growth(staged);
        if node.live {
            self.paths.insert(node.path.clone(), Some(node.id));
        }
        self.nodes.insert(node.id, node);
    }

    /// What a writer with exactly this clock had seen of a node; for what is shown only.
    pub fn seen(&self, node: &State, clock: &VectorClock) -> Option<(Rc<State>, bool)> {
        match self.base(node, clock) {
            Base::Kept(base) => Some((base, true)),
            Base::Oldest(base) => Some((base, false)),
            Base::Gone => None,
        }
    }

    fn create(&self, actor: &str, write: &WriteDiff, diff: &Diff) -> Verdict {
        let Some(path) = write.path.clone() else {
            return Verdict::Refused(ErrorCode::InvalidArgument);
        };
        if !diff.creates() {
            return Verdict::Refused(ErrorCode::NotFound);
        }
        if let Some(node) = self.node_at(&path) {
            return Verdict::Conflict(ConflictReason::PathExists, node);
        }
        let kind = write.kind.unwrap_or(NodeKind::File);
        let made = match diff::apply(diff, kind, &Bytes::new(), &BTreeMap::new()) {
            Ok(made) => made,
            Err(error) => return Verdict::Refused(error.code),
        };
        let node = State {
            id: write.node_id.unwrap_or(NodeId([0; 16])),
            path,
            kind,
            live: true,
            version: 1,
            clock: VectorClock::default().incremented(actor, |_| 0),
            content: content_of(made.content, &Bytes::new()),
            attributes: made.attributes.unwrap_or_default(),
            author: String::new(),
            revision: 0,
        };
        let kind = ChangeKind::Create;
        self.within_quota(Staged { node, kind, old_path: None, merged: false, is_new: true })
    }

    fn change(&self, actor: &str, write: &WriteDiff, diff: &Diff, node: &Rc<State>) -> Verdict {
        if write.kind.is_some_and(|kind| kind != node.kind) {
            return Verdict::Refused(ErrorCode::InvalidArgument);
        }
        let made = match diff::apply(diff, node.kind, &node.content, &node.attributes) {
            Ok(made) => made,
            Err(error) => return Verdict::Refused(error.code),
        };
        let kind = match &made.path {
            Some(target) if *target == node.path => {
                return Verdict::Refused(ErrorCode::InvalidArgument);
            }
            Some(target) => match self.node_at(target) {
                Some(standing) => {
                    return Verdict::Conflict(ConflictReason::TargetExists, standing);
                }
                None => ChangeKind::Rename,
            },
            None if made.deleted => ChangeKind::Delete,
            None => ChangeKind::Update,
        };
        let mut after = State::clone(node);
        after.live = !made.deleted;
        after.version += 1;
        after.clock = node.clock.incremented(actor, |_| 0);
        after.content = content_of(made.content, &node.content);
        after.attributes = made.attributes.unwrap_or_else(|| node.attributes.clone());
        if let Some(path) = made.path {
            after.path = path;
        }
        let old_path = (kind == ChangeKind::Rename).then(|| node.path.clone());
        self.within_quota(Staged { node: after, kind, old_path, merged: false, is_new: false })
    }

    fn merge(&self, actor: &str, write: &WriteDiff, diff: &Diff, node: Rc<State>) -> Verdict {
        // Whatever it was made of, such bytes are no document.
        if node.kind.is_document()
            && matches!(diff.put(), Some(PutContent::Bytes(bytes)) if bytes.len() > CHUNK_BYTES)
        {
            return Verdict::Refused(ErrorCode::InvalidArgument);
        }
        let of_base = |base: &State| match merged(base, &node, diff) {
            Err(code) => Verdict::Refused(code),
            Ok(None) => Verdict::Conflict(ConflictReason::Merge, node.clone()),
            Ok(Some(wanted)) => {
                match Diff::restore(Some(&node.to_node()), Some(&wanted.to_node())) {
                    Err(error) => Verdict::Refused(error.code),
                    Ok(None) => self.unchanged(actor, &node),
                    Ok(Some(bytes)) => self.change_merged(actor, write, &bytes, &node),
                }
            }
        };
        match self.base(&node, &write.clock) {
            Base::Gone => {
                let gone = Verdict::Conflict(ConflictReason::StaleClock, node.clone());
                match self.changed_to(&node, &write.clock) {
                    // A gateway may not have heard yet that it is gone.
                    Some(base) if self.world.gateways > 1 => {
                        Verdict::Either(Box::new([of_base(&base), gone]))
                    }
                    _ => gone,
                }
            }
            Base::Kept(base) if !base.live => Verdict::Conflict(ConflictReason::StaleClock, node),
            Base::Kept(base) => of_base(&base),
            Base::Oldest(base) => {
                let gone = Verdict::Conflict(ConflictReason::StaleClock, node.clone());
                Verdict::Either(Box::new([of_base(&base), gone]))
            }
        }
    }

    fn change_merged(
        &self,
        actor: &str,
        write: &WriteDiff,
        bytes: &Bytes,
        node: &Rc<State>,
    ) -> Verdict {
        match Diff::parse(bytes).map(|diff| self.change(actor, write, &diff, node)) {
            Ok(Verdict::Written(mut staged)) => {
                staged.merged = true;
                Verdict::Written(staged)
            }
            Ok(verdict) => verdict,
            Err(error) => Verdict::Refused(error.code),
        }
    }

    /// Both made the same of it; in a set, a change that changes nothing keeps its place.
    fn unchanged(&self, actor: &str, node: &Rc<State>) -> Verdict {
        if self.leaving.is_none() {
            return Verdict::Same(node.clone());
        }
        let mut after = State::clone(node);
        after.version += 1;
        after.clock = node.clock.incremented(actor, |_| 0);
        let kind = ChangeKind::Update;
        let staged = Staged { node: after, kind, old_path: None, merged: true, is_new: false };
        Verdict::Written(Box::new(staged))
    }

    /// What the change with this clock made of a node, whether it is kept or not.
    fn changed_to(&self, node: &State, clock: &VectorClock) -> Option<Rc<State>> {
        let changes = self.world.changes(self.log, self.head);
        let base = changes.iter().rfind(|change| {
            change.node.id == node.id && change.node.clock == *clock && change.node.live
        });
        base.map(|change| change.node.clone())
    }

    fn base(&self, node: &State, clock: &VectorClock) -> Base {
        if node.clock == *clock {
            return Base::Kept(Rc::new(node.clone()));
        }
        let changes = self.world.changes(self.log, self.head);
        let of_node = changes.iter().filter(|change| change.node.id == node.id);
        let Some(base) = of_node.clone().rfind(|change| change.node.clock == *clock) else {
            return Base::Gone;
        };
        let oldest = self.world.oldest(self.log);
        // In what the branch continues, less may be kept than the branch may be asked for.
        let owner = self.world.owner(self.log, base.revision);
        let oldest = oldest.max(self.world.logs[owner].limit);
        let next = of_node.clone().find(|change| change.revision > base.revision);
        let until = next.map_or(u64::MAX, |next| next.revision);
        if self.world.logs[owner].is_half_compacted {
            return Base::Oldest(base.node.clone());
        }
        let is_kept_for_others = owner != self.log && base.revision > self.world.logs[owner].limit;
        if base.revision > oldest {
            Base::Kept(base.node.clone())
        } else if until > oldest || is_kept_for_others {
            Base::Oldest(base.node.clone())
        } else {
            Base::Gone
        }
    }

    fn node_at(&self, path: &NodePath) -> Option<Rc<State>> {
        match self.paths.get(path) {
            Some(holder) => self.nodes.get(&(*holder)?).cloned(),
            None if self.leaving.as_ref().is_some_and(|leaving| leaving.contains(path)) => None,
            None => {
                let found = self.world.node_at(self.log, path, self.head);
                found.filter(|node| !self.nodes.contains_key(&node.id))
            }
        }
    }

    fn growth(&self, staged: &Staged) -> i64 {
        let begins = self.world.begins(self.log);
        let before = self.world.node(self.log, staged.node.id, self.head);
        let own = before.filter(|node| !staged.is_new && node.revision > begins);
        i64::from(staged.node.live) - i64::from(own.is_some_and(|node| node.live))
    }

    fn within_quota(&self, staged: Staged) -> Verdict {
        let growth = self.growth(&staged);
        let Some(quota) = self.world.quota_nodes.filter(|_| growth > 0) else {
            return Verdict::Written(Box::new(staged));
        };
        let used = self.world.used_nodes().cast_signed() + self.grown + growth;
        if used > quota.cast_signed() {
            return Verdict::Refused(ErrorCode::Exhausted);
        }
        Verdict::Written(Box::new(staged))
    }
}

/// The node as both writers want it; `None` where they disagree.
fn merged(base: &State, current: &State, diff: &Diff) -> Result<Option<State>, ErrorCode> {
    let sizes = [base.content.len(), current.content.len()];
    if sizes.iter().any(|size| *size as u64 > MERGE_MAX_BYTES) && base.content != current.content {
        return Ok(None);
    }
    let made = diff::apply(diff, current.kind, &base.content, &base.attributes);
    let made = made.map_err(|error| error.code)?;
    if made.deleted {
        return Ok(None);
    }
    let wanted = made.path.as_ref().unwrap_or(&base.path);
    let path = if *wanted == base.path {
        &current.path
    } else if current.path == base.path || current.path == *wanted {
        wanted
    } else {
        return Ok(None);
    };
    let attributes = match &made.attributes {
        None => current.attributes.clone(),
        Some(wanted) => match merge_attributes(&base.attributes, &current.attributes, wanted) {
            Merged::Clean(attributes) => attributes,
            Merged::Conflicting(_) => return Ok(None),
        },
    };
    let content = match made.content {
        NewContent::Unchanged => current.content.clone(),
        // What is above 1 MiB is never looked into: it merges only with itself.
        NewContent::Bytes(proposed) if is_large(diff) && base.content == current.content => {
            proposed
        }
        NewContent::Bytes(_) if is_large(diff) => return Ok(None),
        made => {
            let proposed = content_of(made, &base.content);
            match merge(current.kind, &base.content, &current.content, &proposed) {
                Ok(Merged::Clean(content)) => content,
                Ok(Merged::Conflicting(_)) => return Ok(None),
                Err(error) => return Err(error.code),
            }
        }
    };
    let path = path.clone();
    Ok(Some(State { path, content, attributes, ..current.clone() }))
}

pub(super) fn is_large(diff: &Diff) -> bool {
    use vdom_core::limits::CHUNK_BYTES;
    match diff.put() {
        Some(PutContent::Bytes(bytes) | PutContent::Document(bytes)) => bytes.len() > CHUNK_BYTES,
        Some(PutContent::Chunks(_) | PutContent::DocumentChunks(_)) => true,
        None => false,
    }
}

/// The content after a diff.
pub(super) fn content_of(made: NewContent, old: &Bytes) -> Bytes {
    match made {
        NewContent::Unchanged | NewContent::Chunks(_) => old.clone(),
        NewContent::Bytes(bytes) => bytes,
    }
}
