//! Looking back, undoing, and going on elsewhere.

use serde_json::{Value, json};
use vdom_testkit::client::Client;
use vdom_testkit::process::ServerProcess;

use super::{Shell, alone, finish, text};

async fn wrote(shell: &Shell, path: &str, content: &[u8]) {
    shell.put("site", path, content).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_diff_shows_what_differs_and_no_more() {
    let shell = Shell::start().await;
    wrote(&shell, "a.txt", b"one\ntwo\nthree\n").await;
    wrote(&shell, "b.txt", b"same\n").await;
    wrote(&shell, "a.txt", b"one\n2\nthree\n").await;
    let last = shell.run(&["diff", "site"]).await.succeeded().text();
    assert_eq!(
        last,
        "changed a.txt\n--- a.txt\n+++ a.txt\n@@ -1,3 +1,3 @@\n one\n-two\n+2\n three\n"
    );
    shell.run(&["mv", "site", "b.txt", "c.txt"]).await.succeeded();
    shell.run(&["rm", "site", "a.txt"]).await.succeeded();
    let changes = |records: Vec<Value>| -> Vec<Value> {
        records.iter().map(|record| json!([record["change"], record["path"]])).collect()
    };
    let since = shell.run(&["diff", "site", "--from", "3", "--json"]).await.succeeded();
    assert_eq!(
        changes(since.records()),
        [json!(["deleted", "a.txt"]), json!(["renamed", "c.txt"])]
    );
    let whole = shell.run(&["diff", "site", "c.txt", "--from", "0", "--names"]).await;
    assert_eq!(whole.succeeded().text(), "added c.txt\n");
    let none = shell.run(&["diff", "site", "--from", "5", "--to", "5"]).await.succeeded();
    assert_eq!(none.text(), "");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_branch_goes_its_own_way_and_can_be_compared() {
    let shell = Shell::start().await;
    wrote(&shell, "a", b"one\n").await;
    wrote(&shell, "a", b"two\n").await;
    shell.run(&["branch", "create", "site@topic", "--from", "main@1"]).await.succeeded();
    assert_eq!(shell.cat("site@topic", "a").await, b"one\n");
    let listed = shell.run(&["branch", "list", "site", "--json"]).await.succeeded().records();
    assert_eq!(listed[1]["from_branch"], "main");
    assert_eq!(listed[1]["from_revision"], 1);
    let compared = shell.run(&["diff", "site", "--from", "topic"]).await.succeeded().text();
    assert!(compared.contains("-one\n+two"), "{compared}");
    shell.run(&["branch", "create", "site@topic"]).await.refused(4, &["topic"]);
    shell.run(&["branch", "delete", "site"]).await.refused(2, &["site@BRANCH"]);
    shell.run(&["branch", "delete", "site@topic"]).await.succeeded();
    shell.run(&["cat", "site@topic", "a"]).await.refused(3, &[]);
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_can_be_undone_and_that_too() {
    let shell = Shell::start().await;
    wrote(&shell, "a", b"one\n").await;
    wrote(&shell, "a", b"two\n").await;
    wrote(&shell, "b", b"x\n").await;
    shell.run(&["revert", "site", "2..3", "-m", "Not yet"]).await.succeeded();
    assert_eq!(shell.cat("site", "a").await, b"one\n");
    shell.run(&["cat", "site", "b"]).await.refused(3, &[]);
    let undone = shell.run(&["revert", "site", "4..5", "--json"]).await.succeeded().records();
    assert_eq!(undone[0]["last_revision"], 7);
    assert_eq!(shell.cat("site", "b").await, b"x\n");
    wrote(&shell, "a", b"three\n").await;
    shell.run(&["revert", "site", "2"]).await.refused(4, &["nothing was written", "a"]);
    shell.run(&["revert", "site", "9..3"]).await.refused(2, &["FIRST..LAST"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_branch_without_conflicts_says_so() {
    let shell = Shell::start().await;
    wrote(&shell, "a", b"one\n").await;
    let listed = shell.run(&["conflicts", "list", "site"]).await.succeeded();
    assert!(listed.stderr.contains("no conflicts"), "{listed:?}");
    shell.run(&["conflicts", "show", "site", "abcdef"]).await.refused(3, &["abcdef"]);
    shell
        .run(&["conflicts", "resolve", "site", "abcdef"])
        .await
        .refused(2, &["--ours", "--theirs"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_demo_is_there_to_be_looked_at() {
    let folder = tempfile::tempdir().expect("a folder");
    let up = ServerProcess::up(&folder.path().join("data"), &["--demo", "--log", "error"]).await;
    let run = async |arguments: &[&str]| {
        let mut command = alone(arguments);
        command.env("VDOM_SERVER", format!("http://{}", up.text("sidecar.address")));
        command.env("VDOM_TOKEN", up.text("token"));
        finish(command, b"").await.succeeded().text()
    };
    let listed = run(&["ls", "demo"]).await;
    assert!(listed.contains("index.html") && listed.contains("notes/tasks.md"), "{listed}");
    assert!(run(&["branch", "list", "demo"]).await.contains("redesign"));
    assert!(run(&["diff", "demo@redesign"]).await.contains("style.css"));
}

#[tokio::test(flavor = "multi_thread")]
async fn completions_and_manual_pages_name_every_verb() {
    let completions = finish(alone(&["completions", "bash"]), b"").await.succeeded().text();
    let page = finish(alone(&["man"]), b"").await.succeeded().text();
    for verb in ["import", "export", "diff", "revert", "branch", "conflicts"] {
        assert!(completions.contains(verb), "{verb}");
        assert!(page.contains(verb), "{verb}");
    }
    let folder = tempfile::tempdir().expect("a folder");
    let pages = folder.path().join("man");
    finish(alone(&["man", text(&pages)]), b"").await.succeeded();
    assert!(pages.join("vdom-import.1").is_file());
}

/// Two writers that had seen the same and wrote other things: the second is refused,
/// and kept.
async fn disagree(shell: &Shell, message: &str) -> String {
    let mut client = Client::connect(&shell.server, Some(&shell.token)).await;
    "site".clone_into(&mut client.repo);
    let seen = client.read("a").await.expect("readable");
    wrote(shell, "a", b"one\nTHEIRS\n").await;
    let mut request = client.put_request("a", b"one\nMINE\n");
    (request.node_id, request.vector_clock) = (seen.node_id, seen.vector_clock);
    (request.keep_conflict, request.message) = (true, message.to_owned());
    let refused = client.write(request).await.expect("an answer");
    let kept = refused.conflict.expect("a conflict").conflict_id;
    hex::encode(kept)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kept_conflict_is_listed_shown_and_resolved() {
    let shell = Shell::start().await;
    for (how, expected) in
        [("--ours", "one\nTHEIRS\n"), ("--theirs", "one\nMINE\n"), ("--manual=-", "one\nBOTH\n")]
    {
        wrote(&shell, "a", b"one\ntwo\n").await;
        let id = disagree(&shell, "In a hurry").await;
        let listed = shell.run(&["conflicts", "list", "site", "--json"]).await.succeeded();
        let listed = listed.records();
        assert_eq!(listed.len(), 1, "{listed:?}");
        assert_eq!(
            json!([listed[0]["id"], listed[0]["path"], listed[0]["message"]]),
            json!([id, "a", "In a hurry"])
        );
        let shown = shell.run(&["conflicts", "show", "site", &id[..8]]).await.succeeded().text();
        assert!(shown.contains("-two\n+THEIRS") && shown.contains("In a hurry"), "{shown}");
        assert!(shown.contains("had not seen:\n#") && shown.contains("Both disagree"), "{shown}");
        shell.run(&["conflicts", "resolve", "site", &id, "--merge"]).await.refused(4, &["a"]);
        let resolve = ["conflicts", "resolve", "site", &id, how];
        shell.run_with(b"one\nBOTH\n", &resolve).await.succeeded();
        assert_eq!(shell.cat("site", "a").await, expected.as_bytes());
        let none = shell.run(&["conflicts", "list", "site"]).await.succeeded();
        assert!(none.stderr.contains("no conflicts"), "{none:?}");
    }
}
