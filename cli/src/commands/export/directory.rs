//! Writes the files of a branch into a directory.

use std::io::{self, Write};
use std::path::Path;

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use serde_json::json;
use vdom_client::{BranchSpec, Client};
use vdom_git::command::FileMode;
use vdom_git::file_attributes::{self, Attributes, NodeFile};
use vdom_git::node_path::RESERVED_FOLDER;
use vdom_mirror::confined_dir::ConfinedDir;
use vdom_proto::v1::{NodeKind, ReadSnapshotRequest, ReadTreeRequest, TreeEntry};

use super::ExportArguments;
use crate::commands::file_problems::FileProblems;
use crate::exit::{Exit, Failure};
use crate::extended_json;
use crate::humanize::{count, printable, size};
use crate::output::{Output, Tone};

/// How many large contents are read at a time.
const READ_AT_ONCE: usize = 4;

/// Writes them; documents as extended JSON.
pub(super) async fn export(
    directory: &Path,
    arguments: &ExportArguments,
    output: &mut Output,
) -> Result<(), Failure> {
    let branch = BranchSpec::new(&arguments.repo, &arguments.branch)?;
    let client = arguments.server.connect().await?;
    let request = ReadTreeRequest {
        realm: client.realm(),
        repo: branch.repo.clone(),
        branch: branch.branch.clone(),
        revision: arguments.revision,
        max_age_ms: (arguments.revision == 0).then_some(0),
        include_content: true,
        ..ReadTreeRequest::default()
    };
    let entries = client.tree(request).await?;
    let confined_dir = open(directory, arguments.overwrite)?;
    let mut writing = entries
        .map(|entry| {
            let (confined_dir, client, branch) = (&confined_dir, &client, &branch);
            async move {
                let entry = entry?;
                let path = printable(&entry.path);
                let written = write(confined_dir, client, branch, entry).await;
                Ok::<_, Failure>((path, written))
            }
        })
        .buffered(READ_AT_ONCE);
    let mut written = ExportTally::default();
    while let Some((path, outcome)) = writing.try_next().await? {
        match outcome {
            Ok(Some(size_bytes)) => {
                written.files += 1;
                written.bytes += size_bytes;
            }
            Ok(None) => {}
            Err(failure) if matches!(failure.exit, Exit::Unavailable | Exit::Denied) => {
                return Err(failure);
            }
            Err(failure) => written.problems.push(path, failure),
        }
    }
    written.report(&branch, directory, output)
}

#[derive(Default)]
struct ExportTally {
    files: u64,
    bytes: u64,
    /// What could not be written, and why.
    problems: FileProblems,
}

impl ExportTally {
    fn report(
        self,
        branch: &BranchSpec,
        directory: &Path,
        output: &mut Output,
    ) -> Result<(), Failure> {
        output.result(
            || {
                json!({
                    "repo": branch.repo,
                    "branch": branch.branch,
                    "directory": directory,
                    "files": self.files,
                    "bytes": self.bytes,
                    "problems": self.problems.records(),
                })
            },
            |painter| {
                let files = count(self.files, "file", "files");
                let files = painter.paint(Tone::Strong, &files);
                format!("{branch}: {files}, {} in {}", size(self.bytes), directory.display())
            },
        )?;
        if self.problems.is_empty() {
            return Ok(());
        }
        Err(self.problems.failure(Exit::Failed, "written"))
    }
}

fn open(directory: &Path, overwrite: bool) -> Result<ConfinedDir, Failure> {
    let unusable = |error: io::Error| {
        Failure::failed(format!("cannot write to {}: {error}", directory.display()))
    };
    if !overwrite && directory.exists() {
        let mut entries = std::fs::read_dir(directory).map_err(unusable)?;
        if entries.next().is_some() {
            let message = format!("{} is not empty", directory.display());
            return Err(Failure::new(Exit::Conflict, message)
                .advice("name another directory, or write into this one with --overwrite"));
        }
    }
    ConfinedDir::open(directory).map_err(unusable)
}

/// Writes one node; `None` where it is nothing for a directory.
async fn write(
    confined_dir: &ConfinedDir,
    client: &Client,
    branch: &BranchSpec,
    entry: TreeEntry,
) -> Result<Option<u64>, Failure> {
    let below_reserved = entry.path.split('/').next() == Some(RESERVED_FOLDER);
    if below_reserved && entry.kind() != NodeKind::File {
        return Ok(None);
    }
    let attributes: Attributes = entry.attributes.clone().into_iter().collect();
    let path = file_attributes::git_path(&entry.path, &attributes);
    let size_bytes = entry.size_bytes;
    match file_attributes::node_file(&attributes) {
        NodeFile::Link(target) => {
            confined_dir.link(&path, target.as_bytes()).map_err(|error| unwritable(&error))?;
        }
        NodeFile::Submodule(_) => confined_dir.folder(&path).map_err(|error| unwritable(&error))?,
        NodeFile::Content(FileMode::SymbolicLink) => {
            let mut target = Vec::new();
            let mut pieces = content(client, branch, entry).await?;
            while let Some(piece) = pieces.try_next().await? {
                target.extend_from_slice(&piece);
            }
            confined_dir.link(&path, &target).map_err(|error| unwritable(&error))?;
        }
        NodeFile::Content(mode) => {
            let mut pieces = content(client, branch, entry).await?;
            let mut file = confined_dir
                .file(&path, mode == FileMode::Executable)
                .map_err(|error| unwritable(&error))?;
            while let Some(piece) = pieces.try_next().await? {
                file.write_all(&piece).map_err(|error| unwritable(&error))?;
            }
            file.finish().map_err(|error| unwritable(&error))?;
        }
    }
    Ok(Some(size_bytes))
}

type Pieces = stream::BoxStream<'static, Result<Bytes, Failure>>;

async fn content(
    client: &Client,
    branch: &BranchSpec,
    entry: TreeEntry,
) -> Result<Pieces, Failure> {
    let is_document = entry.kind() != NodeKind::File;
    let pieces = if entry.content_omitted {
        let request = ReadSnapshotRequest {
            realm: client.realm(),
            repo: branch.repo.clone(),
            branch: branch.branch.clone(),
            node_id: entry.node_id,
            revision: entry.revision,
            epoch: entry.epoch,
            ..ReadSnapshotRequest::default()
        };
        let content = client.read(request).await?;
        if !is_document {
            return Ok(content.pieces.map_err(Failure::from).boxed());
        }
        content.collect().await?
    } else {
        entry.content
    };
    let content = if is_document { extended_json::to_text(&pieces)? } else { pieces };
    Ok(stream::iter([Ok(content)]).boxed())
}

fn unwritable(error: &io::Error) -> Failure {
    Failure::failed(format!("cannot be written: {error}"))
}
