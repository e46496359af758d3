//! The commands of a fast-import stream, as `git help fast-import` names them.

use bytes::Bytes;

/// One command of the stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StreamCommand {
    /// A content that later commands name.
    Blob(BlobCommand),
    /// A commit on a ref.
    Commit(Box<CommitCommand>),
    /// A ref that moves, or begins anew.
    Reset(ResetCommand),
    /// An annotated tag, an object of its own.
    Tag(TagCommand),
    /// Another name for an object.
    Alias {
        /// The mark that is given.
        mark: u64,
        /// The object that it names.
        to: ObjectName,
    },
    /// What the reader of the stream must support.
    Feature(Bytes),
    /// A setting for the reader of the stream.
    Setting(Bytes),
    /// A text that the reader of the stream prints.
    Progress(Bytes),
    /// A wish to save what there is.
    Checkpoint,
    /// The end of the stream.
    Done,
}

/// A content. Its object id (in hexadecimal digits) is the one that it has where the
/// stream comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub struct BlobCommand {
    pub mark: Option<u64>,
    pub original_id: Option<Bytes>,
    pub data: Bytes,
}

/// A commit. Persons and times are `Name <email> seconds zone`; the object id (in
/// hexadecimal digits) is the one that it has where the stream comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub struct CommitCommand {
    /// The ref that moves to it.
    pub ref_name: Bytes,
    pub mark: Option<u64>,
    pub original_id: Option<Bytes>,
    /// `None`: as the committer.
    pub author: Option<Bytes>,
    pub committer: Bytes,
    pub signatures: Vec<Signature>,
    /// Of the message, where it is not UTF-8.
    pub encoding: Option<Bytes>,
    pub message: Bytes,
    /// The first parent; `None`: what the ref points to, if anything.
    pub from: Option<ObjectName>,
    /// The parents beside the first.
    pub merges: Vec<ObjectName>,
    /// What differs from the first parent, in the order in which it is applied.
    pub changes: Vec<FileChange>,
}

/// The signature of a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Signature {
    /// Hash algorithm and format: `sha1 openpgp`.
    pub kind: Bytes,
    pub data: Bytes,
}

/// A ref that moves.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub struct ResetCommand {
    pub ref_name: Bytes,
    /// Where to; `None`: the next commit on it has no parent.
    pub from: Option<ObjectName>,
}

/// An annotated tag. The tagger is `Name <email> seconds zone`; the object id (in
/// hexadecimal digits) is the one that it has where the stream comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub struct TagCommand {
    /// Without `refs/tags/`.
    pub name: Bytes,
    pub mark: Option<u64>,
    /// The object that it points to.
    pub from: ObjectName,
    pub original_id: Option<Bytes>,
    pub tagger: Option<Bytes>,
    /// With the signature at its end, where it has one.
    pub message: Bytes,
}

/// How an object is named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ObjectName {
    /// By the mark that the stream gave it.
    Mark(u64),
    /// By its id, or the name of a ref.
    Name(Bytes),
}

/// What happens to a file. Paths are git's, any bytes but NUL.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum FileChange {
    /// It has this mode and content now; of a submodule the content is its commit.
    Modify { mode: FileMode, content: ContentSource, path: Bytes },
    /// It is gone, with all below.
    Delete { path: Bytes },
    /// A second file is as the first.
    Copy { from: Bytes, to: Bytes },
    /// It has another path, with all below.
    Rename { from: Bytes, to: Bytes },
    /// Every file is gone.
    DeleteAll,
    /// A note on a commit.
    Note { content: ContentSource, commit: ObjectName },
}

/// Where a content is found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ContentSource {
    /// In the blob that has this mark or id.
    Object(ObjectName),
    /// In the command itself.
    Inline(Bytes),
}

/// The modes that git has for what stands at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileMode {
    /// An ordinary file, `100644`.
    Plain,
    /// A file that may be run, `100755`.
    Executable,
    /// A symbolic link, whose content is its target.
    SymbolicLink,
    /// A submodule at a commit.
    Submodule,
    /// A whole directory, given as a tree.
    Directory,
}

impl FileMode {
    /// The mode in the six octal digits of git.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Plain => "100644",
            Self::Executable => "100755",
            Self::SymbolicLink => "120000",
            Self::Submodule => "160000",
            Self::Directory => "040000",
        }
    }

    /// Reads what git writes, with six digits or, for files, with three.
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
