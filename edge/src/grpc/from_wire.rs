//! From the wire: every name and limit of a request is checked here; bytes are
//! moved, never copied.

mod answers;
mod checks;
mod requests;

pub use answers::{
    branch_summary, event, history_page, repo_summary, snapshot, tree_entry, write_outcome,
};
pub(crate) use requests::history_limit;
pub(in crate::grpc) use requests::write_content;
pub use requests::{
    get_history, list_branches, list_repos, read_snapshot, read_tree, subscribe, write_diff,
};
