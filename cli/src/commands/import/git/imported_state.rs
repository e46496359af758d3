//! What earlier imports brought into a repo.

use std::collections::HashMap;

use futures::{StreamExt, TryStreamExt, stream};
use indicatif::ProgressBar;
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

/// How many branches are asked for at a time.
const READ_AT_ONCE: usize = 16;

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

/// The commits that a branch has of its own.
#[derive(Debug, Default)]
struct BranchCommits {
    branch: String,
    /// The last one, also where it is one of the branch that this one begins in.
    tip: Option<(ObjectId, u64)>,
    own: Vec<(ObjectId, u64)>,
    root: Option<ObjectId>,
}

/// Reads which commits the branches of a repo have. Of a branch that has nothing of its own,
/// the one that it begins in says all.
pub(in crate::commands) async fn find(
    client: &Client,
    repo: &str,
    bar: &ProgressBar,
) -> Result<ImportedState, Failure> {
    let branches = client.branches(repo).await?;
    let written = branches.iter().filter(|info| info.revision > 0 && info.name != REFS_BRANCH);
    let (bare, own): (Vec<_>, Vec<_>) = written
        .partition(|info| !info.from_branch.is_empty() && info.revision == info.from_revision);
    let mut state = ImportedState::default();
    bar.set_length(own.len() as u64);
    state.read(client, repo, &own, bar).await?;

    let by_name: HashMap<_, _> = branches.iter().map(|info| (info.name.as_str(), info)).collect();
    let by_revision: HashMap<_, _> = state
        .commits
        .iter()
        .map(|(id, commit)| ((commit.branch.as_str(), commit.revision), *id))
        .collect();
    let (mut tips, mut unknown) = (Vec::new(), Vec::new());
    for info in bare {
        let mut begins_in = Some(info);
        while let Some(parent) = begins_in.filter(|parent| info.revision <= parent.from_revision) {
            begins_in = by_name.get(parent.from_branch.as_str()).copied();
        }
        let at = begins_in.map(|parent| (parent.name.as_str(), info.revision));
        match at.and_then(|at| by_revision.get(&at)) {
            Some(id) => tips.push(BranchCommits {
                branch: info.name.clone(),
                tip: Some((*id, info.revision)),
                ..BranchCommits::default()
            }),
            None => unknown.push(info),
        }
        state.heads.insert(info.name.clone(), info.revision);
    }
    for commits in tips {
        state.add(commits);
    }
    bar.inc_length(unknown.len() as u64);
    state.read(client, repo, &unknown, bar).await?;
    Ok(state)
}

impl ImportedState {
    async fn read(
        &mut self,
        client: &Client,
        repo: &str,
        branches: &[&BranchInfo],
        bar: &ProgressBar,
    ) -> Result<(), Failure> {
        let mut read = stream::iter(branches)
            .map(|info| commits_of(client, repo, info))
            .buffer_unordered(READ_AT_ONCE);
        let heads = branches.iter().map(|info| (info.name.clone(), info.revision));
        self.heads.extend(heads);
        while let Some(commits) = read.try_next().await? {
            self.add(commits);
            bar.inc(1);
        }
        Ok(())
    }

    fn add(&mut self, commits: BranchCommits) {
        let BranchCommits { branch, tip, own, root } = commits;
        if let Some((id, revision)) = tip {
            // What an import that was killed had sent may have come after the branches were listed.
            if let Some(head) = self.heads.get_mut(&branch) {
                *head = revision.max(*head);
            }
            self.tips.insert(branch.clone(), id);
            self.tip_revisions.insert(branch.clone(), revision);
        }
        self.roots.extend(root.map(|id| (id, branch.clone())));
        for (id, revision) in own {
            self.commits.insert(id, ImportedCommit { branch: branch.clone(), revision });
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

async fn commits_of(
    client: &Client,
    repo: &str,
    branch: &BranchInfo,
) -> Result<BranchCommits, Failure> {
    let mut commits = BranchCommits { branch: branch.name.clone(), ..BranchCommits::default() };
    let mut request = GetHistoryRequest {
        realm: client.realm(),
        repo: repo.to_owned(),
        branch: branch.name.clone(),
        path: record::COMMIT_PATH.to_owned(),
        // Each commit is at least one change, and the last one before them is the tip where
        // there are none.
        limit: u32::try_from(branch.revision - branch.from_revision.min(branch.revision) + 1)
            .unwrap_or(u32::MAX)
            .min(HISTORY_PAGE_MAX_CHANGES),
        ..GetHistoryRequest::default()
    };
    loop {
        let page = match client.history(request.clone()).await {
            Ok(page) => page,
            // It did not come from git.
            Err(error) if error.is_not_found() => return Ok(commits),
            Err(error) => return Err(error.into()),
        };
        for change in &page.changes {
            let id = change.metadata.get(COMMIT_METADATA);
            let Some(id) = id.and_then(|id| ObjectId::parse(id.as_bytes())) else {
                continue;
            };
            let revision = change.revision;
            commits.tip.get_or_insert((id, revision));
            // Older ones are those of the branch that it was made from.
            if revision <= branch.from_revision {
                return Ok(commits);
            }
            let index = change.change_set.as_ref().map_or(0, |set| u64::from(set.index));
            if revision == index + 1 && !change.metadata.contains_key(CUT_METADATA) {
                commits.root = Some(id);
            }
            commits.own.push((id, revision));
        }
        if page.next_before_revision == 0 {
            return Ok(commits);
        }
        request.before_revision = page.next_before_revision;
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
