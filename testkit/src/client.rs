//! A gRPC client with a token, and the requests that tests make most.

use bytes::Bytes;
use futures::stream;
use tonic::transport::Channel;
use tonic::{Status, Streaming};
use vdom_client::{ConnectOptions, Credentials, RawClient, Token, open_channel};
use vdom_core::{Diff, OperationId};
use vdom_proto::v1;
use vdom_proto::v1::memory_gateway_client::MemoryGatewayClient;
use vdom_proto::v1::write_diffs_chunk::Chunk;

/// A client of branch `main` of repo `repo`.
#[derive(Clone)]
pub struct Client {
    pub raw: RawClient,
    pub repo: String,
    pub branch: String,
}

impl Client {
    /// Connects to `http://…`, with a token or without.
    pub async fn connect(url: &str, token: Option<&str>) -> Self {
        let options = ConnectOptions::new(url.parse().expect("a URL"));
        Self::over(open_channel(&options).await.expect("a server"), token)
    }

    /// Uses a channel that is there.
    pub fn over(channel: Channel, token: Option<&str>) -> Self {
        let credentials = Credentials::new(token.map(Token::new).as_ref()).expect("ASCII");
        Self {
            raw: MemoryGatewayClient::with_interceptor(channel, credentials),
            repo: "repo".to_owned(),
            branch: "main".to_owned(),
        }
    }

    /// A `put` of a new FILE.
    pub fn put_request(&self, path: &str, content: &[u8]) -> v1::WriteDiffRequest {
        v1::WriteDiffRequest {
            diff_bson: Diff::put_file(content),
            repo: self.repo.clone(),
            branch: self.branch.clone(),
            path: path.to_owned(),
            ..Default::default()
        }
    }

    /// What is the same for all diffs of a change set; they follow it.
    pub fn set_header(&self) -> v1::WriteDiffsRequest {
        v1::WriteDiffsRequest {
            repo: self.repo.clone(),
            branch: self.branch.clone(),
            ..Default::default()
        }
    }

    pub fn read_request(&self, path: &str) -> v1::ReadSnapshotRequest {
        v1::ReadSnapshotRequest {
            repo: self.repo.clone(),
            branch: self.branch.clone(),
            path: path.to_owned(),
            ..Default::default()
        }
    }

    pub async fn write(
        &mut self,
        request: v1::WriteDiffRequest,
    ) -> Result<v1::WriteDiffResponse, Status> {
        Ok(self.raw.write_diff(request).await?.into_inner())
    }

    /// Puts, whatever is there.
    pub async fn overwrite(
        &mut self,
        path: &str,
        content: &[u8],
    ) -> Result<v1::WriteDiffResponse, Status> {
        let mut request = self.put_request(path, content);
        request.on_conflict = v1::OnConflict::Overwrite.into();
        self.write(request).await
    }

    /// Writes a change set in one message.
    pub async fn write_set(
        &mut self,
        diffs: Vec<v1::WriteDiffRequest>,
    ) -> Result<v1::WriteDiffsResponse, Status> {
        let request = v1::WriteDiffsRequest { diffs, ..self.set_header() };
        Ok(self.raw.write_diffs(request).await?.into_inner())
    }

    /// Writes a change set as a stream of these chunks.
    pub async fn stream_set(
        &mut self,
        chunks: Vec<Chunk>,
    ) -> Result<v1::WriteDiffsResponse, Status> {
        let chunks = chunks.into_iter().map(|chunk| v1::WriteDiffsChunk { chunk: Some(chunk) });
        Ok(self.raw.write_diffs_stream(stream::iter(chunks)).await?.into_inner())
    }

    /// Puts a content of any size at a path.
    pub async fn upload(&mut self, path: &str, content: &[u8]) {
        let mut diff = self.put_request(path, b"");
        // `{t: "put"}`: the content follows.
        let mut put = vdom_core::document::DocumentBuilder::new();
        put.append_str("t", "put");
        diff.diff_bson = put.finish();
        let mut chunks = vec![Chunk::Header(self.set_header()), Chunk::Diff(diff)];
        let pieces = content.chunks(1 << 20);
        chunks.extend(pieces.map(|piece| Chunk::Content(piece.to_vec().into())));
        assert!(self.stream_set(chunks).await.expect("written").success);
    }

    pub async fn read(&mut self, path: &str) -> Result<v1::ReadSnapshotResponse, Status> {
        Ok(self.raw.read_snapshot(self.read_request(path)).await?.into_inner())
    }

    /// Reads a content of any size, as of a revision or, with 0, the latest.
    pub async fn download(&mut self, path: &str, revision: u64) -> Vec<u8> {
        let request = v1::ReadSnapshotRequest { revision, ..self.read_request(path) };
        let pieces = self.raw.read_snapshot_stream(request).await;
        let mut pieces = pieces.expect("a stream").into_inner();
        let mut content = Vec::new();
        while let Some(piece) = pieces.message().await.expect("a piece") {
            content.extend_from_slice(&piece.content);
        }
        content
    }

    /// Reads at least as new as `written`.
    pub async fn read_after(
        &mut self,
        path: &str,
        written: &v1::WriteDiffResponse,
    ) -> Result<v1::ReadSnapshotResponse, Status> {
        let mut request = self.read_request(path);
        request.min_revision = written.revision;
        request.min_epoch = written.epoch;
        Ok(self.raw.read_snapshot(request).await?.into_inner())
    }

    pub async fn subscribe(
        &mut self,
        from: Option<(u64, u64)>,
    ) -> Result<Streaming<v1::ChangeEvent>, Status> {
        let (from_epoch, from_revision) = from.unwrap_or_default();
        let request = v1::SubscribeRequest {
            repo: self.repo.clone(),
            branch: self.branch.clone(),
            from_epoch,
            from_revision,
            include_diffs: true,
            ..Default::default()
        };
        Ok(self.raw.subscribe_changes(request).await?.into_inner())
    }
}

/// An operation id that is a number.
pub fn operation_id(number: u64) -> Bytes {
    let mut id = OperationId::default().0;
    id[8..].copy_from_slice(&number.to_be_bytes());
    Bytes::copy_from_slice(&id)
}
