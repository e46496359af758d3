//! Writes one commit as one change set.

use std::sync::Arc;

use bytes::Bytes;
use prost_types::Timestamp;
use vdom_client::{ChangeSetUpload, ChangeSetWriter, Client, put_without_content};
use vdom_core::limits::{
    ACTOR_MAX_BYTES, BATCH_CONTENT_MAX_BYTES, CHANGE_MESSAGE_MAX_BYTES, CHANGE_SET_MAX_DIFFS,
};
use vdom_core::{Diff, time};
use vdom_git::command::FileMode;
use vdom_git::file_attributes::{self, Attributes, ContentLocation};
use vdom_git::identity::{Identity, truncate};
use vdom_git::node_path::{EncodedPath, ORIGINAL_PATH, encode_path};
use vdom_git::normalize::{FileEdit, FileSource, NewFile};
use vdom_git::record::{
    AHEAD_METADATA, COMMIT_METADATA, COMMIT_PATH, CUT_METADATA, CommitRecord, PART_PATHS,
    split_document,
};
use vdom_proto::v1::{NodeKind, OnConflict, WriteDiffRequest, WriteDiffsRequest};

use super::branch_pipeline::{
    BranchPipeline, ChangeSetSender, Modes, check_revision, operation_id, refusal,
};
use super::export_reader::NewCommit;
use super::history_items::{HistoryItems, IncomingContent};
use super::imported_state;
use crate::exit::Failure;
use crate::humanize::printable;

/// Contents up to this size are sent within their diff.
const INLINE_MAX_BYTES: u64 = BATCH_CONTENT_MAX_BYTES as u64;
/// A longer record of a commit is kept in parts, each of which fits a message and a batch.
const RECORD_MAX_BYTES: usize = BATCH_CONTENT_MAX_BYTES - (256 << 10);

/// Writes a commit after those that are in its branch already. Answers with the
/// last revision of its change set.
pub(super) async fn write(
    client: &Client,
    sender: &mut ChangeSetSender,
    pipeline: &mut BranchPipeline,
    items: &mut HistoryItems,
    commit: NewCommit,
) -> Result<u64, Failure> {
    let id = commit.id;
    let writing = CommitWriter::new(client, sender, pipeline, &commit.record);
    let written = writing.commit(items, commit).await;
    written.map_err(|failure| Failure { message: format!("commit {id}: {failure}"), ..failure })
}

struct CommitWriter<'a> {
    client: &'a Client,
    sender: &'a mut ChangeSetSender,
    pipeline: &'a mut BranchPipeline,
    set: ChangeSetWriter,
}

/// A content that is at hand or still comes.
enum FileBody<'a> {
    Whole(Bytes),
    Coming(IncomingContent<'a>),
}

impl<'a> CommitWriter<'a> {
    fn new(
        client: &'a Client,
        sender: &'a mut ChangeSetSender,
        pipeline: &'a mut BranchPipeline,
        record: &CommitRecord,
    ) -> Self {
        let set = ChangeSetWriter::new(client.clone(), header(client, pipeline, record));
        Self { client, sender, pipeline, set }
    }

    async fn commit(mut self, items: &mut HistoryItems, commit: NewCommit) -> Result<u64, Failure> {
        let edits = commit.edits.edits.len();
        if edits >= CHANGE_SET_MAX_DIFFS {
            return Err(Failure::failed(format!(
                "it changes {edits} files, and one change has at most {}",
                CHANGE_SET_MAX_DIFFS - 1
            ))
            .advice("import a history in which that is several commits"));
        }
        let mut modes = match self.pipeline.modes.take() {
            Some(modes) => modes,
            None => self.modes_so_far().await?,
        };
        if commit.edits.deletes_all {
            self.delete_all(&commit).await?;
            modes = Modes::default();
        }
        for edit in commit.edits.edits {
            match edit {
                FileEdit::Put { path, put } => self.put(&mut modes, items, path, put).await?,
                FileEdit::Delete { path } => {
                    remove(&mut modes, &path);
                    let path = kept(&path)?.path.to_string();
                    self.push(diff(path, Diff::delete())).await?;
                }
                FileEdit::Rename { from, to, put } => {
                    self.rename(&mut modes, items, from, to, put).await?;
                }
            }
        }
        self.pipeline.modes = Some(modes);
        let mut record = commit.record.to_document();
        if record.len() > RECORD_MAX_BYTES {
            let (whole, parts) = split_document(&record, RECORD_MAX_BYTES);
            for (number, part) in parts.iter().enumerate() {
                self.push(document(format!("{PART_PATHS}{number}"), part)).await?;
            }
            record = whole;
        }
        self.push(document(COMMIT_PATH.to_owned(), &record)).await?;
        self.finish().await
    }

