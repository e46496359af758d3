//! The connection to a gateway or sidecar: reads, writes and retries.

mod change_set;
mod connection;

use std::time::Duration;

use bytes::Bytes;
use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};
use tokio::time::Instant;
use tonic::codegen::InterceptedService;
use tonic::transport::Channel;
use tonic::{Request, Response, Status, Streaming};
use tonic_health::pb::health_client::HealthClient;
use vdom_core::ErrorCode;
use vdom_core::dom::diff::Diff;
use vdom_core::limits::{CHUNK_BYTES, UNARY_MESSAGE_MAX_BYTES};
use vdom_edge::error::from_status;
use vdom_proto::v1::memory_gateway_client::MemoryGatewayClient;
use vdom_proto::v1::write_diffs_chunk::Chunk;
use vdom_proto::v1::{
    NodeKind, ReadSnapshotRequest, ReadSnapshotResponse, ReadTreeRequest, SnapshotChunk, TreeEntry,
    WriteDiffRequest, WriteDiffResponse, WriteDiffsChunk, WriteDiffsRequest,
};

pub(crate) use self::change_set::{ChangeSet, put_without_content};
use self::connection::Credentials;
use crate::branch::Branch;
use crate::exit::{Exit, Failure, is_connection_lost};
use crate::server::{ServerOptions, ServerUrl};

/// How long a server may be away for a moment.
const RETRY_FOR: Duration = Duration::from_secs(5);
const RETRY_DELAY_MIN: Duration = Duration::from_millis(50);
const RETRY_DELAY_MAX: Duration = Duration::from_secs(2);
/// An answer may hold a message's worth of content and what describes it.
const ANSWER_MAX_BYTES: usize = UNARY_MESSAGE_MAX_BYTES + CHUNK_BYTES;

/// The generated client with the token on every call.
pub(crate) type DomClient = MemoryGatewayClient<InterceptedService<Channel, Credentials>>;

/// One connection; it comes back by itself after it was lost.
#[derive(Clone)]
pub(crate) struct Client {
    dom: DomClient,
    channel: Channel,
    server: ServerUrl,
    realm: String,
    timeout: Duration,
    retry_for: Duration,
}

impl Client {
    /// Connects.
    pub(crate) async fn connect(options: &ServerOptions) -> Result<Self, Failure> {
        let credentials = Credentials::new(options)?;
        let channel = connection::open(options).await?;
        let dom = MemoryGatewayClient::with_interceptor(channel.clone(), credentials)
            .max_decoding_message_size(ANSWER_MAX_BYTES);
        Ok(Self {
            dom,
            channel,
            server: options.server.clone(),
            realm: options.realm.clone(),
            timeout: options.timeout,
            retry_for: RETRY_FOR,
        })
    }

    /// Goes on for so long when the server is away for a moment.
    pub(crate) fn retry_for(mut self, time: Duration) -> Self {
        self.retry_for = time;
        self
    }

    /// The generated client, for calls that need no more than that.
    pub(crate) fn dom(&self) -> DomClient {
        self.dom.clone()
    }

    /// The standard health service; it asks for no token.
    pub(crate) fn health(&self) -> HealthClient<Channel> {
        HealthClient::new(self.channel.clone())
    }

    /// Where this connection goes.
    pub(crate) fn server(&self) -> &ServerUrl {
        &self.server
    }

    /// The realm for requests; empty: the token's.
    pub(crate) fn realm(&self) -> String {
        self.realm.clone()
    }

