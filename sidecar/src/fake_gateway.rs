//! A gateway for tests: small, in memory, and with faults on demand.

mod service;

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_stream::wrappers::TcpListenerStream;
use tokio_util::sync::CancellationToken;
use tonic::{Response, Status};
use vdom_core::dom::diff::{self, Diff, NewContent};
use vdom_core::{Error, ErrorCode, NodeKind};
use vdom_edge::error::to_status;
use vdom_proto::v1 as wire;
use vdom_proto::v1::memory_gateway_server::MemoryGatewayServer;

/// The path at which every change set has a conflict.
pub(crate) const CLASH: &str = "clash";
/// The path that a revert writes.
pub(crate) const REVERTED: &str = "reverted";

/// The gateway. Clones are the same gateway.
#[derive(Clone)]
pub(crate) struct FakeGateway {
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
    set_operations: HashMap<Bytes, wire::WriteDiffsResponse>,
    /// Reads wait with their answer until this is false.
    reads_held: bool,
    events_held: bool,
    /// Answers of writes that get lost on their way.
    lost_answers: u32,
    /// As in the answer to a set that is too large for them.
    results_left_out: bool,
    denied: bool,
    /// The only token that may watch; `None`: any.
    watcher: Option<String>,
    reads: Vec<String>,
    writes: Vec<wire::WriteDiffRequest>,
    /// The headers of all change sets that came to their end.
    sets: Vec<wire::WriteDiffsRequest>,
    tokens: Vec<Option<String>>,
    subscriptions: u32,
}

impl FakeGateway {
    pub(crate) async fn start() -> Self {
        let inner = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let outer = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let state = State {
            epoch: 7,
            log: Vec::new(),
            contents: HashMap::new(),
            operations: HashMap::new(),
            set_operations: HashMap::new(),
            reads_held: false,
            events_held: false,
            lost_answers: 0,
            results_left_out: false,
            denied: false,
            watcher: None,
            reads: Vec::new(),
            writes: Vec::new(),
            sets: Vec::new(),
            tokens: Vec::new(),
            subscriptions: 0,
        };
        let gateway = Self {
            state: Arc::new(Mutex::new(state)),
            news: watch::Sender::new(0),
            line: Arc::new(Mutex::new(Some(CancellationToken::new()))),
            address: outer.local_addr().unwrap(),
        };
        let target = inner.local_addr().unwrap();
        let server = MemoryGatewayServer::new(gateway.clone());
        tokio::spawn(
            tonic::transport::Server::builder()
                .add_service(server)
                .serve_with_incoming(TcpListenerStream::new(inner)),
        );
        tokio::spawn(carry(outer, target, gateway.line.clone()));
        gateway
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

    /// Answers to change sets have no results from now on.
    pub(crate) fn leave_results_out(&self) {
        self.tell(|state| state.results_left_out = true);
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

    /// The headers of all change sets that came to their end.
    pub(crate) fn sets(&self) -> Vec<wire::WriteDiffsRequest> {
        self.state.lock().sets.clone()
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

    /// Writes every diff of a set, or none where one is about [`CLASH`].
    fn write_set(
        &self,
        operation_id: Bytes,
        diffs: &[wire::WriteDiffRequest],
    ) -> Result<wire::WriteDiffsResponse, Error> {
        if let Some(answer) = self.state.lock().set_operations.get(&operation_id) {
            return Ok(answer.clone());
        }
        if diffs.iter().any(|diff| diff.path == CLASH) {
            let clash = |diff: &wire::WriteDiffRequest| wire::WriteDiffResponse {
                conflict: (diff.path == CLASH).then(conflict),
                ..Default::default()
            };
            let results = diffs.iter().map(clash).collect();
            return Ok(wire::WriteDiffsResponse { operation_id, results, ..Default::default() });
        }
        let results = diffs.iter().map(|diff| self.write(diff));
        let results: Vec<_> = results.collect::<Result<_, _>>()?;
        let revision =
            |result: Option<&wire::WriteDiffResponse>| result.map_or(0, |it| it.revision);
        let answer = wire::WriteDiffsResponse {
            success: true,
            epoch: results.first().map_or(0, |result| result.epoch),
            first_revision: revision(results.first()),
            last_revision: revision(results.last()),
            operation_id: operation_id.clone(),
            results: if self.state.lock().results_left_out { Vec::new() } else { results },
            ..Default::default()
        };
        self.tell(|state| state.set_operations.insert(operation_id, answer.clone()));
        Ok(answer)
    }

    /// The answer, unless it gets lost with the connection.
    async fn deliver<T>(&self, answer: T) -> Result<Response<T>, Status> {
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

fn conflict() -> wire::ConflictInfo {
    wire::ConflictInfo {
        reason: wire::conflict_info::Reason::PathExists.into(),
        node_id: vec![3; 16].into(),
        path: CLASH.to_owned(),
        kind: wire::NodeKind::File.into(),
        ..Default::default()
    }
}
