//! A change of the directory that the branch is to have.

use crate::fingerprint::Fingerprint;
use crate::local_path::LocalPath;
use crate::state::KnownNode;

/// What is to become of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum NodeChange {
    Create,
    Edit,
    Rename { from: LocalPath },
    Delete,
}

/// A file that the branch is to have.
#[derive(Clone, Debug)]
pub(crate) struct PendingChange {
    pub(crate) path: LocalPath,
    pub(crate) change: NodeChange,
    /// The node as the writer had seen it; `None`: it is new.
    pub(crate) node: Option<KnownNode>,
    /// The file that the node was then.
    pub(crate) base: Option<Fingerprint>,
    /// The file in the directory; `None`: there is none.
    pub(crate) local: Option<Fingerprint>,
}
