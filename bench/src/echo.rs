//! The peer that does nothing: stock tonic that answers `ReadSnapshot` and
//! `WriteDiff` with constants of the same size as ours.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::net::SocketAddr;

use bytes::Bytes;
use prost_types::Timestamp;
use tokio::net::TcpListener;
use tokio_stream::Empty;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status, Streaming};
use vdom_proto::v1::memory_gateway_server::{MemoryGateway, MemoryGatewayServer};
use vdom_proto::v1::{
    AckLevel, ChangeEvent, CreateBranchRequest, CreateBranchResponse, DeleteBranchRequest,
    DeleteBranchResponse, ExplainConflictRequest, ExplainConflictResponse, Freshness,
    GetHistoryRequest, GetHistoryResponse, ListBranchesRequest, ListBranchesResponse,
    ListConflictsRequest, ListConflictsResponse, ListReposRequest, ListReposResponse, NodeKind,
    ReadSnapshotRequest, ReadSnapshotResponse, ReadSnapshotsRequest, ReadTreeRequest,
    ResolveConflictRequest, ResolveConflictResponse, RevertChangesRequest, SessionMessage,
    SessionUpdate, SnapshotChunk, SubscribeRequest, TreeEntry, VectorClock, WriteDiffRequest,
    WriteDiffResponse, WriteDiffsChunk, WriteDiffsRequest, WriteDiffsResponse,
};

use crate::Result;

/// Of the content in an answer, as of the node that the sidecar answers with.
pub(crate) const CONTENT_BYTES: usize = 1_024;

/// Where to listen.
#[derive(clap::Args, Debug)]
pub(crate) struct Arguments {
    /// Port 0 lets the system choose; the address is printed
    #[arg(long, default_value = "127.0.0.1:0", value_name = "ADDRESS")]
    listen: SocketAddr,
}

/// Serves until the process ends.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind(arguments.listen).await?;
        writeln!(io::stdout(), "{}", listener.local_addr()?)?;
        let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
        let service = MemoryGatewayServer::new(Echo { snapshot: snapshot(), written: written() });
        Ok(Server::builder().add_service(service).serve_with_incoming(incoming).await?)
    })
}

struct Echo {
    snapshot: ReadSnapshotResponse,
    written: WriteDiffResponse,
}

/// The fields that are filled for a node with one change.
fn snapshot() -> ReadSnapshotResponse {
    let actor = "bench".to_owned();
    ReadSnapshotResponse {
        node_id: Bytes::from_static(&[7; 16]),
        content: Bytes::from(vec![b'x'; CONTENT_BYTES]),
        version: 1,
        vector_clock: Some(VectorClock { entries: BTreeMap::from([(actor.clone(), 1)]) }),
        epoch: 1_790_000_000_000,
        revision: 1,
        author: actor,
        timestamp: Some(Timestamp { seconds: 1_790_000_000, nanos: 123_000_000 }),
        kind: NodeKind::File.into(),
        path: "node-0000".to_owned(),
        freshness: Some(Freshness { age_ms: 500, stale: false, source: 2 }),
        changed_revision: 1,
        ..ReadSnapshotResponse::default()
    }
}

/// The fields that are filled for an accepted write.
fn written() -> WriteDiffResponse {
    WriteDiffResponse {
        success: true,
        new_version: 1,
        node_id: Bytes::from_static(&[7; 16]),
        epoch: 1_790_000_000_000,
        revision: 1,
        vector_clock: Some(VectorClock { entries: BTreeMap::from([("bench".to_owned(), 1)]) }),
        ack: AckLevel::Committed.into(),
        timestamp: Some(Timestamp { seconds: 1_790_000_000, nanos: 123_000_000 }),
        operation_id: Bytes::from_static(&[8; 16]),
        ..WriteDiffResponse::default()
    }
}

type Answered<T> = std::result::Result<Response<T>, Status>;

fn not_here<T>() -> Answered<T> {
    Err(Status::unimplemented("the echo answers ReadSnapshot and WriteDiff alone"))
}

