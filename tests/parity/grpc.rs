//! Asks over gRPC, whatever carries it.

mod sets;

use std::collections::HashMap;

use bytes::Bytes;
use tonic::{Code, Status};
use vdom_core::document::Value;
use vdom_core::dom::diff::{PatchOperation, Pointer, TextOperation};
use vdom_core::{Diff, NodeKind, NodePath};
use vdom_proto::v1;
use vdom_proto::v1::memory_gateway_client::MemoryGatewayClient;
use vdom_proto::v1::write_diffs_chunk::Chunk;
use vdom_testkit::channel::AnyChannel;
use vdom_testkit::client::operation_id;

use super::Door;
use super::answer::{
    Answer, Ask, At, Change, ChangeLine, Elsewhere, Node, Numbers, Seen, TreeNode, Write,
};
use crate::refusal::Refusal;

const PIECE_BYTES: usize = 700_001;
const INT32: u8 = 0x10;

pub(super) struct GrpcDoor {
    client: MemoryGatewayClient<AnyChannel>,
    repo: String,
    numbers: Numbers,
    /// The node at each path.
    ids: HashMap<String, Bytes>,
    /// Epoch and revision of the last write.
    last: (u64, u64),
}

impl GrpcDoor {
    pub(super) fn new(channel: AnyChannel, repo: &str) -> Self {
        Self {
            client: MemoryGatewayClient::new(channel),
            repo: repo.to_owned(),
            numbers: Numbers::default(),
            ids: HashMap::new(),
            last: (0, 0),
        }
    }

    async fn write(&mut self, write: &Write) -> Result<Answer, Status> {
        let request = self.write_request(write);
        let answer = match &write.change {
            Change::Streamed(content) => self.stream(request, content).await?,
            _ => self.client.write_diff(request).await?.into_inner(),
        };
        if !answer.success {
            assert!(answer.conflict.is_some(), "neither written nor a conflict: {answer:?}");
            return Ok(Answer::Conflict);
        }
        let (node, version, revision) = self.written(Some(write), &answer);
        Ok(Answer::Written { node, version, revision })
    }

    /// Takes note of what was written, by which write where that is known.
    fn written(
        &mut self,
        write: Option<&Write>,
        answer: &v1::WriteDiffResponse,
    ) -> (usize, u64, u64) {
        if let Some(write) = write {
            self.ids.insert(write.ends_at().to_owned(), answer.node_id.clone());
        }
        self.last = (answer.epoch, answer.revision);
        let node = self.numbers.of(&hex::encode(&answer.node_id));
        (node, answer.new_version, answer.revision)
    }

    fn header(&self) -> v1::WriteDiffsRequest {
        v1::WriteDiffsRequest {
            repo: self.repo.clone(),
            branch: "main".to_owned(),
            ..Default::default()
        }
    }

    fn write_request(&self, write: &Write) -> v1::WriteDiffRequest {
        let mut request = v1::WriteDiffRequest {
            repo: self.repo.clone(),
            branch: "main".to_owned(),
            path: write.path.to_owned(),
            diff_bson: diff(&write.change),
            operation_id: write.operation.map(operation_id).unwrap_or_default(),
            keep_conflict: write.keep,
            ..Default::default()
        };
        if matches!(write.change, Change::Document(_)) {
            request.kind = v1::NodeKind::Meta.into();
        }
        match write.seen {
            Seen::Nothing => {}
            Seen::Any => request.on_conflict = v1::OnConflict::Overwrite.into(),
            Seen::Version(version) | Seen::Merging(version) => {
                if matches!(write.seen, Seen::Merging(_)) {
                    request.on_conflict = v1::OnConflict::Merge.into();
                }
                request.node_id = self.ids[write.path].clone();
                // Everyone here is anonymous, so the clock has one entry.
                let entries = [("anonymous".to_owned(), version)].into();
                request.vector_clock = Some(v1::VectorClock { entries });
            }
        }
        match write.elsewhere {
            None => {}
            Some(Elsewhere::Realm(realm)) => realm.clone_into(&mut request.realm),
            Some(Elsewhere::Repo(repo)) => repo.clone_into(&mut request.repo),
            Some(Elsewhere::Branch(branch)) => branch.clone_into(&mut request.branch),
        }
        request
    }

