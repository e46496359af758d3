//! Brings one file into the branch: compares, then writes what differs.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use futures::TryStreamExt;
use tokio::sync::{Semaphore, SemaphorePermit};
use vdom_client::{BranchSpec, Client, NodeContent, random_operation_id};
use vdom_core::dom::diff::Diff;
use vdom_core::limits::CONTENT_MAX_BYTES;
use vdom_proto::v1::{
    NodeKind, OnConflict, ReadSnapshotRequest, TreeEntry, VectorClock, WriteDiffRequest,
};

use super::walk::{LocalFile, MODE, ORIGINAL_PATH, SYMLINK};
use crate::commands::write::{self, WriteOptions};
use crate::exit::{Exit, Failure};
use crate::humanize::size;

/// How much content may be in memory at a time, in MiB.
const MEMORY_MAX_MIB: u32 = 128;

/// Writes files to a branch.
pub(super) struct Uploader {
    clients: Vec<Client>,
    next_client: AtomicUsize,
    branch: BranchSpec,
    options: WriteOptions,
    on_conflict: OnConflict,
    memory: Semaphore,
}

/// A node as it stands in the branch.
pub(super) struct RemoteEntry {
    node_id: Bytes,
    clock: Option<VectorClock>,
    size_bytes: u64,
    attributes: BTreeMap<String, String>,
    /// The epoch and revision that this is as of.
    as_of: (u64, u64),
    /// A file or a document.
    pub(super) kind: NodeKind,
}

impl From<TreeEntry> for RemoteEntry {
    fn from(entry: TreeEntry) -> Self {
        Self {
            kind: entry.kind(),
            node_id: entry.node_id,
            clock: entry.vector_clock,
            size_bytes: entry.size_bytes,
            attributes: entry.attributes,
            as_of: (entry.epoch, entry.revision),
        }
    }
}

impl From<&NodeContent> for RemoteEntry {
    fn from(content: &NodeContent) -> Self {
        let snapshot = &content.snapshot;
        Self {
            kind: snapshot.kind(),
            node_id: snapshot.node_id.clone(),
            clock: snapshot.vector_clock.clone(),
            size_bytes: content.size_bytes,
            attributes: snapshot.attributes.clone(),
            as_of: (snapshot.epoch, snapshot.revision),
        }
    }
}

/// A file that the branch now holds.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Uploaded {
    pub(super) size_bytes: u64,
    /// Of the last write; `None` where nothing had to be written.
    pub(super) revision: Option<u64>,
}

impl Uploader {
    /// Writes over these connections; with `overwrite`, whatever stands there.
    pub(super) fn new(
        clients: Vec<Client>,
        branch: BranchSpec,
        options: WriteOptions,
        overwrite: bool,
    ) -> Self {
        Self {
            clients,
            next_client: AtomicUsize::new(0),
            branch,
            options,
            on_conflict: if overwrite { OnConflict::Overwrite } else { OnConflict::Reject },
            memory: Semaphore::new(MEMORY_MAX_MIB as usize),
        }
    }

    pub(super) fn branch(&self) -> &BranchSpec {
        &self.branch
    }

    /// Makes the branch hold this file, where `remote` is what it holds at
    /// that path so far.
    pub(super) async fn upload(
        &self,
        file: &LocalFile,
        remote: Option<&RemoteEntry>,
    ) -> Result<Uploaded, Failure> {
        let _memory = self.reserve(file.size_bytes).await?;
        let content = read_file(file.source.clone()).await?;
        match self.write(file, &content, remote).await {
            // Perhaps a write of an earlier, interrupted import came late.
            Err(failure) if failure.exit == Exit::Conflict => {
                let confirmed = ReadSnapshotRequest { max_age_ms: Some(0), ..Default::default() };
                let now = self.read(&file.path, confirmed).await?;
                let remote = RemoteEntry::from(&now);
                if !is_same(&remote, now, &content).await? {
                    return Err(failure);
                }
                self.write(file, &content, Some(&remote)).await
            }
            outcome => outcome,
        }
    }