#[tonic::async_trait]
impl MemoryGateway for Echo {
    type ReplayDiffsStream = Empty<std::result::Result<WriteDiffResponse, Status>>;
    type ReadSnapshotsStream = Empty<std::result::Result<ReadSnapshotResponse, Status>>;
    type ReadSnapshotStreamStream = Empty<std::result::Result<SnapshotChunk, Status>>;
    type ReadTreeStream = Empty<std::result::Result<TreeEntry, Status>>;
    type SubscribeChangesStream = Empty<std::result::Result<ChangeEvent, Status>>;
    type CollaborativeSessionStream = Empty<std::result::Result<SessionUpdate, Status>>;

    async fn read_snapshot(
        &self,
        _: Request<ReadSnapshotRequest>,
    ) -> Answered<ReadSnapshotResponse> {
        Ok(Response::new(self.snapshot.clone()))
    }

    async fn write_diff(&self, _: Request<WriteDiffRequest>) -> Answered<WriteDiffResponse> {
        Ok(Response::new(self.written.clone()))
    }

    async fn write_diffs(&self, _: Request<WriteDiffsRequest>) -> Answered<WriteDiffsResponse> {
        not_here()
    }

    async fn write_diffs_stream(
        &self,
        _: Request<Streaming<WriteDiffsChunk>>,
    ) -> Answered<WriteDiffsResponse> {
        not_here()
    }

    async fn replay_diffs(
        &self,
        _: Request<Streaming<WriteDiffRequest>>,
    ) -> Answered<Self::ReplayDiffsStream> {
        not_here()
    }

    async fn read_snapshots(
        &self,
        _: Request<ReadSnapshotsRequest>,
    ) -> Answered<Self::ReadSnapshotsStream> {
        not_here()
    }

    async fn read_snapshot_stream(
        &self,
        _: Request<ReadSnapshotRequest>,
    ) -> Answered<Self::ReadSnapshotStreamStream> {
        not_here()
    }

    async fn read_tree(&self, _: Request<ReadTreeRequest>) -> Answered<Self::ReadTreeStream> {
        not_here()
    }

    async fn subscribe_changes(
        &self,
        _: Request<SubscribeRequest>,
    ) -> Answered<Self::SubscribeChangesStream> {
        not_here()
    }

    async fn collaborative_session(
        &self,
        _: Request<Streaming<SessionMessage>>,
    ) -> Answered<Self::CollaborativeSessionStream> {
        not_here()
    }

    async fn get_history(&self, _: Request<GetHistoryRequest>) -> Answered<GetHistoryResponse> {
        not_here()
    }

    async fn revert_changes(
        &self,
        _: Request<RevertChangesRequest>,
    ) -> Answered<WriteDiffsResponse> {
        not_here()
    }

    async fn list_conflicts(
        &self,
        _: Request<ListConflictsRequest>,
    ) -> Answered<ListConflictsResponse> {
        not_here()
    }

    async fn explain_conflict(
        &self,
        _: Request<ExplainConflictRequest>,
    ) -> Answered<ExplainConflictResponse> {
        not_here()
    }

    async fn resolve_conflict(
        &self,
        _: Request<ResolveConflictRequest>,
    ) -> Answered<ResolveConflictResponse> {
        not_here()
    }

    async fn list_repos(&self, _: Request<ListReposRequest>) -> Answered<ListReposResponse> {
        not_here()
    }

    async fn list_branches(
        &self,
        _: Request<ListBranchesRequest>,
    ) -> Answered<ListBranchesResponse> {
        not_here()
    }

    async fn create_branch(
        &self,
        _: Request<CreateBranchRequest>,
    ) -> Answered<CreateBranchResponse> {
        not_here()
    }

    async fn delete_branch(
        &self,
        _: Request<DeleteBranchRequest>,
    ) -> Answered<DeleteBranchResponse> {
        not_here()
    }
}
