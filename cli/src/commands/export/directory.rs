//! Writes the files of a branch into a directory.

use std::io::{self, Write};
use std::path::Path;

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use serde_json::json;
use vdom::git::node::{self, Attributes, FileOfNode};
use vdom::git::path::RESERVED_FOLDER;
use vdom::git::stream::Mode;
use vdom_proto::v1::{NodeKind, ReadSnapshotRequest, ReadTreeRequest, TreeEntry};

use super::Arguments;
use crate::branch::Branch;
use crate::client::Client;
use crate::document;
use crate::exit::{Exit, Failure};
use crate::output::{Output, Tone, count, printable, size};
use crate::place::Place;

/// How many large contents are read at a time.
const READ_AT_ONCE: usize = 4;

/// Writes them; documents as extended JSON.
pub(super) async fn export(
    directory: &Path,
    arguments: &Arguments,
    output: &mut Output,
) -> Result<(), Failure> {
    let branch = Branch::new(&arguments.repo, &arguments.branch)
        .map_err(|problem| Failure::new(Exit::Usage, problem))?;
    let client = Client::connect(&arguments.server).await?;
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
    let place = open(directory, arguments.overwrite)?;
    let mut writing = entries
        .map(|entry| {
            let (place, client, branch) = (&place, &client, &branch);
            async move {
                let entry = entry?;
                let path = printable(&entry.path);
                let written = write(place, client, branch, entry).await;
                Ok::<_, Failure>((path, written))
            }
        })
        .buffered(READ_AT_ONCE);
    let mut written = Written::default();
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
            Err(failure) => written.problems.push((path, failure)),
        }
    }
    written.report(&branch, directory, output)
}

#[derive(Default)]
struct Written {
    files: u64,
    bytes: u64,
    /// What could not be written, and why.
    problems: Vec<(String, Failure)>,
}

impl Written {
    fn report(self, branch: &Branch, directory: &Path, output: &mut Output) -> Result<(), Failure> {
        output.result(
            || {
                let problems = self
                    .problems
                    .iter()
                    .map(|(path, failure)| json!({ "path": path, "problem": failure.message }));
                json!({
                    "repo": branch.repo,
                    "branch": branch.branch,
                    "directory": directory,
                    "files": self.files,
                    "bytes": self.bytes,
                    "problems": problems.collect::<Vec<_>>(),
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
        let files = count(self.problems.len() as u64, "file was", "files were");
        let mut message = format!("{files} not written:");
        for (path, failure) in &self.problems {
            message.extend(["\n  ", path, ": ", &failure.message]);
        }
        Err(Failure::failed(message))
    }
}

fn open(directory: &Path, overwrite: bool) -> Result<Place, Failure> {
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
    Place::open(directory).map_err(unusable)
}

/// Writes one node; `None` where it is nothing for a directory.
async fn write(
    place: &Place,
    client: &Client,
    branch: &Branch,
    entry: TreeEntry,
) -> Result<Option<u64>, Failure> {
    let below_reserved = entry.path.split('/').next() == Some(RESERVED_FOLDER);
    if below_reserved && entry.kind() != NodeKind::File {
        return Ok(None);
    }
    let attributes: Attributes = entry.attributes.clone().into_iter().collect();
    let path = node::path(&entry.path, &attributes)
        .ok_or_else(|| Failure::failed("its attribute git-path cannot be read"))?;
    let size_bytes = entry.size_bytes;
    match node::file(&attributes) {
        FileOfNode::Link(target) => {
            place.link(&path, target.as_bytes()).map_err(|error| unwritable(&error))?;
        }
        FileOfNode::Submodule(_) => place.folder(&path).map_err(|error| unwritable(&error))?,
        FileOfNode::Content(Mode::SymbolicLink) => {
            let mut target = Vec::new();
            let mut pieces = content(client, branch, entry).await?;
            while let Some(piece) = pieces.try_next().await? {
                target.extend_from_slice(&piece);
            }
            place.link(&path, &target).map_err(|error| unwritable(&error))?;
        }
        FileOfNode::Content(mode) => {
            let mut pieces = content(client, branch, entry).await?;
            let mut file =
                place.file(&path, mode == Mode::Executable).map_err(|error| unwritable(&error))?;
            while let Some(piece) = pieces.try_next().await? {
                file.write_all(&piece).map_err(|error| unwritable(&error))?;
            }
            file.finish().map_err(|error| unwritable(&error))?;
        }
    }
    Ok(Some(size_bytes))
}

type Pieces = stream::BoxStream<'static, Result<Bytes, Failure>>;

async fn content(client: &Client, branch: &Branch, entry: TreeEntry) -> Result<Pieces, Failure> {
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
            return Ok(content.pieces);
        }
        content.collect().await?
    } else {
        entry.content
    };
    let content = if is_document { document::to_text(&pieces)? } else { pieces };
    Ok(stream::iter([Ok(content)]).boxed())
}

fn unwritable(error: &io::Error) -> Failure {
    Failure::failed(format!("cannot be written: {error}"))
}
