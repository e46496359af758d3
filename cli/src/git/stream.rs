//! The commands of a fast-import stream, as `git help fast-import` names them.

use bytes::Bytes;

/// One command of the stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// A content.
    Blob(Blob),
    /// A commit on a ref.
    Commit(Box<Commit>),
    /// A ref that moves, or begins anew.
    Reset(Reset),
    /// An annotated tag.
    Tag(Tag),
    /// Another name for an object.
    Alias {
        /// The mark that is given.
        mark: u64,
        /// The object that it names.
        to: Object,
    },
    /// What the reader of the stream must support.
    Feature(Bytes),
    /// A setting for the reader of the stream.
    Setting(Bytes),
    /// A text for people.
    Progress(Bytes),
    /// A wish to save what there is.
    Checkpoint,
    /// The end of the stream.
    Done,
}

/// A content.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Blob {
    /// By which the stream names it.
    pub mark: Option<u64>,
    /// Its object id where it comes from.
    pub original_id: Option<Bytes>,
    /// The content.
    pub data: Bytes,
}

/// A commit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Commit {
    /// The ref that moves to it.
    pub ref_name: Bytes,
    /// By which the stream names it.
    pub mark: Option<u64>,
    /// Its object id where it comes from.
    pub original_id: Option<Bytes>,
    /// `Name <email> seconds zone`; `None`: as the committer.
    pub author: Option<Bytes>,
    /// `Name <email> seconds zone`.
    pub committer: Bytes,
    /// Signatures, each with its hash algorithm and format.
    pub signatures: Vec<Signature>,
    /// Of the message, where it is not UTF-8.
    pub encoding: Option<Bytes>,
    /// The message.
    pub message: Bytes,
    /// The first parent; `None`: what the ref points to, if anything.
    pub from: Option<Object>,
    /// The other parents.
    pub merges: Vec<Object>,
    /// What differs from the first parent, in the order in which it is applied.
    pub changes: Vec<FileChange>,
}

/// The signature of a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    /// Hash algorithm and format: `sha1 openpgp`.
    pub kind: Bytes,
    /// The signature itself.
    pub data: Bytes,
}

/// A ref that moves.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reset {
    /// Which ref.
    pub ref_name: Bytes,
    /// Where to; `None`: the next commit on it has no parent.
    pub from: Option<Object>,
}

/// An annotated tag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tag {
    /// Without `refs/tags/`.
    pub name: Bytes,
    /// By which the stream names it.
    pub mark: Option<u64>,
    /// What it points to.
    pub from: Object,
    /// Its object id where it comes from.
    pub original_id: Option<Bytes>,
    /// `Name <email> seconds zone`.
    pub tagger: Option<Bytes>,
    /// The message, with the signature where it has one.
    pub message: Bytes,
}

/// How an object is named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Object {
    /// By the mark that the stream gave it.
    Mark(u64),
    /// By its id, or the name of a ref.
    Name(Bytes),
}

/// What happens to a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FileChange {
    /// It has this mode and content now.
    Modify {
        /// What it is.
        mode: Mode,
        /// What it holds; of a submodule, its commit.
        content: Content,
        /// Where it is.
        path: Bytes,
    },
    /// It is gone, with all below.
    Delete {
        /// Where it was.
        path: Bytes,
    },
    /// A second one is as the first.
    Copy {
        /// The first.
        from: Bytes,
        /// The second.
        to: Bytes,
    },
    /// It has another path.
    Rename {
        /// Where it was.
        from: Bytes,
        /// Where it is.
        to: Bytes,
    },
    /// All files are gone.
    DeleteAll,
    /// A note on a commit.
    Note {
        /// The note.
        content: Content,
        /// The commit.
        commit: Object,
    },
}

/// Where a content is found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// In the blob that has this mark or id.
    Object(Object),
    /// Here.
    Inline(Bytes),
}

/// What a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// An ordinary file.
    Plain,
    /// A program.
    Executable,
    /// A symbolic link, whose content is its target.
    SymbolicLink,
    /// A submodule at a commit.
    Submodule,
    /// A whole directory, given as a tree.
    Directory,
}

impl Mode {
    /// As git writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Plain => "100644",
            Self::Executable => "100755",
            Self::SymbolicLink => "120000",
            Self::Submodule => "160000",
            Self::Directory => "040000",
        }
    }

    /// Reads what git writes.
    pub fn parse(text: &[u8]) -> Option<Self> {
        Some(match text {
            b"100644" | b"644" => Self::Plain,
            b"100755" | b"755" => Self::Executable,
            b"120000" => Self::SymbolicLink,
            b"160000" => Self::Submodule,
            b"040000" | b"40000" => Self::Directory,
            _ => return None,
        })
    }
}
