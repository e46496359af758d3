//! Contents in pieces.

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use vdom_api::dom::convert::{decode, encode};
use vdom_core::dom::calls::{ReadSnapshot, Snapshot};
use vdom_core::{Content, Error, Result};
use vdom_edge::ServiceStream;

use super::{OnBehalfOf, Upstream};

impl Upstream {
    /// Reads one node whose content follows in pieces.
    pub(crate) async fn read_content(
        &self,
        on_behalf_of: OnBehalfOf<'_>,
        request: &ReadSnapshot,
    ) -> Result<(Snapshot, u64, ServiceStream<Bytes>)> {
        let message = encode::read_snapshot(request);
        let chunks = self.open(on_behalf_of, message, |mut client, request| async move {
            client.read_snapshot_stream(request).await
        });
        let mut chunks = chunks.await?;
        let head = chunks.try_next().await?;
        let head = head.ok_or_else(|| Error::internal("the gateway's content has no beginning"))?;
        let size_bytes = head.size_bytes;
        let mut snapshot = decode::snapshot(head.snapshot.unwrap_or_default())?;
        snapshot.node.content = Content::Inline(Bytes::new());
        let first = stream::iter((!head.content.is_empty()).then_some(Ok(head.content)));
        let rest = chunks.map_ok(|chunk| chunk.content);
        Ok((snapshot, size_bytes, first.chain(rest).boxed()))
    }
}

/// A content at hand, in one piece.
pub(crate) fn whole(content: Bytes) -> ServiceStream<Bytes> {
    let pieces: Vec<Result<Bytes>> =
        if content.is_empty() { Vec::new() } else { vec![Ok(content)] };
    stream::iter(pieces).boxed()
}
