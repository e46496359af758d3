//! How rows stand, without asking the engine.

use std::collections::HashMap;

use super::engine::Snapshot;
use super::read;
use crate::error::StoreResult;
use crate::log::LogId;
use crate::view::{Position, View, ViewKind};

/// Rows whose places are remembered.
const ROWS_REMEMBERED: usize = 1 << 14;

/// What a write of a row must know of the row that it replaces.
pub(super) struct StoredRow {
    pub(super) position: Position,
    pub(super) path: Option<String>,
    pub(super) live: bool,
    /// Whether its row by path certainly stands as this says: a clear that a crash has broken
    /// off leaves rows without.
    pub(super) has_row_by_path: bool,
}

/// What was written lately, or is being written: nobody else writes, so this is how it
/// stands.
#[derive(Default)]
pub(super) struct WriteCache {
    /// `None` for a row that is removed.
    pub(super) rows: HashMap<Vec<u8>, Option<StoredRow>>,
}

impl WriteCache {
    /// Takes out how a row stands; it is read where that is not known.
    pub(super) fn take_row(
        &mut self,
        snapshot: &Snapshot<'_>,
        log: LogId,
        kind: ViewKind,
        id: &[u8],
        key: &[u8],
    ) -> StoreResult<Option<StoredRow>> {
        if let Some(stored) = self.rows.remove(key) {
            return Ok(stored);
        }
        let view = read::view(snapshot, log, kind, id)?;
        Ok(view.map(|View { position, path, live, .. }| StoredRow {
            position,
            path,
            live,
            has_row_by_path: false,
        }))
    }

    /// Forgets when there is too much; only between groups, whose own writes are in no
    /// snapshot yet.
    pub(super) fn trim(&mut self) {
        if self.rows.len() > ROWS_REMEMBERED {
            self.rows.clear();
        }
    }
}
