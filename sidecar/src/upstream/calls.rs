//! The calls of the gateway, in the domain's words.

use std::pin::Pin;
use std::task::{Context, Poll};

use futures::{Stream, StreamExt, TryStreamExt};
use tonic::transport::Channel;
use tonic::{Request, Response, Status, Streaming};
use vdom_api::dom::convert::{decode, encode};
use vdom_core::Result;
use vdom_core::dom::calls::{
    BranchPage, BranchSummary, ConflictExplanation, ConflictPage, CreateBranch, DeleteBranch,
    Event, ExplainConflict, GetHistory, HistoryPage, ListBranches, ListConflicts, ListRepos,
    ReadSnapshot, ReadSnapshots, ReadTree, RepoPage, ResolveConflict, ResolveOutcome,
    RevertChanges, SetOutcome, Snapshot, Subscribe, TreeEntry, WriteDiff, WriteOutcome,
};
use vdom_edge::ServiceStream;
use vdom_edge::error::from_status;
use vdom_proto::v1::memory_gateway_client::MemoryGatewayClient;

use super::connections::StreamPlace;
use super::{OnBehalfOf, Upstream};

impl Upstream {
    pub(crate) async fn write_diff(
        &self,
        on_behalf_of: OnBehalfOf<'_>,
        request: &WriteDiff,
    ) -> Result<WriteOutcome> {
        let message = encode::write_diff(request);
        let answer = self.call(on_behalf_of, message, |mut client, request| async move {
            client.write_diff(request).await
        });
        decode::write_outcome(answer.await?)
    }

    /// Reads one node that fits a unary answer.
    pub(crate) async fn read_snapshot(
        &self,
        on_behalf_of: OnBehalfOf<'_>,
        request: &ReadSnapshot,
    ) -> Result<Snapshot> {
        let message = encode::read_snapshot(request);
        let answer = self.call(on_behalf_of, message, |mut client, request| async move {
            client.read_snapshot(request).await
        });
        decode::snapshot(answer.await?)
    }

    pub(crate) async fn read_snapshots(
        &self,
        on_behalf_of: OnBehalfOf<'_>,
        request: &ReadSnapshots,
    ) -> Result<ServiceStream<Snapshot>> {
        let message = encode::read_snapshots(request);
        let snapshots = self.open(on_behalf_of, message, |mut client, request| async move {
            client.read_snapshots(request).await
        });
        Ok(snapshots.await?.and_then(|snapshot| async { decode::snapshot(snapshot) }).boxed())
    }

    pub(crate) async fn read_tree(
        &self,
        on_behalf_of: OnBehalfOf<'_>,
        request: &ReadTree,
    ) -> Result<ServiceStream<TreeEntry>> {
        let message = encode::read_tree(request);
        let entries = self.open(on_behalf_of, message, |mut client, request| async move {
            client.read_tree(request).await
        });
        Ok(entries.await?.and_then(|entry| async { decode::tree_entry(entry) }).boxed())
    }

    pub(crate) async fn subscribe(
        &self,
        on_behalf_of: OnBehalfOf<'_>,
        request: &Subscribe,
    ) -> Result<ServiceStream<Event>> {
        let message = encode::subscribe(request);
        let events = self.open(on_behalf_of, message, |mut client, request| async move {
            client.subscribe_changes(request).await
        });
        Ok(events.await?.and_then(|event| async { decode::event(event) }).boxed())
    }

    pub(crate) async fn history(
        &self,
        on_behalf_of: OnBehalfOf<'_>,
        request: &GetHistory,
    ) -> Result<HistoryPage> {
        let message = encode::get_history(request);
        let answer = self.call(on_behalf_of, message, |mut client, request| async move {
            client.get_history(request).await
        });
        decode::history_page(answer.await?)
    }

    /// Lists the repos of a realm.
    pub(crate) async fn list_repos(
        &self,
        on_behalf_of: OnBehalfOf<'_>,
        request: &ListRepos,
    ) -> Result<RepoPage> {
        let message = encode::list_repos(request);
        let answer = self.call(on_behalf_of, message, |mut client, request| async move {
            client.list_repos(request).await
        });
        Ok(decode::repo_page(answer.await?))
    }

