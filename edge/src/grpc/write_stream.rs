//! `WriteDiffsStream` for one diff: its header, the diff, then its content in
//! pieces.

use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{StreamExt, future};
use vdom_core::calls::WriteDiff;
use vdom_core::{Error, RealmName, Result};
use vdom_proto::v1 as wire;
use vdom_proto::v1::write_diffs_chunk::Chunk;

use super::from_wire;
use crate::dom::DomStream;
use crate::stream;

/// `{t: "put"}`, whose content follows.
const PUT_WITHOUT_CONTENT: &[u8] = b"\x10\0\0\0\x02t\0\x04\0\0\0put\0\0";

/// What a stream turned out to hold.
pub(super) enum Opened {
    /// A diff that brings all it needs.
    Whole(WriteDiff),
    /// A `put` and its content.
    InPieces(WriteDiff, DomStream<Bytes>),
}

/// Reads the header and the diff.
pub(super) async fn open(
    mut chunks: BoxStream<'static, Result<wire::WriteDiffsChunk>>,
    caller_realm: Option<&RealmName>,
) -> Result<Opened> {
    let Some(Chunk::Header(header)) = next(&mut chunks).await? else {
        return Err(Error::invalid("the stream must begin with a header"));
    };
    if !header.diffs.is_empty() {
        return Err(Error::invalid(
            "header.diffs must stay empty in a stream: send each as a diff",
        ));
    }
    if header.expected_revision != 0 {
        return Err(Error::unimplemented("WriteDiffsStream with expected_revision"));
    }
    let Some(Chunk::Diff(diff)) = next(&mut chunks).await? else {
        return Err(Error::invalid("the header must be followed by a diff"));
    };
    let in_pieces = diff.diff_bson.is_empty() || diff.diff_bson == PUT_WITHOUT_CONTENT;
    let request = from_wire::write_content(with_header(diff, header), caller_realm)?;
    if in_pieces {
        return Ok(Opened::InPieces(request, stream::content(chunks.filter_map(content_piece))));
    }
    match next(&mut chunks).await? {
        None => Ok(Opened::Whole(request)),
        Some(Chunk::Diff(_)) => Err(several_diffs()),
        Some(_) => Err(Error::invalid(
            "content follows a diff that needs none: it belongs to a `put` without `v`",
        )),
    }
}

async fn next(
    chunks: &mut BoxStream<'static, Result<wire::WriteDiffsChunk>>,
) -> Result<Option<Chunk>> {
    match chunks.next().await {
        None => Ok(None),
        Some(chunk) => chunk?.chunk.map(Some).ok_or_else(|| {
            Error::invalid("a chunk of the stream is neither header, diff nor content")
        }),
    }
}

fn content_piece(chunk: Result<wire::WriteDiffsChunk>) -> future::Ready<Option<Result<Bytes>>> {
    future::ready(match chunk.map(|chunk| chunk.chunk) {
        Ok(Some(Chunk::Content(piece))) if piece.is_empty() => None,
        Ok(Some(Chunk::Content(piece))) => Some(Ok(piece)),
        Ok(Some(Chunk::Diff(_))) => Some(Err(several_diffs())),
        Ok(Some(Chunk::Header(_)) | None) => {
            Some(Err(Error::invalid("only content may follow the diff")))
        }
        Err(error) => Some(Err(error)),
    })
}

fn several_diffs() -> Error {
    Error::unimplemented("WriteDiffsStream with more than one diff")
}

/// What the diff leaves open, the header says for the whole set.
fn with_header(
    diff: wire::WriteDiffRequest,
    header: wire::WriteDiffsRequest,
) -> wire::WriteDiffRequest {
    fn or<T: Default + PartialEq>(own: T, shared: T) -> T {
        if own == T::default() { shared } else { own }
    }
    wire::WriteDiffRequest {
        realm: or(diff.realm, header.realm),
        repo: or(diff.repo, header.repo),
        branch: or(diff.branch, header.branch),
        operation_id: or(diff.operation_id, header.operation_id),
        on_conflict: or(diff.on_conflict, header.on_conflict),
        min_ack: or(diff.min_ack, header.min_ack),
        author: or(diff.author, header.author),
        message: or(diff.message, header.message),
        metadata: or(diff.metadata, header.metadata),
        ..diff
    }
}

#[cfg(test)]
mod tests;