    async fn stream(
        &mut self,
        diff: v1::WriteDiffRequest,
        content: &Bytes,
    ) -> Result<v1::WriteDiffResponse, Status> {
        let begin = [Chunk::Header(self.header()), Chunk::Diff(diff)];
        let answer = self.send(begin.into_iter().chain(pieces(content)).collect()).await?;
        Ok(answer.results.into_iter().next().expect("one result"))
    }

    async fn send(&mut self, chunks: Vec<Chunk>) -> Result<v1::WriteDiffsResponse, Status> {
        let chunks = chunks.into_iter().map(|chunk| v1::WriteDiffsChunk { chunk: Some(chunk) });
        Ok(self.client.write_diffs_stream(tokio_stream::iter(chunks)).await?.into_inner())
    }

    async fn read(&mut self, request: v1::ReadSnapshotRequest) -> Result<Answer, Status> {
        let read = match self.client.read_snapshot(request.clone()).await {
            Err(status) if status.code() == Code::ResourceExhausted => {
                self.read_stream(request).await?
            }
            other => other?.into_inner(),
        };
        Ok(Answer::Node(self.node(read)))
    }

    fn node(&mut self, read: v1::ReadSnapshotResponse) -> Node {
        Node {
            number: self.numbers.of(&hex::encode(&read.node_id)),
            kind: kind(read.kind()),
            path: read.path,
            version: read.version,
            revision: read.revision,
            changed_revision: read.changed_revision,
            author: read.author,
            content: read.content,
        }
    }

    async fn read_stream(
        &mut self,
        request: v1::ReadSnapshotRequest,
    ) -> Result<v1::ReadSnapshotResponse, Status> {
        let mut chunks = self.client.read_snapshot_stream(request).await?.into_inner();
        let first = chunks.message().await?.expect("a first chunk");
        let mut content = first.content.to_vec();
        while let Some(chunk) = chunks.message().await? {
            content.extend_from_slice(&chunk.content);
        }
        assert_eq!(first.size_bytes, content.len() as u64, "the announced size");
        let snapshot = first.snapshot.expect("the node comes first");
        Ok(v1::ReadSnapshotResponse { content: content.into(), ..snapshot })
    }

    fn read_request(&self, at: At) -> v1::ReadSnapshotRequest {
        let (epoch, last) = self.last;
        let (revision, min_revision, after_operation) = match at {
            At::Latest => (0, last, Bytes::new()),
            At::Revision(revision) => (revision, 0, Bytes::new()),
            At::NotBefore(revision) => (0, revision, Bytes::new()),
            At::After(operation) => (0, 0, operation_id(operation)),
        };
        v1::ReadSnapshotRequest {
            repo: self.repo.clone(),
            branch: "main".to_owned(),
            revision,
            min_revision,
            after_operation,
            min_epoch: if min_revision == 0 { 0 } else { epoch },
            ..Default::default()
        }
    }

    async fn tree(&mut self, prefix: &str, at: At) -> Result<Answer, Status> {
        let at = self.read_request(at);
        let request = v1::ReadTreeRequest {
            repo: at.repo,
            branch: at.branch,
            prefix: prefix.to_owned(),
            revision: at.revision,
            min_revision: at.min_revision,
            min_epoch: at.min_epoch,
            ..Default::default()
        };
        let mut entries = self.client.read_tree(request).await?.into_inner();
        let (mut revision, mut nodes) = (None, Vec::new());
        while let Some(entry) = entries.message().await? {
            revision = Some(entry.revision);
            nodes.push(TreeNode {
                number: self.numbers.of(&hex::encode(&entry.node_id)),
                kind: kind(entry.kind()),
                path: entry.path,
                version: entry.version,
                size_bytes: entry.size_bytes,
            });
        }
        Ok(Answer::Tree { revision, nodes })
    }

    async fn history(&mut self, path: Option<&str>) -> Result<Answer, Status> {
        let request = v1::GetHistoryRequest {
            repo: self.repo.clone(),
            branch: "main".to_owned(),
            path: path.unwrap_or_default().to_owned(),
            ..Default::default()
        };
        let page = self.client.get_history(request).await?.into_inner();
        Ok(Answer::Changes(page.changes.into_iter().map(line).collect()))
    }

