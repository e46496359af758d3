//! A gateway for tests: small, in memory, and with faults on demand.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use parking_lot::Mutex;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_stream::wrappers::TcpListenerStream;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, Streaming};
use vdom_core::diff::{self, Diff, NewContent};
use vdom_core::{Error, ErrorCode, NodeKind};
use vdom_edge::error::to_status;
use vdom_proto::v1 as wire;
use vdom_proto::v1::memory_gateway_server::{MemoryGateway, MemoryGatewayServer};

type Answer<T> = Result<Response<T>, Status>;
type AnswerStream<T> = BoxStream<'static, Result<T, Status>>;

/// How often the double says how far it is.
const PROGRESS_EVERY: Duration = Duration::from_millis(50);

/// The double. Clones are the same gateway.
#[derive(Clone)]
pub(crate) struct Double {
    state: Arc<Mutex<State>>,
    /// Counts whatever a waiting call may want to look at again.
    news: watch::Sender<u64>,
    /// A cut line is a new token.
    line: Arc<Mutex<Option<CancellationToken>>>,
    address: SocketAddr,
}

struct State {
    epoch: u64,
    log: Vec<wire::ChangeEvent>,
    contents: HashMap<(String, u64), Bytes>,
    operations: HashMap<Bytes, wire::WriteDiffResponse>,
    /// Reads wait with their answer until this is false.
    reads_held: bool,
    events_held: bool,
    /// Answers of writes that get lost on their way.
    lost_answers: u32,
    denied: bool,
    /// The only token that may watch; `None`: any.
    watcher: Option<String>,
    reads: Vec<String>,
    writes: Vec<wire::WriteDiffRequest>,
    tokens: Vec<Option<String>>,
    subscriptions: u32,
}

impl Double {
    pub(crate) async fn start() -> Self {
        let inner = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let outer = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let state = State {
            epoch: 7,
            log: Vec::new(),
            contents: HashMap::new(),
            operations: HashMap::new(),
            reads_held: false,
            events_held: false,
            lost_answers: 0,
            denied: false,
            watcher: None,
            reads: Vec::new(),
            writes: Vec::new(),
            tokens: Vec::new(),
            subscriptions: 0,
        };
        let double = Self {
            state: Arc::new(Mutex::new(state)),
            news: watch::Sender::new(0),
            line: Arc::new(Mutex::new(Some(CancellationToken::new()))),
            address: outer.local_addr().unwrap(),
        };
        let target = inner.local_addr().unwrap();
        let server = MemoryGatewayServer::new(double.clone());
        tokio::spawn(
            tonic::transport::Server::builder()
                .add_service(server)
                .serve_with_incoming(TcpListenerStream::new(inner)),
        );
        tokio::spawn(carry(outer, target, double.line.clone()));
        double
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Breaks every connection and takes no new ones.
    pub(crate) fn cut(&self) {
        if let Some(line) = self.line.lock().take() {
            line.cancel();
        }
    }

    /// Takes connections again.
    pub(crate) fn mend(&self) {
        *self.line.lock() = Some(CancellationToken::new());
    }

    /// Puts a content at a path as another client would; answers the revision.
    pub(crate) fn put(&self, path: &str, content: &[u8]) -> u64 {
        let diff = Diff::put_file(content);
        self.append(path, diff, Bytes::copy_from_slice(content), &Bytes::new()).revision
    }

    pub(crate) fn hold_reads(&self, held: bool) {
        self.tell(|state| state.reads_held = held);
    }

    pub(crate) fn hold_events(&self, held: bool) {
        self.tell(|state| state.events_held = held);
    }

    pub(crate) fn lose_answers(&self, count: u32) {
        self.tell(|state| state.lost_answers = count);
    }

    /// Takes the right to read away.
    pub(crate) fn deny(&self, denied: bool) {
        self.tell(|state| state.denied = denied);
    }

    /// Ends every stream, and lets only this token watch from now on.
    pub(crate) fn let_watch(&self, token: &str) {
        self.tell(|state| state.watcher = Some(format!("Bearer {token}")));
    }

    /// Begins another incarnation of the log, with nothing in it.
    pub(crate) fn restore(&self) {
        self.tell(|state| {
            state.epoch += 1;
            state.log.clear();
        });
    }

    /// The paths of all reads that came.
    pub(crate) fn reads(&self) -> Vec<String> {
        self.state.lock().reads.clone()
    }

    pub(crate) fn writes(&self) -> Vec<wire::WriteDiffRequest> {
        self.state.lock().writes.clone()
    }

    /// The bearer tokens of all reads that came.
    pub(crate) fn tokens(&self) -> Vec<Option<String>> {
        self.state.lock().tokens.clone()
    }

    pub(crate) fn subscriptions(&self) -> u32 {
        self.state.lock().subscriptions
    }

    pub(crate) fn revision(&self) -> u64 {
        self.state.lock().log.len() as u64
    }

    fn tell<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let told = change(&mut self.state.lock());
        self.news.send_modify(|count| *count += 1);
        told
    }

