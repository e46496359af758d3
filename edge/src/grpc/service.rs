//! The calls of `virtualdom.v1.MemoryGateway`: each decodes, asks the [`Dom`]
//! and encodes.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};
use tonic::{Request, Response, Status, Streaming};
use vdom_core::calls::WriteOutcome;
use vdom_core::limits::COMPRESS_ABOVE_BYTES;
use vdom_core::{Error, RealmName, Result};
use vdom_proto::v1 as wire;
use vdom_proto::v1::memory_gateway_server::MemoryGateway;

use super::server::library_refusal;
use super::{from_wire, to_wire, write_stream};
use crate::caller::{self, Caller};
use crate::deadline;
use crate::dom::{Dom, DomStream};
use crate::error::{from_status, to_status};
use crate::stream::{Draining, bounded};

type Answer<T> = std::result::Result<Response<T>, Status>;
type AnswerStream<T> = BoxStream<'static, std::result::Result<T, Status>>;

/// The gRPC service over a [`Dom`].
pub(super) struct DomService<D> {
    dom: Arc<D>,
}

impl<D> DomService<D> {
    /// A service that asks `dom`.
    pub(super) fn new(dom: Arc<D>) -> Self {
        Self { dom }
    }
}

#[tonic::async_trait]
impl<D: Dom> MemoryGateway for DomService<D> {
    type ReplayDiffsStream = AnswerStream<wire::WriteDiffResponse>;
    type ReadSnapshotsStream = AnswerStream<wire::ReadSnapshotResponse>;
    type ReadSnapshotStreamStream = AnswerStream<wire::SnapshotChunk>;
    type ReadTreeStream = AnswerStream<wire::TreeEntry>;
    type SubscribeChangesStream = AnswerStream<wire::ChangeEvent>;
    type CollaborativeSessionStream = AnswerStream<wire::SessionUpdate>;

    async fn write_diff(
        &self,
        request: Request<wire::WriteDiffRequest>,
    ) -> Answer<wire::WriteDiffResponse> {
        let call = Call::new(&request)?;
        let outcome = async {
            let request = from_wire::write_diff(request.into_inner(), call.realm())?;
            self.dom.write_diff(&call.caller, request).await
        };
        Ok(unary(to_wire::write_outcome(call.within(outcome).await?)))
    }

    async fn write_diffs_stream(
        &self,
        request: Request<Streaming<wire::WriteDiffsChunk>>,
    ) -> Answer<wire::WriteDiffsResponse> {
        let call = Call::new(&request)?;
        let chunks = request.into_inner().map_err(|status| unreadable(&status));
        let outcome = match call.within(write_stream::open(chunks.boxed(), call.realm())).await? {
            write_stream::Opened::Whole(request) => {
                call.within(self.dom.write_diff(&call.caller, request)).await?
            }
            write_stream::Opened::InPieces(request, content) => {
                let write = self.dom.write_content(&call.caller, request, content);
                call.within_deadline_if_any(write).await?
            }
        };
        Ok(unary(change_set_of_one(outcome)))
    }

    async fn read_snapshot(
        &self,
        request: Request<wire::ReadSnapshotRequest>,
    ) -> Answer<wire::ReadSnapshotResponse> {
        let call = Call::new(&request)?;
        let snapshot = async {
            let request = from_wire::read_snapshot(request.get_ref(), call.realm())?;
            self.dom.read_snapshot(&call.caller, request).await
        };
        Ok(unary(to_wire::snapshot(call.within(snapshot).await?)))
    }

    async fn read_snapshot_stream(
        &self,
        request: Request<wire::ReadSnapshotRequest>,
    ) -> Answer<Self::ReadSnapshotStreamStream> {
        let call = Call::new(&request)?;
        let content = async {
            let request = from_wire::read_snapshot(request.get_ref(), call.realm())?;
            self.dom.read_content(&call.caller, request).await
        };
        let (snapshot, size_bytes, pieces) = call.within(content).await?;
        let head = wire::SnapshotChunk {
            snapshot: Some(to_wire::snapshot_head(snapshot)),
            size_bytes,
            content: Bytes::new(),
        };
        let pieces = pieces.map_ok(|content| wire::SnapshotChunk { content, ..Default::default() });
        let chunks = stream::iter([Ok(head)]).chain(pieces).boxed();
        Ok(call.stream(chunks, |chunk| chunk))
    }

