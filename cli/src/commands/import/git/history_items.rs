//! The items of a history as the writer takes them: commits, and the contents
//! that belong to each.

use bytes::{Bytes, BytesMut};
use tokio::sync::mpsc;
use vdom_core::limits::CONTENT_MAX_BYTES;

use super::blob_reader::ContentPart;
use super::export_reader::HistoryItem;
use crate::exit::Failure;
use crate::humanize::size;

/// A history that is being read.
pub(super) struct HistoryItems {
    items: mpsc::Receiver<Result<HistoryItem, Failure>>,
}

/// A content that is being read.
pub(super) struct IncomingContent<'a> {
    items: &'a mut HistoryItems,
    pub(super) size_bytes: u64,
    left: u64,
}

impl HistoryItems {
    pub(super) fn new(items: mpsc::Receiver<Result<HistoryItem, Failure>>) -> Self {
        Self { items }
    }

    /// The next item; there is always one before the end.
    pub(super) async fn next(&mut self) -> Result<HistoryItem, Failure> {
        let broke_off = || Failure::failed("reading git's history broke off");
        self.items.recv().await.ok_or_else(broke_off)?
    }

    /// Begins the next content.
    pub(super) async fn content(&mut self) -> Result<IncomingContent<'_>, Failure> {
        match self.next().await? {
            HistoryItem::Content(ContentPart::Size(size_bytes))
                if size_bytes <= CONTENT_MAX_BYTES =>
            {
                Ok(IncomingContent { items: self, size_bytes, left: size_bytes })
            }
            HistoryItem::Content(ContentPart::Size(size_bytes)) => Err(Failure::failed(format!(
                "it has {}, and a node holds at most {}",
                size(size_bytes),
                size(CONTENT_MAX_BYTES)
            ))
            .advice("take it out of the history with `git filter-repo`, then import the result")),
            _ => Err(out_of_order()),
        }
    }
}

impl IncomingContent<'_> {
    /// The next piece.
    pub(super) async fn piece(&mut self) -> Result<Option<Bytes>, Failure> {
        if self.left == 0 {
            return Ok(None);
        }
        let HistoryItem::Content(ContentPart::Piece(piece)) = self.items.next().await? else {
            return Err(out_of_order());
        };
        self.left = self.left.saturating_sub(piece.len() as u64);
        Ok(Some(piece))
    }

    /// The whole content at once.
    pub(super) async fn collect(mut self) -> Result<Bytes, Failure> {
        let Some(first) = self.piece().await? else {
            return Ok(Bytes::new());
        };
        if self.left == 0 {
            return Ok(first);
        }
        let mut whole = BytesMut::from(first.as_ref());
        while let Some(piece) = self.piece().await? {
            whole.extend_from_slice(&piece);
        }
        Ok(whole.freeze())
    }
}

fn out_of_order() -> Failure {
    Failure::failed("git's contents came in another order than they were asked for")
}
