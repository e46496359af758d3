//! Decides what is to be done with each file: a pure function of what both sides
//! agreed on last, what the directory has and what the branch has.

use std::collections::{BTreeMap, HashMap};

use vdom_core::NodeId;

use crate::fingerprint::Fingerprint;
use crate::local_path::LocalPath;

/// A node, and what it is as a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NodeVersion {
    pub(crate) node: NodeId,
    pub(crate) fingerprint: Fingerprint,
}

/// All that is known of one path.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct PathState {
    /// What both sides had when they agreed last.
    pub(crate) base: Option<NodeVersion>,
    /// What the directory has.
    pub(crate) local: Option<Fingerprint>,
    /// What the branch has.
    pub(crate) branch: Option<NodeVersion>,
    /// A conflict of this file waits for a person.
    pub(crate) is_held: bool,
    /// The branch refused to merge just these versions.
    pub(crate) is_refused: bool,
}

/// What is to be done with one path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SyncStep {
    /// Nothing but to note what both sides have, or that neither has anything.
    Record,
    /// Write what the branch has to the directory.
    WriteLocal {
        /// It was deleted here while the branch changed it.
        undoes_deletion: bool,
    },
    /// Remove it from the directory: the branch has deleted what is still there.
    RemoveLocal,
    /// Make a node of it.
    CreateNode {
        /// The branch deleted it while it was changed here.
        undoes_deletion: bool,
    },
    /// Write what the directory has to the node that stands there, merging it where the
    /// branch has changed too.
    UpdateNode,
    /// Give the node this path; its content too may have changed in the branch.
    RenameNode {
        /// Where it was.
        from: LocalPath,
    },
    /// Delete the node.
    DeleteNode,
    /// Lay the branch's version beside the file and wait for a person.
    Conflict,
    /// Wait for a person.
    Wait,
}

/// A step for each path. The source of a [`SyncStep::RenameNode`] has none of its own.
pub(crate) fn plan(files: &BTreeMap<LocalPath, PathState>) -> BTreeMap<LocalPath, SyncStep> {
    let mut steps: BTreeMap<_, _> =
        files.iter().map(|(path, sides)| (path.clone(), step(sides))).collect();
    for (from, to) in renames(files) {
        steps.remove(&from);
        steps.insert(to, SyncStep::RenameNode { from });
    }
    steps
}

fn step(sides: &PathState) -> SyncStep {
    let PathState { base, local, branch, is_held, is_refused } = sides;
    let branch_shape = branch.map(|branch| branch.fingerprint);
    if *local == branch_shape {
        return SyncStep::Record;
    }
    if *is_held {
        return SyncStep::Wait;
    }
    let is_unchanged_here = base.map(|base| base.fingerprint) == *local;
    match (base, local, branch) {
        (_, None, None) => SyncStep::Record,
        (None, Some(_), None) => SyncStep::CreateNode { undoes_deletion: false },
        (None, None, Some(_)) => SyncStep::WriteLocal { undoes_deletion: false },
        (None, Some(_), Some(_)) => SyncStep::Conflict,
        (Some(_), Some(_), None) if is_unchanged_here => SyncStep::RemoveLocal,
        (Some(_), Some(_), None) => SyncStep::CreateNode { undoes_deletion: true },
        (Some(base), None, Some(branch)) if base == branch => SyncStep::DeleteNode,
        (Some(_), None, Some(_)) => SyncStep::WriteLocal { undoes_deletion: true },
        (Some(_), Some(_), Some(_)) if is_unchanged_here => {
            SyncStep::WriteLocal { undoes_deletion: false }
        }
        (Some(base), Some(_), Some(branch)) if base.fingerprint == branch.fingerprint => {
            SyncStep::UpdateNode
        }
        // Another node took its place: there is no common version to merge from.
        (Some(base), Some(_), Some(branch)) if base.node != branch.node => SyncStep::Conflict,
        (Some(_), Some(_), Some(_)) if *is_refused => SyncStep::Conflict,
        (Some(_), Some(_), Some(_)) => SyncStep::UpdateNode,
    }
}

/// Files that have left one path and stand, with the same content, at another that
/// is new: from where, to where.
fn renames(files: &BTreeMap<LocalPath, PathState>) -> Vec<(LocalPath, LocalPath)> {
    let mut gone: HashMap<Fingerprint, Vec<&LocalPath>> = HashMap::new();
    for (path, sides) in files {
        let PathState {
            base: Some(base), local: None, branch: Some(branch), is_held: false, ..
        } = sides
        else {
            continue;
        };
        // Empty files are all the same: nothing says which is which.
        if base.node == branch.node && base.fingerprint.size_bytes > 0 && !sides.is_refused {
            gone.entry(base.fingerprint).or_default().push(path);
        }
    }
    if gone.is_empty() {
        return Vec::new();
    }
    let mut come: HashMap<Fingerprint, Vec<&LocalPath>> = HashMap::new();
    for (path, sides) in files {
        if let PathState { base: None, local: Some(fingerprint), branch: None, .. } = sides
            && gone.contains_key(fingerprint)
        {
            come.entry(*fingerprint).or_default().push(path);
        }
    }
    let mut renames = Vec::new();
    for (fingerprint, mut targets) in come {
        let mut sources = gone.remove(&fingerprint).unwrap_or_default();
        // Moved to another folder first, then renamed.
        sources.retain(|from| {
            let same_name = targets.iter().position(|to| to.file_name() == from.file_name());
            let Some(at) = same_name else { return true };
            renames.push(((*from).clone(), targets.remove(at).clone()));
            false
        });
        let rest = sources.into_iter().zip(targets);
        renames.extend(rest.map(|(from, to)| (from.clone(), to.clone())));
    }
    renames.sort();
    renames
}

#[cfg(test)]
mod convergence;
#[cfg(test)]
mod tests;
