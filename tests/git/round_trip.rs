//! A history that went in comes out as it was.

use serde_json::Value;

use super::history;
use super::repository::Repository;
use super::{export, import};
use crate::cli::Shell;

/// Commits, trees, authors, dates and messages, and where every ref points.
#[track_caller]
fn assert_same(original: &Repository, came_back: &Repository, what: &str) {
    let (expected, found) = (original.log(), came_back.log());
    for (expected, found) in expected.iter().zip(&found) {
        assert_eq!(expected, found, "{what}");
    }
    assert_eq!(expected.len(), found.len(), "{what}: another number of commits");
    assert_eq!(original.refs(), came_back.refs(), "{what}");
}

#[tokio::test(flavor = "multi_thread")]
async fn hard_histories_come_back_as_they_were() {
    let shell = Shell::start().await;
    let folder = tempfile::tempdir().expect("a folder");
    for seed in 1..=4 {
        let repo = format!("seed-{seed}");
        let original = history::make(&folder.path().join(&repo), seed, 60);
        let summary = import(&shell, &original, &repo).await;
        assert_eq!(summary["unchanged"], 0, "{summary}");
        let came_back = export(&shell, &repo, &folder.path().join(format!("{repo}-back"))).await;
        assert_same(&original, &came_back, &repo);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_history_of_this_repository_comes_back_as_it_was() {
    let folder = tempfile::tempdir().expect("a folder");
    let own = vdom_testkit::workspace_root().join(".git");
    let original = match Repository::mirror(&own, &folder.path().join("original")) {
        Ok(original) => original,
        Err(reason) => {
            let test = "the_history_of_this_repository_comes_back_as_it_was";
            return vdom_testkit::skipped(test, &reason);
        }
    };
    let shell = Shell::start().await;
    let summary = import(&shell, &original, "own").await;
    let commits = original.run(&["rev-list", "--all", "--count"]);
    let commits: u64 = String::from_utf8_lossy(&commits).trim().parse().expect("a number");
    assert_eq!(summary["commits"], Value::from(commits));
    let came_back = export(&shell, "own", &folder.path().join("back")).await;
    assert_same(&original, &came_back, "this repository");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_of_more_than_a_hundred_thousand_files_is_one_change() {
    let shell = Shell::start().await;
    let folder = tempfile::tempdir().expect("a folder");
    let original = Repository::new(&folder.path().join("original"));
    let files = (0..100_001).map(|number| format!("M 644 :1 d{}/f{number}\n", number % 100));
    let stream = "blob\nmark :1\ndata 1\nx\ncommit refs/heads/main\ncommitter a <a@x> 1 +0000\n\
                  data 0\n"
        .to_owned();
    let stream: String = std::iter::once(stream).chain(files).collect();
    original.run_with(&["fast-import", "--quiet"], stream.as_bytes());
    let summary = import(&shell, &original, "site").await;
    assert_eq!(summary["written"], 1, "{summary}");
    let log = shell.run(&["log", "site", "-n", "1", "--json"]).await.succeeded().records();
    assert_eq!(log[0]["change_set"]["size"], 100_002, "the files, and what the commit was");
    let came_back = export(&shell, "site", &folder.path().join("back")).await;
    assert_eq!(original.refs(), came_back.refs());
}
