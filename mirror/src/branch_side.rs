//! The mirrored branch: what nodes are in it, and how they are read.

mod follow;
mod pending_change;
mod prepared_diff;
mod send;

use std::io::Write;

use bytes::Bytes;
use futures::TryStreamExt;
use sha2::{Digest, Sha256};
use vdom_client::{BranchSpec, Client, NodeContent};
use vdom_core::NodeId;
use vdom_git::command::FileMode;
use vdom_git::file_attributes::{Attributes, MODE, NodeFile, SUBMODULE, SYMLINK, node_file};
use vdom_git::node_path::ORIGINAL_PATH;
use vdom_proto::v1::{
    NodeKind, ReadSnapshotRequest, ReadSnapshotResponse, ReadTreeRequest, TreeEntry, VectorClock,
};

pub(crate) use self::follow::{BranchUpdate, Follower};
pub(crate) use self::pending_change::{NodeChange, PendingChange};
pub(crate) use self::send::SendOutcome;

use crate::error::{Error, Result};
use crate::fingerprint::{FileType, Fingerprint};
use crate::local_path::{LocalPath, PathMapping};
use crate::log_position::LogPosition;
use crate::state::KnownNode;
use crate::state_dir::{StagedFile, StateDir};
use crate::sync_plan::NodeVersion;

/// The attributes that say what a node is as a file.
const NAMES: [&str; 4] = [MODE, SYMLINK, SUBMODULE, ORIGINAL_PATH];

/// The part of a branch that is mirrored.
#[derive(Clone)]
pub(crate) struct BranchSide {
    client: Client,
    branch: BranchSpec,
    names: PathMapping,
    author: String,
    message: String,
}

/// Every node of the mirrored part, as of one revision.
#[derive(Debug, Default)]
pub(crate) struct BranchTree {
    /// Zeros where there is no such branch.
    pub(crate) at: LogPosition,
    /// Each with why it is no file, where it is none.
    pub(crate) nodes: Vec<(KnownNode, Option<String>)>,
}

/// What stands at a path of the branch.
#[derive(Debug)]
pub(crate) enum RemoteEntry {
    Nothing,
    File(Box<RemoteFile>),
    /// A node that is no file, and why.
    Other {
        id: NodeId,
        why: String,
    },
}

/// A node that was read.
#[derive(Debug)]
pub(crate) struct RemoteFile {
    pub(crate) node: KnownNode,
    pub(crate) fingerprint: Fingerprint,
    /// As it will be on the disk; `None` once it is there.
    pub(crate) content: Option<StagedFile>,
}

impl RemoteEntry {
    pub(crate) fn id(&self) -> Option<NodeId> {
        match self {
            Self::Nothing => None,
            Self::File(received) => Some(received.node.id),
            Self::Other { id, .. } => Some(*id),
        }
    }
}

impl RemoteFile {
    /// As the planner wants it.
    pub(crate) fn version(&self) -> NodeVersion {
        NodeVersion { node: self.node.id, fingerprint: self.fingerprint }
    }
}

impl BranchSide {
    /// Reads and writes over this connection.
    pub(crate) fn new(
        client: Client,
        branch: BranchSpec,
        names: PathMapping,
        author: String,
        message: String,
    ) -> Self {
        Self { client, branch, names, author, message }
    }

    pub(crate) fn branch(&self) -> &BranchSpec {
        &self.branch
    }

    /// How paths are named on either side.
    pub(crate) fn names(&self) -> &PathMapping {
        &self.names
    }

    /// Where a node is on the disk. `Err` where no file can be there, `None` where
    /// it is none of this mirror.
    pub(crate) fn local_path(&self, node: &KnownNode) -> Option<Result<LocalPath>> {
        self.names.to_local(&node.path, &node.attributes)
    }

    /// Lists the nodes, at least as new as `since` of the same epoch.
    pub(crate) async fn tree(&self, since: LogPosition) -> Result<BranchTree> {
        let request = ReadTreeRequest {
            realm: self.client.realm(),
            repo: self.branch.repo.clone(),
            branch: self.branch.branch.clone(),
            prefix: self.names.prefix().to_owned(),
            min_epoch: since.epoch,
            min_revision: since.revision,
            max_age_ms: Some(0),
            ..ReadTreeRequest::default()
        };
        let listed = async {
            let mut entries = self.client.tree(request).await?;
            let mut tree = BranchTree::default();
            while let Some(entry) = entries.try_next().await? {
                tree.at = LogPosition { epoch: entry.epoch, revision: entry.revision };
                let kind = entry.kind();
                let node = known_entry(entry)?;
                let why_not = as_file(kind, &node.attributes).err();
                tree.nodes.push((node, why_not));
            }
            Ok::<_, Error>(tree)
        };
        match listed.await {
            Ok(tree) if tree.nodes.is_empty() => self.empty_tree().await,
            Err(error) if error.is_not_found() => Ok(BranchTree::default()),
            listed => listed,
        }
    }