    async fn put(
        &mut self,
        modes: &mut Modes,
        items: &mut HistoryItems,
        path: Bytes,
        put: NewFile,
    ) -> Result<(), Failure> {
        let kept = kept(&path)?;
        let mode = mode_of(&put, modes);
        let before = modes.get(&path).copied().unwrap_or(FileMode::Plain);
        let (attributes, body) = body(mode, &kept, put.source, items).await?;
        // Where the mode stays executable, so do the attributes.
        let is_same = before == mode && mode == FileMode::Executable;
        let attributes = if is_same { Attributes::new() } else { attributes };
        let unset = gone(if is_same { FileMode::Plain } else { before }, &attributes, false);
        let path_of_node = kept.path.to_string();
        match body {
            FileBody::Whole(content) => {
                let put = Diff::put_file(&content);
                self.push(diff(path_of_node, with(&attributes, &unset, Some(&put))?)).await?;
            }
            FileBody::Coming(content) if attributes.is_empty() && unset.is_empty() => {
                self.push_large(path_of_node, content).await?;
            }
            FileBody::Coming(content) => {
                self.ahead(&path_of_node, content).await?;
                self.push(diff(path_of_node, with(&attributes, &unset, None)?)).await?;
            }
        }
        set(modes, path, mode);
        Ok(())
    }

    async fn rename(
        &mut self,
        modes: &mut Modes,
        items: &mut HistoryItems,
        from: Bytes,
        to: Bytes,
        put: Option<NewFile>,
    ) -> Result<(), Failure> {
        let (kept_from, kept_to) = (kept(&from)?, kept(&to)?);
        let before = modes.get(&from).copied().unwrap_or(FileMode::Plain);
        let path = kept_from.path.to_string();
        let loses_original = kept_from.original.is_some();
        let (mode, then) = match put {
            None => {
                let mut attributes = Attributes::new();
                set_original(&mut attributes, &kept_to);
                let unset = gone(FileMode::Plain, &attributes, loses_original);
                let is_needed = !(attributes.is_empty() && unset.is_empty());
                let then = if is_needed { Some(with(&attributes, &unset, None)?) } else { None };
                (before, then)
            }
            Some(put) => {
                let mode = put.mode.unwrap_or(before);
                let (attributes, body) = body(mode, &kept_to, put.source, items).await?;
                let unset = gone(before, &attributes, loses_original);
                let content = match body {
                    FileBody::Whole(content) => Some(Diff::put_file(&content)),
                    FileBody::Coming(content) => {
                        self.ahead(&path, content).await?;
                        None
                    }
                };
                let is_needed = content.is_some() || !(attributes.is_empty() && unset.is_empty());
                let then = if is_needed {
                    Some(with(&attributes, &unset, content.as_ref())?)
                } else {
                    None
                };
                (mode, then)
            }
        };
        remove(modes, &from);
        set(modes, to, mode);
        self.push(diff(path, Diff::rename(&kept_to.path, then.as_ref()))).await
    }

    /// Deletes all files that the commit does not bring again.
    async fn delete_all(&mut self, commit: &NewCommit) -> Result<(), Failure> {
        self.sender.settle(self.pipeline).await?;
        if self.pipeline.head == 0 {
            return Ok(());
        }
        let mut stay = std::collections::HashSet::new();
        for edit in &commit.edits.edits {
            if let FileEdit::Put { path, .. } = edit {
                stay.insert(kept(path)?.path.to_string());
            }
        }
        for path in
            imported_state::paths(self.client, &self.pipeline.branch, self.pipeline.head).await?
        {
            if !stay.contains(&path) {
                self.push(diff(path, Diff::delete())).await?;
            }
        }
        Ok(())
    }

