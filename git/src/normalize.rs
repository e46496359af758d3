//! What a commit does to each file, from the changes of its command, which git
//! applies one after the other.

use std::collections::HashMap;

use bytes::Bytes;

use crate::command::{ContentSource, FileChange, FileMode, ObjectName};

/// What a commit does to one file. Paths are git's; `put` is what the file is then.
#[expect(missing_docs, reason = "the names say it")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FileEdit {
    /// The file is this now.
    Put {
        path: Bytes,
        put: NewFile,
    },
    Delete {
        path: Bytes,
    },
    /// It has another path, and perhaps is something else.
    Rename {
        from: Bytes,
        to: Bytes,
        put: Option<NewFile>,
    },
}

/// The mode and content that a file gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewFile {
    /// The mode; `None`: as the file that it is a copy of.
    pub mode: Option<FileMode>,
    /// Where its content is found.
    pub source: FileSource,
}

/// Where its content is found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FileSource {
    /// In the blob with this id.
    Blob(Bytes),
    /// In the change itself.
    Inline(Bytes),
    /// In the file that the first parent has at this path.
    Copy(Bytes),
    /// A submodule at this commit.
    Submodule(Bytes),
}

/// Everything that a commit does to files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CommitEdits {
    /// Everything that was there goes first.
    pub deletes_all: bool,
    /// Each path at most once.
    pub edits: Vec<FileEdit>,
}

/// Puts changes that git applies one after the other together, one edit a file.
///
/// # Errors
///
/// Says what of them is not understood: notes, whole directories, contents by mark.
pub fn normalize(changes: Vec<FileChange>) -> Result<CommitEdits, String> {
    let mut normalizer = Normalizer::default();
    for change in changes {
        normalizer.apply(change)?;
    }
    Ok(CommitEdits {
        deletes_all: normalizer.deletes_all,
        edits: normalizer.edits.into_iter().flatten().collect(),
    })
}

#[derive(Default)]
struct Normalizer {
    deletes_all: bool,
    /// In the order in which they came; `None` where another took its place.
    edits: Vec<Option<FileEdit>>,
    /// Which edit a path is the outcome of.
    outcome_at: HashMap<Bytes, usize>,
}

impl Normalizer {
    fn apply(&mut self, change: FileChange) -> Result<(), String> {
        match change {
            FileChange::DeleteAll => *self = Self { deletes_all: true, ..Self::default() },
            FileChange::Modify { mode, content, path } => {
                let put = NewFile { mode: Some(mode), source: source(mode, content)? };
                self.put(path, put);
            }
            FileChange::Delete { path } => self.delete(path),
            FileChange::Copy { from, to } => {
                let put = self.copy_of(from);
                self.put(to, put);
            }
            FileChange::Rename { from, to } => self.rename(from, to),
            FileChange::Note { .. } => {
                return Err("it changes notes by a command that only git has".to_owned());
            }
        }
        Ok(())
    }

    fn put(&mut self, path: Bytes, put: NewFile) {
        let standing = self.outcome_at.get(&path).copied().and_then(|at| self.edits[at].as_mut());
        match standing {
            Some(FileEdit::Rename { put: then, .. }) => *then = Some(put),
            Some(edit) => *edit = FileEdit::Put { path, put },
            None => self.push(path.clone(), FileEdit::Put { path, put }),
        }
    }

    fn delete(&mut self, path: Bytes) {
        if let Some(at) = self.outcome_at.remove(&path)
            && let Some(FileEdit::Rename { from, .. }) = self.edits[at].take()
        {
            self.push(from.clone(), FileEdit::Delete { path: from });
        } else if !self.deletes_all {
            self.push(path.clone(), FileEdit::Delete { path });
        }
    }

    fn rename(&mut self, from: Bytes, to: Bytes) {
        if self.deletes_all {
            let put = self.copy_of(from.clone());
            self.delete(from);
            return self.put(to, put);
        }
        let moved = self.outcome_at.remove(&from).and_then(|at| self.edits[at].take());
        if let Some(at) = self.outcome_at.remove(&to) {
            self.edits[at] = None;
        }
        let edit = match moved {
            None => FileEdit::Rename { from, to: to.clone(), put: None },
            Some(FileEdit::Put { put, .. }) => {
                FileEdit::Rename { from, to: to.clone(), put: Some(put) }
            }
            Some(FileEdit::Rename { from, put, .. }) => {
                FileEdit::Rename { from, to: to.clone(), put }
            }
            Some(FileEdit::Delete { path }) => FileEdit::Delete { path },
        };
        self.push(to, edit);
    }

