//! Writes the checkpoint that stands in for compacted changes.

use bytes::Bytes;
use vdom_core::{Hash, Node, NodeId, Result};
use vdom_store::{Position, View};

use crate::branch::Branch;
use crate::branch::checkpoint::{CheckpointRow, KINDS};
use crate::branch::point_in_time::node_at_revision;
use crate::branch::row_pages::RowPages;
use crate::branch::usage::{USAGE_ID, Usage};
use crate::compaction::CompactionPoint;
use crate::content;
use crate::content::ChunkOwner;
use crate::records;
use crate::records::{Checkpoint, CheckpointPiece, DocumentView, decode_node, encode_record};

/// A piece holds about so much: one is read for every earlier state of a node.
const PIECE_BYTES: usize = 128 << 10;

/// Collects rows in chunks.
pub(crate) struct CheckpointWriter<'a> {
    branch: &'a Branch,
    kind: DocumentView,
    rows: Vec<CheckpointRow>,
    bytes: usize,
    pieces: Vec<CheckpointPiece>,
    usage: Usage,
}

impl<'a> CheckpointWriter<'a> {
    /// Nothing collected yet.
    pub(crate) fn new(branch: &'a Branch) -> Self {
        let (rows, pieces) = (Vec::new(), Vec::new());
        Self { branch, kind: DocumentView::Node, rows, bytes: 0, pieces, usage: Usage::default() }
    }

    /// Takes all that the views have and is needed after the point.
    pub(crate) async fn add_views(&mut self, point: &mut CompactionPoint) -> Result<()> {
        for kind in KINDS {
            let mut pages = RowPages::new(self.branch, kind);
            while let Some(page) = pages.next().await? {
                for row in page {
                    if !point.is_after(kind, &row) {
                        if point.needs(kind, &row)? {
                            self.add(kind, row).await?;
                        }
                    } else if kind == DocumentView::Node
                        && let Some(row) = self.earlier(NodeId::from_slice(&row.id)?, point).await?
                    {
                        self.add(kind, row).await?;
                    }
                }
            }
        }
        Ok(())
    }

    pub(crate) async fn add(&mut self, kind: DocumentView, row: View) -> Result<()> {
        if kind == DocumentView::Node {
            self.usage += self.growth_to(&decode_node(&row.value)?).await?;
        }
        let bytes = row.value.len() + row.id.len() + row.path.as_ref().map_or(0, String::len) + 32;
        if self.kind != kind || self.bytes + bytes > PIECE_BYTES {
            self.seal().await?;
        }
        self.kind = kind;
        self.bytes += bytes;
        self.rows.push(CheckpointRow {
            id: row.id.to_vec(),
            path: row.path,
            live: row.live,
            epoch: row.position.epoch,
            revision: row.position.revision,
            value: row.value.to_vec(),
        });
        Ok(())
    }

    /// The checkpoint; its chunks are durable.
    pub(crate) async fn finish(
        mut self,
        point: &CompactionPoint,
        hash: Hash,
    ) -> Result<Checkpoint> {
        let epoch = self.branch.head().epoch;
        let (revision, number) = (point.revision, point.number);
        let (id, value) = (Bytes::from_static(USAGE_ID), encode_record(&self.usage)?);
        let position = Position { epoch, revision };
        let usage = View { id, path: None, live: true, position, value };
        self.add(DocumentView::Usage, usage).await?;
        self.seal().await?;
        Ok(Checkpoint { epoch, revision, number, hash, pieces: self.pieces })
    }

    /// The row of a node that has changed since, as it was at the point.
    async fn earlier(&self, id: NodeId, point: &CompactionPoint) -> Result<Option<View>> {
        let node = node_at_revision(self.branch, id, point.revision).await?;
        let inherited = self.branch.inherited_revision();
        let is_own = |node: &std::sync::Arc<Node>| node.changed_revision > inherited;
        let Some(node) = node.filter(is_own) else { return Ok(None) };
        if !node.live && !point.needs_tombstone(&node) {
            return Ok(None);
        }
        let (store, address) = (self.branch.store(), &self.branch.address);
        let node = content::inline(store, address, node).await?;
        Ok(Some(records::node_row(&node)?))
    }

    /// How much a node adds to what the branch counted before a restore.
    async fn growth_to(&self, node: &Node) -> Result<Usage> {
        let restored = self.branch.parent.as_ref().filter(|parent| parent.previous_epoch.is_some());
        let before = match restored {
            Some(parent) => parent.node(node.id).await?,
            None => None,
        };
        Ok(Usage::growth(before.as_deref(), node, self.branch.counts_after()))
    }

    async fn seal(&mut self) -> Result<()> {
        let rows = std::mem::take(&mut self.rows);
        let Some(last) = rows.last() else { return Ok(()) };
        let (last, kind) = (last.id.clone(), self.kind.kind().number);
        let (owner, address) = (ChunkOwner::Log(self.branch.store()), &self.branch.address);
        let chunk = content::stage_chunk(owner, address, encode_record(&rows)?).await?;
        self.pieces.push(CheckpointPiece { chunk, kind, last });
        self.bytes = 0;
        Ok(())
    }
}
