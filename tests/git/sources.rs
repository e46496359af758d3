//! What of a repository an import takes, and from which.

use super::repository::Repository;
use crate::cli::{Shell, finish, text};

/// A repository with one commit that has this file.
fn with_file(path: &std::path::Path, file: &str) -> Repository {
    let repository = Repository::new(path);
    let stream = format!(
        "commit refs/heads/main\ncommitter a <a@x> 1 +0000\ndata 1\nm\nM 644 inline {file}\ndata 1\nx\n"
    );
    repository.run_with(&["fast-import", "--quiet"], stream.as_bytes());
    repository
}

#[tokio::test(flavor = "multi_thread")]
async fn the_repository_that_is_named_is_read_whatever_a_hook_says() {
    let shell = Shell::start().await;
    let folder = tempfile::tempdir().expect("a folder");
    let wanted = with_file(&folder.path().join("wanted"), "wanted");
    let other = with_file(&folder.path().join("other"), "other");
    let mut command = shell.command(&["import", "--git", text(wanted.path()), "--repo", "r"]);
    command
        .env("GIT_DIR", other.path())
        .env("GIT_OBJECT_DIRECTORY", other.path().join("objects"))
        .env("GIT_INDEX_FILE", "/nonexistent")
        .env("GIT_NAMESPACE", "elsewhere")
        .env("GIT_CONFIG_COUNT", "1")
        .env("GIT_CONFIG_KEY_0", "core.bare")
        .env("GIT_CONFIG_VALUE_0", "no such value");
    finish(command, b"").await.succeeded();
    let listed = shell.run(&["ls", "r", "--fresh"]).await.succeeded();
    assert_eq!(listed.text(), ".vdom/git-commit\nwanted\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_within_a_repository_is_not_taken_for_it() {
    let shell = Shell::start().await;
    let folder = tempfile::tempdir().expect("a folder");
    with_file(&folder.path().join("outer"), "a");
    let inner = folder.path().join("outer/inner");
    std::fs::create_dir(&inner).expect("made");
    let ran = shell.run(&["import", "--git", text(&inner), "--repo", "r"]).await;
    ran.refused(1, &["not a git repository"]);
}