    /// Deletes a node as it stands.
    pub(super) async fn delete(&self, path: &str, remote: &RemoteEntry) -> Result<(), Failure> {
        let request = WriteDiffRequest {
            diff_bson: Diff::delete(),
            node_id: remote.node_id.clone(),
            vector_clock: remote.clock.clone(),
            ..self.request(path)?
        };
        write::accepted(self.client().write(request).await?, &self.branch, path)?;
        Ok(())
    }

    async fn write(
        &self,
        file: &LocalFile,
        content: &Bytes,
        remote: Option<&RemoteEntry>,
    ) -> Result<Uploaded, Failure> {
        let mut node = remote.map(|remote| (remote.node_id.clone(), remote.clock.clone()));
        let mut revision = None;
        if !self.has_content(file, content, remote).await? {
            let (node_id, vector_clock) = node.unwrap_or_default();
            let request = WriteDiffRequest {
                kind: NodeKind::File.into(),
                node_id,
                vector_clock,
                ..self.request(&file.path)?
            };
            let answer = self.client().put(request, content.clone()).await?;
            let written = write::accepted(answer, &self.branch, &file.path)?;
            revision = Some(written.revision);
            node = Some((written.node_id, written.vector_clock));
        }
        if let Some(diff) = attribute_diff(file, remote)? {
            let (node_id, vector_clock) = node.unwrap_or_default();
            let request = WriteDiffRequest {
                diff_bson: diff,
                node_id,
                vector_clock,
                ..self.request(&file.path)?
            };
            let answer = self.client().write(request).await?;
            revision = Some(write::accepted(answer, &self.branch, &file.path)?.revision);
        }
        Ok(Uploaded { size_bytes: content.len() as u64, revision })
    }

    async fn has_content(
        &self,
        file: &LocalFile,
        content: &Bytes,
        remote: Option<&RemoteEntry>,
    ) -> Result<bool, Failure> {
        let Some(remote) = remote else {
            return Ok(false);
        };
        if remote.kind != NodeKind::File {
            return Err(Failure::failed("a document of that name is in the branch")
                .advice("rename one of them"));
        }
        if remote.size_bytes != content.len() as u64 {
            return Ok(false);
        }
        // As new as what it is compared with; a cache may answer.
        let (min_epoch, min_revision) = remote.as_of;
        let request = ReadSnapshotRequest { min_epoch, min_revision, ..Default::default() };
        match self.read(&file.path, request).await {
            Ok(now) => is_same(remote, now, content).await,
            // Deleted or renamed meanwhile: the write will tell.
            Err(failure) if failure.exit == Exit::NotFound => Ok(false),
            Err(failure) => Err(failure),
        }
    }

    async fn read(&self, path: &str, request: ReadSnapshotRequest) -> Result<NodeContent, Failure> {
        let client = self.client();
        let request = ReadSnapshotRequest {
            realm: client.realm(),
            repo: self.branch.repo.clone(),
            branch: self.branch.branch.clone(),
            path: path.to_owned(),
            ..request
        };
        Ok(client.read(request).await?)
    }

    fn request(&self, path: &str) -> Result<WriteDiffRequest, Failure> {
        Ok(WriteDiffRequest {
            on_conflict: self.on_conflict.into(),
            operation_id: random_operation_id()?,
            ..self.options.request(self.client(), &self.branch, path)
        })
    }

    fn client(&self) -> &Client {
        let next = self.next_client.fetch_add(1, Ordering::Relaxed);
        &self.clients[next % self.clients.len()]
    }

