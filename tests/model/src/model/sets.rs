//! Several diffs as one: judged against the head before them, each node at most once, one
//! path per node after them.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use bytes::Bytes;
use vdom_core::dom::calls::{AckLevel, DiffSource, OnConflict, RevertChanges, WriteDiff};
use vdom_core::{Diff, ErrorCode, NodeId, VectorClock};

use super::writes::{Stage, Staged, Verdict};
use super::{State, World};

/// What becomes of a set.
#[derive(Clone, Debug)]
pub enum SetVerdict {
    /// All of it is written; a diff of a set of one may want what stands there.
    Written(Vec<Verdict>),
    /// For each diff, what stands in its way.
    Conflicted(Vec<Option<Verdict>>),
    /// It cannot be.
    Refused(ErrorCode),
    /// A base is the oldest state that is kept: anything may come of it.
    Unclear,
}

impl World {
    /// What becomes of a set on the head of a log.
    pub fn evaluate_set(&self, log: usize, subject: &str, items: &[WriteDiff]) -> SetVerdict {
        let head = self.head(log);
        let resolved = match self.resolved(log, items) {
            Ok(resolved) => resolved,
            Err(code) => return SetVerdict::Refused(code),
        };
        let mut stage = Stage::new(self, log);
        stage.leaving = (items.len() > 1).then_some(resolved.leaving);
        let mut verdicts = Vec::new();
        for (index, (item, id)) in items.iter().zip(&resolved.nodes).enumerate() {
            let current = id.and_then(|id| self.node(log, id, head));
            let Some(diff) = parsed(item) else {
                return SetVerdict::Refused(ErrorCode::InvalidArgument);
            };
            let target = match (&diff, &current) {
                (Diff::Rename { to, .. }, _) => Some(to),
                (_, None) => item.path.as_ref(),
                _ => None,
            };
            if target.is_some_and(|target| stage.is_taken(target)) {
                return SetVerdict::Refused(ErrorCode::InvalidArgument);
            }
            let mut verdict = stage.evaluate_against(subject, item, current);
            match &mut verdict {
                Verdict::Written(staged) => {
                    if staged.is_new && item.node_id.is_none() {
                        // Until the answer tells.
                        staged.node.id = NodeId([index as u8 + 1; 16]);
                    }
                    stage.stage(staged);
                }
                Verdict::Refused(code) => return SetVerdict::Refused(*code),
                Verdict::Either(_) => return SetVerdict::Unclear,
                Verdict::Same(_) | Verdict::Conflict(..) => {}
            }
            verdicts.push(verdict);
        }
        if verdicts.iter().any(|verdict| matches!(verdict, Verdict::Conflict(..))) {
            let conflict = |verdict: Verdict| match verdict {
                Verdict::Conflict(..) => Some(verdict),
                _ => None,
            };
            return SetVerdict::Conflicted(verdicts.into_iter().map(conflict).collect());
        }
        SetVerdict::Written(verdicts)
    }

    /// Whether it can be said what becomes of a set.
    pub fn is_clear(&self, log: usize, subject: &str, items: &[WriteDiff]) -> bool {
        !matches!(self.evaluate_set(log, subject, items), SetVerdict::Unclear)
    }

    /// The diffs that undo a range, whether it is kept or not, or why there are none.
    pub fn inverse(
        &self,
        log: usize,
        subject: &str,
        request: &RevertChanges,
    ) -> Result<Vec<WriteDiff>, ErrorCode> {
        let (first, last) = (request.first_revision, request.last_revision);
        if request.epoch.is_some_and(|epoch| epoch != self.logs[log].epoch) {
            return Err(ErrorCode::EpochChanged);
        }
        if last > self.head(log) {
            return Err(ErrorCode::NotFound);
        }
        let mut known = BTreeSet::new();
        let mut items = Vec::new();
        for change in self.changes(log, last).iter().filter(|change| change.revision >= first) {
            let id = change.node.id;
            if !known.insert(id) {
                continue;
            }
            let before = self.node(log, id, first - 1);
            let after = self.node(log, id, last).filter(|node| node.live);
            let found = match &after {
                Some(_) if request.on_conflict == OnConflict::Overwrite => {
                    self.node(log, id, self.head(log))
                }
                after => after.clone(),
            };
            let as_node = |node: &Option<Rc<State>>| node.as_ref().map(|node| node.to_node());
            let diff = Diff::restore(as_node(&found).as_ref(), as_node(&before).as_ref());
            let Some(diff) = diff.map_err(|error| error.code)? else { continue };
            items.push(item(request, subject, before.as_deref(), after.as_deref(), diff));
        }
        if items.is_empty() { Err(ErrorCode::FailedPrecondition) } else { Ok(items) }
    }

