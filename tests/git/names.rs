//! What a branch holds and git cannot.

use std::path::Path;

use super::export;
use super::repository::Repository;
use crate::cli::{Shell, text};

/// Exports with this exit code; what git makes of it, and what was said.
async fn export_problems(shell: &Shell, repo: &str, folder: &Path) -> (Repository, String) {
    let exported = shell.run(&["export", "--git", "--repo", repo]).await;
    assert_eq!(exported.exit, 1, "{}", exported.stderr);
    let repository = Repository::new(folder);
    repository.run_with(&["fast-import", "--quiet"], &exported.stdout);
    (repository, exported.stderr)
}

fn tree(repository: &Repository, commit: &str) -> String {
    let listed = repository.run(&["ls-tree", "-r", "--name-only", commit]);
    String::from_utf8(listed).expect("text")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_with_others_below_it_is_named_and_comes_back_without_them() {
    let shell = Shell::start().await;
    let folder = tempfile::tempdir().expect("a folder");
    shell.put("site", "lib", b"1").await;
    shell.put("site", "lib/x", b"2").await;
    shell.put("site", "lib", b"3").await;
    shell.put("site", ".git/config", b"4").await;
    shell.put("site", "ok", b"5").await;
    let (git, said) = export_problems(&shell, "site", &folder.path().join("one")).await;
    assert!(said.contains("2 files were not written"), "{said}");
    assert!(said.contains("lib of main: others lie below it"), "{said}");
    assert!(said.contains(".git/config of main"), "{said}");
    assert_eq!(tree(&git, "main"), "lib/x\nok\n");
    assert_eq!(tree(&git, "main~4"), "lib\n");
    git.run(&["fsck", "--strict"]);

    // Moved and deleted, it is not taken for the folder; alone again, it is there.
    shell.run(&["mv", "site", "lib", "moved"]).await.succeeded();
    shell.run(&["mv", "site", "moved", "lib"]).await.succeeded();
    shell.run(&["rm", "site", "lib/x"]).await.succeeded();
    shell.run(&["mv", "site", ".git/config", "config"]).await.succeeded();
    let (git, _) = export_problems(&shell, "site", &folder.path().join("two")).await;
    assert_eq!(tree(&git, "main~3"), "lib/x\nmoved\nok\n");
    assert_eq!(tree(&git, "main~2"), "lib/x\nok\n");
    assert_eq!(tree(&git, "main~1"), "lib\nok\n");
    assert_eq!(tree(&git, "main"), "config\nlib\nok\n");
    assert_eq!(git.run(&["show", "main:lib"]), b"3");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_branch_below_another_gets_a_ref_that_git_can_have() {
    let shell = Shell::start().await;
    let folder = tempfile::tempdir().expect("a folder");
    shell.put("site", "f", b"1").await;
    for (branch, content) in [("site@x", b"2"), ("site@x/y", b"3")] {
        shell.run(&["branch", "create", branch, "--from", "main"]).await.succeeded();
        shell.put(branch, "f", content).await;
    }
    let git = export(&shell, "site", &folder.path().join("git")).await;
    assert_eq!(git.run(&["show", "x:f"]), b"2");
    assert_eq!(git.run(&["show", "x-y:f"]), b"3");
    let said = shell.run(&["export", "--git", "--repo", "site"]).await.succeeded().stderr;
    assert!(said.contains("the branch x/y is refs/heads/x-y"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_became_a_folder_is_brought_in_only_in_its_place() {
    let shell = Shell::start().await;
    let folder = tempfile::tempdir().expect("a folder");
    let write = |path: &str| {
        let path = folder.path().join(path);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        std::fs::write(path, "x").expect("written");
    };
    write("a");
    write("b/1");
    write("c");
    let import = ["import", text(folder.path()), "--repo", "site"];
    shell.run(&import).await.succeeded();
    std::fs::remove_file(folder.path().join("a")).expect("removed");
    std::fs::remove_dir_all(folder.path().join("b")).expect("removed");
    write("a/1");
    write("b");
    let ran = shell.run(&import).await;
    ran.refused(1, &["2 files were not brought in", "a is in its way", "b/1 is in its way"]);
    let list = async || shell.run(&["ls", "site", "--fresh"]).await.succeeded().text();
    assert_eq!(list().await, "a\nb/1\nc\n");
    shell.run(&[import.as_slice(), &["--delete"]].concat()).await.succeeded();
    assert_eq!(list().await, "a/1\nb\nc\n");
    let git = export(&shell, "site", &folder.path().join("git")).await;
    assert_eq!(tree(&git, "main"), "a/1\nb\nc\n");
}