    async fn changes(&mut self, count: usize) -> Result<Answer, Status> {
        let request = v1::SubscribeRequest {
            repo: self.repo.clone(),
            branch: "main".to_owned(),
            from_epoch: self.last.0,
            ..Default::default()
        };
        let mut events = self.client.subscribe_changes(request).await?.into_inner();
        let mut lines = Vec::new();
        while lines.len() < count {
            let event = events.message().await?.expect("it goes on");
            if event.r#type() != v1::change_event::Type::Progress {
                lines.push(line(event));
            }
        }
        Ok(Answer::Changes(lines))
    }

    async fn branches(&mut self) -> Result<Answer, Status> {
        let (mut branches, mut page_token) = (Vec::new(), String::new());
        loop {
            let repo = self.repo.clone();
            let request =
                v1::ListBranchesRequest { repo, page_size: 1, page_token, ..Default::default() };
            let page = self.client.list_branches(request).await?.into_inner();
            branches.extend(page.branches.into_iter().map(|it| (it.name, it.revision)));
            page_token = page.next_page_token;
            if page_token.is_empty() {
                return Ok(Answer::Branches(branches));
            }
        }
    }
}

#[async_trait::async_trait]
impl Door for GrpcDoor {
    async fn ask(&mut self, ask: &Ask) -> Option<Answer> {
        let answer = match ask {
            Ask::Write(write) => self.write(write).await,
            Ask::Read { path, at } => {
                let request = self.read_request(*at);
                self.read(v1::ReadSnapshotRequest { path: (*path).to_owned(), ..request }).await
            }
            Ask::ReadById { node } => {
                let node_id = hex::decode(self.numbers.id(*node)).expect("an id").into();
                let request = self.read_request(At::Latest);
                self.read(v1::ReadSnapshotRequest { node_id, ..request }).await
            }
            Ask::Tree { prefix, at } => self.tree(prefix, *at).await,
            Ask::History { path } => self.history(*path).await,
            Ask::Changes { count } => self.changes(*count).await,
            Ask::Set(set) => self.set(set).await,
            Ask::Revert { first, last } => self.revert(*first, *last).await,
            Ask::ReadMany { paths } => self.read_many(paths).await,
            Ask::Conflicts => self.conflicts().await,
            Ask::Explain => self.explain().await,
            Ask::Resolve(how) => self.resolve(*how).await,
            Ask::Branches => self.branches().await,
            Ask::CreateBranch { name, at } => self.create_branch(name, *at).await,
            Ask::DeleteBranch { name } => self.delete_branch(name).await,
        };
        Some(answer.unwrap_or_else(|status| match Refusal::from_grpc(&status).code {
            code if code == "FailedPrecondition" => Answer::Conflict,
            code => Answer::Refused(code),
        }))
    }
}

fn pieces(content: &Bytes) -> Vec<Chunk> {
    let pieces = content.chunks(PIECE_BYTES);
    pieces.map(|piece| Chunk::Content(content.slice_ref(piece))).collect()
}

fn line(change: v1::ChangeEvent) -> ChangeLine {
    ChangeLine {
        revision: change.revision,
        change: change.r#type().as_str_name().replace("TYPE_", "").to_lowercase(),
        path: change.path,
        old_path: change.old_path,
        version: change.version,
        author: change.author,
    }
}

fn diff(change: &Change) -> Bytes {
    match change {
        Change::File(content) => Diff::put_file(content),
        Change::Streamed(_) => Bytes::new(),
        Change::Document(document) => Diff::put_document(document),
        Change::Prepend(text) => Diff::text(&[TextOperation::insert(text)]),
        Change::ReplaceA(number) => {
            let path = Pointer::parse("/a").expect("a pointer");
            let bytes = Bytes::copy_from_slice(&number.to_le_bytes());
            let value = Value { tag: INT32, bytes };
            Diff::patch(&[PatchOperation::Replace { path, value }])
        }
        Change::Rename(to) => Diff::rename(&NodePath::parse(to).expect("a path"), None),
        Change::Delete => Diff::delete(),
    }
}

fn kind(kind: v1::NodeKind) -> NodeKind {
    match kind {
        v1::NodeKind::File => NodeKind::File,
        v1::NodeKind::Intent => NodeKind::Intent,
        v1::NodeKind::Meta => NodeKind::Meta,
        v1::NodeKind::Unspecified => panic!("a node without a kind"),
    }
}
