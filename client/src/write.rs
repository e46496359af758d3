//! Writes nodes and change sets, each under an operation id that makes it safe to
//! repeat.

use bytes::Bytes;
use futures::stream;
use tonic::{Response, Status};
use vdom_core::document::DocumentBuilder;
use vdom_core::dom::diff::Diff;
use vdom_core::limits::CHUNK_BYTES;
use vdom_proto::v1::write_diffs_chunk::Chunk;
use vdom_proto::v1::{
    NodeKind, RevertChangesRequest, WriteDiffRequest, WriteDiffResponse, WriteDiffsChunk,
    WriteDiffsRequest, WriteDiffsResponse,
};

use crate::client::Client;
use crate::error::{Error, Result};

impl Client {
    /// Writes one diff. Repeats it under the same operation id while the server is
    /// away, so the request must have one.
    ///
    /// # Errors
    ///
    /// Where the server refuses the call. A conflict is no error: the answer says so.
    pub async fn write(&self, request: WriteDiffRequest) -> Result<WriteDiffResponse> {
        let write = || async { self.raw().write_diff(self.unary(request.clone())).await };
        self.retrying(write).await
    }

    /// Writes `content` as the node's whole content: in one message up to 1 MiB, in
    /// pieces above. `request.diff_bson` is filled in here.
    ///
    /// # Errors
    ///
    /// As [`Client::write`].
    pub async fn put(
        &self,
        request: WriteDiffRequest,
        content: Bytes,
    ) -> Result<WriteDiffResponse> {
        if content.len() > CHUNK_BYTES {
            return self.put_in_pieces(request, content).await;
        }
        let diff_bson = match request.kind() {
            NodeKind::Intent | NodeKind::Meta => Diff::put_document(&content),
            NodeKind::File | NodeKind::Unspecified => Diff::put_file(&content),
        };
        self.write(WriteDiffRequest { diff_bson, ..request }).await
    }

    /// Writes a change set that fits one message, all of it or nothing. Repeats it
    /// under the same operation id while the server is away, so the request must have
    /// one.
    ///
    /// # Errors
    ///
    /// As [`Client::write`].
    pub async fn write_set(&self, request: WriteDiffsRequest) -> Result<WriteDiffsResponse> {
        let write = || async { self.raw().write_diffs(self.unary(request.clone())).await };
        self.retrying(write).await
    }

    /// Writes the inverse of a range of changes; repeated while the server is away.
    ///
    /// # Errors
    ///
    /// As [`Client::write`]; `Compacted` where the changes are no longer kept.
    pub async fn revert(&self, request: RevertChangesRequest) -> Result<WriteDiffsResponse> {
        let revert = || async { self.raw().revert_changes(self.unary(request.clone())).await };
        self.retrying(revert).await
    }

    async fn put_in_pieces(
        &self,
        request: WriteDiffRequest,
        content: Bytes,
    ) -> Result<WriteDiffResponse> {
        let header = WriteDiffsRequest {
            realm: request.realm.clone(),
            repo: request.repo.clone(),
            branch: request.branch.clone(),
            operation_id: request.operation_id.clone(),
            on_conflict: request.on_conflict,
            min_ack: request.min_ack,
            author: request.author.clone(),
            message: request.message.clone(),
            ..WriteDiffsRequest::default()
        };
        let diff = WriteDiffRequest { diff_bson: put_without_content(), ..request };
        let write = || async {
            let chunks = [Chunk::Header(header.clone()), Chunk::Diff(diff.clone())]
                .into_iter()
                .chain(split(content.clone()).map(Chunk::Content))
                .map(|chunk| WriteDiffsChunk { chunk: Some(chunk) });
            let answer =
                self.raw().write_diffs_stream(stream::iter(chunks.collect::<Vec<_>>())).await?;
            let result = answer.into_inner().results.into_iter().next();
            result.map(Response::new).ok_or_else(|| {
                Status::data_loss("the server's answer does not say what became of the write")
            })
        };
        self.retrying(write).await
    }
}

/// The diff `{t: "put"}`, whose content follows in pieces.
pub fn put_without_content() -> Bytes {
    let mut put = DocumentBuilder::new();
    put.append_str("t", "put");
    put.finish()
}

/// 16 bytes that no other write has.
///
/// # Errors
///
/// [`Error::Unusable`] where the system has no randomness.
pub fn random_operation_id() -> Result<Bytes> {
    let mut id = [0; 16];
    aws_lc_rs::rand::fill(&mut id).map_err(|_| {
        Error::Unusable("the system has no randomness for an operation id".to_owned())
    })?;
    Ok(Bytes::copy_from_slice(&id))
}

fn split(mut content: Bytes) -> impl Iterator<Item = Bytes> {
    std::iter::from_fn(move || {
        let piece = content.split_to(content.len().min(CHUNK_BYTES));
        (!piece.is_empty()).then_some(piece)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_content_is_split_into_pieces_that_make_it_up() {
        let content = Bytes::from(vec![7; 2 * CHUNK_BYTES + 5]);
        let pieces: Vec<_> = split(content.clone()).collect();
        assert_eq!(
            pieces.iter().map(Bytes::len).collect::<Vec<_>>(),
            [CHUNK_BYTES, CHUNK_BYTES, 5]
        );
        assert_eq!(pieces.concat(), content);
        assert_eq!(split(Bytes::new()).count(), 0);
    }
}
