//! `ListRepos` and `ListBranches`: what exists in a realm. No branch is opened for that: the
//! ends of its logs say where its head is and what it was created from.

use std::collections::HashMap;

use vdom_core::dom::calls::{
    BranchPage, BranchSummary, ListBranches, ListRepos, RepoPage, RepoSummary,
};
use vdom_core::limits::LIST_PAGE_MAX_BYTES;
use vdom_core::{BranchAddress, BranchName, Error, RealmName, RepoName, Result};
use vdom_security::{Permit, PermittedStore};
use vdom_store::{LogDescriptor, LogEnds, LogFilter, LogId};

use crate::error::from_store;
use crate::log_names::{address_of, log_name, logs_of_repo, repo_and_branch};
use crate::records::decode_outline;
use crate::registry::BranchRegistry;
use crate::verbs::branches::summary;

/// So many logs are looked at in one call of the store.
const LOGS_AT_ONCE: usize = 256;

/// After the names of all branches, which are ASCII.
const AFTER_ALL_BRANCHES: &str = "\u{7f}";

/// What a branch takes on the wire beside names: its hash, epoch and revisions.
const NUMBERS_BYTES: usize = 80;

/// The branch that another one was created from, and at which revision.
type Origin = (BranchName, u64);

/// A page of the repos of a realm by name.
pub(crate) async fn list_repos(store: PermittedStore<'_>, request: &ListRepos) -> Result<RepoPage> {
    let ListRepos { realm, page_size, after } = request;
    let mut filter = LogFilter::of_realm(realm.as_str());
    if let Some(after) = after {
        filter.after = vec![after.to_string(), AFTER_ALL_BRANCHES.to_owned()];
    }
    // To count branches takes all of their logs.
    let logs = store.logs(&filter).await.map_err(|error| from_store(error, realm))?;
    let (mut page, mut bytes) = (RepoPage::default(), 0);
    for log in newest_of_each_name(logs) {
        let (repo, _) = repo_and_branch(&log);
        match page.repos.last_mut() {
            _ if repo.is_empty() => {}
            Some(last) if last.name == repo => last.branches += 1,
            last => {
                bytes += repo.len() + NUMBERS_BYTES;
                let is_full = last.is_some()
                    && (page.repos.len() >= *page_size as usize || bytes > LIST_PAGE_MAX_BYTES);
                if let Some(last) = page.repos.last().filter(|_| is_full) {
                    page.next_page_token = request.page_token_after(&last.name);
                    return Ok(page);
                }
                page.repos.push(RepoSummary { name: repo.to_owned(), branches: 1 });
            }
        }
    }
    Ok(page)
}

/// A page of the branches of a repo by name.
pub(crate) async fn list_branches(
    registry: &BranchRegistry,
    permit: &Permit,
    request: &ListBranches,
) -> Result<BranchPage> {
    let (realm, repo) = (&request.realm, &request.repo);
    let resource = format!("{realm}/{repo}");
    let failed = |error| from_store(error, &resource);
    let store = registry.store.with(permit);
    let mut filter = logs_of_repo(realm, repo);
    if let Some(branch) = &request.branch {
        let (realm, repo, branch) = (realm.clone(), repo.clone(), branch.clone());
        let name = log_name(&BranchAddress { realm, repo, branch });
        if let Some(log) = store.find(&name).await.map_err(failed)? {
            let branches = summaries(registry, permit, &resource, &[log]).await?;
            return Ok(BranchPage { branches, next_page_token: String::new() });
        }
    }
    if let Some(after) = &request.after {
        filter.after = vec![repo.to_string(), after.to_string()];
    }
    let page_size = request.page_size as usize;
    let (mut page, mut bytes) = (BranchPage::default(), 0);
    loop {
        // One more than the page holds says whether there are more.
        let limit = (page_size - page.branches.len() + 1).min(LOGS_AT_ONCE);
        filter.limit = Some(limit);
        let logs = store.logs(&filter).await.map_err(failed)?;
        if logs.is_empty() && filter.after.is_empty() {
            return Err(no_such_repo(realm, repo).resource(resource));
        }
        if request.branch.is_some() {
            return Ok(page);
        }
        let was_cut = logs.len() == limit;
        let mut newest = newest_of_each_name(logs);
        let Some(last) = newest.last_mut() else { return Ok(page) };
        if was_cut && let Some(found) = store.find(&last.name).await.map_err(failed)? {
            // The rest of its logs may have been cut off.
            *last = found;
        }
        filter.after.clone_from(&last.name.segments);
        for branch in summaries(registry, permit, &resource, &newest).await? {
            bytes += bytes_of(&branch);
            let is_full = page.branches.len() >= page_size || bytes > LIST_PAGE_MAX_BYTES;
            if let Some(last) = page.branches.last().filter(|_| is_full) {
                page.next_page_token = request.page_token_after(&last.name);
                return Ok(page);
            }
            page.branches.push(branch);
        }
        if !was_cut {
            return Ok(page);
        }
    }
}

fn no_such_repo(realm: &RealmName, repo: &RepoName) -> Error {
    Error::not_found(format!(
        "repo `{repo}` does not exist in realm `{realm}`: the first write creates it"
    ))
}

/// About as many as it takes on the wire.
fn bytes_of(branch: &BranchSummary) -> usize {
    let origin = branch.origin.as_ref().map_or(0, |(name, _)| name.as_str().len());
    branch.name.len() + origin + NUMBERS_BYTES
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
