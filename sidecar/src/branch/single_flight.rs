//! Loads that are on their way: one per key, whose answer is kept only where no
//! change has overtaken it.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::watch;
use vdom_core::dom::calls::Snapshot;
use vdom_core::{Change, Error, ErrorCode, Result};

use super::Branch;
use crate::cache::{CachedNode, Missing, NodeKey, Position, Slot};

/// How often a load that changes overtake is begun again before its answer is
/// given to its readers alone.
const ROUNDS_MAX: u32 = 4;

/// What the readers of a load wait for.
pub(crate) type LoadAnswer = watch::Receiver<Option<Result<Arc<Snapshot>>>>;

/// Who joined a load.
pub(crate) enum Joined {
    /// The first one, who has to carry it out.
    First(Load, LoadAnswer),
    /// One of those who wait.
    Waiting(LoadAnswer),
}

/// A load to carry out. Dropped, it leaves its readers without an answer.
pub(crate) struct Load {
    branch: Arc<Branch>,
    key: NodeKey,
    number: u64,
    rounds: u32,
    /// What the last round asked for.
    asked: u64,
    answer: watch::Sender<Option<Result<Arc<Snapshot>>>>,
}

/// What became of an answer of the gateway.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Settled {
    /// The readers have it. `began`: it was the first of its branch, which may
    /// be followed from here on.
    Given {
        /// See above.
        began: bool,
    },
    /// A change has overtaken it: load once more.
    Overtaken {
        /// See above.
        began: bool,
    },
}

/// What an answer must have reached; no epoch: the current one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ReadFrom {
    /// The epoch of the revision.
    pub(crate) epoch: Option<u64>,
    pub(crate) revision: u64,
}

#[derive(Default)]
pub(super) struct LoadsInFlight {
    running: HashMap<NodeKey, Running>,
    next_number: u64,
}

struct Running {
    number: u64,
    /// An answer that is older is of no use.
    at_least: u64,
    answer: LoadAnswer,
}

impl LoadsInFlight {
    /// Marks the loads that a change concerns.
    pub(super) fn touch(&mut self, change: &Change, revision: u64) {
        if self.running.is_empty() {
            return;
        }
        self.raise(&NodeKey::Id(change.node_id), revision);
        for path in [Some(&change.path), change.old_path.as_ref()].into_iter().flatten() {
            self.raise(&NodeKey::Path(path.clone()), revision);
        }
    }

    /// Makes a load reach a revision.
    fn raise(&mut self, key: &NodeKey, revision: u64) {
        if let Some(running) = self.running.get_mut(key) {
            running.at_least = running.at_least.max(revision);
        }
    }

    /// Makes every load reach a revision.
    pub(super) fn raise_all(&mut self, revision: u64) {
        for running in self.running.values_mut() {
            running.at_least = running.at_least.max(revision);
        }
    }

    fn at_least(&self, key: &NodeKey) -> u64 {
        self.running.get(key).map_or(0, |running| running.at_least)
    }
}

impl Branch {
    /// Joins the load of a key, or begins it. Its answer is at least as of
    /// `at_least`, of the head and of own writes.
    pub(crate) fn join(self: &Arc<Self>, key: &NodeKey, at_least: u64) -> Joined {
        let mut guarded = self.guarded.lock();
        let head = self.head().map_or(0, |head| head.revision);
        let at_least = at_least.max(head).max(self.min_read_revision());
        if let Some(running) = guarded.loads.running.get_mut(key) {
            running.at_least = running.at_least.max(at_least);
            return Joined::Waiting(running.answer.clone());
        }
        let (sender, answer) = watch::channel(None);
        let number = guarded.loads.next_number;
        guarded.loads.next_number += 1;
        let running = Running { number, at_least, answer: answer.clone() };
        guarded.loads.running.insert(key.clone(), running);
        drop(guarded);
        let branch = Arc::clone(self);
        let load = Load { branch, key: key.clone(), number, rounds: 0, asked: 0, answer: sender };
        Joined::First(load, answer)
    }
}

impl Load {
    /// The key to load.
    pub(crate) fn key(&self) -> &NodeKey {
        &self.key
    }

