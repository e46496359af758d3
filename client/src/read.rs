//! Reads trees and nodes.

use bytes::Bytes;
use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};
use tonic::Streaming;
use vdom_proto::v1::{
    ReadSnapshotRequest, ReadSnapshotResponse, ReadTreeRequest, SnapshotChunk, TreeEntry,
};

use crate::branch_spec::BranchSpec;
use crate::client::Client;
use crate::error::{Error, Result};

/// A node that is being read.
pub struct NodeContent {
    /// The node as of one revision; its `content` is empty.
    pub snapshot: ReadSnapshotResponse,
    /// The size of the whole content.
    pub size_bytes: u64,
    /// The content in pieces of at most 1 MiB.
    pub pieces: BoxStream<'static, Result<Bytes>>,
}

impl NodeContent {
    /// The whole content at once.
    ///
    /// # Errors
    ///
    /// Where the connection breaks before all of it is there.
    pub async fn collect(self) -> Result<Bytes> {
        let mut pieces = self.pieces;
        let Some(first) = pieces.try_next().await? else {
            return Ok(Bytes::new());
        };
        let Some(second) = pieces.try_next().await? else {
            return Ok(first);
        };
        let mut whole = [first, second].concat();
        while let Some(piece) = pieces.try_next().await? {
            whole.extend_from_slice(&piece);
        }
        Ok(whole.into())
    }
}

impl Client {
    /// Reads a subtree, as of one revision.
    ///
    /// # Errors
    ///
    /// `NotFound` where there is no such branch or revision: at once, or as the first
    /// item.
    pub async fn tree(
        &self,
        request: ReadTreeRequest,
    ) -> Result<BoxStream<'static, Result<TreeEntry>>> {
        let mut raw = self.raw();
        let entries = self.in_time(raw.read_tree(request)).await?;
        Ok(entries.into_inner().map_err(Error::from).boxed())
    }

    /// Reads a node: what describes it and its size first, the content in pieces after
    /// that.
    ///
    /// # Errors
    ///
    /// `NotFound` where there is no such node.
    pub async fn read(&self, request: ReadSnapshotRequest) -> Result<NodeContent> {
        let mut raw = self.raw();
        let mut chunks = self.in_time(raw.read_snapshot_stream(request)).await?.into_inner();
        let first = self.in_time(chunks.message()).await?.unwrap_or_default();
        let Some(snapshot) = first.snapshot else {
            let problem = "the server's answer does not say which node it is about";
            return Err(Error::Protocol(problem.to_owned()));
        };
        let first_piece = stream::iter((!first.content.is_empty()).then_some(Ok(first.content)));
        let pieces = first_piece.chain(pieces(chunks)).boxed();
        Ok(NodeContent { snapshot, size_bytes: first.size_bytes, pieces })
    }

    /// Describes a node as it stands, confirmed now; `None` where there is none.
    ///
    /// # Errors
    ///
    /// Where the server refuses to tell.
    pub async fn stat(
        &self,
        branch: &BranchSpec,
        path: &str,
    ) -> Result<Option<ReadSnapshotResponse>> {
        let request = ReadSnapshotRequest {
            realm: self.realm(),
            repo: branch.repo.clone(),
            branch: branch.branch.clone(),
            path: path.to_owned(),
            max_age_ms: Some(0),
            ..ReadSnapshotRequest::default()
        };
        match self.read(request).await {
            Ok(content) => Ok(Some(content.snapshot)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }
}

fn pieces(chunks: Streaming<SnapshotChunk>) -> impl futures::Stream<Item = Result<Bytes>> {
    chunks.map(|chunk| chunk.map(|chunk| chunk.content).map_err(Error::from))
}
