//! Where the changes of a commit come from, and what more there is to read.

use vdom_client::{BranchSpec, Client, NodeContent};
use vdom_git::node_path::RESERVED_FOLDER;
use vdom_proto::v1::ReadSnapshotRequest;

use crate::exit::Failure;

/// Where changes are read from.
pub(super) struct ChangeOrigin<'a> {
    pub(super) client: &'a Client,
    pub(super) branch: &'a BranchSpec,
    pub(super) epoch: u64,
}

impl ChangeOrigin<'_> {
    /// A node as it was at a revision.
    pub(super) async fn read(&self, path: &str, revision: u64) -> Result<NodeContent, Failure> {
        let request = ReadSnapshotRequest {
            realm: self.client.realm(),
            repo: self.branch.repo.clone(),
            branch: self.branch.branch.clone(),
            path: path.to_owned(),
            revision,
            epoch: self.epoch,
            ..ReadSnapshotRequest::default()
        };
        Ok(self.client.read(request).await?)
    }
}

/// Whether a path is in the folder of what vdom itself keeps.
pub(super) fn is_reserved(path: &str) -> bool {
    path.split('/').next() == Some(RESERVED_FOLDER)
}
