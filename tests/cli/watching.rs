//! `vdom watch`: every change once, whatever happens to the server.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout};
use vdom_testkit::process::ServerProcess;

use super::{Shell, alone, finish};

struct Watch {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Watch {
    fn start(mut command: tokio::process::Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().expect("vdom runs");
        let lines = BufReader::new(child.stdout.take().expect("its output")).lines();
        Self { child, lines }
    }

    async fn next(&mut self) -> Value {
        let line = tokio::time::timeout(Duration::from_secs(20), self.lines.next_line());
        let line = line.await.expect("within 20 s").expect("readable").expect("a line");
        serde_json::from_str(&line).expect("JSON")
    }

    /// As Ctrl-C does.
    async fn interrupt(mut self) -> Option<i32> {
        let pid = self.child.id().expect("it runs").to_string();
        let sent = std::process::Command::new("kill").args(["-INT", &pid]).status();
        assert!(sent.expect("kill runs").success());
        self.child.wait().await.expect("it ends").code()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_are_printed_as_they_happen_and_filtered() {
    let shell = Shell::start().await;
    shell.put("site", "lib/a", b"1").await;
    let first = shell.run(&["log", "site", "--json"]).await.succeeded().records().remove(0);
    let from = format!("{}.0", first["epoch"]);
    let arguments =
        ["watch", "site", "--paths", "lib", "--from", &from, "--diffs", "--json", "--progress"];
    let mut watch = Watch::start(shell.command(&arguments));
    let created = watch.next().await;
    assert_eq!((&created["type"], &created["path"]), (&"create".into(), &"lib/a".into()));
    assert_eq!(created["diff"]["t"], "put");
    assert_eq!(watch.next().await["type"], "progress");
    shell.put("site", "library", b"2").await;
    shell.put("site", "lib/a", b"2").await;
    let updated = loop {
        let event = watch.next().await;
        if event["type"] != "progress" {
            break event;
        }
    };
    assert_eq!((&updated["type"], &updated["path"]), (&"update".into(), &"lib/a".into()));
    assert_eq!(updated["revision"], 3);
    assert_eq!(watch.interrupt().await, Some(130));
}

#[tokio::test(flavor = "multi_thread")]
async fn watching_goes_on_after_the_server_was_killed() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    let up = ServerProcess::up(&data, &["--dev", "--log", "error"]).await;
    let server = up.text("gateway.grpc");
    put(&server, "before").await;
    let mut watch =
        Watch::start(alone(&["watch", "site", "--json", "--progress", "--server", &server]));
    // From here on nothing may be missed.
    assert_eq!(watch.next().await["type"], "progress");
    put(&server, "one").await;
    up.kill().await;
    let _up = restart(&data, &server).await;
    put(&server, "two").await;
    put(&server, "three").await;
    let mut seen = Vec::new();
    while seen.len() < 3 {
        let event = watch.next().await;
        if event["type"] != "progress" {
            seen.push((event["path"].clone(), event["revision"].clone()));
        }
    }
    let expected = [("one", 2), ("two", 3), ("three", 4)];
    assert_eq!(seen, expected.map(|(path, revision)| (path.into(), revision.into())));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_point_that_never_was_is_refused() {
    let shell = Shell::start().await;
    shell.put("site", "a", b"1").await;
    shell.run(&["watch", "site", "--from", "5.0"]).await.refused(4, &["epoch"]);
    shell.run(&["watch", "site", "--from", "5"]).await.refused(2, &["EPOCH.REVISION"]);
    shell.run(&["watch", "none"]).await.refused(3, &["none"]);
}

async fn put(server: &str, path: &str) {
    let command = alone(&["put", "site", path, "--server", server]);
    finish(command, path.as_bytes()).await.succeeded();
}

async fn restart(data: &Path, grpc: &str) -> ServerProcess {
    let data = data.display().to_string();
    let mut arguments = vec!["--json", "up", "--dev", "--log", "error", "--data", &data];
    arguments.extend(["--grpc", grpc]);
    for port in ["--http", "--admin", "--sidecar", "--sidecar-admin"] {
        arguments.extend([port, "0"]);
    }
    ServerProcess::start(arguments).await
}