    /// A request with the deadline of a unary call.
    pub(crate) fn unary<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        request.set_timeout(self.timeout);
        request
    }

    /// Waits for the first answer of a stream as long as for a unary call.
    pub(crate) async fn in_time<T>(
        &self,
        answer: impl Future<Output = Result<T, Status>>,
    ) -> Result<T, Failure> {
        let expired = |_| Status::deadline_exceeded(format!("no answer from {}", self.server));
        Ok(tokio::time::timeout(self.timeout, answer).await.map_err(expired)??)
    }

    /// Reads a subtree, as of one revision.
    pub(crate) async fn tree(
        &self,
        request: ReadTreeRequest,
    ) -> Result<BoxStream<'static, Result<TreeEntry, Failure>>, Failure> {
        let mut dom = self.dom();
        let entries = self.in_time(dom.read_tree(request)).await?;
        Ok(entries.into_inner().map_err(Failure::from).boxed())
    }

    /// Reads a node: what describes it and its size first, the content in
    /// pieces after that.
    pub(crate) async fn read(&self, request: ReadSnapshotRequest) -> Result<NodeContent, Failure> {
        let mut dom = self.dom();
        let mut chunks = self.in_time(dom.read_snapshot_stream(request)).await?.into_inner();
        let first = self.in_time(chunks.message()).await?.unwrap_or_default();
        let Some(snapshot) = first.snapshot else {
            return Err(Failure::failed("the server's answer does not say which node it is about"));
        };
        let first_piece = stream::iter((!first.content.is_empty()).then_some(Ok(first.content)));
        let pieces = first_piece.chain(pieces(chunks)).boxed();
        Ok(NodeContent { snapshot, size_bytes: first.size_bytes, pieces })
    }

    /// Describes a node as it stands, confirmed now; `None` where there is none.
    pub(crate) async fn stat(
        &self,
        branch: &Branch,
        path: &str,
    ) -> Result<Option<ReadSnapshotResponse>, Failure> {
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
            Err(failure) if failure.exit == Exit::NotFound => Ok(None),
            Err(failure) => Err(failure),
        }
    }

    /// Writes one diff. Repeats it under the same operation id while the server
    /// is away, so the request must have one.
    pub(crate) async fn write(
        &self,
        request: WriteDiffRequest,
    ) -> Result<WriteDiffResponse, Failure> {
        let write = || async {
            let answer = self.dom().write_diff(self.unary(request.clone())).await;
            answer.map(Response::into_inner)
        };
        Ok(self.retrying(write).await?)
    }

    /// Writes `content` as the node's whole content: in one message up to
    /// 1 MiB, in pieces above. `request.diff_bson` is filled in here.
    pub(crate) async fn put(
        &self,
        request: WriteDiffRequest,
        content: Bytes,
    ) -> Result<WriteDiffResponse, Failure> {
        if content.len() > CHUNK_BYTES {
            return self.put_in_pieces(request, content).await;
        }
        let diff_bson = match request.kind() {
            NodeKind::Intent | NodeKind::Meta => Diff::put_document(&content),
            NodeKind::File | NodeKind::Unspecified => Diff::put_file(&content),
        };
        self.write(WriteDiffRequest { diff_bson, ..request }).await
    }

    async fn put_in_pieces(
        &self,
        request: WriteDiffRequest,
        content: Bytes,
    ) -> Result<WriteDiffResponse, Failure> {
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
                self.dom().write_diffs_stream(stream::iter(chunks.collect::<Vec<_>>())).await?;
            answer.into_inner().results.into_iter().next().ok_or_else(|| {
                Status::data_loss("the server's answer does not say what became of the write")
            })
        };
        Ok(self.retrying(write).await?)
    }

    async fn retrying<T, F>(&self, call: impl Fn() -> F) -> Result<T, Status>
    where
        F: Future<Output = Result<T, Status>>,
    {
        let give_up_at = Instant::now() + self.retry_for;
        let mut delay = RETRY_DELAY_MIN;
        loop {
            let status = match call().await {
                Ok(answer) => return Ok(answer),
                Err(status) => status,
            };
            let wait = from_status(&status).retry_after.unwrap_or(delay);
            if !is_passing(&status) || Instant::now() + wait > give_up_at {
                return Err(status);
            }
            tokio::time::sleep(wait).await;
            delay = (delay * 2).min(RETRY_DELAY_MAX);
        }
    }
}

/// A node that is being read.
pub(crate) struct NodeContent {
    /// What describes it; its `content` is empty.
    pub(crate) snapshot: ReadSnapshotResponse,
    /// The size of the whole content.
    pub(crate) size_bytes: u64,
    /// The content.
    pub(crate) pieces: BoxStream<'static, Result<Bytes, Failure>>,
}

impl NodeContent {
    /// The whole content at once.
    pub(crate) async fn collect(self) -> Result<Bytes, Failure> {
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

/// True where trying again may help: the server is away or full.
pub(crate) fn is_passing(status: &Status) -> bool {
    let error = from_status(status);
    error.code == ErrorCode::Unavailable
        || error.retry_after.is_some()
        || is_connection_lost(status)
}

/// 16 bytes that no other write has.
pub(crate) fn random_operation_id() -> Result<Bytes, Failure> {
    let mut id = [0; 16];
    aws_lc_rs::rand::fill(&mut id)
        .map_err(|_| Failure::failed("the system has no randomness for an operation id"))?;
    Ok(Bytes::copy_from_slice(&id))
}

fn pieces(chunks: Streaming<SnapshotChunk>) -> impl futures::Stream<Item = Result<Bytes, Failure>> {
    chunks.map(|chunk| chunk.map(|chunk| chunk.content).map_err(Failure::from))
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

    #[test]
    fn only_what_may_pass_is_tried_again() {
        assert!(is_passing(&Status::unavailable("draining")));
        assert!(!is_passing(&Status::not_found("no")));
        assert!(!is_passing(&Status::resource_exhausted("quota")));
    }
}
