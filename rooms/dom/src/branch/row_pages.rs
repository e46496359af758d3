//! The rows of a branch, a page at a time.

use bytes::Bytes;
use vdom_core::Result;
use vdom_store::View;

use crate::branch::Branch;
use crate::error::from_store;
use crate::records::DocumentView;

const ROWS_PER_PAGE: usize = 512;

/// All rows of a kind, descending by id, a page at a time.
pub(crate) struct RowPages<'a> {
    branch: &'a Branch,
    kind: DocumentView,
    before: Option<Bytes>,
    ended: bool,
}

impl<'a> RowPages<'a> {
    /// From the greatest id on.
    pub(crate) fn new(branch: &'a Branch, kind: DocumentView) -> Self {
        Self { branch, kind, before: None, ended: false }
    }

    /// From the greatest id that is less than this one on.
    pub(crate) fn before(branch: &'a Branch, kind: DocumentView, id: Bytes) -> Self {
        Self { before: Some(id), ..Self::new(branch, kind) }
    }

    /// The next page; `None` after the last.
    pub(crate) async fn next(&mut self) -> Result<Option<Vec<View>>> {
        if self.ended {
            return Ok(None);
        }
        let (store, log) = (self.branch.store(), self.branch.log);
        // No id begins with so many bytes 0xff: a node's has 16, a name's none.
        let to = self.before.clone().unwrap_or_else(|| Bytes::from_static(&[0xff; 32]));
        let rows = store.scan_reverse(log, self.kind.kind(), &[], &to, ROWS_PER_PAGE).await;
        let mut rows = rows.map_err(|error| from_store(error, &self.branch.address))?;
        self.ended = rows.len() < ROWS_PER_PAGE;
        // The bound belongs to the page.
        rows.retain(|row| self.before.as_ref() != Some(&row.id));
        self.before = rows.last().map(|row| row.id.clone());
        Ok((!rows.is_empty()).then_some(rows))
    }
}
