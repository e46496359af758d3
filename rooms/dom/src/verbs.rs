//! What is asked of the document room: a file a verb.

pub(crate) mod branches;
pub(crate) mod change_set;
pub(crate) mod conflicts;
pub(crate) mod explain_conflict;
pub(crate) mod history;
pub(crate) mod list;
pub(crate) mod read_snapshot;
pub(crate) mod read_tree;
pub(crate) mod revert;
pub(crate) mod subscribe;
pub(crate) mod write_diff;
