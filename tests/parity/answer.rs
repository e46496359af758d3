//! Questions and answers without what differs by nature: ids, epochs, times.

use bytes::Bytes;
use vdom_core::NodeKind;

/// What is asked.
#[derive(Clone, Debug)]
pub(super) enum Ask {
    /// Writes a node.
    Write(Write),
    /// Reads a node, as new as the last write or as of a revision.
    Read { path: &'static str, at: At },
    /// Reads a node by the id that it had at its n-th first appearance.
    ReadById { node: usize },
    /// Reads a subtree.
    Tree { prefix: &'static str, at: At },
    /// Lists the changes of the branch, or of a node.
    History { path: Option<&'static str> },
    /// Watches the branch from its beginning, for so many changes.
    Changes { count: usize },
    /// Writes several changes as one.
    Set(Set),
    /// Undoes the changes from the first revision to the last.
    Revert { first: u64, last: u64 },
    /// Reads many nodes as of one revision.
    ReadMany { paths: &'static [&'static str] },
    /// Lists the conflicts that were kept.
    Conflicts,
    /// Explains the conflict that was listed first.
    Explain,
    /// Resolves the conflict that was listed first.
    Resolve(Resolve),
    /// Lists the branches of the repo.
    Branches,
    /// Creates a branch from `main` at a revision.
    CreateBranch { name: &'static str, at: u64 },
    /// Deletes a branch.
    DeleteBranch { name: &'static str },
}

/// Several writes as one.
#[derive(Clone, Debug)]
pub(super) struct Set {
    pub(super) writes: Vec<Write>,
    /// The revision that the branch must be at.
    pub(super) expected: Option<u64>,
    /// An operation id.
    pub(super) operation: Option<u64>,
}

/// How a conflict ends.
#[derive(Clone, Copy, Debug)]
pub(super) enum Resolve {
    Ours,
    Theirs,
    Manual(&'static str),
}

/// As of when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum At {
    /// As new as the last write through this door.
    Latest,
    Revision(u64),
    /// Not before it is known.
    NotBefore(u64),
    /// Not before the write with this operation id.
    After(u64),
}

/// A write.
#[derive(Clone, Debug)]
pub(super) struct Write {
    pub(super) path: &'static str,
    pub(super) change: Change,
    pub(super) seen: Seen,
    /// Whether a conflict is kept.
    pub(super) keep: bool,
    /// An operation id.
    pub(super) operation: Option<u64>,
    /// Another place than the door's own.
    pub(super) elsewhere: Option<Elsewhere>,
}

impl Write {
    /// Where the node is afterwards.
    pub(super) fn ends_at(&self) -> &'static str {
        match self.change {
            Change::Rename(to) => to,
            _ => self.path,
        }
    }
}

/// How a node shall change.
#[derive(Clone, Debug)]
pub(super) enum Change {
    File(Bytes),
    /// A FILE whose content comes in pieces.
    Streamed(Bytes),
    /// A META node's document, BSON.
    Document(Bytes),
    /// Inserts text at the beginning.
    Prepend(&'static str),
    /// RFC 6902: replaces the field `a` by a number.
    ReplaceA(i32),
    Rename(&'static str),
    Delete,
}

/// What the writer had seen of the node.
#[derive(Clone, Copy, Debug)]
pub(super) enum Seen {
    /// That it is not there.
    Nothing,
    /// It in this version.
    Version(u64),
    /// It in this version, and what changed since is merged.
    Merging(u64),
    /// It does not matter.
    Any,
}

/// A place that is wrong.
#[derive(Clone, Copy, Debug)]
pub(super) enum Elsewhere {
    Realm(&'static str),
    Repo(&'static str),
    Branch(&'static str),
}

/// What is answered. Nodes are numbered in the order of their appearance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Written {
        node: usize,
        version: u64,
        revision: u64,
    },
    /// What stands there is not what the request expects.
    Conflict,
    /// A change set: its first and last revision, and each write as node, version
    /// and revision.
    Set {
        revisions: (u64, u64),
        results: Vec<(usize, u64, u64)>,
    },
    /// A change set that was not written: for each write why, or that it alone
    /// would have been.
    SetConflicts(Vec<Option<String>>),
    /// Conflicts as path and reason.
    Conflicts(Vec<(String, String)>),
    /// What a conflict is about: its path, the revisions that its writer had not seen,
    /// whether it merges, and how many places do not.
    Explanation {
        path: String,
        unseen: Vec<u64>,
        merge: String,
        hunks: usize,
    },
    /// A branch with its revision, and where it came from.
    Branch {
        name: String,
        revision: u64,
        from: Option<(String, u64)>,
    },
    /// Nothing more to say.
    Done,
    Node(Node),
    Nodes(Vec<Node>),
    /// The revision is not known where there is no node.
    Tree {
        revision: Option<u64>,
        nodes: Vec<TreeNode>,
    },
    Changes(Vec<ChangeLine>),
    Branches(Vec<(String, u64)>),
    /// The error code's name.
    Refused(String),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Node {
    pub(super) number: usize,
    pub(super) path: String,
    pub(super) kind: NodeKind,
    pub(super) version: u64,
    pub(super) revision: u64,
    pub(super) changed_revision: u64,
    pub(super) author: String,
    pub(super) content: Bytes,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TreeNode {
    pub(super) number: usize,
    pub(super) path: String,
    pub(super) kind: NodeKind,
    pub(super) version: u64,
    pub(super) size_bytes: u64,
}

/// A change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ChangeLine {
    pub(super) revision: u64,
    pub(super) change: String,
    pub(super) path: String,
    pub(super) old_path: String,
    pub(super) version: u64,
    pub(super) author: String,
}

/// Ids in the order of their appearance.
#[derive(Default)]
pub(super) struct Numbers(Vec<String>);

impl Numbers {
    /// The number of an id.
    pub(super) fn of(&mut self, id: &str) -> usize {
        self.0.iter().position(|known| known == id).unwrap_or_else(|| {
            self.0.push(id.to_owned());
            self.0.len() - 1
        })
    }

    /// The id with this number.
    pub(super) fn id(&self, number: usize) -> &str {
        &self.0[number]
    }
}
