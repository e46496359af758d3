//! Shallow clones: what they lack is told, and comes later.

use std::path::Path;

use super::repository::Repository;
use super::{export, import};
use crate::cli::{Shell, text};

/// Six commits, one of them a merge, and a clone with two of them.
fn shallow(folder: &Path) -> (Repository, Repository) {
    let original = Repository::new(&folder.join("original"));
    let mut stream = String::new();
    for (number, parents) in
        [(1, ""), (2, "from :1\n"), (3, "from :1\n"), (4, "from :2\nmerge :3\n"), (5, "from :4\n")]
            .into_iter()
            .chain([(6, "from :5\n")])
    {
        let commit = format!(
            "commit refs/heads/main\nmark :{number}\ncommitter a <a@x> {number} +0000\ndata 1\n\
             {number}\n{parents}M 644 inline f{number}\ndata 1\nx\n"
        );
        stream.push_str(&commit);
    }
    original.run_with(&["fast-import", "--quiet"], stream.as_bytes());
    let url = format!("file://{}", text(original.path()));
    let clone = folder.join("clone");
    original.run(&["clone", "--quiet", "--bare", "--depth=2", &url, text(&clone)]);
    (original, Repository::at(&clone))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shallow_history_is_told_and_completed_later() {
    let shell = Shell::start().await;
    let folder = tempfile::tempdir().expect("a folder");
    let (original, clone) = shallow(folder.path());
    let arguments = ["import", "--git", text(clone.path()), "--repo", "site"];
    let said = shell.run(&arguments).await.succeeded().stderr;
    assert!(said.contains("shallow clone") && said.contains("--unshallow"), "{said}");
    let back = export(&shell, "site", &folder.path().join("cut")).await;
    assert_eq!(back.run(&["rev-list", "--count", "main"]), b"2\n");
    let trees = |repository: &Repository, commits: &str| {
        repository.run(&["log", "--format=%T", "--max-count=2", commits])
    };
    assert_eq!(trees(&back, "main"), trees(&original, "main"));
    let said = shell.run(&["export", "--git", "--repo", "site"]).await.succeeded().stderr;
    assert!(said.contains("without their parents"), "{said}");

    for (depth, commits) in [("--depth=3", "3\n"), ("--unshallow", "6\n")] {
        clone.run(&["fetch", "--quiet", depth]);
        let summary = import(&shell, &clone, "site").await;
        assert_eq!(summary["shallow"], depth != "--unshallow");
        let back = export(&shell, "site", &folder.path().join(depth)).await;
        assert_eq!(String::from_utf8_lossy(&back.run(&["rev-list", "--count", "main"])), commits);
        if depth == "--unshallow" {
            assert_eq!(back.log(), original.log());
            assert_eq!(back.refs(), original.refs());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_completed_is_refused() {
    let shell = Shell::start().await;
    let folder = tempfile::tempdir().expect("a folder");
    let (_original, clone) = shallow(folder.path());
    let id = clone.run(&["rev-parse", "main"]);
    let id = String::from_utf8_lossy(&id).trim().to_owned();
    // As an earlier vdom brought it in: a commit as if it had no parents.
    let mut client = vdom_testkit::client::Client::connect(
        &format!("http://{}", shell.up.text("gateway.grpc")),
        Some(&shell.token),
    )
    .await;
    "site".clone_into(&mut client.repo);
    let mut request = client.put_request(".vdom/git-commit", b"");
    let document = vdom_core::document::DocumentBuilder::new().finish();
    request.diff_bson = vdom_core::Diff::put_document(&document);
    request.kind = vdom_proto::v1::NodeKind::Meta.into();
    request.metadata = [("git-commit".to_owned(), id)].into();
    client.write(request).await.expect("written");
    let arguments = ["import", "--git", text(clone.path()), "--repo", "site"];
    shell.run(&arguments).await.refused(4, &["shallow clone", "a repo of its own"]);
}
