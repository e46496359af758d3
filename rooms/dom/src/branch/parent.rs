//! What a branch has from the branch that it was created from, or from its own life before a
//! restore: everything up to the revision where it left it. Nothing is copied; what is older is
//! read there.

use std::any::Any;
use std::sync::Arc;

use vdom_core::{BranchName, Node, NodeId, NodePath, Result};

use crate::branch::{Branch, point_in_time};

/// The branch that another one continues, and from where.
pub(crate) struct ParentBranch {
    /// The other branch; its log may have gone on, or ended, since.
    pub branch: Arc<Branch>,
    /// Its name when the branch was created.
    pub name: BranchName,
    /// The last revision that both have.
    pub revision: u64,
    /// The epoch before a restore, where this is the same branch.
    pub previous_epoch: Option<u64>,
    /// What keeps the other branch open, so that it hears of its limits and checkpoints;
    /// `None` where its log has ended.
    #[expect(dead_code, reason = "it is held, not read")]
    pub kept_open: Option<Arc<dyn Any + Send + Sync>>,
}

impl ParentBranch {
    /// A node as the branch began with it, tombstones included.
    pub(crate) async fn node(&self, id: NodeId) -> Result<Option<Arc<Node>>> {
        match Box::pin(self.branch.node(id)).await? {
            Some(node) if node.changed_revision > self.revision => {
                Box::pin(point_in_time::node_at_revision(&self.branch, id, self.revision)).await
            }
            found => Ok(found),
        }
    }

    /// The live node that was at `path` when the branch began.
    pub(crate) async fn node_at(&self, path: &NodePath) -> Result<Option<Arc<Node>>> {
        match Box::pin(self.branch.node_at(path)).await? {
            Some(node) if node.changed_revision <= self.revision => Ok(Some(node)),
            _ => Box::pin(point_in_time::path_at_revision(&self.branch, path, self.revision)).await,
        }
    }
}

impl Branch {
    /// Whether `revision` of an earlier epoch of this branch is in this one too.
    pub(crate) fn shares(&self, epoch: u64, revision: u64) -> bool {
        let Some(parent) = self.parent.as_ref() else { return false };
        let Some(previous) = parent.previous_epoch else { return false };
        revision <= parent.revision && (epoch == previous || parent.branch.shares(epoch, revision))
    }

    /// The last own revision of what this branch continues.
    pub(crate) fn inherited_revision(&self) -> u64 {
        self.parent.as_ref().map_or(0, |parent| parent.revision)
    }

    /// The branch whose own log has `revision`.
    pub(crate) fn owner_of(&self, revision: u64) -> &Self {
        match &self.parent {
            Some(parent) if revision <= parent.revision => parent.branch.owner_of(revision),
            _ => self,
        }
    }

    /// The logs that are one branch to its users, newest first: its own, and those that ended
    /// for a restore; each with the last of its revisions that counts.
    pub(crate) fn through_restores(&self) -> impl Iterator<Item = (&Self, u64)> {
        std::iter::successors(Some((self, u64::MAX)), |(branch, upto)| {
            let parent = branch.parent.as_ref()?;
            parent.previous_epoch?;
            Some((&*parent.branch, parent.revision.min(*upto)))
        })
    }

    /// What changed after this revision the branch counts; of what it continues, only what it
    /// counted before a restore.
    pub(crate) fn counts_after(&self) -> u64 {
        self.before_restores().inherited_revision()
    }

    /// The first of the logs that are one branch to its users.
    pub(crate) fn before_restores(&self) -> &Self {
        self.through_restores().last().map_or(self, |(first, _)| first)
    }
}
