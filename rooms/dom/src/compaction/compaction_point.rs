//! The point up to which a history is compacted, and which rows from before it are needed
//! from there on.

use std::collections::HashSet;

use bytes::Bytes;
use vdom_core::limits::OPERATION_KEPT;
use vdom_core::{Node, NodeId, Result};
use vdom_store::View;

use crate::branch::row_pages::RowPages;
use crate::branch::{Branch, idempotency, kept_conflicts};
use crate::records::{DocumentView, KeptConflict, PathHistoryRecord, decode_node, decode_record};

const PATH_HASH_BYTES: usize = 16;

/// Up to where a history is compacted; tells which rows from before are still needed.
pub(crate) struct CompactionPoint {
    /// The last revision that is compacted, and the oldest that can be read.
    pub revision: u64,
    /// The batch that ends with it.
    pub number: u64,
    now_ms: i64,
    /// What a branch continues shows through where it has no row of its own.
    continues_another: bool,
    /// Nodes that open conflicts are about.
    disputed: HashSet<NodeId>,
    /// Conflicts from before a restore: the row of a resolved one says that it is.
    inherited: HashSet<Bytes>,
    /// Which path the last row was about: rows of a path come newest first.
    last_path: Option<Bytes>,
}

impl CompactionPoint {
    /// After batch `number`, which ends with `revision`.
    pub(crate) async fn after(
        branch: &Branch,
        revision: u64,
        number: u64,
        now_ms: i64,
    ) -> Result<Self> {
        let mut disputed = HashSet::new();
        let mut rows = RowPages::new(branch, DocumentView::Conflict);
        while let Some(page) = rows.next().await? {
            for row in page.iter().filter(|row| row.live) {
                disputed.insert(decode_record::<KeptConflict>(&row.value)?.node_id);
            }
        }
        let inherited = kept_conflicts::open_before_restores(branch).await?;
        let continues_another = branch.parent.is_some();
        let last_path = None;
        Ok(Self { revision, number, now_ms, continues_another, disputed, inherited, last_path })
    }

    /// Whether a row belongs to what comes after the point.
    pub(crate) fn is_after(&self, kind: DocumentView, row: &View) -> bool {
        match kind {
            DocumentView::Node | DocumentView::History | DocumentView::PathHistory => {
                row.position.revision > self.revision
            }
            // What a control record makes has the number of its batch.
            DocumentView::Conflict | DocumentView::Pin | DocumentView::Compaction => {
                row.position.revision > self.number
            }
            DocumentView::Actor | DocumentView::Operation => false,
            // Counted anew for the checkpoint.
            DocumentView::Usage => true,
        }
    }

    /// Whether a row from before the point is needed after it. Path histories come in
    /// descending order, each once.
    pub(crate) fn needs(&mut self, kind: DocumentView, row: &View) -> Result<bool> {
        Ok(match kind {
            DocumentView::History => false,
            DocumentView::Actor
            | DocumentView::Pin
            | DocumentView::Compaction
            | DocumentView::Usage => true,
            DocumentView::Conflict => row.live || self.inherited.contains(&row.id),
            DocumentView::Operation => idempotency::is_row_kept(row, self.now_ms)?,
            DocumentView::Node => row.live || self.needs_tombstone(&decode_node(&row.value)?),
            DocumentView::PathHistory => {
                let place = row.id.slice(..PATH_HASH_BYTES.min(row.id.len()));
                let is_newest = self.last_path.as_ref() != Some(&place);
                self.last_path = Some(place);
                is_newest
                    && (self.continues_another
                        || decode_record::<PathHistoryRecord>(&row.value)?.holder.is_some())
            }
        })
    }

    /// A tombstone tells late writers what became of the node, for a while; and it
    /// hides what the branch continues.
    pub(super) fn needs_tombstone(&self, node: &Node) -> bool {
        let age_ms = self.now_ms.saturating_sub(node.timestamp_ms);
        self.continues_another
            || self.disputed.contains(&node.id)
            || age_ms <= OPERATION_KEPT.as_millis() as i64
    }
}
