//! Thousands of real files: imported with the command, read back byte for byte
//! through every door.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::io::AsyncWriteExt;
use tokio::process::Command;
use vdom_proto::v1;
use vdom_testkit::client::Client;
use vdom_testkit::files::{Files, files_below};
use vdom_testkit::gateway::TestGateway;
use vdom_testkit::mongo::MongoServer;
use vdom_testkit::sidecar::TestSidecar;
use vdom_testkit::{clients, process, skipped};

const REPO: &str = "vendored";

#[tokio::test(flavor = "multi_thread")]
async fn vendored_files_come_back_through_every_door_of_the_embedded_store() {
    let test = "vendored_files_come_back_through_every_door_of_the_embedded_store";
    let Some(files) = Files::vendored(3_000) else {
        return skipped(test, "nothing is vendored: `make bootstrap` does that");
    };
    round_trip(test, TestGateway::embedded().await, &files).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn vendored_files_come_back_through_every_door_of_mongodb() {
    let test = "vendored_files_come_back_through_every_door_of_mongodb";
    let Some(files) = Files::vendored(600) else {
        return skipped(test, "nothing is vendored: `make bootstrap` does that");
    };
    let server = match MongoServer::start() {
        Ok(server) => server,
        Err(reason) => return skipped(test, &reason),
    };
    let gateway = TestGateway::mongodb(server.uri(), &MongoServer::fresh_database()).await;
    round_trip(test, gateway, &files).await;
}

async fn round_trip(test: &str, gateway: TestGateway, files: &Files) {
    let sidecar = TestSidecar::start(&gateway.grpc_url()).await;
    import(&gateway, files).await;
    let mut client = gateway.client().await;
    REPO.clone_into(&mut client.repo);
    read_over_grpc(client, files).await;
    read_with_curl(&gateway.http_url(), None, files).await;
    read_with_curl(&sidecar.url(), None, files).await;
    read_with_curl("http://localhost", Some(&sidecar.socket()), files).await;
    match clients::python() {
        Err(reason) => skipped(test, &reason),
        Ok(python) => {
            let target = sidecar.addresses.tcp.to_string();
            for door in [["--target", &target], ["--unix", &sidecar.socket().to_string_lossy()]] {
                let verified = python
                    .script("client.py")
                    .arg("verify")
                    .args(door)
                    .args(["--repo", REPO, "--dir"])
                    .arg(files.folder.path())
                    .output()
                    .await
                    .expect("python runs");
                let errors = String::from_utf8_lossy(&verified.stderr);
                assert!(verified.status.success(), "{door:?}: {errors}");
            }
        }
    }
    sidecar.sidecar.drain().await;
    gateway.gateway.drain().await.expect("drained");
}

/// With the command; a second time writes nothing.
async fn import(gateway: &TestGateway, files: &Files) {
    for written in [files.contents.len(), 0] {
        let imported = process::command(["--json", "import"])
            .arg(files.folder.path())
            .args(["--repo", REPO, "--server", &gateway.grpc_url()])
            .output()
            .await
            .expect("vdom runs");
        let errors = String::from_utf8_lossy(&imported.stderr);
        assert!(imported.status.success(), "{errors}");
        let said = String::from_utf8_lossy(&imported.stdout);
        let last = said.lines().last().expect("a summary");
        let summary: serde_json::Value = serde_json::from_str(last).expect("JSON");
        assert_eq!(summary["written"], written, "{summary}");
    }
}

async fn read_over_grpc(mut client: Client, files: &Files) {
    let request = v1::ReadTreeRequest {
        repo: REPO.to_owned(),
        branch: "main".to_owned(),
        include_content: true,
        ..Default::default()
    };
    let mut entries = client.raw.read_tree(request).await.expect("a tree").into_inner();
    let mut found = BTreeMap::new();
    while let Some(entry) = entries.message().await.expect("whole") {
        let content = if entry.content_omitted {
            streamed(&mut client, &entry.path).await
        } else {
            entry.content.to_vec()
        };
        assert_eq!(entry.size_bytes, content.len() as u64, "{}", entry.path);
        found.insert(entry.path, content);
    }
    assert_same("gateway gRPC", &found, files);
}

async fn streamed(client: &mut Client, path: &str) -> Vec<u8> {
    let request = client.read_request(path);
    let mut chunks = client.raw.read_snapshot_stream(request).await.expect("a stream").into_inner();
    let mut content = Vec::new();
    while let Some(chunk) = chunks.message().await.expect("whole") {
        content.extend_from_slice(&chunk.content);
    }
    content
}

async fn read_with_curl(url: &str, socket: Option<&Path>, files: &Files) {
    let folder = tempfile::tempdir().expect("a folder");
    let mut config = String::new();
    for (number, path) in files.contents.keys().enumerate() {
        let escaped =
            path.replace('%', "%25").replace(' ', "%20").replace('#', "%23").replace('?', "%3F");
        let target = folder.path().join(number.to_string());
        writeln!(config, "url = \"{url}/v1/repos/{REPO}/branches/main/nodes/{escaped}\"")
            .and_then(|()| writeln!(config, "output = \"{}\"", target.display()))
            .expect("text takes text");
    }
    let mut curl = Command::new("curl");
    curl.args(["--fail", "--silent", "--show-error", "--path-as-is", "--globoff", "--parallel"]);
    if let Some(socket) = socket {
        curl.arg("--unix-socket").arg(socket);
    }
    let mut curl = curl
        .args(["--config", "-"])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("curl runs");
    curl.stdin.take().expect("its input").write_all(config.as_bytes()).await.expect("taken");
    let ended = curl.wait_with_output().await.expect("curl ends");
    assert!(ended.status.success(), "{url}: {}", String::from_utf8_lossy(&ended.stderr));
    let names: Vec<_> = files.contents.keys().collect();
    let read = |file: PathBuf| {
        let number: usize = file.file_name()?.to_str()?.parse().ok()?;
        Some((names[number].clone(), fs::read(&file).ok()?))
    };
    // curl writes no file for an empty answer.
    let mut found: BTreeMap<_, _> = names.iter().map(|&name| (name.clone(), Vec::new())).collect();
    found.extend(files_below(folder.path()).into_iter().filter_map(read));
    assert_same(url, &found, files);
}

fn assert_same(door: &str, found: &BTreeMap<String, Vec<u8>>, files: &Files) {
    assert_eq!(found.len(), files.contents.len(), "{door}: the number of files");
    for (path, content) in &files.contents {
        assert!(found.get(path) == Some(content), "{door}: {path} differs");
    }
}