    fn append(
        &self,
        path: &str,
        diff: Bytes,
        content: Bytes,
        operation_id: &Bytes,
    ) -> wire::WriteDiffResponse {
        self.tell(|state| {
            let before = state.log.iter().rev().find(|change| change.path == path);
            let version = before.map_or(0, |change| change.version) + 1;
            let node_id = before.map_or_else(
                || Bytes::from(vec![state.log.len() as u8 + 1; 16]),
                |change| change.node_id.clone(),
            );
            let clock = wire::VectorClock { entries: BTreeMap::from([("anna".into(), version)]) };
            let kind = if version == 1 {
                wire::change_event::Type::Create
            } else {
                wire::change_event::Type::Update
            };
            let revision = state.log.len() as u64 + 1;
            state.contents.insert((path.to_owned(), revision), content);
            state.log.push(wire::ChangeEvent {
                r#type: kind.into(),
                repo: "app".into(),
                branch: "main".into(),
                path: path.into(),
                diff_bson: diff,
                author: "anna".into(),
                version,
                node_id: node_id.clone(),
                epoch: state.epoch,
                revision,
                vector_clock: Some(clock.clone()),
                actor: "anna".into(),
                kind: wire::NodeKind::File.into(),
                ..Default::default()
            });
            wire::WriteDiffResponse {
                success: true,
                new_version: version,
                node_id,
                epoch: state.epoch,
                revision,
                vector_clock: Some(clock),
                ack: wire::AckLevel::Committed.into(),
                operation_id: operation_id.clone(),
                ..Default::default()
            }
        })
    }

    fn write(&self, request: &wire::WriteDiffRequest) -> Result<wire::WriteDiffResponse, Error> {
        let (bytes, nothing) = (request.diff_bson.clone(), BTreeMap::new());
        let diff = Diff::parse(&bytes)?;
        let applied = diff::apply(&diff, NodeKind::File, &Bytes::new(), &nothing)?;
        let NewContent::Bytes(content) = applied.content else {
            return Err(Error::unimplemented("this diff"));
        };
        let answer = self.append(&request.path, bytes, content, &request.operation_id);
        self.tell(|state| {
            state.operations.insert(request.operation_id.clone(), answer.clone());
        });
        Ok(answer)
    }

    /// Waits until `look` finds something.
    async fn until<T>(&self, mut look: impl FnMut(&State) -> Option<T>) -> T {
        let mut news = self.news.subscribe();
        loop {
            if let Some(found) = look(&self.state.lock()) {
                return found;
            }
            news.changed().await.unwrap();
        }
    }
}

impl State {
    fn read(
        &self,
        request: &wire::ReadSnapshotRequest,
    ) -> Result<wire::ReadSnapshotResponse, Error> {
        let revision = self.log.len() as u64;
        let is_asked_for = |change: &&wire::ChangeEvent| {
            change.path == request.path
                || (!request.node_id.is_empty() && change.node_id == request.node_id)
        };
        let change = self.log.iter().rev().find(is_asked_for);
        let Some(change) = change else {
            return Err(Error::not_found(format!("no node `{}`", request.path)));
        };
        Ok(wire::ReadSnapshotResponse {
            node_id: change.node_id.clone(),
            content: self.contents[&(change.path.clone(), change.revision)].clone(),
            version: change.version,
            vector_clock: change.vector_clock.clone(),
            epoch: self.epoch,
            revision,
            author: change.author.clone(),
            kind: change.kind,
            path: change.path.clone(),
            freshness: Some(wire::Freshness {
                source: wire::freshness::Source::Store.into(),
                ..Default::default()
            }),
            changed_revision: change.revision,
            ..Default::default()
        })
    }

    fn refusal_to_watch(&self, token: Option<&str>) -> Option<Error> {
        let watcher = self.watcher.as_deref()?;
        let refusal = || Error::new(ErrorCode::Unauthenticated, "the token has expired");
        (token != Some(watcher)).then(refusal)
    }

