//! `ListRepos` and `ListBranches`: what exists in a realm. No branch is opened for that: the
//! ends of its logs say where its head is and what it was created from.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use vdom_core::dom::calls::{BranchSummary, RepoSummary};
use vdom_core::{BranchAddress, BranchName, Error, ErrorCode, RealmName, RepoName, Result};
use vdom_security::{Permit, PermittedStore};
use vdom_store::{LogDescriptor, LogEnds, LogFilter, LogId};

use crate::error::from_store;
use crate::log_names::{address_of, log_name, logs_of_repo, repo_and_branch};
use crate::records::decode_outline;
use crate::registry::BranchRegistry;
use crate::verbs::branches::summary;

/// So many logs are looked at in one call of the store.
const LOGS_AT_ONCE: usize = 256;

/// The branch that another one was created from, and at which revision.
type Origin = (BranchName, u64);

/// The repos of a realm by name.
pub(crate) async fn list_repos(
    store: PermittedStore<'_>,
    realm: &RealmName,
) -> Result<Vec<RepoSummary>> {
    let logs = store
        .logs(&LogFilter::of_realm(realm.as_str()))
        .await
        .map_err(|error| from_store(error, realm))?;
    let mut repos: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (repo, branch) in logs.iter().map(repo_and_branch).filter(|(repo, _)| !repo.is_empty()) {
        repos.entry(repo.to_owned()).or_default().insert(branch.to_owned());
    }
    let summary = |(name, branches): (String, BTreeSet<String>)| RepoSummary {
        name,
        branches: branches.len() as u32,
    };
    Ok(repos.into_iter().map(summary).collect())
}

/// The branches of a repo by name.
pub(crate) async fn list_branches(
    registry: &BranchRegistry,
    permit: &Permit,
    realm: RealmName,
    repo: RepoName,
) -> Result<Vec<BranchSummary>> {
    let resource = format!("{realm}/{repo}");
    let logs = registry
        .store
        .with(permit)
        .logs(&logs_of_repo(&realm, &repo))
        .await
        .map_err(|error| from_store(error, &resource))?;
    if logs.is_empty() {
        return Err(Error::new(
            ErrorCode::NotFound,
            format!("repo `{repo}` does not exist in realm `{realm}`: the first write creates it"),
        )
        .resource(resource));
    }
    let newest = newest_of_each_name(logs);
    let mut branches = Vec::with_capacity(newest.len());
    for logs in newest.chunks(LOGS_AT_ONCE) {
        branches.append(&mut summaries(registry, permit, &resource, logs).await?);
    }
    Ok(branches)
}

/// Of logs in ascending order, the last of each name.
fn newest_of_each_name(logs: Vec<LogDescriptor>) -> Vec<LogDescriptor> {
    let mut newest: Vec<LogDescriptor> = Vec::with_capacity(logs.len());
    for log in logs {
        match newest.last_mut() {
            Some(earlier) if earlier.name == log.name => *earlier = log,
            _ => newest.push(log),
        }
    }
    newest
}

/// The branches that these logs, the newest of their names, are of; without those that have
/// ended.
async fn summaries(
    registry: &BranchRegistry,
    permit: &Permit,
    resource: &String,
    logs: &[LogDescriptor],
) -> Result<Vec<BranchSummary>> {
    let store = registry.store.with(permit);
    let ids: Vec<_> = logs.iter().map(LogDescriptor::log_id).collect();
    let ends = store.ends(&ids).await.map_err(|error| from_store(error, resource))?;
    let mut origins = origins(store, resource, logs, &ends).await?;
    let ends: HashMap<_, _> = ends.into_iter().map(|ends| (ends.log, ends)).collect();
    let mut branches = Vec::with_capacity(logs.len());
    for (log, id) in logs.iter().zip(ids) {
        let address = address_of(log)?;
        let stored = ends.get(&id).map(|ends| &ends.last);
        let stored_place = (log.incarnation, stored.map_or(0, |last| last.number));
        // Asked after the store: what is open here may have gone on meanwhile.
        let open = registry.open_now(&address).filter(|handle| {
            let (branch, head) = (&handle.branch, handle.branch.head());
            let place = (branch.descriptor.incarnation, head.number);
            head.number > 0 && !branch.is_retired() && place >= stored_place
        });
        match (open, stored) {
            (Some(handle), _) if handle.branch.head().closed => {}
            (Some(handle), _) => branches.push(summary(&handle.branch)),
            (None, Some(last)) if !last.closing => {
                let record = decode_outline(last)?;
                branches.push(BranchSummary {
                    name: address.branch.to_string(),
                    epoch: record.epoch,
                    revision: (last.first_revision + u64::from(last.count)).saturating_sub(1),
                    head_hash: record.hash,
                    origin: origins.remove(&id),
                });
            }
            // Deleted; its log tells of it still.
            (None, _) => {}
        }
    }
    Ok(branches)
}

/// What the branches of these logs were created from, by the ids of the logs. Where a restore
/// began a log, the one before it knows.
async fn origins(
    store: PermittedStore<'_>,
    resource: &String,
    logs: &[LogDescriptor],
    ends: &[LogEnds],
) -> Result<HashMap<LogId, Origin>> {
    let names: HashMap<_, _> = logs.iter().map(|log| (log.log_id(), log)).collect();
    let mut origins = HashMap::new();
    // The log that is looked at, and the one that is asked about.
    let mut asked: HashMap<LogId, LogId> = names.keys().map(|log| (*log, *log)).collect();
    let mut looked_at = ends.to_vec();
    while !looked_at.is_empty() {
        let mut earlier = HashMap::new();
        for ends in looked_at {
            let Some(about) = asked.remove(&ends.log) else { continue };
            let record = decode_outline(&ends.first)?;
            let Some(parent) = record.parent() else { continue };
            let branch = BranchName::parse(parent.branch)?;
            if parent.previous_epoch.is_none() {
                origins.insert(about, (branch, parent.revision));
            } else if let Some(log) = names.get(&about) {
                let address = BranchAddress { branch, ..address_of(log)? };
                let before = log_name(&address).incarnation(parent.incarnation).log_id();
                earlier.insert(before, about);
            }
        }
        let ids: Vec<_> = earlier.keys().copied().collect();
        asked = earlier;
        looked_at = if ids.is_empty() {
            Vec::new()
        } else {
            store.ends(&ids).await.map_err(|error| from_store(error, resource))?
        };
    }
    Ok(origins)
}
