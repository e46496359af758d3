//! The calls of `virtualdom.v1.MemoryGateway`: each decodes, asks the [`DocumentService`]
//! and encodes.

use std::sync::Arc;

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use tonic::{Request, Streaming};
use vdom_core::Error;
use vdom_proto::v1 as wire;
use vdom_proto::v1::memory_gateway_server::MemoryGateway;

use super::call::{Call, ResponseStream, UnaryResult, unary, unreadable};
use super::change_set;
use super::change_set::OneOrAll;
use crate::dom::DocumentService;
use crate::dom::convert::{decode, encode};
use crate::dom::response_limit;
use vdom_edge::stream::until_deadline;

/// The gRPC service over a [`DocumentService`].
pub(super) struct DocumentCalls<D> {
    dom: Arc<D>,
}

impl<D> DocumentCalls<D> {
    /// A service that asks `dom`.
    pub(super) fn new(dom: Arc<D>) -> Self {
        Self { dom }
    }
}

#[tonic::async_trait]
impl<D: DocumentService> MemoryGateway for DocumentCalls<D> {
    type ReplayDiffsStream = ResponseStream<wire::WriteDiffResponse>;
    type ReadSnapshotsStream = ResponseStream<wire::ReadSnapshotResponse>;
    type ReadSnapshotStreamStream = ResponseStream<wire::SnapshotChunk>;
    type ReadTreeStream = ResponseStream<wire::TreeEntry>;
    type SubscribeChangesStream = ResponseStream<wire::ChangeEvent>;
    type CollaborativeSessionStream = ResponseStream<wire::SessionUpdate>;

    async fn write_diff(
        &self,
        request: Request<wire::WriteDiffRequest>,
    ) -> UnaryResult<wire::WriteDiffResponse> {
        let call = Call::new(request.extensions())?;
        // Before anything waits, so that what waits does not hold the message.
        let request = call.decoded(decode::write_diff(request.into_inner(), call.realm()))?;
        let outcome = call.within(self.dom.write_diff(&call.caller, request)).await?;
        Ok(unary(encode::write_outcome(outcome)))
    }

    async fn write_diffs(
        &self,
        request: Request<wire::WriteDiffsRequest>,
    ) -> UnaryResult<wire::WriteDiffsResponse> {
        let call = Call::new(request.extensions())?;
        let outcome = async {
            let (set, parts) = change_set::in_one_message(request.into_inner(), call.realm())?;
            self.dom.write_diffs(&call.caller, set, parts).await
        };
        let outcome = response_limit::set_outcome(call.within(outcome).await?);
        Ok(unary(encode::set_outcome(outcome)))
    }

    async fn write_diffs_stream(
        &self,
        request: Request<Streaming<wire::WriteDiffsChunk>>,
    ) -> UnaryResult<wire::WriteDiffsResponse> {
        let call = Call::new(request.extensions())?;
        let chunks = request.into_inner().map_err(|status| unreadable(&status));
        let opened = change_set::in_a_stream(chunks, call.realm());
        let (set, parts) = call.within(opened).await?;
        // A server that drains lets what it has begun to take come to its end.
        let parts = until_deadline(parts, &call.caller, None);
        let outcome = async {
            match change_set::content_to_keep(set, parts).await? {
                OneOrAll::All(set, parts) => self.dom.write_diffs(&call.caller, set, parts).await,
                OneOrAll::One(request, content) => {
                    let outcome = self.dom.write_content(&call.caller, *request, content);
                    outcome.await.map(change_set::set_of_one)
                }
            }
        };
        let outcome = response_limit::set_outcome(call.within_deadline_if_any(outcome).await?);
        Ok(unary(encode::set_outcome(outcome)))
    }

    async fn replay_diffs(
        &self,
        request: Request<Streaming<wire::WriteDiffRequest>>,
    ) -> UnaryResult<Self::ReplayDiffsStream> {
        let call = Call::new(request.extensions())?;
        let realm = call.realm().cloned();
        let requests = request.into_inner().map(move |request| {
            let request = request.map_err(|status| unreadable(&status))?;
            decode::write_diff(request, realm.as_ref())
        });
        let outcomes = call.within(self.dom.replay_diffs(&call.caller, requests.boxed())).await?;
        Ok(call.stream(outcomes, encode::write_outcome))
    }

    async fn revert_changes(
        &self,
        request: Request<wire::RevertChangesRequest>,
    ) -> UnaryResult<wire::WriteDiffsResponse> {
        let call = Call::new(request.extensions())?;
        let outcome = async {
            let request = decode::revert_changes(request.into_inner(), call.realm())?;
            self.dom.revert_changes(&call.caller, request).await
        };
        let outcome = response_limit::set_outcome(call.within(outcome).await?);
        Ok(unary(encode::set_outcome(outcome)))
    }

    async fn read_snapshot(
        &self,
        request: Request<wire::ReadSnapshotRequest>,
    ) -> UnaryResult<wire::ReadSnapshotResponse> {
        let call = Call::new(request.extensions())?;
        let request = call.decoded(decode::read_snapshot(request.get_ref(), call.realm()))?;
        let waits = request.at.waits();
        let snapshot = self.dom.read_snapshot(&call.caller, request);
        Ok(unary(encode::snapshot(call.read(waits, snapshot).await?)))
    }

    async fn read_snapshots(
        &self,
        request: Request<wire::ReadSnapshotsRequest>,
    ) -> UnaryResult<Self::ReadSnapshotsStream> {
        let call = Call::new(request.extensions())?;
        let request = call.decoded(decode::read_snapshots(request.get_ref(), call.realm()))?;
        let waits = request.at.waits();
        let snapshots = self.dom.read_snapshots(&call.caller, request);
        let snapshots = call.read(waits, snapshots).await?;
        Ok(call.stream(snapshots, encode::snapshot))
    }

