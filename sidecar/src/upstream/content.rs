//! Contents in pieces, to the gateway and from it.

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, future, stream};
use tokio::sync::oneshot;
use vdom_core::calls::{ReadSnapshot, Snapshot, WriteDiff, WriteOutcome};
use vdom_core::{Content, Error, Result};
use vdom_edge::DomStream;
use vdom_edge::grpc::{from_wire, to_wire};
use vdom_proto::v1 as wire;
use vdom_proto::v1::write_diffs_chunk::Chunk;

use super::{OnBehalfOf, Upstream};

impl Upstream {
    /// Writes one `put` whose content arrives in pieces. Where it breaks off,
    /// the call is cancelled: the gateway never takes a part for the whole.
    pub(crate) async fn write_content(
        &self,
        on_behalf_of: OnBehalfOf<'_>,
        request: &WriteDiff,
        content: DomStream<Bytes>,
    ) -> Result<WriteOutcome> {
        let (broke_off, broken) = oneshot::channel();
        let mut request = self.request(on_behalf_of, chunks(request, content, broke_off))?;
        if let OnBehalfOf::Caller(caller) = on_behalf_of
            && let Some(deadline) = caller.deadline
        {
            request.set_timeout(deadline.saturating_duration_since(std::time::Instant::now()));
        }
        let mut client = self.client.clone();
        let answer = client.write_diffs_stream(request);
        let answer = tokio::select! {
            biased;
            Ok(error) = broken => return Err(error),
            answer = answer => self.heard(answer.map(tonic::Response::into_inner))?,
        };
        let mut results = answer.results.into_iter();
        match (results.next(), results.next()) {
            (Some(result), None) => from_wire::write_outcome(result),
            _ => Err(Error::internal("the gateway answered one diff with none or several results")),
        }
    }

    /// Reads one node whose content follows in pieces.
    pub(crate) async fn read_content(
        &self,
        on_behalf_of: OnBehalfOf<'_>,
        request: &ReadSnapshot,
    ) -> Result<(Snapshot, u64, DomStream<Bytes>)> {
        let message = to_wire::read_snapshot(request);
        let chunks = self.call(on_behalf_of, message, |mut client, request| async move {
            client.read_snapshot_stream(request).await
        });
        let mut chunks = self.stream(chunks.await?);
        let head = chunks.try_next().await?;
        let head = head.ok_or_else(|| Error::internal("the gateway's content has no beginning"))?;
        let size_bytes = head.size_bytes;
        let mut snapshot = from_wire::snapshot(head.snapshot.unwrap_or_default())?;
        snapshot.node.content = Content::Inline(Bytes::new());
        let first = stream::iter((!head.content.is_empty()).then_some(Ok(head.content)));
        let rest = chunks.map_ok(|chunk| chunk.content);
        Ok((snapshot, size_bytes, first.chain(rest).boxed()))
    }
}

/// Header, diff and pieces. A piece that does not come ends nothing: the error
/// leaves through `broke_off`, and whoever takes it drops the call.
fn chunks(
    request: &WriteDiff,
    content: DomStream<Bytes>,
    broke_off: oneshot::Sender<Error>,
) -> impl futures::Stream<Item = wire::WriteDiffsChunk> + Send + 'static {
    let diff = wire::WriteDiffRequest { diff_bson: Bytes::new(), ..to_wire::write_diff(request) };
    let header = wire::WriteDiffsRequest {
        realm: diff.realm.clone(),
        repo: diff.repo.clone(),
        branch: diff.branch.clone(),
        operation_id: diff.operation_id.clone(),
        on_conflict: diff.on_conflict,
        min_ack: diff.min_ack,
        author: diff.author.clone(),
        message: diff.message.clone(),
        ..Default::default()
    };
    let pieces = stream::unfold((content, broke_off), |(mut content, broke_off)| async move {
        match content.next().await {
            None => None,
            Some(Ok(piece)) => Some((Chunk::Content(piece), (content, broke_off))),
            Some(Err(error)) => {
                // Nobody listens where the call has ended already.
                let _ = broke_off.send(error);
                future::pending().await
            }
        }
    });
    stream::iter([Chunk::Header(header), Chunk::Diff(diff)])
        .chain(pieces)
        .map(|chunk| wire::WriteDiffsChunk { chunk: Some(chunk) })
}

/// A content at hand, in one piece.
pub(crate) fn whole(content: Bytes) -> DomStream<Bytes> {
    let pieces: Vec<Result<Bytes>> =
        if content.is_empty() { Vec::new() } else { vec![Ok(content)] };
    stream::iter(pieces).boxed()
}
