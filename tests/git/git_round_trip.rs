//! Going on with an import, and what came from elsewhere than git.

use std::process::Stdio;

use serde_json::json;

use vdom_testkit::http::{HttpClient, Place};

use super::repository::Repository;
use super::{export, history, import};
use crate::cli::{Shell, text};

#[tokio::test(flavor = "multi_thread")]
async fn an_import_goes_on_with_what_is_new() {
    let shell = Shell::start().await;
    let folder = tempfile::tempdir().expect("a folder");
    // The same seed makes the same beginning.
    let begun = history::make(&folder.path().join("begun"), 7, 30);
    let whole = history::make(&folder.path().join("whole"), 7, 60);
    let first = import(&shell, &begun, "site").await;
    let again = import(&shell, &begun, "site").await;
    assert_eq!(again["written"], 0, "{again}");
    assert_eq!(again["unchanged"], first["commits"], "{again}");
    let gone_on = import(&shell, &whole, "site").await;
    assert!(gone_on["unchanged"].as_u64().is_some_and(|commits| commits > 10), "{gone_on}");
    let came_back = export(&shell, "site", &folder.path().join("back")).await;
    assert_eq!(came_back.refs(), whole.refs());
}

#[tokio::test(flavor = "multi_thread")]
async fn branches_without_commits_of_their_own_cost_an_import_no_call_each() {
    let shell = Shell::start().await;
    let folder = tempfile::tempdir().expect("a folder");
    let original = Repository::new(&folder.path().join("original"));
    let first = "commit refs/heads/main\nmark :1\ncommitter a <a@x> 1 +0000\ndata 0\n".to_owned();
    let heads = (0..200).map(|number| format!("reset refs/heads/b{number}\nfrom :1\n\n"));
    let stream: String = std::iter::once(first).chain(heads).collect();
    original.run_with(&["fast-import", "--quiet"], stream.as_bytes());
    import(&shell, &original, "site").await;
    let admin = shell.up.text("gateway.admin").parse().expect("an address");
    let admin = HttpClient::new(Place::Tcp(admin), None);
    let calls = async || -> u64 {
        let metrics = admin.get("/metrics").await;
        let metrics = String::from_utf8_lossy(&metrics.body).into_owned();
        let of_reads = metrics.lines().filter(|line| {
            line.starts_with("vdom_requests_total{")
                && ["GetHistory", "ReadTree", "CreateBranch"].iter().any(|call| line.contains(call))
        });
        of_reads.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum()
    };
    let before = calls().await;
    assert!(before >= 200, "every branch was made: {before}");
    let again = import(&shell, &original, "site").await;
    assert_eq!((again["written"].as_u64(), again["refs_changed"].as_u64()), (Some(0), Some(0)));
    let after = calls().await;
    assert!(after < before + 10, "{} calls", after - before);
    let came_back = export(&shell, "site", &folder.path().join("back")).await;
    assert_eq!(came_back.refs(), original.refs());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_import_goes_on_when_it_is_run_again() {
    let shell = Shell::start().await;
    let folder = tempfile::tempdir().expect("a folder");
    let original = history::make(&folder.path().join("original"), 11, 120);
    let arguments = ["import", "--git", text(original.path()), "--repo", "site"];
    let mut command = shell.command(&arguments);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("runs");
    vdom_testkit::eventually("some commits are there", async || {
        shell.run(&["log", "site", ".vdom/git-commit"]).await.text().lines().count() > 4
    })
    .await;
    child.kill().await.expect("killed, or done already");
    import(&shell, &original, "site").await;
    let came_back = export(&shell, "site", &folder.path().join("back")).await;
    assert_eq!(came_back.refs(), original.refs());
    assert_eq!(came_back.log(), original.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_written_here_becomes_commits() {
    let shell = Shell::start().await;
    let folder = tempfile::tempdir().expect("a folder");
    shell.put("site", "a.txt", b"one\n").await;
    shell.run(&["mv", "site", "a.txt", "b.txt", "-m", "Move it"]).await.succeeded();
    shell.run_with(br#"{"done": true}"#, &["put", "site", "plan", "--kind", "intent"]).await;
    shell.run(&["rm", "site", "b.txt"]).await.succeeded();
    let repository = export(&shell, "site", &folder.path().join("git")).await;
    let log = repository.run(&["log", "--format=%s %an <%ae>", "main"]);
    let log = String::from_utf8(log).expect("UTF-8");
    let subjects: Vec<_> = log.lines().map(|line| line.split(" me").next().unwrap()).collect();
    assert_eq!(subjects.len(), 4, "{log}");
    assert!(log.contains("Move it") && log.contains("Revision 1"), "{log}");
    assert!(log.lines().all(|line| line.ends_with("@default>")), "{log}");
    let files = repository.run(&["ls-tree", "-r", "--name-only", "main"]);
    assert_eq!(files, b"plan\n");
    let plan = repository.run(&["cat-file", "blob", "main:plan"]);
    let plan: serde_json::Value = serde_json::from_slice(&plan).expect("JSON");
    assert_eq!(plan, json!({ "done": true }));
    let moved = repository.run(&["show", "--format=", "--name-status", "-M", "main~2"]);
    assert_eq!(moved, b"R100\ta.txt\tb.txt\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_branch_of_git_can_be_gone_on_with_here() {
    let shell = Shell::start().await;
    let folder = tempfile::tempdir().expect("a folder");
    let original = history::make(&folder.path().join("original"), 3, 20);
    import(&shell, &original, "site").await;
    shell.put("site", "new here", b"x\n").await;
    let came_back = export(&shell, "site", &folder.path().join("back")).await;
    let parent = |repository: &Repository, name: &str| repository.run(&["rev-parse", name]);
    assert_eq!(parent(&came_back, "main~1"), parent(&original, "main"));
    let changed = came_back.run(&["diff", "--name-status", "main~1", "main"]);
    assert_eq!(changed, b"A\tnew here\n");

    // Git's new commits have no place after what was written here.
    let gone_on = history::make(&folder.path().join("gone-on"), 3, 40);
    assert_ne!(parent(&gone_on, "main"), parent(&original, "main"));
    let refused = shell.run(&["import", "--git", text(gone_on.path()), "--repo", "site"]).await;
    refused.refused(4, &["site@main was written to at revision", "a repo of its own"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn large_files_come_back_with_their_modes_and_under_new_names() {
    let shell = Shell::start().await;
    let folder = tempfile::tempdir().expect("a folder");
    let original = Repository::new(&folder.path().join("original"));
    let large = |byte: u8| vec![byte; 5_000_000];
    let blob = |content: &[u8]| {
        let id = original.run_with(&["hash-object", "-w", "--stdin"], content);
        String::from_utf8(id).expect("an id").trim().to_owned()
    };
    let changed = [large(1).as_slice(), b"changed"].concat();
    let (program, plain, changed) = (blob(&large(1)), blob(&large(2)), blob(&changed));
    let commits = [
        format!("M 100755 {program} program\nM 100644 {plain} plain\n"),
        format!("D program\nM 100755 {changed} renamed\nM 100755 {plain} plain\n"),
    ];
    let mut stream = String::new();
    for changes in commits {
        stream.push_str("commit refs/heads/main\ncommitter A <a@x> 1700000000 +0000\ndata 0\n");
        stream.push_str(&changes);
    }
    original.run_with(&["fast-import", "--quiet"], stream.as_bytes());
    import(&shell, &original, "site").await;
    let came_back = export(&shell, "site", &folder.path().join("back")).await;
    assert_eq!(came_back.refs(), original.refs());
    assert_eq!(came_back.log(), original.log());
    let history = shell.run(&["log", "site", "renamed", "--json"]).await.succeeded().records();
    assert!(history.iter().any(|change| change["old_path"] == "program"), "the same node");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_repository_says_so() {
    let shell = Shell::start().await;
    let folder = tempfile::tempdir().expect("a folder");
    let ran = shell.run(&["import", "--git", text(folder.path()), "--repo", "site"]).await;
    ran.refused(1, &["not a git repository"]);
    let ran = shell.run(&["export", "--git", "--repo", "nothing"]).await;
    ran.refused(3, &["there is no repo nothing"]);
    let ran = shell.run(&["import", "--git", "x", "dir", "--repo", "site"]).await;
    ran.refused(2, &["cannot be used with"]);
}