    async fn modes_so_far(&mut self) -> Result<Modes, Failure> {
        self.sender.settle(self.pipeline).await?;
        imported_state::modes(self.client, &self.pipeline.branch, self.pipeline.head).await
    }

    /// Adds a diff to the set.
    async fn push(&mut self, diff: WriteDiffRequest) -> Result<(), Failure> {
        self.set.push(diff).await?;
        if self.set.exceeds_message() {
            self.settle_before_upload().await?;
            self.set.upload().await?;
        }
        Ok(())
    }

    /// Adds a content that is too large for a message.
    async fn push_large(
        &mut self,
        path: String,
        content: IncomingContent<'_>,
    ) -> Result<(), Failure> {
        self.settle_before_upload().await?;
        let upload = self.set.push_put(diff(path, put_without_content())).await?;
        send_content(upload, content).await
    }

    /// What is sent in pieces comes after all that was sent before.
    async fn settle_before_upload(&mut self) -> Result<(), Failure> {
        if !self.set.is_uploading() {
            self.sender.settle(self.pipeline).await?;
        }
        Ok(())
    }

    /// Writes a content that only a bare `put` can bring, in a change before the
    /// commit's own.
    async fn ahead(&mut self, path: &str, content: IncomingContent<'_>) -> Result<(), Failure> {
        self.sender.settle(self.pipeline).await?;
        let commit = self.set.header().metadata.get(COMMIT_METADATA).cloned().unwrap_or_default();
        let header = WriteDiffsRequest {
            operation_id: operation_id(
                &format!("ahead {path}"),
                &self.pipeline.branch,
                commit.as_bytes(),
            ),
            metadata: [(AHEAD_METADATA.to_owned(), commit)].into(),
            ..self.set.header().clone()
        };
        let mut upload = self.client.upload_change_set(header).await?;
        upload.diff(diff(path.to_owned(), put_without_content())).await?;
        send_content(&mut upload, content).await?;
        let answer = upload.finish().await?;
        if !answer.success {
            return Err(refusal(&self.pipeline.branch, &answer));
        }
        // An import that was interrupted may have written it already.
        if answer.last_revision > self.pipeline.head {
            check_revision(&self.pipeline.branch, &answer, self.pipeline.head + 1)?;
            self.pipeline.advance(answer.last_revision);
        }
        Ok(())
    }

    async fn finish(self) -> Result<u64, Failure> {
        if !self.set.is_uploading() {
            let (request, size_bytes) = self.set.into_message();
            return self.sender.send(self.pipeline, request, size_bytes).await;
        }
        let diffs = self.set.diffs();
        let answer = self.set.finish().await?;
        if !answer.success {
            return Err(refusal(&self.pipeline.branch, &answer));
        }
        check_revision(&self.pipeline.branch, &answer, self.pipeline.head + diffs)?;
        self.pipeline.advance(answer.last_revision);
        Ok(answer.last_revision)
    }
}

async fn send_content(
    upload: &mut ChangeSetUpload,
    mut content: IncomingContent<'_>,
) -> Result<(), Failure> {
    while let Some(piece) = content.piece().await? {
        upload.content(piece).await?;
    }
    Ok(())
}

fn header(client: &Client, pipeline: &BranchPipeline, record: &CommitRecord) -> WriteDiffsRequest {
    let author = record.author.as_ref().unwrap_or(&record.committer);
    let author = Identity::parse(author, ACTOR_MAX_BYTES);
    let mut message = String::from_utf8_lossy(&record.message).into_owned();
    truncate(&mut message, CHANGE_MESSAGE_MAX_BYTES);
    // Of a time that no server takes, the commit's record keeps the text.
    let seconds = author
        .seconds
        .filter(|seconds| time::checked("authored_at", seconds.saturating_mul(1_000)).is_ok());
    let id = String::from_utf8_lossy(&record.id).into_owned();
    WriteDiffsRequest {
        realm: client.realm(),
        repo: pipeline.branch.repo.clone(),
        branch: pipeline.branch.branch.clone(),
        operation_id: operation_id("commit", &pipeline.branch, &record.id),
        on_conflict: OnConflict::Overwrite.into(),
        author: if author.who.is_empty() { "<>".to_owned() } else { author.who },
        authored_at: seconds.map(|seconds| Timestamp { seconds, nanos: 0 }),
        message,
        metadata: [(COMMIT_METADATA, id)]
            .into_iter()
            .chain(record.is_cut.then(|| (CUT_METADATA, "shallow".to_owned())))
            .map(|(name, value)| (name.to_owned(), value))
            .collect(),
        ..WriteDiffsRequest::default()
    }
}

