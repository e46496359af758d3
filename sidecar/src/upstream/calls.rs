//! The calls of the gateway, in the domain's words.

use std::pin::Pin;
use std::task::{Context, Poll};

use futures::{Stream, StreamExt, TryStreamExt};
use tonic::Streaming;
use vdom_core::calls::{
    BranchSummary, Event, GetHistory, HistoryPage, ReadSnapshot, ReadTree, RepoSummary, Snapshot,
    Subscribe, TreeEntry, WriteDiff, WriteOutcome,
};
use vdom_core::{RealmName, RepoName, Result};
use vdom_edge::DomStream;
use vdom_edge::error::from_status;
use vdom_edge::grpc::{from_wire, to_wire};

use super::{OnBehalfOf, Upstream};

impl Upstream {
    /// Writes one diff.
    pub(crate) async fn write_diff(
        &self,
        on_behalf_of: OnBehalfOf<'_>,
        request: &WriteDiff,
    ) -> Result<WriteOutcome> {
        let message = to_wire::write_diff(request);
        let answer = self.call(on_behalf_of, message, |mut client, request| async move {
            client.write_diff(request).await
        });
        from_wire::write_outcome(answer.await?)
    }

    /// Reads one node that fits a unary answer.
    pub(crate) async fn read_snapshot(
        &self,
        on_behalf_of: OnBehalfOf<'_>,
        request: &ReadSnapshot,
    ) -> Result<Snapshot> {
        let message = to_wire::read_snapshot(request);
        let answer = self.call(on_behalf_of, message, |mut client, request| async move {
            client.read_snapshot(request).await
        });
        from_wire::snapshot(answer.await?)
    }

    /// Reads a subtree.
    pub(crate) async fn read_tree(
        &self,
        on_behalf_of: OnBehalfOf<'_>,
        request: &ReadTree,
    ) -> Result<DomStream<TreeEntry>> {
        let message = to_wire::read_tree(request);
        let entries = self.call(on_behalf_of, message, |mut client, request| async move {
            client.read_tree(request).await
        });
        Ok(self
            .stream(entries.await?)
            .and_then(|entry| async { from_wire::tree_entry(entry) })
            .boxed())
    }

    /// Watches a branch.
    pub(crate) async fn subscribe(
        &self,
        on_behalf_of: OnBehalfOf<'_>,
        request: &Subscribe,
    ) -> Result<DomStream<Event>> {
        let message = to_wire::subscribe(request);
        let events = self.call(on_behalf_of, message, |mut client, request| async move {
            client.subscribe_changes(request).await
        });
        Ok(self.stream(events.await?).and_then(|event| async { from_wire::event(event) }).boxed())
    }

    /// Lists changes.
    pub(crate) async fn history(
        &self,
        on_behalf_of: OnBehalfOf<'_>,
        request: &GetHistory,
    ) -> Result<HistoryPage> {
        let message = to_wire::get_history(request);
        let answer = self.call(on_behalf_of, message, |mut client, request| async move {
            client.get_history(request).await
        });
        from_wire::history_page(answer.await?)
    }

    /// Lists the repos of a realm.
    pub(crate) async fn list_repos(
        &self,
        on_behalf_of: OnBehalfOf<'_>,
        realm: &RealmName,
    ) -> Result<Vec<RepoSummary>> {
        let message = to_wire::list_repos(realm);
        let answer = self.call(on_behalf_of, message, |mut client, request| async move {
            client.list_repos(request).await
        });
        Ok(answer.await?.repos.into_iter().map(from_wire::repo_summary).collect())
    }

    /// Lists the branches of a repo.
    pub(crate) async fn list_branches(
        &self,
        on_behalf_of: OnBehalfOf<'_>,
        realm: &RealmName,
        repo: &RepoName,
    ) -> Result<Vec<BranchSummary>> {
        let message = to_wire::list_branches(realm, repo);
        let answer = self.call(on_behalf_of, message, |mut client, request| async move {
            client.list_branches(request).await
        });
        answer.await?.branches.into_iter().map(from_wire::branch_summary).collect()
    }

    /// What follows the first answer; its end tells whether the gateway is there.
    pub(super) fn stream<T>(&self, answers: Streaming<T>) -> Heard<T> {
        Heard { upstream: self.clone(), answers }
    }
}

/// A stream of answers that takes note of how it ends.
pub(super) struct Heard<T> {
    upstream: Upstream,
    answers: Streaming<T>,
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