    fn refusal(&self, epoch: u64) -> Option<Error> {
        if self.denied {
            return Some(Error::new(ErrorCode::PermissionDenied, "not any more"));
        }
        let other_epoch = epoch != 0 && epoch != self.epoch;
        other_epoch.then(|| Error::new(ErrorCode::EpochChanged, "another epoch"))
    }
}

fn bearer<T>(request: &Request<T>) -> Option<String> {
    let value = request.metadata().get("authorization")?;
    Some(value.to_str().unwrap().to_owned())
}

fn refused(error: Error) -> Status {
    to_status(error, "")
}

/// Carries bytes between the line that a test may cut and the gateway itself.
async fn carry(
    outer: TcpListener,
    target: SocketAddr,
    line: Arc<Mutex<Option<CancellationToken>>>,
) {
    loop {
        let (mut from, _) = outer.accept().await.unwrap();
        let Some(line) = line.lock().clone() else { continue };
        tokio::spawn(async move {
            let mut to = TcpStream::connect(target).await.unwrap();
            tokio::select! {
                _ = tokio::io::copy_bidirectional(&mut from, &mut to) => {}
                () = line.cancelled() => {}
            }
        });
    }
}

#[tonic::async_trait]
impl MemoryGateway for Double {
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
        let is_lost = self.tell(|state| {
            let is_lost = state.lost_answers > 0;
            state.lost_answers = state.lost_answers.saturating_sub(1);
            is_lost
        });
        if is_lost {
            self.cut();
            self.mend();
            std::future::pending::<()>().await;
        }
        Ok(Response::new(answer))
    }

    async fn write_diffs_stream(
        &self,
        request: Request<Streaming<wire::WriteDiffsChunk>>,
    ) -> Answer<wire::WriteDiffsResponse> {
        use wire::write_diffs_chunk::Chunk;
        let mut chunks = request.into_inner();
        let (mut path, mut content) = (String::new(), Vec::new());
        while let Some(chunk) = chunks.next().await {
            match chunk?.chunk {
                Some(Chunk::Diff(diff)) => path = diff.path,
                Some(Chunk::Content(piece)) => content.extend_from_slice(&piece),
                _ => {}
            }
        }
        let diff = Diff::put_file(&content);
        let result = self.append(&path, diff, content.into(), &Bytes::new());
        Ok(Response::new(wire::WriteDiffsResponse {
            success: true,
            results: vec![result],
            ..Default::default()
        }))
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
        let double = self.clone();
        let epoch = request.from_epoch;
        let events = stream::unfold(Some(request.from_revision), move |at| {
            let (double, token) = (double.clone(), token.clone());
            async move {
                let at = at?;
                let next = double.until(|state| {
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
        Ok(Response::new(wire::ListReposResponse { repos }))
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
        _: Request<Streaming<wire::WriteDiffRequest>>,
    ) -> Answer<Self::ReplayDiffsStream> {
        Err(not_scripted())
    }

    async fn read_snapshots(
        &self,
        _: Request<wire::ReadSnapshotsRequest>,
    ) -> Answer<Self::ReadSnapshotsStream> {
        Err(not_scripted())
    }

    async fn collaborative_session(
        &self,
        _: Request<Streaming<wire::SessionMessage>>,
    ) -> Answer<Self::CollaborativeSessionStream> {
        Err(not_scripted())
    }

    async fn revert_changes(
        &self,
        _: Request<wire::RevertChangesRequest>,
    ) -> Answer<wire::WriteDiffsResponse> {
        Err(not_scripted())
    }

    async fn list_conflicts(
        &self,
        _: Request<wire::ListConflictsRequest>,
    ) -> Answer<wire::ListConflictsResponse> {
        Err(not_scripted())
    }

    async fn resolve_conflict(
        &self,
        _: Request<wire::ResolveConflictRequest>,
    ) -> Answer<wire::ResolveConflictResponse> {
        Err(not_scripted())
    }

    async fn create_branch(
        &self,
        _: Request<wire::CreateBranchRequest>,
    ) -> Answer<wire::CreateBranchResponse> {
        Err(not_scripted())
    }

    async fn delete_branch(
        &self,
        _: Request<wire::DeleteBranchRequest>,
    ) -> Answer<wire::DeleteBranchResponse> {
        Err(not_scripted())
    }
}

fn not_scripted() -> Status {
    Status::unimplemented("not scripted")
}
