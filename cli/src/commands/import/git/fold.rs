//! What a commit does to each file, from the changes of its command, which git
//! applies one after the other.

use std::collections::HashMap;

use bytes::Bytes;
use vdom::git::stream::{Content, FileChange, Mode, Object};

/// What a commit does to one file. Paths are git's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Edit {
    /// The file is this now.
    Put { path: Bytes, put: Put },
    /// It is gone.
    Delete { path: Bytes },
    /// It has another path, and perhaps is something else.
    Rename { from: Bytes, to: Bytes, put: Option<Put> },
}

/// What a file is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Put {
    /// `None`: as the file that it is a copy of.
    pub(super) mode: Option<Mode>,
    pub(super) source: Source,
}

/// Where its content is found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// In the blob with this id.
    Blob(Bytes),
    /// Here.
    Inline(Bytes),
    /// In the file that the first parent has at this path.
    Copy(Bytes),
    /// A submodule at this commit.
    Submodule(Bytes),
}

/// What a commit does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Edits {
    /// Everything that was there goes first.
    pub(super) deletes_all: bool,
    /// Each path at most once.
    pub(super) edits: Vec<Edit>,
}

/// Puts the changes together; `Err` says what is not understood.
pub(super) fn fold(changes: Vec<FileChange>) -> Result<Edits, String> {
    let mut folding = Folding::default();
    for change in changes {
        folding.apply(change)?;
    }
    Ok(Edits {
        deletes_all: folding.deletes_all,
        edits: folding.edits.into_iter().flatten().collect(),
    })
}

#[derive(Default)]
struct Folding {
    deletes_all: bool,
    /// In the order in which they came; `None` where another took its place.
    edits: Vec<Option<Edit>>,
    /// Which edit a path is the outcome of.
    outcome_at: HashMap<Bytes, usize>,
}

impl Folding {
    fn apply(&mut self, change: FileChange) -> Result<(), String> {
        match change {
            FileChange::DeleteAll => *self = Self { deletes_all: true, ..Self::default() },
            FileChange::Modify { mode, content, path } => {
                let put = Put { mode: Some(mode), source: source(mode, content)? };
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

    fn put(&mut self, path: Bytes, put: Put) {
        let standing = self.outcome_at.get(&path).copied().and_then(|at| self.edits[at].as_mut());
        match standing {
            Some(Edit::Rename { put: then, .. }) => *then = Some(put),
            Some(edit) => *edit = Edit::Put { path, put },
            None => self.push(path.clone(), Edit::Put { path, put }),
        }
    }

    fn delete(&mut self, path: Bytes) {
        if let Some(at) = self.outcome_at.remove(&path)
            && let Some(Edit::Rename { from, .. }) = self.edits[at].take()
        {
            self.push(from.clone(), Edit::Delete { path: from });
        } else if !self.deletes_all {
            self.push(path.clone(), Edit::Delete { path });
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
            None => Edit::Rename { from, to: to.clone(), put: None },
            Some(Edit::Put { put, .. }) => Edit::Rename { from, to: to.clone(), put: Some(put) },
            Some(Edit::Rename { from, put, .. }) => Edit::Rename { from, to: to.clone(), put },
            Some(Edit::Delete { path }) => Edit::Delete { path },
        };
        self.push(to, edit);
    }

    /// What `from` is now, for a second file.
    fn copy_of(&self, from: Bytes) -> Put {
        match self.outcome_at.get(&from).and_then(|at| self.edits[*at].as_ref()) {
            Some(Edit::Put { put, .. } | Edit::Rename { put: Some(put), .. }) => put.clone(),
            Some(Edit::Rename { from, put: None, .. }) => {
                Put { mode: None, source: Source::Copy(from.clone()) }
            }
            _ => Put { mode: None, source: Source::Copy(from) },
        }
    }

    fn push(&mut self, outcome: Bytes, edit: Edit) {
        self.outcome_at.insert(outcome, self.edits.len());
        self.edits.push(Some(edit));
    }
}

fn source(mode: Mode, content: Content) -> Result<Source, String> {
    match (mode, content) {
        (Mode::Directory, _) => Err("it sets a whole directory at once".to_owned()),
        (Mode::Submodule, Content::Object(Object::Name(id))) => Ok(Source::Submodule(id)),
        (_, Content::Object(Object::Name(id))) => Ok(Source::Blob(id)),
        (_, Content::Inline(data)) => Ok(Source::Inline(data)),
        (_, Content::Object(Object::Mark(mark))) => {
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
        let content = Content::Object(Object::Name(bytes(id)));
        FileChange::Modify { mode: Mode::Plain, content, path: bytes(path) }
    }

    fn put(id: &'static str) -> Put {
        Put { mode: Some(Mode::Plain), source: Source::Blob(bytes(id)) }
    }

    fn renamed(from: &'static str, to: &'static str) -> FileChange {
        FileChange::Rename { from: bytes(from), to: bytes(to) }
    }

    #[test]
    fn a_rename_takes_the_edit_before_or_after_it_along() {
        let rename = Edit::Rename { from: bytes("a"), to: bytes("b"), put: Some(put("1")) };
        for changes in [
            vec![renamed("a", "b"), modify("b", "1")],
            vec![modify("a", "1"), renamed("a", "b")],
            vec![renamed("a", "x"), modify("x", "1"), renamed("x", "b")],
        ] {
            assert_eq!(fold(changes).expect("understood").edits, std::slice::from_ref(&rename));
        }
    }

    #[test]
    fn each_file_is_edited_once() {
        let folded = fold(vec![modify("a", "1"), modify("a", "2")]).expect("understood");
        assert_eq!(folded.edits, [Edit::Put { path: bytes("a"), put: put("2") }]);
        let gone = fold(vec![renamed("a", "b"), FileChange::Delete { path: bytes("b") }]);
        assert_eq!(gone.expect("understood").edits, [Edit::Delete { path: bytes("a") }]);
    }

    #[test]
    fn a_copy_is_of_the_parent_unless_the_commit_changed_it_before() {
        let copy = |from, to| FileChange::Copy { from: bytes(from), to: bytes(to) };
        let folded = fold(vec![copy("a", "b"), renamed("a", "c"), copy("c", "d")]);
        let of_parent = || Put { mode: None, source: Source::Copy(bytes("a")) };
        let expected = [
            Edit::Put { path: bytes("b"), put: of_parent() },
            Edit::Rename { from: bytes("a"), to: bytes("c"), put: None },
            Edit::Put { path: bytes("d"), put: of_parent() },
        ];
        assert_eq!(folded.expect("understood").edits, expected);
        let changed = fold(vec![modify("a", "1"), copy("a", "b")]).expect("understood");
        assert_eq!(changed.edits[1], Edit::Put { path: bytes("b"), put: put("1") });
    }

    #[test]
    fn all_may_go_at_once() {
        let folded = fold(vec![modify("a", "1"), FileChange::DeleteAll, modify("b", "2")]);
        let expected = [Edit::Put { path: bytes("b"), put: put("2") }];
        assert_eq!(folded, Ok(Edits { deletes_all: true, edits: expected.to_vec() }));
    }
}