    /// Lists the branches of a repo.
    pub(crate) async fn list_branches(
        &self,
        on_behalf_of: OnBehalfOf<'_>,
        request: &ListBranches,
    ) -> Result<BranchPage> {
        let message = encode::list_branches(request);
        let answer = self.call(on_behalf_of, message, |mut client, request| async move {
            client.list_branches(request).await
        });
        decode::branch_page(answer.await?)
    }

    pub(crate) async fn create_branch(
        &self,
        on_behalf_of: OnBehalfOf<'_>,
        request: &CreateBranch,
    ) -> Result<BranchSummary> {
        let message = encode::create_branch(request);
        let answer = self.call(on_behalf_of, message, |mut client, request| async move {
            client.create_branch(request).await
        });
        decode::branch_summary(answer.await?.branch.unwrap_or_default())
    }

    pub(crate) async fn delete_branch(
        &self,
        on_behalf_of: OnBehalfOf<'_>,
        request: &DeleteBranch,
    ) -> Result<()> {
        let message = encode::delete_branch(request);
        let answer = self.call(on_behalf_of, message, |mut client, request| async move {
            client.delete_branch(request).await
        });
        answer.await.map(drop)
    }

    /// Writes the inverse of a range of changes.
    pub(crate) async fn revert_changes(
        &self,
        on_behalf_of: OnBehalfOf<'_>,
        request: &RevertChanges,
    ) -> Result<SetOutcome> {
        let message = encode::revert_changes(request);
        let answer = self.call(on_behalf_of, message, |mut client, request| async move {
            client.revert_changes(request).await
        });
        decode::set_outcome(answer.await?)
    }

    pub(crate) async fn list_conflicts(
        &self,
        on_behalf_of: OnBehalfOf<'_>,
        request: &ListConflicts,
    ) -> Result<ConflictPage> {
        let message = encode::list_conflicts(request);
        let answer = self.call(on_behalf_of, message, |mut client, request| async move {
            client.list_conflicts(request).await
        });
        decode::conflict_page(answer.await?)
    }

    pub(crate) async fn explain_conflict(
        &self,
        on_behalf_of: OnBehalfOf<'_>,
        request: &ExplainConflict,
    ) -> Result<ConflictExplanation> {
        let message = encode::explain_conflict(request);
        let answer = self.call(on_behalf_of, message, |mut client, request| async move {
            client.explain_conflict(request).await
        });
        decode::conflict_explanation(answer.await?)
    }

    /// Resolves a kept conflict.
    pub(crate) async fn resolve_conflict(
        &self,
        on_behalf_of: OnBehalfOf<'_>,
        request: &ResolveConflict,
    ) -> Result<ResolveOutcome> {
        let message = encode::resolve_conflict(request);
        let answer = self.call(on_behalf_of, message, |mut client, request| async move {
            client.resolve_conflict(request).await
        });
        decode::resolve_outcome(answer.await?)
    }

    /// Makes a call whose answers stream.
    pub(super) async fn open<T, A, F>(
        &self,
        on_behalf_of: OnBehalfOf<'_>,
        message: T,
        send: impl FnOnce(MemoryGatewayClient<Channel>, Request<T>) -> F,
    ) -> Result<Heard<A>>
    where
        F: Future<Output = std::result::Result<Response<Streaming<A>>, Status>>,
    {
        let (client, place) = self.streaming_client()?;
        let answers = self.call_by(client, on_behalf_of, message, send).await?;
        Ok(self.stream(answers, place))
    }

    /// What follows the first answer; its end tells whether the gateway is there.
    pub(super) fn stream<T>(&self, answers: Streaming<T>, place: StreamPlace) -> Heard<T> {
        Heard { upstream: self.clone(), answers, _place: place }
    }
}

/// A stream of answers that takes note of how it ends.
pub(super) struct Heard<T> {
    upstream: Upstream,
    answers: Streaming<T>,
    _place: StreamPlace,
}

impl<T> Stream for Heard<T> {
    type Item = Result<T>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.answers.poll_next_unpin(context).map(|answer| {
            answer.map(|answer| {
                answer.map_err(|status| {
                    self.upstream.note(Some(&status));
                    from_status(&status)
                })
            })
        })
    }
}
