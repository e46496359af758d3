//! Commits that git keeps and its own streams do not carry as they are.

use serde_json::json;

use super::repository::Repository;
use super::{export, import};
use crate::cli::{Shell, text};

const BY_A: &str = "author A <a@x> 1 +0000\ncommitter A <a@x> 1 +0000\n";

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

#[tokio::test(flavor = "multi_thread")]
async fn commits_that_only_a_detached_head_has_come_back_under_a_ref() {
    let shell = Shell::start().await;
    let folder = tempfile::tempdir().expect("a folder");
    let original = Repository::new(&folder.path().join("original"));
    let main = original.raw_commit("refs/heads/main", &format!("tree TREE\n{BY_A}\n1\n"));
    let parent = format!("tree TREE\nparent {main}\n{BY_A}\n2\n");
    let only = original.raw_commit("refs/heads/gone", &parent);
    original.run(&["update-ref", "--no-deref", "HEAD", &only]);
    original.run(&["update-ref", "-d", "refs/heads/gone"]);
    let imported = ["import", "--git", text(original.path()), "--repo", "site"];
    let said = shell.run(&imported).await.succeeded().stderr;
    assert!(said.contains("HEAD is detached") && said.contains("site@git/HEAD"), "{said}");
    let back = export(&shell, "site", &folder.path().join("back")).await;
    let id = |name: &str| String::from_utf8(back.run(&["rev-parse", name])).expect("an id");
    assert_eq!(id("detached-HEAD").trim(), only);
    assert_eq!(id("main").trim(), main);

    // Where some ref has its commit, HEAD needs none of its own.
    original.run(&["update-ref", "refs/heads/topic", &only]);
    shell.run(&imported).await.succeeded();
    let back = export(&shell, "site", &folder.path().join("again")).await;
    assert_eq!(back.refs(), original.refs());
}

#[tokio::test(flavor = "multi_thread")]
async fn parents_that_are_named_twice_stay() {
    let shell = Shell::start().await;
    let folder = tempfile::tempdir().expect("a folder");
    let original = Repository::new(&folder.path().join("original"));
    let one = original.raw_commit("refs/heads/main", &format!("tree TREE\n{BY_A}\n1\n"));
    let two = original.raw_commit("refs/heads/two", &format!("tree TREE\n{BY_A}\n2\n"));
    let parents = format!("parent {one}\nparent {one}\nparent {two}\nparent {two}\n");
    original.raw_commit("refs/heads/main", &format!("tree TREE\n{parents}{BY_A}\n3\n"));
    import(&shell, &original, "site").await;
    let back = export(&shell, "site", &folder.path().join("back")).await;
    assert_eq!(back.refs(), original.refs());
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_that_no_stream_carries_are_kept_and_told() {
    let shell = Shell::start().await;
    let folder = tempfile::tempdir().expect("a folder");
    let original = Repository::new(&folder.path().join("original"));
    let headers = "gpgsig -----BEGIN PGP SIGNATURE-----\n \n x\n -----END PGP SIGNATURE-----\n\
        change-id abc\n";
    original.raw_commit("refs/heads/main", &format!("tree TREE\n{BY_A}{headers}\n1\n"));
    let summary = import(&shell, &original, "site").await;
    assert_eq!(summary["headers"], json!({ "change-id": 1, "gpgsig": 1 }));
    let record = shell.cat("site", ".vdom/git-commit").await;
    let record = String::from_utf8_lossy(&record);
    assert!(record.contains("BEGIN PGP SIGNATURE") && record.contains("abc"), "{record}");
    let exported = shell.run(&["export", "--git", "--repo", "site"]).await.succeeded();
    for name in ["gpgsig", "change-id"] {
        assert!(exported.stderr.contains(&format!("the header {name}")), "{}", exported.stderr);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_replaces_a_commit_is_a_ref_like_others() {
    let shell = Shell::start().await;
    let folder = tempfile::tempdir().expect("a folder");
    let original = Repository::new(&folder.path().join("original"));
    let one = original.raw_commit("refs/heads/main", &format!("tree TREE\n{BY_A}\n1\n"));
    let two = original.raw_commit("refs/heads/gone", &format!("tree TREE\n{BY_A}\n2\n"));
    original.run(&["update-ref", "-d", "refs/heads/gone"]);
    original.run(&["replace", &one, &two]);
    import(&shell, &original, "site").await;
    let back = export(&shell, "site", &folder.path().join("back")).await;
    let raw = |repository: &Repository| {
        repository.run(&["--no-replace-objects", "cat-file", "commit", "main"])
    };
    assert_eq!(raw(&back), raw(&original));
    assert_eq!(back.refs(), original.refs());
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_and_contents_are_as_large_as_elsewhere() {
    let shell = Shell::start().await;
    let folder = tempfile::tempdir().expect("a folder");
    let original = Repository::new(&folder.path().join("original"));
    let message = "A line of a message that somebody generated\n".repeat(200_000);
    let first = original.raw_commit("refs/heads/main", &format!("tree TREE\n{BY_A}\n{message}\n"));
    let second = format!("tree TREE\nparent {first}\n{BY_A}\nshort\n");
    original.raw_commit("refs/heads/main", &second);
    // 100 MiB, the most that hosts of git take.
    let content = vec![b'x'; 100 << 20];
    let mut stream = b"commit refs/heads/main\ncommitter A <a@x> 1 +0000\ndata 0\n\
        from refs/heads/main^0\nM 644 inline large\ndata 104857600\n"
        .to_vec();
    stream.extend_from_slice(&content);
    stream.push(b'\n');
    original.run_with(&["fast-import", "--quiet"], &stream);
    import(&shell, &original, "site").await;
    let back = export(&shell, "site", &folder.path().join("back")).await;
    assert_eq!(back.refs(), original.refs());
}
