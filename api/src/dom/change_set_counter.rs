//! The limits of a change set, kept while it arrives: how many diffs and bytes it has, and
//! which of them is wrong.

use bytes::Bytes;
use vdom_core::dom::calls::{ChangeSetPart, DiffSource, WriteDiff};
use vdom_core::limits::{CHANGE_SET_MAX_BYTES, CHANGE_SET_MAX_DIFFS, CONTENT_MAX_BYTES};
use vdom_core::{Error, Result};

/// Knows what may come next.
#[derive(Default)]
pub(crate) struct ChangeSetCounter {
    diffs: usize,
    /// Of all diffs and contents.
    bytes: u64,
    /// Of the content that follows the last diff; `None` where it needs none.
    content: Option<u64>,
}

impl ChangeSetCounter {
    /// The next diff, as it is read, and its size in bytes.
    ///
    /// # Errors
    /// `TooLarge` above a limit of the set; what reading it answered, with its number.
    pub(crate) fn diff(
        &mut self,
        read: impl FnOnce() -> Result<(WriteDiff, usize)>,
    ) -> Result<ChangeSetPart> {
        self.diffs += 1;
        if self.diffs > CHANGE_SET_MAX_DIFFS {
            return Err(Error::too_large(format!(
                "the change set has more than {CHANGE_SET_MAX_DIFFS} diffs: split it"
            )));
        }
        let (diff, bytes) =
            read().map_err(|error| Error { message: self.at(&error.message), ..error })?;
        self.count(bytes)?;
        self.content = matches!(diff.diff, DiffSource::Follows).then_some(0);
        Ok(ChangeSetPart::Diff(Box::new(diff)))
    }

    /// The next diff of a set in one message, which brings all it needs.
    ///
    /// # Errors
    /// As [`Self::diff`]; `InvalidArgument` for one whose content would follow.
    pub(crate) fn whole_diff(
        &mut self,
        read: impl FnOnce() -> Result<(WriteDiff, usize)>,
    ) -> Result<ChangeSetPart> {
        let part = self.diff(read)?;
        if self.content.is_some() {
            return Err(self.refuse(
                "diff_bson brings no content: put it into `v`, or stream the set with \
                 WriteDiffsStream",
            ));
        }
        Ok(part)
    }

    /// The next piece of the last diff's content; `None` for an empty one.
    ///
    /// # Errors
    /// `InvalidArgument` where none belongs here; `TooLarge` above a limit of the content or
    /// the set.
    pub(crate) fn content(&mut self, piece: Bytes) -> Result<Option<ChangeSetPart>> {
        if self.diffs == 0 {
            let bytes = piece.len();
            return Err(Error::invalid(format!(
                "a content of {bytes} bytes comes before any diff: it must follow the `put` that \
                 it belongs to"
            )));
        }
        let Some(received) = self.content else {
            return Err(self.refuse(
                "content follows a diff that needs none: it belongs to a `put` without `v`",
            ));
        };
        let received = received + piece.len() as u64;
        if received > CONTENT_MAX_BYTES {
            return Err(self
                .refuse_size(format_args!("the content has more than {CONTENT_MAX_BYTES} bytes")));
        }
        self.content = Some(received);
        self.count(piece.len())?;
        Ok((!piece.is_empty()).then_some(ChangeSetPart::Content(piece)))
    }

    /// The end of the set.
    ///
    /// # Errors
    /// `InvalidArgument` where it had no diff.
    pub(crate) fn end(&self) -> Result<()> {
        if self.diffs == 0 {
            return Err(Error::invalid("the change set has no diff: send at least one"));
        }
        Ok(())
    }

    fn count(&mut self, bytes: usize) -> Result<()> {
        self.bytes += bytes as u64;
        if self.bytes > CHANGE_SET_MAX_BYTES {
            return Err(self.refuse_size(format_args!(
                "with it the change set has more than {CHANGE_SET_MAX_BYTES} bytes: split it"
            )));
        }
        Ok(())
    }

    /// What is said of the last diff.
    fn at(&self, words: impl std::fmt::Display) -> String {
        format!("diff {}: {words}", self.diffs.saturating_sub(1))
    }

    fn refuse(&self, words: &str) -> Error {
        Error::invalid(self.at(words))
    }

    fn refuse_size(&self, words: std::fmt::Arguments<'_>) -> Error {
        Error::too_large(self.at(words))
    }
}
