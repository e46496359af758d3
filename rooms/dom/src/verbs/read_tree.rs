//! `ReadTree`: a subtree as of one revision, however long reading it takes.
//!
//! Rows come by path. A row that is newer than the revision is replaced by its
//! node's earlier state; a node that a later change moved behind the cursor is
//! found in the log after the rows. No node comes twice.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use vdom_core::dom::calls::{ReadTree, TreeEntry};
use vdom_core::limits::CHUNK_BYTES;
use vdom_core::{Content, Node, NodeId, Result};
use vdom_edge::ServiceStream;
use vdom_store::{PathRange, View};

use crate::branch::Branch;
use crate::branch::point_in_time;
use crate::branch::point_in_time::EntryReader;
use crate::content;
use crate::error::from_store;
use crate::records::{DocumentView, decode_node};
use crate::verbs::read_snapshot::readable_revision;
use crate::writer::BranchHandle;

const ROWS_PER_PAGE: usize = 256;
const VIEWS_WAIT_MAX: Duration = Duration::from_secs(1);

/// Streams the entries of a subtree.
pub(crate) fn read(handle: Arc<BranchHandle>, request: ReadTree) -> ServiceStream<TreeEntry> {
    let entries = async move {
        let branch = handle.branch.clone();
        let revision = readable_revision(&handle, request.at.revision).await?;
        let tree = Tree::new(&branch, &request.prefix, revision);
        let with_content = request.include_content;
        Ok(stream::try_unfold((tree, branch), move |(mut tree, branch)| async move {
            let Some(node) = tree.next().await? else { return Ok(None) };
            let entry = entry(&branch, &node, revision, with_content).await?;
            Ok(Some((entry, (tree, branch))))
        }))
    };
    stream::once(entries).try_flatten().boxed()
}

async fn entry(
    branch: &Branch,
    node: &Node,
    revision: u64,
    with_content: bool,
) -> Result<TreeEntry> {
    let size_bytes = node.content.len();
    let content = if with_content && size_bytes <= CHUNK_BYTES as u64 {
        Some(content::load(branch.store(), &branch.address, &node.content).await?)
    } else {
        None
    };
    let mut node = node.clone();
    node.content = Content::Inline(Bytes::new());
    Ok(TreeEntry { node, size_bytes, content, epoch: branch.head().epoch, revision })
}

/// The nodes of a branch, and those that it has from the branch that it continues.
struct Tree {
    own: Option<Walk>,
    own_next: Option<Arc<Node>>,
    inherited: Option<Box<Tree>>,
    inherited_next: Option<Arc<Node>>,
}

impl Tree {
    fn new(branch: &Arc<Branch>, prefix: &str, revision: u64) -> Self {
        let parent = branch.parent.as_ref();
        let inherited = parent.map(|parent| {
            Box::new(Self::new(&parent.branch, prefix, revision.min(parent.revision)))
        });
        let has_own = parent.is_none_or(|parent| revision > parent.revision);
        let own = has_own.then(|| Walk {
            branch: branch.clone(),
            prefix: prefix.to_owned(),
            revision,
            ready: VecDeque::new(),
            stage: Stage::Start,
            seen: HashSet::new(),
            unwritten: None,
        });
        Self { own, own_next: None, inherited, inherited_next: None }
    }

    /// The next node by path of both.
    async fn next(&mut self) -> Result<Option<Arc<Node>>> {
        if let (None, Some(own)) = (&self.own_next, &mut self.own) {
            self.own_next = own.next().await?;
            if self.own_next.is_none() {
                // Kept, as it knows what has changed; it has no more.
                own.ready.clear();
            }
        }
        if let (None, Some(inherited)) = (&self.inherited_next, &mut self.inherited) {
            loop {
                let Some(node) = Box::pin(inherited.next()).await? else {
                    self.inherited = None;
                    break;
                };
                let is_replaced = match &self.own {
                    Some(own) => own.has_own(node.id).await?,
                    None => false,
                };
                if !is_replaced {
                    self.inherited_next = Some(node);
                    break;
                }
            }
        }
        let own_is_first = match (&self.own_next, &self.inherited_next) {
            (Some(own), Some(inherited)) => own.path <= inherited.path,
            (own, _) => own.is_some(),
        };
        Ok(if own_is_first { self.own_next.take() } else { self.inherited_next.take() })
    }
}

/// The nodes that a branch has changed itself.
struct Walk {
    branch: Arc<Branch>,
    prefix: String,
    revision: u64,
    ready: VecDeque<Arc<Node>>,
    stage: Stage,
    /// Nodes that were delivered, or that need not be.
    seen: HashSet<NodeId>,
    /// Nodes that the rows may lack changes of, up to a batch.
    unwritten: Option<(u64, HashSet<NodeId>)>,
}

#[derive(Clone, Debug)]
enum Stage {
    Start,
    Rows(As, Option<(String, Bytes)>),
    Moved(As),
    Done,
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
    /// Whether a node has changed in this branch itself, up to the revision.
    async fn has_own(&self, id: NodeId) -> Result<bool> {
        if !self.branch.has_changed(id).await? {
            return Ok(false);
        }
        let node = point_in_time::node_at_revision(&self.branch, id, self.revision).await?;
        Ok(node.is_some_and(|node| self.is_own(&node)))
    }

