//! Loads that are on their way: one per key, whose answer is kept only where no
//! change has overtaken it.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::watch;
use vdom_core::calls::Snapshot;
use vdom_core::{Change, Error, ErrorCode, NodePath, Result};

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
    /// A change has overtaken it: load once more, at least as of this revision.
    Overtaken {
        /// See above.
        at_least: u64,
    },
}

#[derive(Default)]
pub(super) struct Loads {
    running: HashMap<NodeKey, Running>,
    next_number: u64,
}

struct Running {
    number: u64,
    /// An answer that is older is of no use.
    at_least: u64,
    answer: LoadAnswer,
}

impl Loads {
    /// Marks the loads that a change concerns.
    pub(super) fn touch(&mut self, change: &Change, revision: u64) {
        if self.running.is_empty() {
            return;
        }
        let mut mark = |key: NodeKey| {
            if let Some(running) = self.running.get_mut(&key) {
                running.at_least = running.at_least.max(revision);
            }
        };
        let path = |path: &NodePath| NodeKey::Path(path.clone());
        mark(NodeKey::Id(change.node_id));
        mark(path(&change.path));
        if let Some(old) = &change.old_path {
            mark(path(old));
        }
    }
}

impl Branch {
    /// Joins the load of a key, or begins it. The answer may be older than
    /// `at_least` where the load was begun for somebody else.
    pub(crate) fn join(self: &Arc<Self>, key: &NodeKey, at_least: u64) -> Joined {
        let mut guarded = self.guarded.lock();
        let head = self.head().map_or(0, |head| head.revision);
        if let Some(running) = guarded.loads.running.get(key) {
            return Joined::Waiting(running.answer.clone());
        }
        let (sender, answer) = watch::channel(None);
        let number = guarded.loads.next_number;
        guarded.loads.next_number += 1;
        let at_least = at_least.max(head).max(self.floor());
        let running = Running { number, at_least, answer: answer.clone() };
        guarded.loads.running.insert(key.clone(), running);
        drop(guarded);
        let branch = Arc::clone(self);
        Joined::First(Load { branch, key: key.clone(), number, rounds: 0, answer: sender }, answer)
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

    /// The revision that the answer must have reached; 0: any.
    pub(crate) fn at_least(&self) -> u64 {
        let guarded = self.branch.guarded.lock();
        guarded.loads.running.get(&self.key).map_or(0, |running| running.at_least)
    }

    /// Takes the gateway's answer: keeps it where it is still true, and gives it
    /// to the readers.
    pub(crate) fn settle(&mut self, answer: Result<Snapshot>) -> Settled {
        self.rounds += 1;
        let branch = &self.branch;
        let mut guarded = branch.guarded.lock();
        let at_least = guarded.loads.running.get(&self.key).map_or(0, |running| running.at_least);
        let mut began = false;
        let kept = match &answer {
            Ok(snapshot) => {
                let at = Position { epoch: snapshot.epoch, revision: snapshot.revision };
                began = branch.begin(snapshot, at);
                self.keep(snapshot, at, at_least)
            }
            Err(error) if error.code == ErrorCode::NotFound => self.keep_missing(error, at_least),
            Err(_) => Kept::Not,
        };
        if kept == Kept::Overtaken && self.rounds < ROUNDS_MAX {
            // What is at least the start of following cannot have missed a change.
            let start = branch.start.get().map_or(0, |start| start.revision);
            let at_least = at_least.max(start);
            if let Some(running) = guarded.loads.running.get_mut(&self.key) {
                running.at_least = at_least;
            }
            return Settled::Overtaken { at_least };
        }
        guarded.loads.running.remove(&self.key);
        drop(guarded);
        self.answer.send_replace(Some(answer.map(Arc::new)));
        Settled::Given { began }
    }

    fn keep(&self, snapshot: &Snapshot, at: Position, at_least: u64) -> Kept {
        let branch = &self.branch;
        let Some(start) = branch.start.get() else { return Kept::Not };
        if at.epoch != start.epoch || branch.is_over() {
            return Kept::Not;
        }
        if at.revision < at_least.max(start.revision) {
            return Kept::Overtaken;
        }
        let node = &snapshot.node;
        let path = NodeKey::Path(node.path.clone());
        let asked_for = match &self.key {
            NodeKey::Path(asked) => *asked == node.path,
            NodeKey::Id(asked) => *asked == node.id,
        };
        let Some(cached) = CachedNode::new(node.clone(), at).filter(|_| asked_for) else {
            return Kept::Not;
        };
        branch.cache.put(branch.number, path, Slot::Node(Arc::new(cached)));
        if let NodeKey::Id(_) = self.key {
            branch.cache.put(branch.number, self.key.clone(), Slot::At(node.path.clone()));
        }
        Kept::Yes
    }

    fn keep_missing(&self, error: &Error, at_least: u64) -> Kept {
        let branch = &self.branch;
        // An id that is unknown stays so for good, or until its node is made:
        // not worth a place.
        let (Some(start), NodeKey::Path(_)) = (branch.start.get(), &self.key) else {
            return Kept::Not;
        };
        if branch.is_over() || error.epoch.is_some_and(|epoch| epoch != start.epoch) {
            return Kept::Not;
        }
        // The load asked for this revision when it began, unless the answer
        // itself says as of when it is.
        let begun_at = error.revision.unwrap_or(self.asked_for());
        if begun_at < at_least.max(start.revision) {
            return Kept::Overtaken;
        }
        let position = Position { epoch: start.epoch, revision: begun_at };
        let missing = Missing { error: error.clone(), position };
        branch.cache.put(branch.number, self.key.clone(), Slot::Missing(Arc::new(missing)));
        Kept::Yes
    }
}