fn document(path: String, document: &Bytes) -> WriteDiffRequest {
    let kind = NodeKind::Meta.into();
    WriteDiffRequest { kind, ..diff(path, Diff::put_document(document)) }
}

fn diff(path: String, diff_bson: Bytes) -> WriteDiffRequest {
    WriteDiffRequest { path, diff_bson, ..WriteDiffRequest::default() }
}

/// A diff that sets and unsets attributes and brings a content, as far as there
/// are any.
fn with(
    attributes: &Attributes,
    unset: &[&'static str],
    content: Option<&Bytes>,
) -> Result<Bytes, Failure> {
    if let Some(content) = content
        && attributes.is_empty()
        && unset.is_empty()
    {
        return Ok(content.clone());
    }
    let set = attributes.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    Ok(Diff::attributes_then(set, unset.iter().copied(), content)?)
}

/// The attributes and the content of a file.
async fn body<'a>(
    mode: FileMode,
    kept: &EncodedPath,
    source: FileSource,
    items: &'a mut HistoryItems,
) -> Result<(Attributes, FileBody<'a>), Failure> {
    let named = |failure: Failure| Failure {
        message: format!("{}: {failure}", printable(kept.path.as_str())),
        ..failure
    };
    let body = match source {
        FileSource::Inline(content) | FileSource::Submodule(content) => FileBody::Whole(content),
        FileSource::Blob(_) | FileSource::Copy(_) => {
            let content = items.content().await.map_err(named)?;
            if content.size_bytes > INLINE_MAX_BYTES {
                FileBody::Coming(content)
            } else {
                FileBody::Whole(content.collect().await?)
            }
        }
    };
    let whole = match &body {
        FileBody::Whole(content) => content.as_ref(),
        FileBody::Coming(_) => &[],
    };
    let (mut attributes, held) = file_attributes::encode_attributes(mode, whole);
    set_original(&mut attributes, kept);
    let body =
        if held == ContentLocation::Attribute { FileBody::Whole(Bytes::new()) } else { body };
    Ok((attributes, body))
}

/// The attributes that a file no longer has.
fn gone(before: FileMode, attributes: &Attributes, loses_original: bool) -> Vec<&'static str> {
    let original = loses_original.then_some(ORIGINAL_PATH);
    let names = file_attributes::attribute_names(before).iter().copied().chain(original);
    names.filter(|name| !attributes.contains_key(*name)).collect()
}

fn set_original(attributes: &mut Attributes, kept: &EncodedPath) {
    if let Some(original) = &kept.original {
        attributes.insert(ORIGINAL_PATH.to_owned(), original.clone());
    }
}

fn mode_of(put: &NewFile, modes: &Modes) -> FileMode {
    let as_copied = match &put.source {
        FileSource::Copy(from) => modes.get(from).copied(),
        _ => None,
    };
    put.mode.or(as_copied).unwrap_or(FileMode::Plain)
}

fn set(modes: &mut Modes, path: Bytes, mode: FileMode) {
    if mode == FileMode::Plain {
        remove(modes, &path);
    } else if modes.get(&path) != Some(&mode) {
        Arc::make_mut(modes).insert(path, mode);
    }
}

fn remove(modes: &mut Modes, path: &Bytes) {
    // Shared with branches that begin here: not copied without need.
    if modes.contains_key(path) {
        Arc::make_mut(modes).remove(path);
    }
}

fn kept(path: &Bytes) -> Result<EncodedPath, Failure> {
    encode_path(path).ok_or_else(|| {
        Failure::failed(format!("a path of {} bytes is longer than what can be kept", path.len()))
    })
}
