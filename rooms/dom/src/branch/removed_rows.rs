//! Holds what was read from history rows to the log: a row that is not there proves nothing,
//! as another gateway may have compacted the branch and removed it.

use std::time::Duration;

use vdom_core::{Error, ErrorCode, Result};

use crate::branch::{Branch, history_compacted};
use crate::error::from_store;
use crate::log_reader::LogReader;
use crate::records::{Checkpoint, ControlRecord, decode_batch};

impl Branch {
    /// Refuses what was read from rows just now about `revision`, where some of them may
    /// have been removed that `checkpoint`, the newest one known when they were read, does
    /// not stand in for.
    ///
    /// # Errors
    /// `Compacted` where `revision` is no longer kept, or where a newer checkpoint is known by
    /// now, so that the rows must be read again; `Unavailable` where the branch has not
    /// heard of that yet.
    pub(crate) async fn check_rows(
        &self,
        checkpoint: Option<&Checkpoint>,
        revision: u64,
    ) -> Result<()> {
        // Before the checkpoint: what is known is then at least what that head says.
        let head = self.head();
        let covered = |checkpoint: Option<&Checkpoint>| checkpoint.map_or(0, |it| it.number);
        if covered(self.compaction().checkpoint.as_deref()) != covered(checkpoint) {
            return Err(history_compacted(self, revision, self.oldest_revision()));
        }
        // Rows are removed after batches are compacted, and those after a checkpoint stands in
        // the log; a log that has ended is left as it is.
        let failed = |error| from_store(error, &self.address);
        if head.closed || self.store().confirm(self.log, head.number).await.map_err(failed)? {
            return Ok(());
        }
        if !self.is_compacted_after(covered(checkpoint)).await? {
            return Ok(());
        }
        Err(self.compacted_after(head.number, revision).await?)
    }

    /// Whether what failed may have failed for rows that were removed behind a checkpoint
    /// further on in the log, which the branch hears of after that only.
    pub(crate) async fn is_behind_checkpoint(&self, error: &Error) -> Result<bool> {
        match error.code {
            ErrorCode::Compacted => Ok(true),
            ErrorCode::Unavailable => {
                let known = self.compaction().checkpoint;
                self.is_compacted_after(known.map_or(0, |known| known.number)).await
            }
            _ => Ok(false),
        }
    }

    /// Whether the batch after `number` is compacted.
    async fn is_compacted_after(&self, number: u64) -> Result<bool> {
        let next = self.store().read(self.log, number + 1, 1).await;
        let next = next.map_err(|error| from_store(error, &self.address))?;
        Ok(next.first().is_some_and(|next| next.batch.compacted_from.is_some()))
    }

    /// Refuses an answer that rests on the absence of rows at `revision`, where some may have
    /// been removed that tell of it.
    ///
    /// # Errors
    /// As [`Self::check_rows`].
    pub(crate) async fn check_rows_at(&self, revision: u64) -> Result<()> {
        loop {
            self.check_kept(revision)?;
            let checkpoint = self.compaction().checkpoint;
            match self.check_rows(checkpoint.as_deref(), revision).await {
                Err(error) if self.is_outdated(checkpoint.as_deref(), &error) => {}
                checked => return checked,
            }
        }
    }

    /// Whether a refusal may be because there is a newer checkpoint than this one by now.
    pub(crate) fn is_outdated(&self, checkpoint: Option<&Checkpoint>, error: &Error) -> bool {
        error.code == ErrorCode::Compacted
            && self.compaction().checkpoint.as_deref().map(|newest| newest.number)
                != checkpoint.map(|known| known.number)
    }

    /// What a compaction that stands in the log after batch `number` leaves to say about
    /// `revision`.
    pub(crate) async fn compacted_after(&self, number: u64, revision: u64) -> Result<Error> {
        let mut oldest = self.compaction().limit;
        let mut pages = LogReader::new(self.store(), self.log, number + 1, &self.address);
        while let Some(page) = pages.next().await? {
            for log_entry in &page {
                for control in decode_batch(log_entry)?.control_records {
                    oldest = match control {
                        ControlRecord::Limit(limit) => oldest.max(limit),
                        ControlRecord::Checkpoint(checkpoint) => oldest.max(checkpoint.revision),
                        _ => oldest,
                    };
                }
            }
        }
        if revision < oldest {
            return Ok(history_compacted(self, revision, oldest));
        }
        Ok(Error::unavailable(format!(
            "{} was compacted by another gateway just now, up to revision {oldest}: try again",
            self.address
        ))
        .resource(&self.address)
        .retry_after(Duration::from_secs(1)))
    }
}
