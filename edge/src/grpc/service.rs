//! The calls of `virtualdom.v1.MemoryGateway`: each decodes, asks the [`Dom`]
//! and encodes.

use std::sync::Arc;

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use tonic::{Request, Streaming};
use vdom_core::Error;
use vdom_proto::v1 as wire;
use vdom_proto::v1::memory_gateway_server::MemoryGateway;

use super::call::{Answer, AnswerStream, Call, unary, unreadable};
use super::change_set::OneOrAll;
use super::frames::Frames;
use super::server::Compression;
use super::{change_set, from_wire, to_wire};
use crate::answer_size;
use crate::dom::Dom;
use crate::stream::bounded;

/// The gRPC service over a [`Dom`].
pub(super) struct DomService<D> {
    dom: Arc<D>,
    compression: Compression,
}

impl<D> DomService<D> {
    /// A service that asks `dom`.
    pub(super) fn new(dom: Arc<D>, compression: Compression) -> Self {
        Self { dom, compression }
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

    async fn write_diffs(
        &self,
        request: Request<wire::WriteDiffsRequest>,
    ) -> Answer<wire::WriteDiffsResponse> {
        let call = Call::new(&request)?;
        let outcome = async {
            let (set, parts) = change_set::in_one_message(request.into_inner(), call.realm())?;
            self.dom.write_diffs(&call.caller, set, parts).await
        };
        let outcome = answer_size::set_outcome(call.within(outcome).await?);
        Ok(unary(to_wire::set_outcome(outcome)))
    }

    async fn write_diffs_stream(
        &self,
        request: Request<Streaming<wire::WriteDiffsChunk>>,
    ) -> Answer<wire::WriteDiffsResponse> {
        let call = Call::new(&request)?;
        let chunks = request.into_inner().map_err(|status| unreadable(&status));
        let opened = change_set::in_a_stream(chunks, call.realm());
        let (set, parts) = call.within(opened).await?;
        // A server that drains lets what it has begun to take come to its end.
        let parts = bounded(parts, &call.caller, None);
        let outcome = async {
            match change_set::content_to_keep(set, parts).await? {
                OneOrAll::All(set, parts) => self.dom.write_diffs(&call.caller, set, parts).await,
                OneOrAll::One(request, content) => {
                    let outcome = self.dom.write_content(&call.caller, *request, content);
                    outcome.await.map(change_set::set_of_one)
                }
            }
        };
        let outcome = answer_size::set_outcome(call.within_deadline_if_any(outcome).await?);
        Ok(unary(to_wire::set_outcome(outcome)))
    }

    async fn replay_diffs(
        &self,
        request: Request<Streaming<wire::WriteDiffRequest>>,
    ) -> Answer<Self::ReplayDiffsStream> {
        let call = Call::new(&request)?;
        let realm = call.realm().cloned();
        let requests = request.into_inner().map(move |request| {
            let request = request.map_err(|status| unreadable(&status))?;
            from_wire::write_diff(request, realm.as_ref())
        });
        let outcomes = call.within(self.dom.replay_diffs(&call.caller, requests.boxed())).await?;
        Ok(call.stream(outcomes, to_wire::write_outcome))
    }

    async fn revert_changes(
        &self,
        request: Request<wire::RevertChangesRequest>,
    ) -> Answer<wire::WriteDiffsResponse> {
        let call = Call::new(&request)?;
        let outcome = async {
            let request = from_wire::revert_changes(request.into_inner(), call.realm())?;
            self.dom.revert_changes(&call.caller, request).await
        };
        let outcome = answer_size::set_outcome(call.within(outcome).await?);
        Ok(unary(to_wire::set_outcome(outcome)))
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

    async fn read_snapshots(
        &self,
        request: Request<wire::ReadSnapshotsRequest>,
    ) -> Answer<Self::ReadSnapshotsStream> {
        let call = Call::new(&request)?;
        let snapshots = async {
            let request = from_wire::read_snapshots(request.get_ref(), call.realm())?;
            self.dom.read_snapshots(&call.caller, request).await
        };
        let snapshots = call.within(snapshots).await?;
        Ok(call.stream(snapshots, to_wire::snapshot))
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
        let frames = Frames::accepted(request.metadata().as_ref(), self.compression);
        let request = call.decoded(from_wire::subscribe(request.into_inner(), call.realm()))?;
        let events = self.dom.subscribe_encoded(&call.caller, request, frames.encoder());
        let events = call.within(events).await?;
        Ok(call.frames(events, frames))
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

    async fn create_branch(
        &self,
        request: Request<wire::CreateBranchRequest>,
    ) -> Answer<wire::CreateBranchResponse> {
        let call = Call::new(&request)?;
        let branch = async {
            let request = from_wire::create_branch(request.get_ref(), call.realm())?;
            self.dom.create_branch(&call.caller, request).await
        };
        let branch = Some(to_wire::branch_summary(call.within(branch).await?));
        Ok(unary(wire::CreateBranchResponse { branch }))
    }

    async fn delete_branch(
        &self,
        request: Request<wire::DeleteBranchRequest>,
    ) -> Answer<wire::DeleteBranchResponse> {
        let call = Call::new(&request)?;
        let deleted = async {
            let request = from_wire::delete_branch(request.get_ref(), call.realm())?;
            self.dom.delete_branch(&call.caller, request).await
        };
        call.within(deleted).await?;
        Ok(unary(wire::DeleteBranchResponse {}))
    }

    async fn list_conflicts(
        &self,
        request: Request<wire::ListConflictsRequest>,
    ) -> Answer<wire::ListConflictsResponse> {
        let call = Call::new(&request)?;
        let page = async {
            let request = from_wire::list_conflicts(request.get_ref(), call.realm())?;
            self.dom.list_conflicts(&call.caller, request).await
        };
        let page = answer_size::conflict_page(call.within(page).await?);
        Ok(unary(to_wire::conflict_page(page)))
    }

    async fn resolve_conflict(
        &self,
        request: Request<wire::ResolveConflictRequest>,
    ) -> Answer<wire::ResolveConflictResponse> {
        let call = Call::new(&request)?;
        let outcome = async {
            let request = from_wire::resolve_conflict(request.into_inner(), call.realm())?;
            self.dom.resolve_conflict(&call.caller, request).await
        };
        Ok(unary(to_wire::resolve_outcome(call.within(outcome).await?)))
    }

    async fn collaborative_session(
        &self,
        request: Request<Streaming<wire::SessionMessage>>,
    ) -> Answer<Self::CollaborativeSessionStream> {
        let call = Call::new(&request)?;
        Err(call.status(Error::unimplemented("CollaborativeSession")))
    }
}
