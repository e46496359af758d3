//! What a change set does to files, as changes of a commit.

use std::collections::{BTreeMap, HashMap};
use std::io::Write;
use std::sync::Arc;

use bytes::Bytes;
use vdom_client::NodeContent;
use vdom_core::Diff;
use vdom_core::dom::diff::{AttributeEdit, PutContent};
use vdom_git::command::{ContentSource, FileChange, FileMode, ObjectName};
use vdom_git::file_attributes::{self, Attributes, NodeFile};
use vdom_git::path_set::PathSet;
use vdom_git::record::{COMMIT_PATH, CommitRecord, PART_PATHS, part_count, part_data};
use vdom_proto::v1::change_event::Type;
use vdom_proto::v1::{ChangeEvent, NodeKind};

use super::change_origin::{ChangeOrigin, is_reserved};
use super::git_stream::GitStream;
use super::tree_shape::{Place, TreeShape};
use crate::exit::{Exit, Failure};
use crate::extended_json;

/// The attributes of nodes that have any, by path.
pub(super) type Attributed = Arc<HashMap<String, Attributes>>;

/// A change set that is being read; what it adds to the branch is known at its
/// end, since all its changes are about what was there before.
#[derive(Debug, Default)]
pub(super) struct CommitBuilder {
    /// The commit that it was in git.
    pub(super) record: Option<CommitRecord>,
    /// The paths of nodes that it is about, before and after it, and git's for them.
    touched: BTreeMap<String, Vec<Bytes>>,
    /// Git's paths that are gone.
    removed: Vec<Bytes>,
    /// Files that moved and are otherwise as they were.
    moved: Vec<MovedFile>,
    /// Files that are new or different, with the mark of the content.
    modified: Vec<(Bytes, FileMode, ContentSource)>,
    /// Paths of nodes without attributes now, and nodes with other ones.
    left: Vec<String>,
    attributed: Vec<(String, Attributes)>,
}

#[derive(Debug)]
struct MovedFile {
    from: Bytes,
    to: Bytes,
    /// Where the node is, to read it where a move alone will not do.
    path: String,
}

/// What a diff says about a node.
#[derive(Default)]
struct DiffSummary {
    attributes: Option<AttributeEdit>,
    /// The new content, where the diff has it.
    content: Option<Bytes>,
    /// There is a new content.
    is_edited: bool,
    /// The diff was left out: all of it must be read.
    is_unknown: bool,
}

