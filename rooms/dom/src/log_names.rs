//! How the logs of branches are named: by realm, repo and branch, without a room.

use vdom_core::{BranchAddress, RealmName, RepoName};
use vdom_store::{LogDescriptor, LogFilter, LogName};

/// The name of the logs of a branch.
pub(super) fn log_name(address: &BranchAddress) -> LogName {
    LogName {
        realm: address.realm.to_string(),
        room: String::new(),
        segments: vec![address.repo.to_string(), address.branch.to_string()],
    }
}

/// Takes in the logs of all branches of a repo.
pub(super) fn logs_of_repo(realm: &RealmName, repo: &RepoName) -> LogFilter {
    LogFilter { segments: vec![repo.to_string()], ..LogFilter::of_realm(realm.as_str()) }
}

/// Repo and branch of a log; both are empty for a log of the realm itself.
pub(super) fn repo_and_branch(log: &LogDescriptor) -> (&str, &str) {
    match &log.name.segments[..] {
        [repo, branch] => (repo, branch),
        _ => ("", ""),
    }
}