    async fn read_snapshot_stream(
        &self,
        request: Request<wire::ReadSnapshotRequest>,
    ) -> UnaryResult<Self::ReadSnapshotStreamStream> {
        let call = Call::new(request.extensions())?;
        let request = call.decoded(decode::read_snapshot(request.get_ref(), call.realm()))?;
        let waits = request.at.waits();
        let content = self.dom.read_content(&call.caller, request);
        let (snapshot, size_bytes, pieces) = call.read(waits, content).await?;
        let head = wire::SnapshotChunk {
            snapshot: Some(encode::snapshot_head(snapshot)),
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
    ) -> UnaryResult<Self::ReadTreeStream> {
        let call = Call::new(request.extensions())?;
        let request = call.decoded(decode::read_tree(request.get_ref(), call.realm()))?;
        let waits = request.at.waits();
        let entries = self.dom.read_tree(&call.caller, request);
        let entries = call.read(waits, entries).await?;
        Ok(call.stream(entries, encode::tree_entry))
    }

    async fn subscribe_changes(
        &self,
        request: Request<wire::SubscribeRequest>,
    ) -> UnaryResult<Self::SubscribeChangesStream> {
        let call = Call::new(request.extensions())?;
        // Answered in front of the library.
        Err(call.status(Error::internal("SubscribeChanges without its own route")))
    }

    async fn get_history(
        &self,
        request: Request<wire::GetHistoryRequest>,
    ) -> UnaryResult<wire::GetHistoryResponse> {
        let call = Call::new(request.extensions())?;
        let request = call.decoded(decode::get_history(request.get_ref(), call.realm()))?;
        let address = request.address.clone();
        let page = call.within(self.dom.history(&call.caller, request)).await?;
        let page = response_limit::history_page(page);
        Ok(unary(encode::history_page(page, &address)))
    }

    async fn list_repos(
        &self,
        request: Request<wire::ListReposRequest>,
    ) -> UnaryResult<wire::ListReposResponse> {
        let call = Call::new(request.extensions())?;
        let request = call.decoded(decode::list_repos(request.get_ref(), call.realm()))?;
        let page = call.within(self.dom.list_repos(&call.caller, request)).await?;
        Ok(unary(encode::repo_page(page)))
    }

    async fn list_branches(
        &self,
        request: Request<wire::ListBranchesRequest>,
    ) -> UnaryResult<wire::ListBranchesResponse> {
        let call = Call::new(request.extensions())?;
        let request = call.decoded(decode::list_branches(request.get_ref(), call.realm()))?;
        let page = call.within(self.dom.list_branches(&call.caller, request)).await?;
        Ok(unary(encode::branch_page(page)))
    }

    async fn create_branch(
        &self,
        request: Request<wire::CreateBranchRequest>,
    ) -> UnaryResult<wire::CreateBranchResponse> {
        let call = Call::new(request.extensions())?;
        let branch = async {
            let request = decode::create_branch(request.get_ref(), call.realm())?;
            self.dom.create_branch(&call.caller, request).await
        };
        let branch = Some(encode::branch_summary(call.within(branch).await?));
        Ok(unary(wire::CreateBranchResponse { branch }))
    }

    async fn delete_branch(
        &self,
        request: Request<wire::DeleteBranchRequest>,
    ) -> UnaryResult<wire::DeleteBranchResponse> {
        let call = Call::new(request.extensions())?;
        let deleted = async {
            let request = decode::delete_branch(request.get_ref(), call.realm())?;
            self.dom.delete_branch(&call.caller, request).await
        };
        call.within(deleted).await?;
        Ok(unary(wire::DeleteBranchResponse {}))
    }

    async fn list_conflicts(
        &self,
        request: Request<wire::ListConflictsRequest>,
    ) -> UnaryResult<wire::ListConflictsResponse> {
        let call = Call::new(request.extensions())?;
        let page = async {
            let request = decode::list_conflicts(request.get_ref(), call.realm())?;
            self.dom.list_conflicts(&call.caller, request).await
        };
        let page = response_limit::conflict_page(call.within(page).await?);
        Ok(unary(encode::conflict_page(page)))
    }

    async fn explain_conflict(
        &self,
        request: Request<wire::ExplainConflictRequest>,
    ) -> UnaryResult<wire::ExplainConflictResponse> {
        let call = Call::new(request.extensions())?;
        let explanation = async {
            let request = decode::explain_conflict(request.get_ref(), call.realm())?;
            self.dom.explain_conflict(&call.caller, request).await
        };
        let explanation = response_limit::conflict_explanation(call.within(explanation).await?);
        Ok(unary(encode::conflict_explanation(explanation)))
    }

    async fn resolve_conflict(
        &self,
        request: Request<wire::ResolveConflictRequest>,
    ) -> UnaryResult<wire::ResolveConflictResponse> {
        let call = Call::new(request.extensions())?;
        let outcome = async {
            let request = decode::resolve_conflict(request.into_inner(), call.realm())?;
            self.dom.resolve_conflict(&call.caller, request).await
        };
        Ok(unary(encode::resolve_outcome(call.within(outcome).await?)))
    }

    async fn collaborative_session(
        &self,
        request: Request<Streaming<wire::SessionMessage>>,
    ) -> UnaryResult<Self::CollaborativeSessionStream> {
        let call = Call::new(request.extensions())?;
        Err(call.status(Error::unimplemented("CollaborativeSession")))
    }
}
