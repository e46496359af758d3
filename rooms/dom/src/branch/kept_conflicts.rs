//! Kept conflicts as their rows have them, those from before a restore included.

use std::collections::{HashSet, VecDeque};

use bytes::Bytes;
use vdom_core::{ConflictId, Result};
use vdom_store::View;

use crate::branch::Branch;
use crate::branch::row_pages::RowPages;
use crate::error::from_store;
use crate::records::{DocumentView, KeptConflict, decode_record};

/// The row of a conflict; not live where somebody resolved it.
pub(crate) async fn row(branch: &Branch, id: ConflictId) -> Result<Option<View>> {
    for (log, upto) in branch.through_restores() {
        let row = log.store().view(log.log, DocumentView::Conflict.kind(), id.as_bytes()).await;
        let row = row.map_err(|error| from_store(error, &log.address))?;
        if let Some(row) = row
            && is_up_to(log, upto, &row)?
        {
            return Ok(Some(row));
        }
    }
    Ok(None)
}

/// The conflicts from before restores that were open when those ended their logs.
pub(crate) async fn open_before_restores(branch: &Branch) -> Result<HashSet<Bytes>> {
    let mut open = HashSet::new();
    for (log, _) in branch.through_restores().skip(1) {
        let mut pages = RowPages::new(log, DocumentView::Conflict);
        while let Some(page) = pages.next().await? {
            open.extend(page.into_iter().filter(|row| row.live).map(|row| row.id));
        }
    }
    Ok(open)
}

/// The rows of all conflicts of a branch, descending by id, each once.
pub(crate) struct ConflictRows<'a> {
    /// The newest log first: what it says of a conflict counts.
    logs: Vec<RowsOfLog<'a>>,
}

struct RowsOfLog<'a> {
    log: &'a Branch,
    /// The last of its revisions that counts.
    upto: u64,
    pages: RowPages<'a>,
    rows: VecDeque<View>,
}

impl<'a> ConflictRows<'a> {
    /// From the greatest id that is less than `before` on.
    pub(crate) fn new(branch: &'a Branch, before: Option<ConflictId>) -> Self {
        let rows_of = |(log, upto): (&'a Branch, u64)| {
            let kind = DocumentView::Conflict;
            let pages = match before {
                Some(id) => RowPages::before(log, kind, Bytes::copy_from_slice(id.as_bytes())),
                None => RowPages::new(log, kind),
            };
            RowsOfLog { log, upto, pages, rows: VecDeque::new() }
        };
        Self { logs: branch.through_restores().map(rows_of).collect() }
    }

    /// The next row; `None` after the last.
    pub(crate) async fn next(&mut self) -> Result<Option<View>> {
        let mut greatest: Option<Bytes> = None;
        for rows in &mut self.logs {
            greatest = greatest.max(rows.peek().await?);
        }
        let Some(id) = greatest else { return Ok(None) };
        let mut newest = None;
        for rows in &mut self.logs {
            if rows.rows.front().is_some_and(|row| row.id == id) {
                let row = rows.rows.pop_front();
                newest = newest.or(row);
            }
        }
        Ok(newest)
    }
}

impl RowsOfLog<'_> {
    /// The id of the next row.
    async fn peek(&mut self) -> Result<Option<Bytes>> {
        while self.rows.is_empty() {
            let Some(page) = self.pages.next().await? else { return Ok(None) };
            for row in page {
                if is_up_to(self.log, self.upto, &row)? {
                    self.rows.push_back(row);
                }
            }
        }
        Ok(self.rows.front().map(|row| row.id.clone()))
    }
}

/// Whether a conflict was kept before the branch left this log.
fn is_up_to(log: &Branch, upto: u64, row: &View) -> Result<bool> {
    Ok(upto >= log.head().revision
        || (row.live && decode_record::<KeptConflict>(&row.value)?.revision <= upto))
}
