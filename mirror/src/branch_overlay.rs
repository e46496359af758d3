//! What the branch has where that is not what both sides agreed on last.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use vdom_core::NodeId;

use crate::branch_side::{RemoteEntry, RemoteFile};
use crate::local_path::LocalPath;
use crate::state::{KnownNode, MirrorState};
use crate::sync_plan::NodeVersion;

/// The branch, laid over the state.
#[derive(Debug, Default)]
pub(crate) struct BranchOverlay {
    ahead: BTreeMap<LocalPath, RemoteEntry>,
    by_node: HashMap<NodeId, LocalPath>,
}

impl BranchOverlay {
    /// What is different at this path; `None`: nothing.
    pub(crate) fn get(&self, path: &LocalPath) -> Option<&RemoteEntry> {
        self.ahead.get(path)
    }

    /// The file that is different at this path.
    pub(crate) fn file(&self, path: &LocalPath) -> Option<&RemoteFile> {
        match self.ahead.get(path) {
            Some(RemoteEntry::File(received)) => Some(received),
            _ => None,
        }
    }

    /// As [`BranchOverlay::file`], to take its content.
    pub(crate) fn file_mut(&mut self, path: &LocalPath) -> Option<&mut RemoteFile> {
        match self.ahead.get_mut(path) {
            Some(RemoteEntry::File(received)) => Some(received),
            _ => None,
        }
    }

    /// What the branch has at this path as a file.
    pub(crate) fn version(&self, state: &MirrorState, path: &LocalPath) -> Option<NodeVersion> {
        match self.ahead.get(path) {
            None => state.get(path).map(super::state::AgreedFile::version),
            Some(RemoteEntry::File(received)) => Some(received.version()),
            Some(RemoteEntry::Nothing | RemoteEntry::Other { .. }) => None,
        }
    }

    /// The node that the branch has at this path.
    pub(crate) fn node<'a>(
        &'a self,
        state: &'a MirrorState,
        path: &LocalPath,
    ) -> Option<&'a KnownNode> {
        match self.ahead.get(path) {
            None => state.get(path).map(|agreed| &agreed.node),
            Some(RemoteEntry::File(received)) => Some(&received.node),
            Some(RemoteEntry::Nothing | RemoteEntry::Other { .. }) => None,
        }
    }

    /// The version up to which a node is known.
    pub(crate) fn known_version(&self, state: &MirrorState, id: NodeId) -> Option<u64> {
        let path = self.by_node.get(&id).or_else(|| state.path_of(id))?;
        self.node(state, path).filter(|node| node.id == id).map(|node| node.version)
    }

    /// Notes that a node is at this path now. Answers where else something changed.
    pub(crate) fn put(
        &mut self,
        state: &MirrorState,
        path: &LocalPath,
        standing: RemoteEntry,
    ) -> Option<LocalPath> {
        let left = standing.id().and_then(|id| self.leave(state, id, Some(path)));
        let agreed = state.get(path).map(|agreed| (agreed.node.id, agreed.node.version));
        let received = match &standing {
            RemoteEntry::File(received) => Some((received.node.id, received.node.version)),
            RemoteEntry::Nothing | RemoteEntry::Other { .. } => None,
        };
        if received.is_some() && received == agreed {
            self.clear(path);
        } else {
            self.set(path.clone(), standing);
        }
        left
    }

    /// Notes that a node is no longer where it was, or only at `except`. Answers
    /// where that was.
    pub(crate) fn leave(
        &mut self,
        state: &MirrorState,
        id: NodeId,
        except: Option<&LocalPath>,
    ) -> Option<LocalPath> {
        let path = match self.by_node.get(&id) {
            Some(path) => path.clone(),
            // Another node may stand there since.
            None => state.path_of(id).filter(|path| !self.ahead.contains_key(*path))?.clone(),
        };
        if Some(&path) == except {
            return None;
        }
        self.gone(state, &path);
        Some(path)
    }

    /// Notes that nothing is at this path.
    pub(crate) fn gone(&mut self, state: &MirrorState, path: &LocalPath) {
        if state.get(path).is_some() {
            self.set(path.clone(), RemoteEntry::Nothing);
        } else {
            self.clear(path);
        }
    }

    /// Notes what is at this path.
    pub(crate) fn set(&mut self, path: LocalPath, standing: RemoteEntry) {
        self.clear(&path);
        if let Some(id) = standing.id() {
            self.by_node.insert(id, path.clone());
        }
        self.ahead.insert(path, standing);
    }

    /// Nothing is different at this path.
    pub(crate) fn clear(&mut self, path: &LocalPath) {
        if let Some(id) = self.ahead.remove(path).and_then(|standing| standing.id())
            && self.by_node.get(&id) == Some(path)
        {
            self.by_node.remove(&id);
        }
    }

    /// Every path where something is different.
    pub(crate) fn paths(&self) -> BTreeSet<LocalPath> {
        self.ahead.keys().cloned().collect()
    }
}

#[cfg(test)]
mod tests;
