//! Decides what is to be done with each file: a pure function of what both sides
//! agreed on last, what the disk has and what the branch has.

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};
use vdom_core::NodeId;

use super::path::LocalPath;

/// What a file is, apart from its path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(super) struct Shape {
    pub(super) form: Form,
    /// Of the content, or of the target of a link.
    #[serde(with = "super::hexadecimal")]
    pub(super) sha256: [u8; 32],
    pub(super) size_bytes: u64,
}

/// The kinds of files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Form {
    Plain,
    Executable,
    Link,
}

/// A node, and what it is as a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Version {
    pub(super) node: NodeId,
    pub(super) shape: Shape,
}

/// All that is known of one path.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Sides {
    /// What both sides had when they agreed last.
    pub(super) base: Option<Version>,
    /// What the disk has.
    pub(super) disk: Option<Shape>,
    /// What the branch has.
    pub(super) branch: Option<Version>,
    /// A conflict of this file waits for a person.
    pub(super) is_held: bool,
    /// The branch refused to merge just these versions.
    pub(super) is_refused: bool,
}

/// What is to be done with one path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Nothing but to note what both sides have, or that neither has anything.
    Agree,
    /// Write what the branch has to the disk.
    Bring {
        /// It was deleted here while the branch changed it.
        undoes_deletion: bool,
    },
    /// Remove it from the disk: the branch has deleted what is still there.
    Remove,
    /// Make a node of it.
    Create {
        /// The branch deleted it while it was changed here.
        undoes_deletion: bool,
    },
    /// Write what the disk has to the node that stands there, merging it where the
    /// branch has changed too.
    Change,
    /// Give the node this path; its content too may have changed in the branch.
    Rename {
        /// Where it was.
        from: LocalPath,
    },
    /// Delete the node.
    Delete,
    /// Lay the branch's version beside the file and wait for a person.
    Disagree,
    /// Wait for a person.
    Hold,
}

/// A step for each path. The source of a [`Step::Rename`] has none of its own.
pub(super) fn plan(files: &BTreeMap<LocalPath, Sides>) -> BTreeMap<LocalPath, Step> {
    let mut steps: BTreeMap<_, _> =
        files.iter().map(|(path, sides)| (path.clone(), step(sides))).collect();
    for (from, to) in renames(files) {
        steps.remove(&from);
        steps.insert(to, Step::Rename { from });
    }
    steps
}

fn step(sides: &Sides) -> Step {
    let Sides { base, disk, branch, is_held, is_refused } = sides;
    let branch_shape = branch.map(|branch| branch.shape);
    if *disk == branch_shape {
        return Step::Agree;
    }
    if *is_held {
        return Step::Hold;
    }
    let is_unchanged_here = base.map(|base| base.shape) == *disk;
    match (base, disk, branch) {
        (_, None, None) => Step::Agree,
        (None, Some(_), None) => Step::Create { undoes_deletion: false },
        (None, None, Some(_)) => Step::Bring { undoes_deletion: false },
        (None, Some(_), Some(_)) => Step::Disagree,
        (Some(_), Some(_), None) if is_unchanged_here => Step::Remove,
        (Some(_), Some(_), None) => Step::Create { undoes_deletion: true },
        (Some(base), None, Some(branch)) if base == branch => Step::Delete,
        (Some(_), None, Some(_)) => Step::Bring { undoes_deletion: true },
        (Some(_), Some(_), Some(_)) if is_unchanged_here => Step::Bring { undoes_deletion: false },
        (Some(base), Some(_), Some(branch)) if base.shape == branch.shape => Step::Change,
        // Another node took its place: there is no common version to merge from.
        (Some(base), Some(_), Some(branch)) if base.node != branch.node => Step::Disagree,
        (Some(_), Some(_), Some(_)) if *is_refused => Step::Disagree,
        (Some(_), Some(_), Some(_)) => Step::Change,
    }
}

/// Files that have left one path and stand, with the same content, at another that
/// is new: from where, to where.
fn renames(files: &BTreeMap<LocalPath, Sides>) -> Vec<(LocalPath, LocalPath)> {
    let mut gone: HashMap<Shape, Vec<&LocalPath>> = HashMap::new();
    for (path, sides) in files {
        let Sides { base: Some(base), disk: None, branch: Some(branch), is_held: false, .. } =
            sides
        else {
            continue;
        };
        // Empty files are all the same: nothing says which is which.
        if base.node == branch.node && base.shape.size_bytes > 0 && !sides.is_refused {
            gone.entry(base.shape).or_default().push(path);
        }
    }
    if gone.is_empty() {
        return Vec::new();
    }
    let mut come: HashMap<Shape, Vec<&LocalPath>> = HashMap::new();
    for (path, sides) in files {
        if let Sides { base: None, disk: Some(shape), branch: None, .. } = sides
            && gone.contains_key(shape)
        {
            come.entry(*shape).or_default().push(path);
        }
    }
    let mut renames = Vec::new();
    for (shape, mut targets) in come {
        let mut sources = gone.remove(&shape).unwrap_or_default();
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
