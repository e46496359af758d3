//! How the logs of branches are named: by realm, repo and branch, without a room.

use vdom_core::{BranchAddress, RealmName, RepoName, Result};
use vdom_security::PermittedStore;
use vdom_store::{LogDescriptor, LogFilter, LogName};

use crate::error::from_store;

/// The name of the logs of a branch.
pub(crate) fn log_name(address: &BranchAddress) -> LogName {
    LogName {
        realm: address.realm.to_string(),
        room: String::new(),
        segments: vec![address.repo.to_string(), address.branch.to_string()],
    }
}

/// Takes in the logs of all branches of a repo.
pub(crate) fn logs_of_repo(realm: &RealmName, repo: &RepoName) -> LogFilter {
    LogFilter { segments: vec![repo.to_string()], ..LogFilter::of_realm(realm.as_str()) }
}

/// Repo and branch of a log; both are empty for a log of the realm itself.
pub(crate) fn repo_and_branch(log: &LogDescriptor) -> (&str, &str) {
    match &log.name.segments[..] {
        [repo, branch] => (repo, branch),
        _ => ("", ""),
    }
}

/// Every log of the document room, realm by realm.
pub(crate) async fn all_logs(store: PermittedStore<'_>) -> Result<Vec<LogDescriptor>> {
    let failed = |error| from_store(error, "the store");
    let mut logs = Vec::new();
    for realm in store.realms().await.map_err(failed)? {
        logs.extend(store.logs(&LogFilter::of_realm(realm)).await.map_err(failed)?);
    }
    Ok(logs)
}

/// The branch that a log is of.
pub(crate) fn address_of(log: &LogDescriptor) -> Result<BranchAddress> {
    let (repo, branch) = repo_and_branch(log);
    BranchAddress::parse(&log.name.realm, repo, branch)
}
