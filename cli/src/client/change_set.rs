//! Change sets: small ones in one message, large ones in pieces.

use bytes::Bytes;
use futures::SinkExt;
use futures::channel::mpsc;
use tokio::task::JoinHandle;
use tonic::{Response, Status};
use vdom_core::document::DocumentBuilder;
use vdom_proto::v1::write_diffs_chunk::Chunk;
use vdom_proto::v1::{
    Branch as BranchInfo, CreateBranchRequest, GetHistoryRequest, GetHistoryResponse,
    ListBranchesRequest, RevertChangesRequest, WriteDiffRequest, WriteDiffsChunk,
    WriteDiffsRequest, WriteDiffsResponse,
};

use super::Client;
use crate::exit::{Exit, Failure};

/// How many chunks wait for the connection.
const WAITING_CHUNKS: usize = 4;

impl Client {
    /// Writes a change set that fits one message. Repeats it under the same
    /// operation id while the server is away, so the request must have one.
    pub(crate) async fn write_set(
        &self,
        request: WriteDiffsRequest,
    ) -> Result<WriteDiffsResponse, Failure> {
        let write = || async {
            let answer = self.dom().write_diffs(self.unary(request.clone())).await;
            answer.map(Response::into_inner)
        };
        Ok(self.retrying(write).await?)
    }

    /// Writes the inverse of a range of changes; repeated while the server is away.
    pub(crate) async fn revert(
        &self,
        request: RevertChangesRequest,
    ) -> Result<WriteDiffsResponse, Failure> {
        let revert = || async {
            let answer = self.dom().revert_changes(self.unary(request.clone())).await;
            answer.map(Response::into_inner)
        };
        Ok(self.retrying(revert).await?)
    }

    /// Begins a change set of any size; `header.diffs` stays empty.
    pub(crate) async fn open_set(&self, header: WriteDiffsRequest) -> Result<ChangeSet, Failure> {
        let (chunks, waiting) = mpsc::channel(WAITING_CHUNKS);
        let mut dom = self.dom();
        let answer =
            tokio::spawn(
                async move { dom.write_diffs_stream(waiting).await.map(Response::into_inner) },
            );
        let mut set = ChangeSet { chunks, answer: Some(answer) };
        set.send(Chunk::Header(header)).await?;
        Ok(set)
    }

    /// Creates a branch; repeated while the server is away.
    pub(crate) async fn create_branch(
        &self,
        request: CreateBranchRequest,
    ) -> Result<BranchInfo, Failure> {
        let create = || async {
            let answer = self.dom().create_branch(self.unary(request.clone())).await;
            answer.map(Response::into_inner)
        };
        Ok(self.retrying(create).await?.branch.unwrap_or_default())
    }

    /// The branches of a repo; none where there is no such repo.
    pub(crate) async fn branches(&self, repo: &str) -> Result<Vec<BranchInfo>, Failure> {
        let list = || async {
            let request = ListBranchesRequest { realm: self.realm(), repo: repo.to_owned() };
            let answer = self.dom().list_branches(self.unary(request)).await;
            answer.map(Response::into_inner)
        };
        match self.retrying(list).await.map_err(Failure::from) {
            Ok(listed) => Ok(listed.branches),
            Err(failure) if failure.exit == Exit::NotFound => Ok(Vec::new()),
            Err(failure) => Err(failure),
        }
    }

    /// A page of changes, newest first.
    pub(crate) async fn history(
        &self,
        request: GetHistoryRequest,
    ) -> Result<GetHistoryResponse, Failure> {
        let read = || async {
            let answer = self.dom().get_history(self.unary(request.clone())).await;
            answer.map(Response::into_inner)
        };
        Ok(self.retrying(read).await?)
    }
}

/// A change set that is being sent. Nothing of it is visible before
/// [`ChangeSet::finish`]; dropped before that, nothing ever is.
pub(crate) struct ChangeSet {
    chunks: mpsc::Sender<WriteDiffsChunk>,
    /// Taken when it is known.
    answer: Option<JoinHandle<Result<WriteDiffsResponse, Status>>>,
}

impl ChangeSet {
    /// Sends the next diff.
    pub(crate) async fn diff(&mut self, diff: WriteDiffRequest) -> Result<(), Failure> {
        self.send(Chunk::Diff(diff)).await
    }

    /// Sends the next piece of the content of a `put` without `v`.
    pub(crate) async fn content(&mut self, piece: Bytes) -> Result<(), Failure> {
        self.send(Chunk::Content(piece)).await
    }

    /// Makes it visible, all of it or nothing.
    pub(crate) async fn finish(mut self) -> Result<WriteDiffsResponse, Failure> {
        self.chunks.close_channel();
        self.answered().await
    }

    async fn send(&mut self, chunk: Chunk) -> Result<(), Failure> {
        if self.chunks.send(WriteDiffsChunk { chunk: Some(chunk) }).await.is_ok() {
            return Ok(());
        }
        // The server no longer reads: its answer says why.
        match self.answered().await {
            Ok(_) => Err(Failure::failed("the server answered before it had the whole change set")),
            Err(failure) => Err(failure),
        }
    }

    async fn answered(&mut self) -> Result<WriteDiffsResponse, Failure> {
        let Some(answer) = self.answer.take() else {
            return Err(Failure::failed("the change set has ended"));
        };
        let answer = answer
            .await
            .map_err(|error| Failure::failed(format!("the change set broke off: {error}")))?;
        Ok(answer?)
    }
}

impl Drop for ChangeSet {
    fn drop(&mut self) {
        // A stream that merely ends is a whole change set: break it off instead.
        if let Some(answer) = &self.answer {
            answer.abort();
        }
    }
}

/// `{t: "put"}`, whose content follows in pieces.
pub(crate) fn put_without_content() -> Bytes {
    let mut put = DocumentBuilder::new();
    put.append_str("t", "put");
    put.finish()
}
