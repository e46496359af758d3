//! `ListRepos` and `ListBranches`: what exists in a realm.

use std::collections::{BTreeMap, BTreeSet};

use vdom_core::calls::{BranchSummary, RepoSummary};
use vdom_core::{BranchAddress, Error, ErrorCode, RealmName, RepoName, Result};
use vdom_store::{LogFilter, Store};

use super::error::from_store;
use super::room::Shared;
use crate::security::Permit;

/// The repos of a realm by name.
pub(crate) async fn list_repos(store: &dyn Store, realm: &RealmName) -> Result<Vec<RepoSummary>> {
    let filter = LogFilter { realm: realm.to_string(), repo: None, branch: None };
    let logs = store.logs(&filter).await.map_err(|error| from_store(error, realm))?;
    let mut repos: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for log in logs.into_iter().filter(|log| !log.repo.is_empty()) {
        repos.entry(log.repo).or_default().insert(log.branch);
    }
    let summary = |(name, branches): (String, BTreeSet<String>)| RepoSummary {
        name,
        branches: branches.len() as u32,
    };
    Ok(repos.into_iter().map(summary).collect())
}

/// The branches of a repo by name.
pub(crate) async fn list_branches(
    room: &Shared,
    permit: &Permit,
    realm: RealmName,
    repo: RepoName,
) -> Result<Vec<BranchSummary>> {
    let resource = format!("{realm}/{repo}");
    let filter = LogFilter { realm: realm.to_string(), repo: Some(repo.to_string()), branch: None };
    let logs = room.store.logs(&filter).await.map_err(|error| from_store(error, &resource))?;
    let names: BTreeSet<_> = logs.into_iter().map(|log| log.branch).collect();
    if names.is_empty() {
        return Err(Error::new(
            ErrorCode::NotFound,
            format!("repo `{repo}` does not exist in realm `{realm}`: the first write creates it"),
        )
        .resource(resource));
    }
    let mut branches = Vec::with_capacity(names.len());
    for name in names {
        let address = BranchAddress::parse(realm.as_str(), repo.as_str(), &name)?;
        let head = room.existing(permit, &address).await?.branch.head();
        branches.push(BranchSummary {
            name,
            epoch: head.epoch,
            revision: head.revision,
            head_hash: head.hash,
            origin: None,
        });
    }
    Ok(branches)
}
