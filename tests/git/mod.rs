//! Whole histories of git, in and out again.

mod git_round_trip;
mod history;
mod names;
mod odd_commits;
mod repository;
mod round_trip;
mod shallow;
mod sources;

use std::path::Path;

use serde_json::Value;

use crate::cli::{Ran, Shell, text};
use repository::Repository;

/// Brings a repository's history into a repo.
pub(crate) async fn import(shell: &Shell, repository: &Repository, repo: &str) -> Value {
    let arguments = ["--json", "import", "--git", text(repository.path()), "--repo", repo];
    shell.run(&arguments).await.succeeded().records().remove(0)
}

/// Brings a repo's history into a new repository.
pub(crate) async fn export(shell: &Shell, repo: &str, folder: &Path) -> Repository {
    let exported: Ran = shell.run(&["export", "--git", "--repo", repo]).await.succeeded();
    let repository = Repository::new(folder);
    repository.run_with(&["fast-import", "--quiet"], &exported.stdout);
    repository
}