    /// The branch that it is for.
    pub(crate) fn branch(&self) -> &Arc<Branch> {
        &self.branch
    }

    /// Begins a round: what the answer must have reached, `None` for any.
    pub(crate) fn ask(&mut self) -> Option<ReadFrom> {
        let guarded = self.branch.guarded.lock();
        self.asked = guarded.loads.at_least(&self.key);
        let epoch = self.branch.head().map(|head| head.epoch).or(guarded.floor_epoch);
        (self.asked > 0).then_some(ReadFrom { epoch, revision: self.asked })
    }

    /// Takes the gateway's answer: keeps it where it is still true, and gives it
    /// to the readers.
    pub(crate) fn settle(&mut self, answer: Result<Snapshot>) -> Settled {
        self.rounds += 1;
        let branch = &self.branch;
        let mut guarded = branch.guarded.lock();
        let mut began = false;
        if let Ok(snapshot) = &answer {
            let at = Position { epoch: snapshot.epoch, revision: snapshot.revision };
            began = branch.begin(&mut guarded, at, snapshot.freshness);
        }
        // An answer from before following began may have missed a change.
        let start = branch.start.get().map_or(0, |start| start.revision);
        let at_least = guarded.loads.at_least(&self.key).max(start);
        let kept = match &answer {
            Ok(snapshot) => self.keep(snapshot, at_least),
            Err(error) if error.code == ErrorCode::NotFound => self.keep_missing(error, at_least),
            Err(_) => Kept::No,
        };
        if kept == Kept::Overtaken && self.rounds < ROUNDS_MAX {
            guarded.loads.raise(&self.key, at_least);
            return Settled::Overtaken { began };
        }
        guarded.loads.running.remove(&self.key);
        drop(guarded);
        let answer = match answer {
            // It does not say as of when it is; the readers want something newer.
            Err(_) if kept == Kept::Overtaken => Err(self.branch.not_reached(at_least)),
            answer => answer.map(Arc::new),
        };
        self.answer.send_replace(Some(answer));
        Settled::Given { began }
    }

    fn keep(&self, snapshot: &Snapshot, at_least: u64) -> Kept {
        let branch = &self.branch;
        let at = Position { epoch: snapshot.epoch, revision: snapshot.revision };
        if branch.is_over() || branch.head().is_none_or(|head| head.epoch != at.epoch) {
            return Kept::No;
        }
        if at.revision < at_least {
            return Kept::Overtaken;
        }
        let node = &snapshot.node;
        let is_asked_for = match &self.key {
            NodeKey::Path(asked) => *asked == node.path,
            NodeKey::Id(asked) => *asked == node.id,
        };
        let cached = CachedNode::new(node.clone(), at).filter(|_| is_asked_for);
        let Some(cached) = cached else { return Kept::No };
        let path = NodeKey::Path(node.path.clone());
        branch.cache.put(branch.number, path, Slot::Node(Arc::new(cached)));
        if let NodeKey::Id(_) = self.key {
            branch.cache.put(branch.number, self.key.clone(), Slot::PathHint(node.path.clone()));
        }
        Kept::Yes
    }

    fn keep_missing(&self, error: &Error, at_least: u64) -> Kept {
        let branch = &self.branch;
        let Some(head) = branch.head().filter(|_| !branch.is_over()) else { return Kept::No };
        // As of what the round asked for, unless the gateway says more.
        let told = error.revision.filter(|_| error.epoch == Some(head.epoch)).unwrap_or(0);
        let position = Position { epoch: head.epoch, revision: told.max(self.asked) };
        if position.revision < at_least {
            return Kept::Overtaken;
        }
        // An unknown id is not worth a place.
        if let NodeKey::Path(_) = self.key {
            let missing = Missing { error: error.clone(), position };
            branch.cache.put(branch.number, self.key.clone(), Slot::Missing(Arc::new(missing)));
        }
        Kept::Yes
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        let mut guarded = self.branch.guarded.lock();
        let running = guarded.loads.running.get(&self.key);
        if running.is_some_and(|running| running.number == self.number) {
            guarded.loads.running.remove(&self.key);
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kept {
    Yes,
    /// Good for the readers, but not kept.
    No,
    Overtaken,
}
