//! Servers that go and come back, mirrors that are killed, branches that are
//! restored.

use std::net::SocketAddr;

use vdom_testkit::process::ServerProcess;

use super::super::{alone, finish};
use super::*;

struct Site {
    folder: TempDir,
    grpc: String,
}

impl Site {
    async fn start(&mut self, data: &str) -> ServerProcess {
        let data = self.folder.path().join(data).display().to_string();
        let mut arguments = vec!["--json", "up", "--dev", "--log", "error", "--data", &data];
        arguments.extend(["--grpc", &self.grpc]);
        for port in ["--http", "--admin", "--sidecar", "--sidecar-admin"] {
            arguments.extend([port, "0"]);
        }
        let up = ServerProcess::start(&arguments).await;
        let address: SocketAddr = up.text("gateway.grpc").parse().expect("an address");
        // Where it is, it will be again.
        self.grpc = address.to_string();
        up
    }

    fn directory(&self) -> PathBuf {
        self.folder.path().join("mirrored")
    }

    fn mirror(&self) -> Mirror {
        let directory = self.directory();
        let arguments =
            ["--json", "mirror", text(&directory), "--repo", REPO, "--server", &self.grpc];
        Mirror::start(alone(&arguments))
    }

    async fn once(&self) -> Ran {
        let directory = self.directory();
        let arguments = [
            "--json",
            "mirror",
            text(&directory),
            "--repo",
            REPO,
            "--server",
            &self.grpc,
            "--once",
        ];
        finish(alone(&arguments), b"").await
    }

    async fn client(&self) -> Client {
        client(&format!("http://{}", self.grpc), None).await
    }
}

fn site() -> Site {
    Site { folder: tempfile::tempdir().expect("a folder"), grpc: "127.0.0.1:0".to_owned() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_was_killed_is_waited_for() {
    let mut site = site();
    let up = site.start("data").await;
    let directory = site.directory();
    let mirror = site.mirror();
    mirror.heard("in step", |event| event["event"] == "in_step").await;
    fs::write(directory.join("before"), "1").expect("written");
    let client = site.client().await;
    eventually("it is sent", async || in_branch(&client).await.len() == 1).await;

    up.kill().await;
    mirror.heard("it waits", |event| event["event"] == "away").await;
    fs::write(directory.join("meanwhile"), "2").expect("written");
    fs::write(directory.join("before"), "3").expect("written");
    let _up = site.start("data").await;
    let client = site.client().await;
    client.clone().overwrite("there", b"4").await.expect("written");
    eventually("both sides are the same", async || {
        let there = in_branch(&client).await;
        there.len() == 3 && on_disk(&directory) == there && there["before"].1 == b"3"
    })
    .await;
    mirror.heard("it is back", |event| event["event"] == "back").await;
    mirror.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_mirror_loses_nothing() {
    let mut site = site();
    let _up = site.start("data").await;
    let (directory, client) = (site.directory(), site.client().await);
    fs::create_dir(&directory).expect("made");
    for round in 0..6 {
        let mirror = site.mirror();
        mirror.heard("in step", |event| event["event"] == "in_step").await;
        for number in 0..40 {
            let name = format!("{round}-{number}");
            fs::write(directory.join(&name), &name).expect("written");
            client.clone().overwrite(&format!("there/{name}"), name.as_bytes()).await.expect("put");
            if number == 6 * round {
                mirror.signal("KILL");
            }
        }
        mirror.kill().await;
    }
    site.once().await.succeeded();
    let there = in_branch(&client).await;
    assert_eq!(there.len(), 6 * 80);
    assert_eq!(on_disk(&directory), there);
    let leftovers = files_below(&directory.join(".vdom/mirror/incoming"));
    assert!(leftovers.is_empty(), "{leftovers:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_restored_branch_has_lost_is_kept() {
    let mut site = site();
    let up = site.start("old").await;
    let directory = site.directory();
    let client = site.client().await;
    for path in ["same", "changed", "deleted"] {
        client.clone().overwrite(path, b"1").await.expect("written");
    }
    up.kill().await;
    let (old, new) = (site.folder.path().join("old"), site.folder.path().join("new"));
    let backup = site.folder.path().join("backup");
    let run = async |arguments: &[&str]| finish(alone(arguments), b"").await.succeeded();
    run(&["backup", text(&backup), "--data", text(&old)]).await;
    let up = site.start("old").await;
    let client = site.client().await;
    client.clone().overwrite("changed", b"2").await.expect("written");
    client.clone().overwrite("new", b"2").await.expect("written");
    site.once().await.succeeded();
    up.kill().await;

    run(&["restore", text(&backup), "--data", text(&new)]).await;
    let _up = site.start("new").await;
    let client = site.client().await;
    let ran = site.once().await;
    assert_eq!(ran.exit, 4, "{ran:?}");
    let disk = on_disk(&directory);
    assert_eq!(disk["changed"].1, b"2");
    assert_eq!(disk["changed.vdom-theirs"].1, b"1");
    let there = in_branch(&client).await;
    assert_eq!(
        (there["changed"].1.as_slice(), there["new"].1.as_slice()),
        (b"1".as_slice(), b"2".as_slice())
    );
    assert_eq!(there["same"].1, b"1");
}