    fn is_own(&self, node: &Node) -> bool {
        let inherited = self.branch.parent.as_ref().map_or(0, |parent| parent.revision);
        node.changed_revision > inherited
    }

    async fn next(&mut self) -> Result<Option<Arc<Node>>> {
        loop {
            if let Some(node) = self.ready.pop_front() {
                return Ok(Some(node));
            }
            self.stage = match self.stage.clone() {
                Stage::Start => self.start().await?,
                Stage::Rows(as_of, after) => self.read_rows(as_of, after).await?,
                Stage::Moved(as_of) => self.read_moved(as_of).await?,
                Stage::Done => return Ok(None),
            };
        }
    }

    async fn start(&mut self) -> Result<Stage> {
        let (branch, revision) = (&self.branch, self.revision);
        // Views that have caught up keep the order of paths; if they do not in
        // time, the log tells what they lack.
        branch.views_complete_to(revision, VIEWS_WAIT_MAX).await;
        loop {
            let checkpoint = branch.compaction().checkpoint;
            // Another gateway may have written views further than this one knows, and
            // compacted what they are made of.
            let written = branch.watermark().position.revision.max(covered(branch));
            let rows_from = written.min(revision);
            let as_of = As { revision, rows_from };
            if rows_from == revision {
                return Ok(Stage::Rows(as_of, None));
            }
            let number = branch.head().number;
            match touched_after(branch, rows_from).await {
                Ok(touched) => {
                    self.unwritten = Some((number, touched));
                    return Ok(Stage::Rows(as_of, None));
                }
                Err(error) if branch.is_outdated(checkpoint.as_deref(), &error) => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Looks for nodes that changed since the last look. Those from before may be in a
    /// checkpoint by now, which is newer than rows that were read.
    async fn look_again(&mut self, as_of: As) -> Result<()> {
        let number = self.branch.head().number;
        let known = match &mut self.unwritten {
            Some((known, _)) if *known == number => return Ok(()),
            Some((_, touched)) => std::mem::take(touched),
            None => HashSet::new(),
        };
        let from = as_of.rows_from.max(covered(&self.branch).min(as_of.revision));
        let mut touched = touched_after(&self.branch, from).await?;
        touched.extend(known);
        self.unwritten = Some((number, touched));
        Ok(())
    }

    async fn read_rows(&mut self, as_of: As, after: Option<(String, Bytes)>) -> Result<Stage> {
        let branch = self.branch.clone();
        let range = PathRange {
            prefix: self.prefix.clone(),
            after,
            include_tombstones: true,
            limit: ROWS_PER_PAGE,
        };
        let rows = branch.store().scan_paths(branch.log, DocumentView::Node.kind(), &range).await;
        let rows = rows.map_err(|error| from_store(error, &branch.address))?;
        if as_of.rows_from < as_of.revision {
            self.look_again(as_of).await?;
        }
        let is_unwritten =
            |id| self.unwritten.as_ref().is_some_and(|(_, nodes)| nodes.contains(&id));
        let earlier: Vec<_> = rows
            .iter()
            .map(|row| {
                let id = NodeId::from_slice(&row.id)?;
                Ok((id, row.position.revision > as_of.revision || is_unwritten(id)))
            })
            .collect::<Result<_>>()?;
        for (row, (id, is_earlier)) in rows.iter().zip(earlier) {
            if is_earlier {
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
        self.look_again(as_of).await?;
        let touched = self.unwritten.take().map(|(_, touched)| touched).unwrap_or_default();
        for id in touched {
            self.take_earlier(id, as_of.revision).await?;
        }
        // A node may be missing whose tombstone was removed before the walk came by.
        self.branch.check_rows_at(as_of.revision).await?;
        Ok(Stage::Done)
    }

    async fn take_earlier(&mut self, id: NodeId, revision: u64) -> Result<()> {
        if !self.seen.insert(id) {
            return Ok(());
        }
        let node = point_in_time::node_at_revision(&self.branch, id, revision).await?;
        // What had not changed here then comes with what the branch continues.
        let is_wanted = |node: &Arc<Node>| {
            node.live && node.path.is_covered_by(&self.prefix) && self.is_own(node)
        };
        self.ready.extend(node.filter(is_wanted));
        Ok(())
    }
}

/// The last revision of which the rows tell all, as another gateway has compacted it.
fn covered(branch: &Branch) -> u64 {
    branch.compaction().checkpoint.map_or(0, |checkpoint| checkpoint.revision)
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
    let inherited = branch.parent.as_ref().map_or(0, |parent| parent.revision);
    if head.revision <= revision.max(inherited) {
        return Ok(ids);
    }
    let from = point_in_time::number_of(branch, revision.max(inherited) + 1).await?;
    for number in from..=head.number {
        for piece in 0..reader.batch(number).await?.pieces() {
            let entries = reader.piece(number, piece).await?;
            ids.extend(entries.iter().map(|entry| entry.change.node_id));
        }
    }
    Ok(ids)
}
