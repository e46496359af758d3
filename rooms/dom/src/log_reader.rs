//! A log from one of its batches on, a page at a time.

use std::fmt::Display;

use vdom_core::Result;
use vdom_security::PermittedStore;
use vdom_store::{LogEntry, LogId};

use crate::error::from_store;

const PAGE_BYTES: usize = 8 << 20;

/// The pages of a log.
pub(crate) struct LogReader<'a> {
    store: PermittedStore<'a>,
    log: LogId,
    next: u64,
    resource: &'a (dyn Display + Sync),
}

impl<'a> LogReader<'a> {
    /// From this number on; errors are about `resource`.
    pub(crate) fn new(
        store: PermittedStore<'a>,
        log: LogId,
        from: u64,
        resource: &'a (dyn Display + Sync),
    ) -> Self {
        Self { store, log, next: from, resource }
    }

    /// The next batches; `None` past the last.
    pub(crate) async fn next(&mut self) -> Result<Option<Vec<LogEntry>>> {
        let page = self.store.read(self.log, self.next, PAGE_BYTES).await;
        let page = page.map_err(|error| from_store(error, self.resource))?;
        let Some(last) = page.last() else { return Ok(None) };
        self.next = last.number + 1;
        Ok(Some(page))
    }
}
