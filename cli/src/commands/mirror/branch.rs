//! The mirrored branch: what nodes are in it, and how they are read.

mod changes;
mod follow;
mod outgoing;

use std::io::Write;

use bytes::Bytes;
use futures::TryStreamExt;
use sha2::{Digest, Sha256};
use vdom::git::node::{self, Attributes, FileOfNode, MODE, SUBMODULE, SYMLINK};
use vdom::git::path::ORIGINAL_PATH;
use vdom::git::stream::Mode;
use vdom_core::NodeId;
use vdom_proto::v1::{
    NodeKind, ReadSnapshotRequest, ReadSnapshotResponse, ReadTreeRequest, TreeEntry, VectorClock,
};

pub(super) use self::changes::{Change, Sent, Wanted};
pub(super) use self::follow::{Follower, Heard};

use super::home::{Home, Staged};
use super::path::{LocalPath, Names};
use super::plan::{Form, Shape, Version};
use super::state::Known;
use crate::branch::Branch;
use crate::client::{Client, NodeContent};
use crate::commands::write::WriteOptions;
use crate::exit::{Exit, Failure};

/// The attributes that say what a node is as a file.
const NAMES: [&str; 4] = [MODE, SYMLINK, SUBMODULE, ORIGINAL_PATH];

/// The part of a branch that is mirrored.
#[derive(Clone)]
pub(super) struct BranchSide {
    client: Client,
    branch: Branch,
    names: Names,
    options: WriteOptions,
}

/// A point of a branch's log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Point {
    pub(super) epoch: u64,
    pub(super) revision: u64,
}

/// Every node of the mirrored part, as of one revision.
#[derive(Debug, Default)]
pub(super) struct Tree {
    /// Zeros where there is no such branch.
    pub(super) at: Point,
    /// Each with why it is no file, where it is none.
    pub(super) nodes: Vec<(Known, Option<String>)>,
}

/// What stands at a path of the branch.
#[derive(Debug)]
pub(super) enum Standing {
    Nothing,
    File(Box<Received>),
    /// A node that is no file, and why.
    Other {
        id: NodeId,
        why: String,
    },
}

/// A node that was read.
#[derive(Debug)]
pub(super) struct Received {
    pub(super) node: Known,
    pub(super) shape: Shape,
    /// As it will be on the disk; `None` once it is there.
    pub(super) content: Option<Staged>,
}

impl Standing {
    /// Which node.
    pub(super) fn id(&self) -> Option<NodeId> {
        match self {
            Self::Nothing => None,
            Self::File(received) => Some(received.node.id),
            Self::Other { id, .. } => Some(*id),
        }
    }
}

impl Received {
    /// As the planner wants it.
    pub(super) fn version(&self) -> Version {
        Version { node: self.node.id, shape: self.shape }
    }
}

impl BranchSide {
    /// Reads and writes over this connection.
    pub(super) fn new(client: Client, branch: Branch, names: Names, options: WriteOptions) -> Self {
        Self { client, branch, names, options }
    }

    /// Which branch.
    pub(super) fn branch(&self) -> &Branch {
        &self.branch
    }

    /// How paths are named on either side.
    pub(super) fn names(&self) -> &Names {
        &self.names
    }

    /// Where a node is on the disk. `Err` where no file can be there, `None` where
    /// it is none of this mirror.
    pub(super) fn local_path(&self, node: &Known) -> Option<Result<LocalPath, Failure>> {
        self.names.to_local(&node.path, &node.attributes)
    }

