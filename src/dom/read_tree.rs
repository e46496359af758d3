//! `ReadTree`: a subtree as of one revision, however long reading it takes.
//!
//! Rows come by path. A row that is newer than the revision is replaced by its
//! node's earlier state; a node that a later change moved behind the cursor is
//! found in the log after the rows. No node comes twice.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use futures::stream;
use vdom_core::calls::{ReadTree, TreeEntry};
use vdom_core::limits::CHUNK_BYTES;
use vdom_core::{Content, Error, Node, NodeId, Result};
use vdom_edge::DomStream;
use vdom_store::{PathRange, View};

use super::branch::{Branch, BranchHandle};
use super::content;
use super::error::from_store;
use super::past::{self, EntryReader};
use super::read_snapshot::revision_as_of;
use super::records::decode_node;

const ROWS_PER_PAGE: usize = 256;
const VIEWS_WAIT_MAX: Duration = Duration::from_secs(1);

/// Streams the entries of a subtree.
pub(crate) fn read(handle: Arc<BranchHandle>, request: ReadTree) -> DomStream<TreeEntry> {
    let walk =
        Walk { handle, request, ready: VecDeque::new(), stage: Stage::Start, seen: HashSet::new() };
    let entries = stream::try_unfold(walk, |mut walk| async move {
        let entry = walk.next().await?;
        Ok(entry.map(|entry| (entry, walk)))
    });
    entries.boxed()
}

struct Walk {
    handle: Arc<BranchHandle>,
    request: ReadTree,
    ready: VecDeque<Arc<Node>>,
    stage: Stage,
    /// Nodes that were delivered, or that need not be.
    seen: HashSet<NodeId>,
}

#[derive(Clone, Debug)]
enum Stage {
    Start,
    Rows(As, Option<(String, Bytes)>),
    Moved(As),
    Done(As),
}

/// What the walk is as of.
#[derive(Clone, Copy, Debug)]
struct As {
    /// The revision of the tree.
    revision: u64,
    /// Changes after this one may be missing among the rows.
    rows_from: u64,
}

impl Walk {
    async fn next(&mut self) -> Result<Option<TreeEntry>> {
        loop {
            if let Some(node) = self.ready.pop_front() {
                return self.entry(&node).await.map(Some);
            }
            self.stage = match self.stage.clone() {
                Stage::Start => self.start().await?,
                Stage::Rows(as_of, after) => self.read_rows(as_of, after).await?,
                Stage::Moved(as_of) => self.read_moved(as_of).await?,
                Stage::Done(_) => return Ok(None),
            };
        }
    }

    async fn start(&mut self) -> Result<Stage> {
        let branch = &self.handle.branch;
        let revision = revision_as_of(&self.handle, self.request.at.revision).await?;
        // Views that have caught up keep the order of paths; if they do not in
        // time, the log tells what they lack.
        branch.views_reach(revision, VIEWS_WAIT_MAX).await;
        let rows_from = branch.watermark().position.revision.min(revision);
        Ok(Stage::Rows(As { revision, rows_from }, None))
    }

    async fn read_rows(&mut self, as_of: As, after: Option<(String, Bytes)>) -> Result<Stage> {
        let branch = self.handle.branch.clone();
        let range = PathRange {
            prefix: self.request.prefix.clone(),
            after,
            include_tombstones: true,
            limit: ROWS_PER_PAGE,
        };
        let rows = branch.store.scan_paths(branch.log, &range).await;
        let rows = rows.map_err(|error| from_store(error, &branch.address))?;
        let unwritten = if as_of.rows_from < as_of.revision {
            touched_after(&branch, as_of.rows_from).await?
        } else {
            HashSet::new()
        };
        for row in &rows {
            let id = NodeId::from_slice(&row.id)?;
            if row.position.revision > as_of.revision || unwritten.contains(&id) {
                self.take_earlier(id, as_of.revision).await?;
            } else if row.live && self.seen.insert(id) {
                self.ready.push_back(Arc::new(decode_node(&row.value)?));
            }
        }
        Ok(match rows.last() {
            Some(View { path: Some(path), id, .. }) if rows.len() == ROWS_PER_PAGE => {
                Stage::Rows(as_of, Some((path.clone(), id.clone())))
            }
            _ => Stage::Moved(as_of),
        })
    }

    /// Nodes that the rows could not show where they were at the revision.
    async fn read_moved(&mut self, as_of: As) -> Result<Stage> {
        for id in touched_after(&self.handle.branch.clone(), as_of.rows_from).await? {
            self.take_earlier(id, as_of.revision).await?;
        }
        Ok(Stage::Done(as_of))
    }

    async fn take_earlier(&mut self, id: NodeId, revision: u64) -> Result<()> {
        if !self.seen.insert(id) {
            return Ok(());
        }
        let node = past::node_at_revision(&self.handle.branch, id, revision).await?;
        let prefix = &self.request.prefix;
        self.ready.extend(node.filter(|node| node.live && node.path.is_covered_by(prefix)));
        Ok(())
    }

    async fn entry(&self, node: &Node) -> Result<TreeEntry> {
        let branch = &self.handle.branch;
        let size_bytes = node.content.len();
        let content = if self.request.include_content && size_bytes <= CHUNK_BYTES as u64 {
            Some(content::load(&*branch.store, &branch.address, &node.content).await?)
        } else {
            None
        };
        let mut node = node.clone();
        node.content = Content::Inline(Bytes::new());
        let (Stage::Rows(as_of, _) | Stage::Moved(as_of) | Stage::Done(as_of)) = &self.stage else {
            return Err(Error::internal("a tree delivers entries before its walk began"));
        };
        let revision = as_of.revision;
        Ok(TreeEntry { node, size_bytes, content, epoch: branch.head().epoch, revision })
    }
}

/// The nodes that changed after `revision`.
async fn touched_after(branch: &Branch, revision: u64) -> Result<HashSet<NodeId>> {
    if let Some(tail) = branch.tail_after(revision) {
        let changes = tail.iter().flat_map(|batch| &batch.changes);
        return Ok(changes.map(|applied| applied.node.id).collect());
    }
    let mut ids = HashSet::new();
    let head = branch.head();
    let mut reader = EntryReader::new(branch);
    let from = past::number_of(branch, revision + 1).await?;
    for number in from..=head.number {
        ids.extend(reader.batch(number).await?.iter().map(|entry| entry.change.node_id));
    }
    Ok(ids)
}