    fn resolved(&self, log: usize, items: &[WriteDiff]) -> Result<Resolved, ErrorCode> {
        let head = self.head(log);
        let mut resolved = Resolved { nodes: vec![None; items.len()], leaving: BTreeSet::new() };
        let mut named = BTreeSet::new();
        let mut puts_by_path = Vec::new();
        for (index, item) in items.iter().enumerate() {
            let diff = parsed(item).ok_or(ErrorCode::InvalidArgument)?;
            let node = match (item.node_id, &item.path) {
                (Some(id), _) => self.node(log, id, head),
                (None, Some(path)) if diff.creates() => {
                    puts_by_path.push((index, path));
                    continue;
                }
                (None, Some(path)) => self.node_at(log, path, head),
                (None, None) => return Err(ErrorCode::InvalidArgument),
            };
            let id = node.as_ref().map(|node| node.id).or(item.node_id);
            if id.is_some_and(|id| !named.insert(id)) {
                return Err(ErrorCode::InvalidArgument);
            }
            resolved.nodes[index] = id;
            if let Some(node) = node.filter(|node| node.live)
                && matches!(diff, Diff::Delete | Diff::Rename { .. })
            {
                resolved.leaving.insert(node.path.clone());
            }
        }
        for (index, path) in puts_by_path {
            let Some(node) = self.node_at(log, path, head) else { continue };
            match named.contains(&node.id) {
                true if resolved.leaving.contains(path) => {}
                true => return Err(ErrorCode::InvalidArgument),
                false => {
                    named.insert(node.id);
                    resolved.nodes[index] = Some(node.id);
                }
            }
        }
        Ok(resolved)
    }
}

struct Resolved {
    nodes: Vec<Option<NodeId>>,
    leaving: BTreeSet<vdom_core::NodePath>,
}

/// The change that a staged diff is.
pub fn change_of(staged: Staged, subject: &str, write: &WriteDiff) -> super::Change {
    super::Change {
        revision: staged.node.revision,
        kind: staged.kind,
        node: Rc::new(staged.node),
        old_path: staged.old_path,
        set: None,
        actor: write.actor.clone().unwrap_or_else(|| subject.to_owned()),
        subject: subject.to_owned(),
    }
}

fn item(
    request: &RevertChanges,
    subject: &str,
    before: Option<&State>,
    after: Option<&State>,
    diff: Bytes,
) -> WriteDiff {
    let created = before.filter(|_| after.is_none());
    WriteDiff {
        address: request.address.clone(),
        node_id: after.map(|node| node.id),
        path: created.map(|node| node.path.clone()),
        kind: created.map(|node| node.kind),
        diff: DiffSource::Bson(diff),
        clock: after.map_or_else(VectorClock::default, |node| node.clock.clone()),
        on_conflict: request.on_conflict,
        min_ack: AckLevel::Committed,
        keep_conflict: false,
        actor: Some(subject.to_owned()),
        author: None,
        message: String::new(),
        metadata: BTreeMap::new(),
        operation_id: None,
    }
}

pub(super) fn parsed(item: &WriteDiff) -> Option<Diff> {
    match &item.diff {
        DiffSource::Bson(bytes) => Diff::parse(bytes).ok(),
        DiffSource::Follows => None,
    }
}