    /// Lists the nodes, at least as new as `since` of the same epoch.
    pub(super) async fn tree(&self, since: Point) -> Result<Tree, Failure> {
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
            let mut tree = Tree::default();
            while let Some(entry) = entries.try_next().await? {
                tree.at = Point { epoch: entry.epoch, revision: entry.revision };
                let kind = entry.kind();
                let node = known_entry(entry)?;
                let why_not = as_file(kind, &node.attributes).err();
                tree.nodes.push((node, why_not));
            }
            Ok(tree)
        };
        match listed.await {
            Ok(tree) if tree.nodes.is_empty() => self.empty_tree().await,
            Err(failure) if is_missing(&failure) => Ok(Tree::default()),
            listed => listed,
        }
    }

    /// Reads a node as it stands, at least as new as `since`. `None` where there is
    /// none.
    pub(super) async fn fetch(
        &self,
        home: &Home,
        id: NodeId,
        since: Point,
    ) -> Result<Option<(Known, Standing)>, Failure> {
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
            Err(failure) if is_missing(&failure) => return Ok(None),
            Err(failure) => return Err(failure),
        };
        let kind = content.snapshot.kind();
        let node = known_snapshot(&content.snapshot)?;
        let standing = match as_file(kind, &node.attributes) {
            Ok(file) => {
                let (shape, staged) = receive(home, &file, content).await?;
                let received = Received { node: node.clone(), shape, content: Some(staged) };
                Standing::File(Box::new(received))
            }
            Err(why) => Standing::Other { id, why },
        };
        Ok(Some((node, standing)))
    }

    /// Where the log of a branch is that has no node in the mirrored part.
    async fn empty_tree(&self) -> Result<Tree, Failure> {
        let branches = self.client.branches(&self.branch.repo).await?;
        let found = branches.into_iter().find(|branch| branch.name == self.branch.branch);
        let at = found.map_or_else(Point::default, |branch| Point {
            epoch: branch.epoch,
            revision: branch.revision,
        });
        Ok(Tree { at, nodes: Vec::new() })
    }
}

/// True where the branch or node is not there.
fn is_missing(failure: &Failure) -> bool {
    failure.exit == Exit::NotFound
}

async fn receive(
    home: &Home,
    file: &FileOfNode,
    content: NodeContent,
) -> Result<(Shape, Staged), Failure> {
    let unwritable = |error: std::io::Error| {
        Failure::failed(format!("cannot write what the branch has: {error}"))
    };
    let target = match file {
        FileOfNode::Link(target) => Some(target.clone().into_bytes()),
        FileOfNode::Content(Mode::SymbolicLink) => Some(content.collect().await?.to_vec()),
        _ => {
            let is_executable = *file == FileOfNode::Content(Mode::Executable);
            let form = if is_executable { Form::Executable } else { Form::Plain };
            let (staged, mut file) = home.stage_file(is_executable).map_err(unwritable)?;
            let mut hasher = Sha256::new();
            let mut size_bytes = 0;
            let mut pieces = content.pieces;
            while let Some(piece) = pieces.try_next().await? {
                hasher.update(&piece);
                size_bytes += piece.len() as u64;
                file.write_all(&piece).map_err(unwritable)?;
            }
            let shape = Shape { form, sha256: hasher.finalize().into(), size_bytes };
            return Ok((shape, staged));
        }
    };
    let target = target.unwrap_or_default();
    let staged = home.stage_link(&target).map_err(unwritable)?;
    let sha256 = Sha256::digest(&target).into();
    Ok((Shape { form: Form::Link, sha256, size_bytes: target.len() as u64 }, staged))
}

/// Why a document is no file.
pub(super) const DOCUMENT: &str = "a document of that name is in the branch";

/// What a node is as a file, or why it is none.
fn as_file(kind: NodeKind, attributes: &Attributes) -> Result<FileOfNode, String> {
    if kind != NodeKind::File {
        return Err(DOCUMENT.to_owned());
    }
    match node::file(attributes) {
        FileOfNode::Submodule(_) => Err("a submodule of that name is in the branch".to_owned()),
        file => Ok(file),
    }
}

fn known_entry(entry: TreeEntry) -> Result<Known, Failure> {
    Ok(Known {
        id: NodeId::from_slice(&entry.node_id)?,
        path: entry.path,
        version: entry.version,
        clock: entries(entry.vector_clock),
        attributes: of_file(entry.attributes),
    })
}

fn known_snapshot(snapshot: &ReadSnapshotResponse) -> Result<Known, Failure> {
    Ok(Known {
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
