//! From the wire: every name and limit of a request is checked here; bytes are
//! moved, never copied.

#![expect(missing_docs, reason = "each reads the message of its name")]

mod change_sets;
mod checks;
mod conflicts;
mod requests;
mod responses;

pub(crate) use change_sets::diff_of_set;
pub use change_sets::{revert_changes, set_outcome, write_diffs};
pub use conflicts::{
    conflict_explanation, conflict_page, explain_conflict, list_conflicts, resolve_conflict,
    resolve_outcome,
};
pub use requests::{
    create_branch, delete_branch, get_history, list_branches, list_repos, read_snapshot,
    read_snapshots, read_tree, subscribe, write_diff,
};
pub use responses::{
    branch_page, branch_summary, event, history_page, repo_page, repo_summary, snapshot,
    tree_entry, write_outcome,
};