    /// Reads a node as it stands, at least as new as `since`. `None` where there is
    /// none; an inner error where the disk does not take its content.
    pub(crate) async fn fetch(
        &self,
        state_dir: &StateDir,
        id: NodeId,
        since: LogPosition,
    ) -> Result<Option<(KnownNode, Result<RemoteEntry>)>> {
        let request = ReadSnapshotRequest {
            realm: self.client.realm(),
            repo: self.branch.repo.clone(),
            branch: self.branch.branch.clone(),
            node_id: Bytes::copy_from_slice(&id.0),
            min_epoch: since.epoch,
            min_revision: since.revision,
            // What a refused write was about may be newer than any cache.
            max_age_ms: Some(0),
            ..ReadSnapshotRequest::default()
        };
        let content = match self.client.read(request).await {
            Ok(content) => content,
            Err(error) if error.is_not_found() => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let kind = content.snapshot.kind();
        let node = known_snapshot(&content.snapshot)?;
        let standing = match as_file(kind, &node.attributes) {
            Ok(file) => {
                let (fingerprint, staged) = match receive(state_dir, &file, content).await {
                    Ok(received) => received,
                    Err(error @ Error::Local { .. }) => return Ok(Some((node, Err(error)))),
                    Err(error) => return Err(error),
                };
                let received =
                    RemoteFile { node: node.clone(), fingerprint, content: Some(staged) };
                RemoteEntry::File(Box::new(received))
            }
            Err(why) => RemoteEntry::Other { id, why },
        };
        Ok(Some((node, Ok(standing))))
    }

    /// Where the log of a branch is that has no node in the mirrored part.
    async fn empty_tree(&self) -> Result<BranchTree> {
        let found = self.client.branch(&self.branch).await?;
        let at = found.map_or_else(LogPosition::default, |branch| LogPosition {
            epoch: branch.epoch,
            revision: branch.revision,
        });
        Ok(BranchTree { at, nodes: Vec::new() })
    }
}

async fn receive(
    state_dir: &StateDir,
    file: &NodeFile,
    content: NodeContent,
) -> Result<(Fingerprint, StagedFile)> {
    let unwritable =
        |error: std::io::Error| Error::failed(format!("cannot write what the branch has: {error}"));
    let target = match file {
        NodeFile::Link(target) => Some(target.clone().into_bytes()),
        NodeFile::Content(FileMode::SymbolicLink) => Some(content.collect().await?.to_vec()),
        _ => {
            let is_executable = *file == NodeFile::Content(FileMode::Executable);
            let file_type = if is_executable { FileType::Executable } else { FileType::Plain };
            let (staged, mut file) = state_dir.stage_file(is_executable).map_err(unwritable)?;
            let mut hasher = Sha256::new();
            let mut size_bytes = 0;
            let mut pieces = content.pieces;
            while let Some(piece) = pieces.try_next().await? {
                hasher.update(&piece);
                size_bytes += piece.len() as u64;
                file.write_all(&piece).map_err(unwritable)?;
            }
            let fingerprint =
                Fingerprint { file_type, sha256: hasher.finalize().into(), size_bytes };
            return Ok((fingerprint, staged));
        }
    };
    let target = target.unwrap_or_default();
    let staged = state_dir.stage_link(&target).map_err(unwritable)?;
    let sha256 = Sha256::digest(&target).into();
    Ok((Fingerprint { file_type: FileType::Link, sha256, size_bytes: target.len() as u64 }, staged))
}

/// Why a document is no file.
pub(crate) const DOCUMENT: &str = "a document of that name is in the branch";

/// What a node is as a file, or why it is none.
fn as_file(kind: NodeKind, attributes: &Attributes) -> std::result::Result<NodeFile, String> {
    if kind != NodeKind::File {
        return Err(DOCUMENT.to_owned());
    }
    match node_file(attributes) {
        NodeFile::Submodule(_) => Err("a submodule of that name is in the branch".to_owned()),
        file => Ok(file),
    }
}

fn known_entry(entry: TreeEntry) -> Result<KnownNode> {
    Ok(KnownNode {
        id: NodeId::from_slice(&entry.node_id)?,
        path: entry.path,
        version: entry.version,
        clock: entries(entry.vector_clock),
        attributes: of_file(entry.attributes),
    })
}

fn known_snapshot(snapshot: &ReadSnapshotResponse) -> Result<KnownNode> {
    Ok(KnownNode {
        id: NodeId::from_slice(&snapshot.node_id)?,
        path: snapshot.path.clone(),
        version: snapshot.version,
        clock: entries(snapshot.vector_clock.clone()),
        attributes: of_file(snapshot.attributes.clone()),
    })
}

fn of_file(attributes: impl IntoIterator<Item = (String, String)>) -> Attributes {
    attributes.into_iter().filter(|(name, _)| NAMES.contains(&name.as_str())).collect()
}

fn entries(clock: Option<VectorClock>) -> std::collections::BTreeMap<String, u64> {
    clock.unwrap_or_default().entries.into_iter().collect()
}