impl CommitBuilder {
    /// Takes the next change of the set. The contents that it brings are written
    /// at once; `last_revision` is where the set ends.
    pub(super) async fn add<W: Write>(
        &mut self,
        event: &ChangeEvent,
        last_revision: u64,
        origin: &ChangeOrigin<'_>,
        before: &Attributed,
        git: &mut GitStream<W>,
    ) -> Result<(), Failure> {
        if event.kind() != NodeKind::File && is_reserved(&event.path) {
            return self.reserved(event, last_revision, origin).await;
        }
        let old_path = if event.old_path.is_empty() { &event.path } else { &event.old_path };
        let old = match event.r#type() {
            Type::Create => Attributes::new(),
            _ => before.get(old_path).cloned().unwrap_or_default(),
        };
        let old_git_path = git_path(old_path, &old);
        self.touch(old_path, &old_git_path);
        if event.r#type() == Type::Delete {
            self.left.push(old_path.clone());
            self.removed.push(old_git_path);
            return Ok(());
        }
        let summary = summarize_diff(event);
        let mut read = None;
        let attributes = if summary.is_unknown {
            let content = origin.read(&event.path, last_revision).await?;
            let attributes = content.snapshot.attributes.clone().into_iter().collect();
            read = Some(content);
            attributes
        } else {
            match &summary.attributes {
                Some(edit) => edit.apply(&old)?,
                None => old.clone(),
            }
        };
        let new_git_path = git_path(&event.path, &attributes);
        self.touch(&event.path, &new_git_path);
        let is_moved = new_git_path != old_git_path;
        let looks_the_same =
            file_attributes::node_file(&attributes) == file_attributes::node_file(&old);
        self.left.push(old_path.clone());
        if !attributes.is_empty() {
            self.attributed.push((event.path.clone(), attributes.clone()));
        }
        let is_edited = summary.is_edited || summary.is_unknown || !looks_the_same;
        if !is_edited && event.r#type() != Type::Create {
            if is_moved {
                let path = event.path.clone();
                self.moved.push(MovedFile { from: old_git_path, to: new_git_path, path });
            }
            return Ok(());
        }
        if is_moved && event.r#type() != Type::Create {
            self.removed.push(old_git_path);
        }
        let file = file_attributes::node_file(&attributes);
        let (mode, content) =
            content(file, summary.content, read, event, last_revision, origin, git).await?;
        self.modified.push((new_git_path, mode, content));
        Ok(())
    }

    fn touch(&mut self, path: &str, git_path: &Bytes) {
        match self.touched.get_mut(path) {
            Some(known) => known.push(git_path.clone()),
            None => drop(self.touched.insert(path.to_owned(), vec![git_path.clone()])),
        }
    }

    /// The changes of the commit, and what has attributes after it. What came from git can
    /// be there as it is; of other nodes those are left out that git cannot hold.
    pub(super) async fn finish<W: Write>(
        mut self,
        last_revision: u64,
        is_from_git: bool,
        origin: &ChangeOrigin<'_>,
        attributed: &mut Attributed,
        shape: &mut TreeShape,
        git: &mut GitStream<W>,
    ) -> Result<Vec<FileChange>, Failure> {
        for path in self.touched.keys() {
            shape.note(path);
        }
        if !is_from_git {
            for path in shape.doubtful(self.touched.keys()) {
                self.leave_out(&path, last_revision, origin, shape, git).await?;
            }
        }
        self.separate_moves(last_revision, origin, git).await?;
        let left = self.left.iter().filter(|path| attributed.contains_key(*path));
        let left: Vec<_> = left.cloned().collect();
        if !(left.is_empty() && self.attributed.is_empty()) {
            let attributed = Arc::make_mut(attributed);
            for path in left {
                attributed.remove(&path);
            }
            attributed.extend(self.attributed);
        }
        let removed = self.removed.into_iter().map(|path| FileChange::Delete { path });
        let moved = self
            .moved
            .into_iter()
            .map(|MovedFile { from, to, .. }| FileChange::Rename { from, to });
        let modified = self.modified.into_iter().map(|(path, mode, content)| FileChange::Modify {
            mode,
            content,
            path,
        });
        Ok(removed.chain(moved).chain(modified).collect())
    }

    /// Git moves one file after the other: moves that need each other's place
    /// become deletions and new files.
    async fn separate_moves<W: Write>(
        &mut self,
        last_revision: u64,
        origin: &ChangeOrigin<'_>,
        git: &mut GitStream<W>,
    ) -> Result<(), Failure> {
        let old = PathSet::of(self.moved.iter().map(|moved| moved.from.as_ref()));
        let new = PathSet::of(self.moved.iter().map(|moved| moved.to.as_ref()));
        let meets =
            |moved: &MovedFile| old.collides_with(&moved.to) || new.collides_with(&moved.from);
        let apart: Vec<bool> = self.moved.iter().map(meets).collect();
        if !apart.contains(&true) {
            return Ok(());
        }
        let moved = std::mem::take(&mut self.moved);
        for (moved, is_apart) in moved.into_iter().zip(apart) {
            if !is_apart {
                self.moved.push(moved);
                continue;
            }
            self.replace_move(moved, last_revision, origin, git).await?;
        }
        Ok(())
    }

    /// A deletion and a new file instead of a move.
    async fn replace_move<W: Write>(
        &mut self,
        moved: MovedFile,
        last_revision: u64,
        origin: &ChangeOrigin<'_>,
        git: &mut GitStream<W>,
    ) -> Result<(), Failure> {
        let (mode, content) = standing(&moved.path, last_revision, origin, git).await?;
        self.removed.push(moved.from);
        self.modified.push((moved.to, mode, content));
        Ok(())
    }

    /// Leaves the node at a path out while git cannot hold it, and brings it back where it
    /// can again.
    async fn leave_out<W: Write>(
        &mut self,
        path: &str,
        last_revision: u64,
        origin: &ChangeOrigin<'_>,
        shape: &mut TreeShape,
        git: &mut GitStream<W>,
    ) -> Result<(), Failure> {
        let place = Place::read(path, last_revision, origin).await?;
        let mut names = self.touched.get(path).cloned().unwrap_or_default();
        names.extend(place.file.clone());
        let moved = std::mem::take(&mut self.moved);
        for moved in moved {
            if names.contains(&moved.from) || names.contains(&moved.to) {
                self.replace_move(moved, last_revision, origin, git).await?;
            } else {
                self.moved.push(moved);
            }
        }
        let is_modified = self.modified.iter().any(|(path, ..)| names.contains(path));
        match (place.why_not, place.file) {
            (Some(why), file) => {
                if place.has_below {
                    // Git would take the folder for what is to be removed.
                    self.removed.retain(|path| !names.contains(path));
                }
                self.modified.retain(|(path, ..)| !names.contains(path));
                if file.is_some() {
                    shape.left_out(&origin.branch.branch, path, why);
                }
            }
            (None, Some(file)) if !is_modified => {
                let (mode, content) = standing(path, last_revision, origin, git).await?;
                self.modified.push((file, mode, content));
            }
            (None, _) => {}
        }
        Ok(())
    }

    async fn reserved(
        &mut self,
        event: &ChangeEvent,
        last_revision: u64,
        origin: &ChangeOrigin<'_>,
    ) -> Result<(), Failure> {
        if event.path != COMMIT_PATH || event.r#type() == Type::Delete {
            return Ok(());
        }
        let summary = summarize_diff(event);
        let mut document = match summary.content {
            Some(document) => document,
            None => origin.read(&event.path, last_revision).await?.collect().await?,
        };
        if let Some(parts) = part_count(&document) {
            let mut whole = Vec::new();
            for number in 0..parts {
                let path = format!("{PART_PATHS}{number}");
                let part = match origin.read(&path, last_revision).await {
                    Ok(part) => part.collect().await?,
                    // It is none of an import.
                    Err(failure) if failure.exit == Exit::NotFound => return Ok(()),
                    Err(failure) => return Err(failure),
                };
                whole.extend_from_slice(part_data(&part).unwrap_or_default());
            }
            document = whole.into();
        }
        self.record = CommitRecord::from_document(&document);
        Ok(())
    }
}

