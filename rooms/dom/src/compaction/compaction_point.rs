//! Where a history is cut, and what of the rows before it is needed from there on.

use std::collections::HashSet;

use bytes::Bytes;
use vdom_core::limits::OPERATION_KEPT;
use vdom_core::{Node, NodeId, Result};
use vdom_store::View;

use crate::branch::row_pages::RowPages;
use crate::branch::{Branch, idempotency as operations};
use crate::records::{DocumentView, KeptConflict, PlaceRecord, decode_node, decode_record};

const PLACE_HASH_BYTES: usize = 16;

/// Where a history is cut, and what of the rows before it is needed from there on.
pub(crate) struct Cut {
    /// The last revision that is compacted, and the oldest that can be read.
    pub revision: u64,
    /// The batch that ends with it.
    pub number: u64,
    now_ms: i64,
    /// What a branch continues shows through where it has no row of its own.
    continues_another: bool,
    /// Nodes that open conflicts are about.
    disputed: HashSet<NodeId>,
    /// Rows of places come newest first.
    last_place: Option<Bytes>,
}

impl Cut {
    /// A cut after this batch, which ends with this revision.
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
        let continues_another = branch.origin.is_some();
        Ok(Self { revision, number, now_ms, continues_another, disputed, last_place: None })
    }

    /// Whether a row belongs to what comes after the cut.
    pub(crate) fn is_after(&self, kind: DocumentView, row: &View) -> bool {
        match kind {
            DocumentView::Node | DocumentView::History | DocumentView::Place => {
                row.position.revision > self.revision
            }
            // Notes have the number of their batch.
            DocumentView::Conflict | DocumentView::Pin | DocumentView::Compaction => {
                row.position.revision > self.number
            }
            DocumentView::Actor | DocumentView::Operation => false,
            // Counted anew for the cut.
            DocumentView::Usage => true,
        }
    }

    /// Whether a row from before the cut is needed after it. Places are asked about in
    /// descending order, each once.
    pub(crate) fn needs(&mut self, kind: DocumentView, row: &View) -> Result<bool> {
        Ok(match kind {
            DocumentView::History => false,
            DocumentView::Actor
            | DocumentView::Pin
            | DocumentView::Compaction
            | DocumentView::Usage => true,
            DocumentView::Conflict => row.live,
            DocumentView::Operation => operations::is_row_kept(row, self.now_ms)?,
            DocumentView::Node => row.live || self.needs_tombstone(&decode_node(&row.value)?),
            DocumentView::Place => {
                let place = row.id.slice(..PLACE_HASH_BYTES.min(row.id.len()));
                let is_newest = self.last_place.as_ref() != Some(&place);
                self.last_place = Some(place);
                is_newest
                    && (self.continues_another
                        || decode_record::<PlaceRecord>(&row.value)?.holder.is_some())
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
