//! What earlier imports brought into a repo.

use std::collections::HashMap;

use futures::TryStreamExt;
use vdom_client::{BranchSpec, Client};
use vdom_core::limits::HISTORY_PAGE_MAX_CHANGES;
use vdom_git::branch_name::REFS_BRANCH;
use vdom_git::command::FileMode;
use vdom_git::commit_graph::{CommitGraph, ImportedCommit};
use vdom_git::object_id::ObjectId;
use vdom_git::record::{AHEAD_METADATA, COMMIT_METADATA, CUT_METADATA};
use vdom_git::{file_attributes, record};
use vdom_proto::v1::{Branch as BranchInfo, GetHistoryRequest, NodeKind, ReadTreeRequest};

use super::branch_pipeline::Modes;
use crate::exit::{Exit, Failure};

/// What earlier imports brought in.
#[derive(Debug, Default)]
pub(in crate::commands) struct ImportedState {
    pub(in crate::commands) commits: HashMap<ObjectId, ImportedCommit>,
    /// The last commit of each branch that has one.
    pub(super) tips: HashMap<String, ObjectId>,
    /// The revision of that commit, of the same branches.
    pub(super) tip_revisions: HashMap<String, u64>,
    /// The revision of every branch that is not empty.
    pub(super) heads: HashMap<String, u64>,
    /// Commits that were brought in as if they had no parents, with the branch of each.
    roots: Vec<(ObjectId, String)>,
}

/// Reads which commits the branches of a repo have.
pub(in crate::commands) async fn find(
    client: &Client,
    repo: &str,
) -> Result<ImportedState, Failure> {
    let mut state = ImportedState::default();
    for branch in client.branches(repo).await? {
        if branch.revision > 0 && branch.name != REFS_BRANCH {
            state.heads.insert(branch.name.clone(), branch.revision);
            state.add(client, repo, &branch).await?;
        }
    }
    Ok(state)
}

impl ImportedState {
    async fn add(
        &mut self,
        client: &Client,
        repo: &str,
        branch: &BranchInfo,
    ) -> Result<(), Failure> {
        let mut request = GetHistoryRequest {
            realm: client.realm(),
            repo: repo.to_owned(),
            branch: branch.name.clone(),
            path: record::COMMIT_PATH.to_owned(),
            limit: HISTORY_PAGE_MAX_CHANGES,
            ..GetHistoryRequest::default()
        };
        loop {
            let page = match client.history(request.clone()).await {
                Ok(page) => page,
                // It did not come from git.
                Err(error) if error.is_not_found() => return Ok(()),
                Err(error) => return Err(error.into()),
            };
            for change in &page.changes {
                let id = change.metadata.get(COMMIT_METADATA);
                let Some(id) = id.and_then(|id| ObjectId::parse(id.as_bytes())) else {
                    continue;
                };
                let revision = change.revision;
                let index = change.change_set.as_ref().map_or(0, |set| u64::from(set.index));
                if revision == index + 1 && !change.metadata.contains_key(CUT_METADATA) {
                    self.roots.push((id, branch.name.clone()));
                }
                if !self.tips.contains_key(&branch.name) {
                    self.tips.insert(branch.name.clone(), id);
                    self.tip_revisions.insert(branch.name.clone(), revision);
                }
                // Older ones are those of the branch that it was made from.
                if revision <= branch.from_revision {
                    return Ok(());
                }
                self.commits.insert(id, ImportedCommit { branch: branch.name.clone(), revision });
            }
            if page.next_before_revision == 0 {
                return Ok(());
            }
            request.before_revision = page.next_before_revision;
        }
    }

    /// Refuses to go on where an earlier import did not know that a history was shallow: what
    /// it cut off for good cannot be put below it now.
    pub(super) fn check_complete(&self, graph: &CommitGraph, repo: &str) -> Result<(), Failure> {
        let Some((id, branch)) = self.roots.iter().find(|(id, _)| graph.first_parent(id).is_some())
        else {
            return Ok(());
        };
        Err(Failure::new(
            Exit::Conflict,
            format!(
                "{repo}@{branch} begins with the commit {id}, which has parents: it was brought \
                 in from a shallow clone, by a vdom that did not note it"
            ),
        )
        .advice("import into a repo of its own"))
    }

    /// Refuses to go on with a branch that someone has written to since.
    pub(super) async fn check_untouched(
        &self,
        client: &Client,
        branch: &BranchSpec,
    ) -> Result<(), Failure> {
        let name = &branch.branch;
        let (Some(tip), Some(head)) = (self.tip_revisions.get(name), self.heads.get(name)) else {
            return Err(Failure::new(
                Exit::Conflict,
                format!("{branch} is there already, and did not come from git"),
            )
            .advice("import into a repo of its own"));
        };
        let mut request = GetHistoryRequest {
            realm: client.realm(),
            repo: branch.repo.clone(),
            branch: name.clone(),
            limit: HISTORY_PAGE_MAX_CHANGES,
            ..GetHistoryRequest::default()
        };
        let mut next = *head;
        while next > *tip {
            let page = client.history(request.clone()).await?;
            let newer: Vec<_> =
                page.changes.iter().filter(|change| change.revision > *tip).collect();
            if let Some(change) =
                newer.iter().find(|change| !change.metadata.contains_key(AHEAD_METADATA))
            {
                return Err(Failure::new(
                    Exit::Conflict,
                    format!("{branch} was written to at revision {}", change.revision),
                )
                .advice("import into a repo of its own, or delete the branch first"));
            }
            next = page.next_before_revision;
            request.before_revision = next;
        }
        Ok(())
    }
}

/// The modes of the files that a branch has at a revision.
pub(super) async fn modes(
    client: &Client,
    branch: &BranchSpec,
    revision: u64,
) -> Result<Modes, Failure> {
    let mut modes = HashMap::new();
    let mut entries = client.tree(tree_request(client, branch, revision)).await?;
    while let Some(entry) = entries.try_next().await? {
        if entry.kind() != NodeKind::File {
            continue;
        }
        let attributes = entry.attributes.into_iter().collect();
        let mode = file_attributes::file_mode(&attributes);
        if mode != FileMode::Plain {
            let path = file_attributes::git_path(&entry.path, &attributes);
            modes.insert(path.into(), mode);
        }
    }
    Ok(modes.into())
}

/// The paths of the files that a branch has at a revision, as nodes.
pub(super) async fn paths(
    client: &Client,
    branch: &BranchSpec,
    revision: u64,
) -> Result<Vec<String>, Failure> {
    let entries = client.tree(tree_request(client, branch, revision)).await?;
    let files = entries
        .try_filter(|entry| std::future::ready(entry.kind() == NodeKind::File))
        .map_ok(|entry| entry.path);
    Ok(files.try_collect().await?)
}

fn tree_request(client: &Client, branch: &BranchSpec, revision: u64) -> ReadTreeRequest {
    ReadTreeRequest {
        realm: client.realm(),
        repo: branch.repo.clone(),
        branch: branch.branch.clone(),
        revision,
        ..ReadTreeRequest::default()
    }
}