    async fn read_tree(
        &self,
        request: Request<wire::ReadTreeRequest>,
    ) -> Answer<Self::ReadTreeStream> {
        let call = Call::new(&request)?;
        let entries = async {
            let request = from_wire::read_tree(request.get_ref(), call.realm())?;
            self.dom.read_tree(&call.caller, request).await
        };
        let entries = call.within(entries).await?;
        Ok(call.stream(entries, to_wire::tree_entry))
    }

    async fn subscribe_changes(
        &self,
        request: Request<wire::SubscribeRequest>,
    ) -> Answer<Self::SubscribeChangesStream> {
        let call = Call::new(&request)?;
        let request = call.decoded(from_wire::subscribe(request.into_inner(), call.realm()))?;
        let address = request.address.clone();
        let with_diffs = request.include_diffs;
        let events = call.within(self.dom.subscribe(&call.caller, request)).await?;
        let mut answer = call.stream(events, move |event| to_wire::event(event, &address));
        if !with_diffs {
            // An event without its diff is too small to gain from it.
            answer.disable_compression();
        }
        Ok(answer)
    }

    async fn get_history(
        &self,
        request: Request<wire::GetHistoryRequest>,
    ) -> Answer<wire::GetHistoryResponse> {
        let call = Call::new(&request)?;
        let request = call.decoded(from_wire::get_history(request.get_ref(), call.realm()))?;
        let address = request.address.clone();
        let page = call.within(self.dom.history(&call.caller, request)).await?;
        Ok(unary(to_wire::history_page(page, &address)))
    }

    async fn list_repos(
        &self,
        request: Request<wire::ListReposRequest>,
    ) -> Answer<wire::ListReposResponse> {
        let call = Call::new(&request)?;
        let repos = async {
            let realm = from_wire::list_repos(request.get_ref(), call.realm())?;
            self.dom.list_repos(&call.caller, realm).await
        };
        let repos = call.within(repos).await?.into_iter().map(to_wire::repo_summary).collect();
        Ok(unary(wire::ListReposResponse { repos }))
    }

    async fn list_branches(
        &self,
        request: Request<wire::ListBranchesRequest>,
    ) -> Answer<wire::ListBranchesResponse> {
        let call = Call::new(&request)?;
        let branches = async {
            let (realm, repo) = from_wire::list_branches(request.get_ref(), call.realm())?;
            self.dom.list_branches(&call.caller, realm, repo).await
        };
        let branches =
            call.within(branches).await?.into_iter().map(to_wire::branch_summary).collect();
        Ok(unary(wire::ListBranchesResponse { branches }))
    }

    async fn write_diffs(
        &self,
        request: Request<wire::WriteDiffsRequest>,
    ) -> Answer<wire::WriteDiffsResponse> {
        not_offered(&request, "WriteDiffs")
    }

    async fn replay_diffs(
        &self,
        request: Request<Streaming<wire::WriteDiffRequest>>,
    ) -> Answer<Self::ReplayDiffsStream> {
        not_offered(&request, "ReplayDiffs")
    }

    async fn read_snapshots(
        &self,
        request: Request<wire::ReadSnapshotsRequest>,
    ) -> Answer<Self::ReadSnapshotsStream> {
        not_offered(&request, "ReadSnapshots")
    }

    async fn collaborative_session(
        &self,
        request: Request<Streaming<wire::SessionMessage>>,
    ) -> Answer<Self::CollaborativeSessionStream> {
        not_offered(&request, "CollaborativeSession")
    }

    async fn revert_changes(
        &self,
        request: Request<wire::RevertChangesRequest>,
    ) -> Answer<wire::WriteDiffsResponse> {
        not_offered(&request, "RevertChanges")
    }

