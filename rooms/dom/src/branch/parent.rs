//! What a branch has from the branch that it was created from: everything up to the
//! revision where it left it. Nothing is copied; what is older is read there.

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
