//! Commits that git keeps and its own streams do not carry as they are.

use serde_json::json;

use super::repository::Repository;
use super::{export, import};
use crate::cli::Shell;

#[tokio::test(flavor = "multi_thread")]
async fn persons_that_git_does_not_read_back_are_told_and_repaired() {
    let shell = Shell::start().await;
    let folder = tempfile::tempdir().expect("a folder");
    let original = Repository::new(&folder.path().join("original"));
    let mut parent = String::new();
    let mut odd = Vec::new();
    for author in [
        "A <a@x> <a@x> 1323847743 +0100",
        "A<a@x> 7 +0100",
        "A",
        "A <a@x> 7 +0100",
        " <> 7 +0100",
        "A <a@x> 18446744073709551616 +0000",
    ] {
        let commit = format!("tree TREE\n{parent}author {author}\ncommitter {author}\n\nm\n");
        let id = original.raw_commit("refs/heads/main", &commit);
        if !matches!(author, "A <a@x> 7 +0100" | " <> 7 +0100") {
            odd.push(format!("commit {id}"));
        }
        parent = format!("parent {id}\n");
    }
    let summary = import(&shell, &original, "site").await;
    assert_eq!(summary["odd_persons"], json!(odd));
    let back = export(&shell, "site", &folder.path().join("back")).await;
    let log = back.run(&["log", "--format=%an|%ae|%at", "main"]);
    let expected = "A|a@x|0\n||7\nA|a@x|7\nA||0\nA|a@x|7\nA|a@x|1323847743\n";
    assert_eq!(String::from_utf8_lossy(&log), expected);
}