    async fn list_conflicts(
        &self,
        request: Request<wire::ListConflictsRequest>,
    ) -> Answer<wire::ListConflictsResponse> {
        not_offered(&request, "ListConflicts")
    }

    async fn resolve_conflict(
        &self,
        request: Request<wire::ResolveConflictRequest>,
    ) -> Answer<wire::ResolveConflictResponse> {
        not_offered(&request, "ResolveConflict")
    }

    async fn create_branch(
        &self,
        request: Request<wire::CreateBranchRequest>,
    ) -> Answer<wire::CreateBranchResponse> {
        not_offered(&request, "CreateBranch")
    }

    async fn delete_branch(
        &self,
        request: Request<wire::DeleteBranchRequest>,
    ) -> Answer<wire::DeleteBranchResponse> {
        not_offered(&request, "DeleteBranch")
    }
}

/// One call: who makes it, and how it ends.
struct Call {
    caller: Caller,
    deadline: Instant,
    draining: Option<Draining>,
}

impl Call {
    /// A call whose answer, or whose stream's beginning, has a deadline; what
    /// follows of a stream has only the one that the caller names.
    fn new<T>(request: &Request<T>) -> std::result::Result<Self, Status> {
        let extensions = request.extensions();
        let caller = caller::of(extensions)
            .map_err(|error| to_status(error, &caller::request_id(extensions)))?;
        Ok(Self {
            deadline: deadline::of_answer(&caller),
            draining: extensions.get::<Draining>().cloned(),
            caller,
        })
    }

    fn realm(&self) -> Option<&RealmName> {
        self.caller.realm.as_ref()
    }

    fn decoded<T>(&self, request: Result<T>) -> std::result::Result<T, Status> {
        request.map_err(|error| self.status(error))
    }

    async fn within<T>(
        &self,
        call: impl Future<Output = Result<T>>,
    ) -> std::result::Result<T, Status> {
        deadline::within(self.deadline, call).await.map_err(|error| self.status(error))
    }

    async fn within_deadline_if_any<T>(
        &self,
        call: impl Future<Output = Result<T>>,
    ) -> std::result::Result<T, Status> {
        match self.caller.deadline {
            Some(_) => self.within(call).await,
            None => call.await.map_err(|error| self.status(error)),
        }
    }

    fn status(&self, error: Error) -> Status {
        to_status(error, &self.caller.request_id)
    }

    fn stream<T, A>(
        self,
        items: DomStream<T>,
        encode: impl Fn(T) -> A + Send + 'static,
    ) -> Response<AnswerStream<A>>
    where
        T: Send + 'static,
        A: Send + 'static,
    {
        let request_id = Arc::clone(&self.caller.request_id);
        let answers = bounded(items, &self.caller, self.draining)
            .map(move |item| item.map(&encode).map_err(|error| to_status(error, &request_id)));
        Response::new(answers.boxed())
    }
}

/// A unary answer; small ones are not worth compressing.
fn unary<T: prost::Message>(answer: T) -> Response<T> {
    let small = answer.encoded_len() <= COMPRESS_ABOVE_BYTES;
    let mut response = Response::new(answer);
    if small {
        response.disable_compression();
    }
    response
}

/// Why the next message of a request's stream cannot be read.
fn unreadable(status: &Status) -> Error {
    library_refusal(status).unwrap_or_else(|| from_status(status))
}

fn not_offered<T, A>(request: &Request<T>, call: &str) -> Answer<A> {
    Err(Call::new(request)?.status(Error::unimplemented(call)))
}

fn change_set_of_one(outcome: WriteOutcome) -> wire::WriteDiffsResponse {
    let result = to_wire::write_outcome(outcome);
    wire::WriteDiffsResponse {
        success: result.success,
        epoch: result.epoch,
        first_revision: result.revision,
        last_revision: result.revision,
        ack: result.ack,
        timestamp: result.timestamp,
        operation_id: result.operation_id.clone(),
        results: vec![result],
    }
}