    /// What `from` is now, for a second file.
    fn copy_of(&self, from: Bytes) -> NewFile {
        match self.outcome_at.get(&from).and_then(|at| self.edits[*at].as_ref()) {
            Some(FileEdit::Put { put, .. } | FileEdit::Rename { put: Some(put), .. }) => {
                put.clone()
            }
            Some(FileEdit::Rename { from, put: None, .. }) => {
                NewFile { mode: None, source: FileSource::Copy(from.clone()) }
            }
            _ => NewFile { mode: None, source: FileSource::Copy(from) },
        }
    }

    fn push(&mut self, outcome: Bytes, edit: FileEdit) {
        self.outcome_at.insert(outcome, self.edits.len());
        self.edits.push(Some(edit));
    }
}

fn source(mode: FileMode, content: ContentSource) -> Result<FileSource, String> {
    match (mode, content) {
        (FileMode::Directory, _) => Err("it sets a whole directory at once".to_owned()),
        (FileMode::Submodule, ContentSource::Object(ObjectName::Name(id))) => {
            Ok(FileSource::Submodule(id))
        }
        (_, ContentSource::Object(ObjectName::Name(id))) => Ok(FileSource::Blob(id)),
        (_, ContentSource::Inline(data)) => Ok(FileSource::Inline(data)),
        (_, ContentSource::Object(ObjectName::Mark(mark))) => {
            Err(format!("it names the content :{mark}, which did not come before"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(text: &'static str) -> Bytes {
        Bytes::from_static(text.as_bytes())
    }

    fn modify(path: &'static str, id: &'static str) -> FileChange {
        let content = ContentSource::Object(ObjectName::Name(bytes(id)));
        FileChange::Modify { mode: FileMode::Plain, content, path: bytes(path) }
    }

    fn put(id: &'static str) -> NewFile {
        NewFile { mode: Some(FileMode::Plain), source: FileSource::Blob(bytes(id)) }
    }

    fn renamed(from: &'static str, to: &'static str) -> FileChange {
        FileChange::Rename { from: bytes(from), to: bytes(to) }
    }

    #[test]
    fn a_rename_takes_the_edit_before_or_after_it_along() {
        let rename = FileEdit::Rename { from: bytes("a"), to: bytes("b"), put: Some(put("1")) };
        for changes in [
            vec![renamed("a", "b"), modify("b", "1")],
            vec![modify("a", "1"), renamed("a", "b")],
            vec![renamed("a", "x"), modify("x", "1"), renamed("x", "b")],
        ] {
            assert_eq!(
                normalize(changes).expect("understood").edits,
                std::slice::from_ref(&rename)
            );
        }
    }

    #[test]
    fn each_file_is_edited_once() {
        let normalized = normalize(vec![modify("a", "1"), modify("a", "2")]).expect("understood");
        assert_eq!(normalized.edits, [FileEdit::Put { path: bytes("a"), put: put("2") }]);
        let gone = normalize(vec![renamed("a", "b"), FileChange::Delete { path: bytes("b") }]);
        assert_eq!(gone.expect("understood").edits, [FileEdit::Delete { path: bytes("a") }]);
    }

    #[test]
    fn a_copy_is_of_the_parent_unless_the_commit_changed_it_before() {
        let copy = |from, to| FileChange::Copy { from: bytes(from), to: bytes(to) };
        let normalized = normalize(vec![copy("a", "b"), renamed("a", "c"), copy("c", "d")]);
        let of_parent = || NewFile { mode: None, source: FileSource::Copy(bytes("a")) };
        let expected = [
            FileEdit::Put { path: bytes("b"), put: of_parent() },
            FileEdit::Rename { from: bytes("a"), to: bytes("c"), put: None },
            FileEdit::Put { path: bytes("d"), put: of_parent() },
        ];
        assert_eq!(normalized.expect("understood").edits, expected);
        let changed = normalize(vec![modify("a", "1"), copy("a", "b")]).expect("understood");
        assert_eq!(changed.edits[1], FileEdit::Put { path: bytes("b"), put: put("1") });
    }

    #[test]
    fn all_may_go_at_once() {
        let normalized = normalize(vec![modify("a", "1"), FileChange::DeleteAll, modify("b", "2")]);
        let expected = [FileEdit::Put { path: bytes("b"), put: put("2") }];
        assert_eq!(normalized, Ok(CommitEdits { deletes_all: true, edits: expected.to_vec() }));
    }
}