/// The mode and the content of the file that stands at a path.
async fn standing<W: Write>(
    path: &str,
    last_revision: u64,
    origin: &ChangeOrigin<'_>,
    git: &mut GitStream<W>,
) -> Result<(FileMode, ContentSource), Failure> {
    let read = origin.read(path, last_revision).await?;
    let attributes = read.snapshot.attributes.clone().into_iter().collect();
    let kind = read.snapshot.kind;
    let event = ChangeEvent { path: path.to_owned(), kind, ..ChangeEvent::default() };
    let file = file_attributes::node_file(&attributes);
    content(file, None, Some(read), &event, last_revision, origin, git).await
}

/// The mode of a file, and its content as the stream has it.
async fn content<W: Write>(
    file: NodeFile,
    known: Option<Bytes>,
    read: Option<NodeContent>,
    event: &ChangeEvent,
    last_revision: u64,
    origin: &ChangeOrigin<'_>,
    git: &mut GitStream<W>,
) -> Result<(FileMode, ContentSource), Failure> {
    let (mode, known) = match file {
        NodeFile::Submodule(commit) => {
            return Ok((
                FileMode::Submodule,
                ContentSource::Object(ObjectName::Name(commit.into())),
            ));
        }
        NodeFile::Link(target) => (FileMode::SymbolicLink, Some(Bytes::from(target))),
        NodeFile::Content(mode) => (mode, known),
    };
    let is_document = event.kind() != NodeKind::File;
    let mark = match (known, read) {
        (Some(content), _) if is_document => git.blob(&extended_json::to_text(&content)?)?,
        (Some(content), _) => git.blob(&content)?,
        (None, read) => {
            let read = match read {
                Some(read) => read,
                None => origin.read(&event.path, last_revision).await?,
            };
            if is_document {
                git.blob(&extended_json::to_text(&read.collect().await?)?)?
            } else {
                git.blob_of(read).await?
            }
        }
    };
    Ok((mode, ContentSource::Object(ObjectName::Mark(mark))))
}

fn summarize_diff(event: &ChangeEvent) -> DiffSummary {
    if event.diff_omitted || event.diff_bson.is_empty() {
        return DiffSummary { is_unknown: true, ..DiffSummary::default() };
    }
    // What the store keeps may name chunks, which only a server can read.
    let Ok(diff) = Diff::parse(&event.diff_bson) else {
        return DiffSummary { is_unknown: true, ..DiffSummary::default() };
    };
    let mut summary = DiffSummary::default();
    let mut next = Some(&diff);
    while let Some(diff) = next.take() {
        match diff {
            Diff::Put(PutContent::Bytes(content) | PutContent::Document(content)) => {
                summary.content = Some(content.clone());
                summary.is_edited = true;
            }
            Diff::Put(PutContent::Chunks(_) | PutContent::DocumentChunks(_))
            | Diff::Text(_)
            | Diff::Patch(_) => {
                summary.is_edited = true;
            }
            Diff::Attributes { edit, then } => {
                summary.attributes = Some(edit.clone());
                next = then.as_deref();
            }
            Diff::Rename { then, .. } => next = then.as_deref(),
            Diff::Delete => {}
        }
    }
    summary
}

fn git_path(path: &str, attributes: &Attributes) -> Bytes {
    file_attributes::git_path(path, attributes).into()
}
