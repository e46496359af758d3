//! `vdom verify`, `backup` and `restore`.

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
