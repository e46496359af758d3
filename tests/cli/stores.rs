//! `vdom verify`, `backup`, `restore`, `compact` and `rebuild`.

use std::fs;
use std::path::Path;

use vdom_testkit::process::ServerProcess;

use super::{Ran, alone, finish, text};

async fn run(arguments: &[&str]) -> Ran {
    finish(alone(arguments), b"").await
}

/// Starts on this directory, runs the commands against it, and ends it.
async fn with_server(data: &Path, commands: &[&[&str]]) -> Vec<Ran> {
    let up = ServerProcess::up(data, &["--log", "error"]).await;
    let (server, token) = (format!("http://{}", up.text("gateway.grpc")), up.text("token"));
    let mut ran = Vec::new();
    for command in commands {
        let arguments = [*command, &["--server", &server, "--token", &token]].concat();
        ran.push(finish(alone(&arguments), b"content\n").await);
    }
    up.kill().await;
    ran
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_backed_up_is_there_after_a_restore() {
    let folder = tempfile::tempdir().expect("a folder");
    let (old, new) = (folder.path().join("old"), folder.path().join("new"));
    let file = folder.path().join("store.backup");
    let (old, new, file) = (text(&old), text(&new), text(&file));
    let wrote = with_server(
        Path::new(old),
        &[&["put", "site", "a"], &["put", "site", "b"], &["rm", "site", "b"]],
    )
    .await;
    for ran in wrote {
        ran.succeeded();
    }

    let verified = run(&["--json", "verify", "--data", old]).await.succeeded();
    assert_eq!(verified.records()[0]["changes"], 3);
    let backup = run(&["--json", "backup", file, "--data", old]).await.succeeded();
    assert_eq!(backup.records()[0]["logs"], 1);
    run(&["backup", file, "--data", old]).await.refused(4, &[file, "exists"]);

    let restored = run(&["--json", "restore", file, "--data", new]).await.succeeded();
    assert_eq!(restored.records()[0]["branches"][0]["branch"], "default/site/main");
    run(&["restore", file, "--data", new]).await.refused(4, &["empty"]);
    run(&["verify", "--data", new]).await.succeeded();
    let read = with_server(Path::new(new), &[&["cat", "site", "a"], &["cat", "site", "b"]]).await;
    let [a, b] = <[Ran; 2]>::try_from(read).expect("two answers");
    assert_eq!(a.succeeded().text(), "content\n");
    b.refused(3, &["b"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_is_served_missing_or_not_a_backup_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    let file = folder.path().join("no.backup");
    fs::write(&file, "something else").expect("written");
    let (data, file) = (text(&data), text(&file));
    run(&["verify", "--data", data]).await.refused(3, &["no store", data]);
    run(&["restore", file, "--data", data]).await.refused(1, &["no backup"]);
    let up = ServerProcess::up(Path::new(data), &["--log", "error"]).await;
    run(&["verify", "--data", data]).await.refused(1, &["already open"]);
    run(&["restore", file, "--data", data]).await.refused(1, &["already open"]);
    up.kill().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_compacted_and_rebuilt_store_has_what_stood_there() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = text(folder.path());
    let put: &[&str] = &["put", "site", "a"];
    for ran in with_server(folder.path(), &[put; 5]).await {
        ran.succeeded();
    }
    run(&["compact", "--data", data]).await.refused(2, &["--keep-changes", "--keep-age"]);
    let kept = run(&["--json", "compact", "--keep-changes", "10", "--data", data]).await;
    assert_eq!(kept.succeeded().records()[0]["branches"], serde_json::json!([]));
    let ran = run(&["--json", "compact", "--keep-changes", "2", "--data", data]).await.succeeded();
    let branch = &ran.records()[0]["branches"][0];
    assert_eq!(branch["branch"], "default/site/main");
    assert_eq!((&branch["oldest_revision"], &branch["changes"]), (&3.into(), &3.into()));
    let young = run(&["compact", "--keep-age", "1d", "--data", data]).await.succeeded();
    assert!(young.text().contains("nothing to compact"), "{}", young.text());

    run(&["verify", "--data", data]).await.succeeded();
    let rebuilt = run(&["--json", "rebuild", "--data", data]).await.succeeded();
    assert_eq!(rebuilt.records()[0], serde_json::json!({ "logs": 1, "changes": 5 }));
    let commands: &[&[&str]] = &[
        &["cat", "site", "a"],
        &["cat", "site", "a", "--revision", "3"],
        &["cat", "site", "a", "--revision", "2"],
        &["--json", "log", "site"],
    ];
    let [latest, oldest, gone, log] =
        <[Ran; 4]>::try_from(with_server(folder.path(), commands).await).expect("four answers");
    assert_eq!(latest.succeeded().text(), "content\n");
    assert_eq!(oldest.succeeded().text(), "content\n");
    gone.refused(1, &["from revision 3 on"]);
    assert_eq!(log.succeeded().records().len(), 2);
}
