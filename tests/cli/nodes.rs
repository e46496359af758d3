//! Reading and writing single nodes, and what goes wrong with them.

use std::process::Stdio;

use tokio::io::AsyncReadExt;

use super::{Shell, alone, finish, text};

#[tokio::test(flavor = "multi_thread")]
async fn a_node_is_written_read_moved_and_removed() {
    let shell = Shell::start().await;
    shell.put("site@feature/a", "src/a.txt", b"one\n").await;
    shell
        .run_with(b"two\n", &["put", "site@feature/a", "src/a.txt", "-m", "why"])
        .await
        .succeeded();
    assert_eq!(shell.cat("site@feature/a", "src/a.txt").await, b"two\n");
    let old = shell.run(&["cat", "site@feature/a", "src/a.txt", "--revision", "1"]).await;
    assert_eq!(old.succeeded().stdout, b"one\n");

    shell.run(&["mv", "site@feature/a", "src/a.txt", "docs/b.txt"]).await.succeeded();
    let listed =
        shell.run(&["ls", "site@feature/a", "docs", "--fresh", "--json"]).await.succeeded();
    assert_eq!(listed.records()[0]["path"], "docs/b.txt");
    assert_eq!(listed.records()[0]["version"], 3);

    shell.run(&["rm", "site@feature/a", "docs/b.txt"]).await.succeeded();
    shell
        .run(&["cat", "site@feature/a", "docs/b.txt", "--fresh"])
        .await
        .refused(3, &["docs/b.txt"]);
    let log = shell.run(&["log", "site@feature/a", "docs/b.txt", "--json"]).await.succeeded();
    let types: Vec<_> = log.records().iter().map(|change| change["type"].clone()).collect();
    assert_eq!(types, ["delete", "rename", "update", "create"]);
    assert_eq!(log.records()[2]["message"], "why");
    assert_eq!(log.records()[1]["old_path"], "src/a.txt");

    let page = shell.run(&["log", "site@feature/a", "-n", "1"]).await.succeeded();
    assert!(page.text().starts_with("#4"), "{page:?}");
    assert!(page.stderr.contains("--before 4"), "{page:?}");
    let repos = shell.run(&["ls", "--json"]).await.succeeded();
    assert_eq!(repos.records()[0]["repo"], "site");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_is_removed_whole_and_nothing_beside_it() {
    let shell = Shell::start().await;
    for path in ["lib/a", "lib/b/c", "library"] {
        shell.put("site", path, b"x").await;
    }
    shell.run(&["rm", "site", "lib", "--recursive"]).await.succeeded();
    let left = shell.run(&["ls", "site", "--fresh"]).await.succeeded();
    assert_eq!(left.text(), "library\n");
    shell.run(&["rm", "site", "lib", "-r"]).await.refused(3, &["nothing at or below lib"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_document_keeps_its_types_from_json_and_back() {
    let shell = Shell::start().await;
    let json = br#"{"n": {"$numberLong": "5"}, "tags": ["a"]}"#;
    shell.run_with(json, &["put", "site", "plan", "--kind", "meta"]).await.succeeded();
    let read = shell.run(&["cat", "site", "plan", "--json"]).await.succeeded();
    let record = &read.records()[0];
    assert_eq!(record["kind"], "meta");
    assert_eq!(record["document"]["n"]["$numberLong"], "5");
    // BSON into a pipe is taken back as it is, and the kind stays.
    let bson = shell.cat("site", "plan").await;
    shell.run_with(&bson, &["put", "site", "plan"]).await.succeeded();
    assert_eq!(shell.cat("site", "plan").await, bson);
    let refused = shell.run_with(b"no json", &["put", "site", "plan"]).await;
    refused.refused(1, &["this is no document", "extended JSON"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_content_goes_in_pieces_both_ways_also_over_the_unix_socket() {
    let shell = Shell::start().await;
    let content: Vec<u8> = (0..5_000_000_u32).map(|at| (at % 251) as u8).collect();
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("large");
    std::fs::write(&file, &content).expect("written");
    shell.run(&["put", "site", "large", text(&file)]).await.succeeded();
    assert!(shell.cat("site", "large").await == content, "other bytes came back");
    let socket = format!("unix://{}", shell.up.text("sidecar.socket"));
    let read = shell.run(&["cat", "site", "large", "--server", &socket]).await.succeeded();
    assert!(read.stdout == content, "other bytes came back over the unix socket");
    let gateway = shell.up.text("gateway.grpc");
    let read = shell.run(&["cat", "site", "large", "--server", &gateway]).await.succeeded();
    assert!(read.stdout == content, "other bytes came back from the gateway");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_refusal_has_its_exit_code_and_says_what_to_do() {
    let shell = Shell::start().await;
    shell.put("site", "a.txt", b"one").await;
    let taken = shell.run_with(b"two", &["put", "site", "a.txt", "--if-absent"]).await;
    taken.refused(4, &["exists already: version 1", "vdom cat site@main a.txt"]);
    assert_eq!(shell.cat("site", "a.txt").await, b"one");
    shell.run_with(b"two", &["put", "site", "a.txt", "--overwrite"]).await.succeeded();
    shell.put("site", "b.txt", b"x").await;
    shell.run(&["mv", "site", "b.txt", "a.txt"]).await.refused(4, &["a.txt is taken"]);
    shell.run(&["cat", "site", "none"]).await.refused(3, &["none"]);
    shell.run(&["ls", "none"]).await.refused(3, &["none"]);
    shell.run(&["cat", "si/te", "a.txt"]).await.refused(2, &["repo"]);
    shell.run(&["cat", "site", "../a.txt"]).await.refused(2, &["`..`"]);
    let anonymous = shell.run(&["ls", "site", "--token", ""]).await;
    anonymous.refused(5, &["no token", "VDOM_TOKEN", "vdom token"]);
    let nowhere = finish(alone(&["ls", "--server", "http://127.0.0.1:1"]), b"").await;
    nowhere.refused(6, &["cannot reach http://127.0.0.1:1", "vdom up", "--server"]);
    let json = finish(alone(&["ls", "--json", "--server", "http://127.0.0.1:1"]), b"").await;
    let error: serde_json::Value = serde_json::from_str(&json.stderr).expect("one line of JSON");
    assert_eq!(error["exit"], 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_has_seen_enough_is_no_failure() {
    let shell = Shell::start().await;
    let content = vec![b'x'; 4_000_000];
    shell.put("site", "large", &content).await;
    let mut command = shell.command(&["cat", "site", "large"]);
    let mut child =
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("vdom runs");
    let mut stdout = child.stdout.take().expect("its output");
    let mut start = [0; 10];
    stdout.read_exact(&mut start).await.expect("readable");
    drop(stdout);
    let output = child.wait_with_output().await.expect("it ends");
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_a_command_line_is_told_as_it_was_asked_for() {
    let ran = finish(alone(&["--json", "put", "site"]), b"").await;
    let told: serde_json::Value = serde_json::from_str(&ran.stderr).expect("JSON");
    assert_eq!((ran.exit, told["exit"].as_u64()), (2, Some(2)), "{told}");
    assert!(told["error"].as_str().is_some_and(|text| text.contains("PATH")), "{told}");
    let ran = finish(alone(&["put", "site", "--", "--json"]), b"").await;
    assert!(ran.stderr.starts_with("vdom:") || ran.stderr.starts_with("error:"), "{ran:?}");
    finish(alone(&["--json", "--help"]), b"").await.succeeded();
}
