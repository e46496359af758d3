//! The calls of the gateway.

use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use tonic::{Request, Response, Status, Streaming};
use vdom_core::Error;
use vdom_core::dom::diff::Diff;
use vdom_proto::v1 as wire;
use vdom_proto::v1::memory_gateway_server::MemoryGateway;

use super::{CLASH, FakeGateway, REVERTED, State, conflict, refused};

type Answer<T> = Result<Response<T>, Status>;
type AnswerStream<T> = BoxStream<'static, Result<T, Status>>;

/// How often the double says how far it is.
const PROGRESS_EVERY: Duration = Duration::from_millis(50);
/// The one conflict that is kept.
const CONFLICT_ID: [u8; 16] = [5; 16];

#[tonic::async_trait]
impl MemoryGateway for FakeGateway {
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
        let request = request.into_inner();
        let known = self.tell(|state| {
            state.writes.push(request.clone());
            state.operations.get(&request.operation_id).cloned()
        });
        let answer = match known {
            Some(answer) => answer,
            None => self.write(&request).map_err(refused)?,
        };
        self.deliver(answer).await
    }

    async fn write_diffs_stream(
        &self,
        request: Request<Streaming<wire::WriteDiffsChunk>>,
    ) -> Answer<wire::WriteDiffsResponse> {
        use wire::write_diffs_chunk::Chunk;
        let mut chunks = request.into_inner();
        let mut header = wire::WriteDiffsRequest::default();
        let mut diffs: Vec<(wire::WriteDiffRequest, Vec<u8>)> = Vec::new();
        while let Some(chunk) = chunks.next().await {
            match (chunk?.chunk, diffs.last_mut()) {
                (Some(Chunk::Header(head)), _) => header = head,
                (Some(Chunk::Diff(diff)), _) => diffs.push((diff, Vec::new())),
                (Some(Chunk::Content(piece)), Some((_, content))) => {
                    content.extend_from_slice(&piece);
                }
                chunk => return Err(Status::invalid_argument(format!("{chunk:?}"))),
            }
        }
        let diffs = diffs.into_iter().map(|(mut diff, content)| {
            if diff.diff_bson.is_empty() {
                diff.diff_bson = Diff::put_file(&content);
            }
            diff
        });
        self.tell(|state| state.sets.push(header.clone()));
        let answer =
            self.write_set(header.operation_id, &diffs.collect::<Vec<_>>()).map_err(refused)?;
        self.deliver(answer).await
    }

    async fn read_snapshot(
        &self,
        request: Request<wire::ReadSnapshotRequest>,
    ) -> Answer<wire::ReadSnapshotResponse> {
        let token = bearer(&request);
        let request = request.into_inner();
        self.tell(|state| {
            state.reads.push(request.path.clone());
            state.tokens.push(token);
        });
        if let Some(error) = self.state.lock().refusal(request.min_epoch) {
            return Err(refused(error));
        }
        let reached =
            |state: &State| (state.log.len() as u64 >= request.min_revision).then_some(());
        let waited = tokio::time::timeout(Duration::from_secs(3), self.until(reached)).await;
        if waited.is_err() {
            return Err(refused(Error::unavailable("not reached")));
        }
        // As it is now, however long the answer takes.
        let answer = self.state.lock().read(&request);
        self.until(|state| (!state.reads_held).then_some(())).await;
        answer.map(Response::new).map_err(refused)
    }

    async fn read_snapshot_stream(
        &self,
        request: Request<wire::ReadSnapshotRequest>,
    ) -> Answer<Self::ReadSnapshotStreamStream> {
        let mut snapshot = self.state.lock().read(request.get_ref()).map_err(refused)?;
        let content = std::mem::take(&mut snapshot.content);
        let size_bytes = content.len() as u64;
        let head =
            wire::SnapshotChunk { snapshot: Some(snapshot), size_bytes, content: Bytes::new() };
        let pieces: Vec<_> = content
            .chunks(1 << 20)
            .map(|piece| {
                let content = Bytes::copy_from_slice(piece);
                Ok(wire::SnapshotChunk { content, ..Default::default() })
            })
            .collect();
        Ok(Response::new(stream::iter([Ok(head)]).chain(stream::iter(pieces)).boxed()))
    }

    async fn subscribe_changes(
        &self,
        request: Request<wire::SubscribeRequest>,
    ) -> Answer<Self::SubscribeChangesStream> {
        let token = bearer(&request);
        let request = request.into_inner();
        self.tell(|state| state.subscriptions += 1);
        if let Some(error) = self.state.lock().refusal_to_watch(token.as_deref()) {
            return Err(refused(error));
        }
        if let Some(error) = self.state.lock().refusal(request.from_epoch) {
            return Err(refused(error));
        }
        let gateway = self.clone();
        let epoch = request.from_epoch;
        let events = stream::unfold(Some(request.from_revision), move |at| {
            let (gateway, token) = (gateway.clone(), token.clone());
            async move {
                let at = at?;
                let next = gateway.until(|state| {
                    let refusal = state.refusal_to_watch(token.as_deref());
                    if let Some(error) = refusal.or_else(|| state.refusal(epoch)) {
                        return Some(Err(refused(error)));
                    }
                    let held = state.events_held;
                    state.log.get(at as usize).filter(|_| !held).cloned().map(Ok)
                });
                match tokio::time::timeout(PROGRESS_EVERY, next).await {
                    Ok(Ok(change)) => Some((Ok(change), Some(at + 1))),
                    Ok(Err(status)) => Some((Err(status), None)),
                    Err(_) => {
                        let progress = wire::ChangeEvent {
                            r#type: wire::change_event::Type::Progress.into(),
                            epoch,
                            revision: at,
                            ..Default::default()
                        };
                        Some((Ok(progress), Some(at)))
                    }
                }
            }
        });
        Ok(Response::new(events.boxed()))
    }

    async fn read_tree(&self, _: Request<wire::ReadTreeRequest>) -> Answer<Self::ReadTreeStream> {
        Ok(Response::new(stream::empty().boxed()))
    }

    async fn list_repos(
        &self,
        _: Request<wire::ListReposRequest>,
    ) -> Answer<wire::ListReposResponse> {
        let repos = vec![wire::Repo { name: "app".into(), branches: 1 }];
        Ok(Response::new(wire::ListReposResponse { repos, ..Default::default() }))
    }

    async fn list_branches(
        &self,
        _: Request<wire::ListBranchesRequest>,
    ) -> Answer<wire::ListBranchesResponse> {
        Err(not_scripted())
    }

    async fn get_history(
        &self,
        _: Request<wire::GetHistoryRequest>,
    ) -> Answer<wire::GetHistoryResponse> {
        Err(not_scripted())
    }

    async fn write_diffs(
        &self,
        _: Request<wire::WriteDiffsRequest>,
    ) -> Answer<wire::WriteDiffsResponse> {
        Err(not_scripted())
    }

    async fn replay_diffs(
        &self,
        request: Request<Streaming<wire::WriteDiffRequest>>,
    ) -> Answer<Self::ReplayDiffsStream> {
        let gateway = self.clone();
        let answers = request.into_inner().map(move |request| {
            let request = request?;
            gateway.write(&request).map_err(refused)
        });
        Ok(Response::new(answers.boxed()))
    }

    async fn read_snapshots(
        &self,
        request: Request<wire::ReadSnapshotsRequest>,
    ) -> Answer<Self::ReadSnapshotsStream> {
        let state = self.state.lock();
        let nodes = request.get_ref().paths.iter().map(|path| {
            let request = wire::ReadSnapshotRequest { path: path.clone(), ..Default::default() };
            state.read(&request).map_err(refused)
        });
        Ok(Response::new(stream::iter(nodes.collect::<Vec<_>>()).boxed()))
    }

    async fn collaborative_session(
        &self,
        _: Request<Streaming<wire::SessionMessage>>,
    ) -> Answer<Self::CollaborativeSessionStream> {
        Err(not_scripted())
    }

    /// Puts `reverted` at [`REVERTED`].
    async fn revert_changes(
        &self,
        request: Request<wire::RevertChangesRequest>,
    ) -> Answer<wire::WriteDiffsResponse> {
        let operation_id = request.into_inner().operation_id;
        let answer = self.write_set(operation_id, &[put(REVERTED)]).map_err(refused)?;
        self.deliver(answer).await
    }

    async fn list_conflicts(
        &self,
        request: Request<wire::ListConflictsRequest>,
    ) -> Answer<wire::ListConflictsResponse> {
        let request = request.into_inner();
        let kept = wire::StoredConflict {
            conflict_id: CONFLICT_ID.to_vec().into(),
            conflict: Some(conflict()),
            request: Some(wire::WriteDiffRequest {
                repo: request.repo,
                branch: request.branch,
                ..put(CLASH)
            }),
            ..Default::default()
        };
        Ok(Response::new(wire::ListConflictsResponse { conflicts: vec![kept], more: true }))
    }

    async fn explain_conflict(
        &self,
        _: Request<wire::ExplainConflictRequest>,
    ) -> Answer<wire::ExplainConflictResponse> {
        Err(not_scripted())
    }

    /// Writes at [`CLASH`], but for OURS.
    async fn resolve_conflict(
        &self,
        request: Request<wire::ResolveConflictRequest>,
    ) -> Answer<wire::ResolveConflictResponse> {
        let request = request.into_inner();
        let ours = request.resolution() == wire::resolve_conflict_request::Resolution::Ours;
        let diff = wire::WriteDiffRequest { operation_id: request.operation_id, ..put(CLASH) };
        let written = (!ours).then(|| self.write(&diff)).transpose().map_err(refused)?;
        self.deliver(wire::ResolveConflictResponse { written }).await
    }

    async fn create_branch(
        &self,
        request: Request<wire::CreateBranchRequest>,
    ) -> Answer<wire::CreateBranchResponse> {
        let request = request.into_inner();
        let branch = wire::Branch {
            name: request.branch,
            from_branch: request.from_branch,
            from_revision: request.at_revision,
            ..Default::default()
        };
        Ok(Response::new(wire::CreateBranchResponse { branch: Some(branch) }))
    }

    async fn delete_branch(
        &self,
        _: Request<wire::DeleteBranchRequest>,
    ) -> Answer<wire::DeleteBranchResponse> {
        Ok(Response::new(wire::DeleteBranchResponse {}))
    }
}

fn put(path: &str) -> wire::WriteDiffRequest {
    let diff_bson = Diff::put_file(path.as_bytes());
    wire::WriteDiffRequest { path: path.to_owned(), diff_bson, ..Default::default() }
}

fn not_scripted() -> Status {
    Status::unimplemented("not scripted")
}

fn bearer<T>(request: &Request<T>) -> Option<String> {
    let value = request.metadata().get("authorization")?;
    Some(value.to_str().unwrap().to_owned())
}