    async fn reserve(&self, size_bytes: u64) -> Result<SemaphorePermit<'_>, Failure> {
        let mebibytes = u32::try_from(size_bytes.div_ceil(1 << 20)).unwrap_or(MEMORY_MAX_MIB);
        self.memory
            .acquire_many(mebibytes.clamp(1, MEMORY_MAX_MIB))
            .await
            .map_err(|error| Failure::failed(error.to_string()))
    }
}

/// True where `now` is still the node of `remote`, with this content.
async fn is_same(remote: &RemoteEntry, now: NodeContent, content: &Bytes) -> Result<bool, Failure> {
    if now.snapshot.node_id != remote.node_id || now.size_bytes != content.len() as u64 {
        return Ok(false);
    }
    let mut pieces = now.pieces;
    let mut rest = content.as_ref();
    while let Some(piece) = pieces.try_next().await? {
        match rest.strip_prefix(piece.as_ref()) {
            Some(after) => rest = after,
            None => return Ok(false),
        }
    }
    Ok(rest.is_empty())
}

/// What makes the attributes those of the file; `None`: they are.
fn attribute_diff(
    file: &LocalFile,
    remote: Option<&RemoteEntry>,
) -> Result<Option<Bytes>, Failure> {
    let has = |name: &str| remote.and_then(|remote| remote.attributes.get(name));
    let set: Vec<_> = file
        .attributes
        .iter()
        .filter(|(name, value)| has(name) != Some(value))
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    let unset: Vec<_> = [MODE, SYMLINK, ORIGINAL_PATH]
        .into_iter()
        .filter(|name| has(name).is_some() && !file.attributes.contains_key(*name))
        .collect();
    if set.is_empty() && unset.is_empty() {
        return Ok(None);
    }
    Ok(Some(Diff::attributes(set, unset)?))
}

async fn read_file(source: Option<PathBuf>) -> Result<Bytes, Failure> {
    let Some(source) = source else {
        return Ok(Bytes::new());
    };
    tokio::task::spawn_blocking(move || read_whole(&source))
        .await
        .map_err(|error| Failure::failed(format!("cannot be read: {error}")))?
}

fn read_whole(source: &Path) -> Result<Bytes, Failure> {
    let unreadable = |error: io::Error| Failure::failed(format!("cannot be read: {error}"));
    let file = std::fs::File::open(source).map_err(unreadable)?;
    let mut content = Vec::new();
    file.take(CONTENT_MAX_BYTES + 1).read_to_end(&mut content).map_err(unreadable)?;
    if content.len() as u64 > CONTENT_MAX_BYTES {
        return Err(Failure::failed(format!("a node holds at most {}", size(CONTENT_MAX_BYTES))));
    }
    Ok(content.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(attributes: &[(&str, &str)]) -> LocalFile {
        LocalFile {
            path: "run.sh".to_owned(),
            source: None,
            size_bytes: 0,
            attributes: owned(attributes),
        }
    }

    fn remote(attributes: &[(&str, &str)]) -> RemoteEntry {
        RemoteEntry {
            node_id: Bytes::new(),
            clock: None,
            size_bytes: 0,
            attributes: owned(attributes),
            as_of: (1, 1),
            kind: NodeKind::File,
        }
    }

    fn owned(attributes: &[(&str, &str)]) -> BTreeMap<String, String> {
        attributes.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn attributes_of_others_are_left_alone() {
        let same = attribute_diff(&file(&[]), Some(&remote(&[("data_subject", "x")])));
        assert_eq!(same, Ok(None));
        let executable = file(&[(MODE, "100755")]);
        assert_eq!(attribute_diff(&executable, Some(&remote(&[(MODE, "100755")]))), Ok(None));
        let set = Diff::attributes([(MODE, "100755")], []).expect("valid");
        assert_eq!(attribute_diff(&executable, None), Ok(Some(set)));
        let unset = Diff::attributes([], [MODE]).expect("valid");
        assert_eq!(attribute_diff(&file(&[]), Some(&remote(&[(MODE, "100755")]))), Ok(Some(unset)));
    }
}
