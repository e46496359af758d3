//! `vdom mirror`: a directory and a branch, kept in step both ways.

mod builds;
mod conflicts;
mod live;
mod offline;
mod outages;
mod random;
mod refusals;
mod trouble;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;

use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::Mutex;
use vdom_core::Diff;
use vdom_proto::v1;
use vdom_testkit::client::Client;
use vdom_testkit::eventually;
use vdom_testkit::files::files_below;

use super::{Ran, Shell, text};

const REPO: &str = "site";

/// A file as both sides know it: its mode as git writes it, and its content or
/// the target of a link.
type File = (&'static str, Vec<u8>);

/// A server, a branch on it, and a directory.
struct Scene {
    shell: Shell,
    client: Client,
    folder: TempDir,
}

impl Scene {
    async fn start() -> Self {
        let shell = Shell::start().await;
        let gateway = format!("http://{}", shell.up.text("gateway.grpc"));
        let client = client(&gateway, Some(&shell.token)).await;
        Self { shell, client, folder: tempfile::tempdir().expect("a folder") }
    }

    /// The mirrored directory.
    fn directory(&self) -> PathBuf {
        self.folder.path().join("mirrored")
    }

    fn path(&self, path: &str) -> PathBuf {
        self.directory().join(path)
    }

    /// Writes a file of the directory.
    fn write(&self, path: &str, content: &str) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        fs::write(path, content).expect("written");
    }

    /// Replaces a file of the directory at once: who reads it meanwhile has one or the other.
    fn replace(&self, path: &str, content: &str) {
        let new = self.folder.path().join("replacement");
        fs::write(&new, content).expect("written");
        fs::rename(new, self.path(path)).expect("replaced");
    }

    /// Writes a file of the branch.
    async fn put(&self, path: &str, content: &str) {
        self.client.clone().overwrite(path, content.as_bytes()).await.expect("written");
    }

    /// Changes a node that stands there.
    async fn change(&self, path: &str, diff: bytes::Bytes) -> v1::WriteDiffResponse {
        let mut client = self.client.clone();
        let mut request = client.put_request(path, b"");
        request.diff_bson = diff;
        request.on_conflict = v1::OnConflict::Overwrite.into();
        client.write(request).await.expect("written")
    }

    /// Runs it once, with these arguments.
    async fn once(&self, more: &[&str]) -> Ran {
        let directory = self.directory();
        let mirror = ["--json", "mirror", text(&directory), "--repo", REPO, "--once"];
        self.shell.run(&[&mirror, more].concat()).await
    }

    /// Starts it and waits until both sides are in step.
    async fn mirror(&self) -> Mirror {
        let directory = self.directory();
        let arguments = ["--json", "mirror", text(&directory), "--repo", REPO];
        let mirror = Mirror::start(self.shell.command(&arguments));
        mirror.heard("in step", |event| event["event"] == "in_step").await;
        mirror
    }

    /// Every file of the directory but git's and the mirror's own.
    fn on_disk(&self) -> BTreeMap<String, File> {
        on_disk(&self.directory())
    }

    /// Every file of the branch.
    async fn in_branch(&self) -> BTreeMap<String, File> {
        in_branch(&self.client).await
    }

    /// Waits until both sides have these files, and no others.
    async fn becomes(&self, expected: &[(&str, &str)]) {
        let expected: BTreeMap<_, _> = expected
            .iter()
            .map(|(path, content)| ((*path).to_owned(), ("100644", content.as_bytes().to_vec())))
            .collect();
        eventually(&format!("both sides have {expected:?}"), async || {
            self.on_disk() == expected && self.in_branch().await == expected
        })
        .await;
    }

    /// Waits until both sides are the same.
    async fn is_in_step(&self) {
        eventually("both sides are the same", async || self.on_disk() == self.in_branch().await)
            .await;
    }
}

async fn client(gateway: &str, token: Option<&str>) -> Client {
    let mut client = Client::connect(gateway, token).await;
    REPO.clone_into(&mut client.repo);
    client
}

/// A mirror that runs, and what it has said.
struct Mirror {
    child: Child,
    events: Arc<Mutex<Vec<Value>>>,
}

impl Mirror {
    fn start(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().expect("vdom runs");
        let mut lines = BufReader::new(child.stdout.take().expect("its output")).lines();
        let events = Arc::new(Mutex::new(Vec::new()));
        let heard = events.clone();
        tokio::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                heard.lock().await.push(serde_json::from_str(&line).expect("JSON"));
            }
        });
        Self { child, events }
    }

    /// Waits until it has said such a thing.
    async fn heard(&self, what: &str, is_it: impl Fn(&Value) -> bool) -> Value {
        eventually(what, async || self.events.lock().await.iter().any(&is_it)).await;
        self.events.lock().await.iter().find(|event| is_it(event)).expect("heard").clone()
    }

    /// Ends it as Ctrl-C does.
    async fn end(mut self) {
        self.signal("INT");
        let ended = self.child.wait().await.expect("it ends");
        assert!(ended.success(), "{ended}");
    }

    async fn kill(mut self) {
        self.child.kill().await.expect("it was running");
    }

    fn signal(&self, name: &str) {
        let pid = self.child.id().expect("it runs").to_string();
        let sent = std::process::Command::new("kill").args([&format!("-{name}"), &pid]).status();
        assert!(sent.expect("kill runs").success());
    }
}

fn on_disk(directory: &Path) -> BTreeMap<String, File> {
    let mut found = BTreeMap::new();
    let mut folders = vec![directory.to_owned()];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = fs::read_dir(&folder) else { continue };
        for entry in entries.flatten() {
            let (path, name) = (entry.path(), entry.file_name());
            if name == ".git" || name == ".vdom" {
                continue;
            }
            // What is gone meanwhile is not there.
            let Ok(metadata) = fs::symlink_metadata(&path) else { continue };
            let relative = path.strip_prefix(directory).expect("below").display().to_string();
            let file = if metadata.is_dir() {
                folders.push(path);
                continue;
            } else if metadata.is_symlink() {
                let Ok(target) = fs::read_link(&path) else { continue };
                ("120000", text(&target).as_bytes().to_vec())
            } else {
                let is_executable = metadata.permissions().mode() & 0o100 != 0;
                let Ok(content) = fs::read(&path) else { continue };
                (if is_executable { "100755" } else { "100644" }, content)
            };
            found.insert(relative, file);
        }
    }
    found
}

async fn in_branch(client: &Client) -> BTreeMap<String, File> {
    let request = v1::ReadTreeRequest {
        repo: client.repo.clone(),
        branch: client.branch.clone(),
        max_age_ms: Some(0),
        include_content: true,
        ..Default::default()
    };
    let mut found = BTreeMap::new();
    let Ok(entries) = client.raw.clone().read_tree(request).await else { return found };
    let mut entries = entries.into_inner();
    while let Some(entry) = entries.message().await.expect("whole") {
        if entry.kind() != v1::NodeKind::File {
            continue;
        }
        let content = if entry.content_omitted {
            streamed(client, &entry.path).await
        } else {
            entry.content.to_vec()
        };
        let attribute = |name: &str| entry.attributes.get(name).map(String::as_str);
        let file = match (attribute("symlink"), attribute("mode")) {
            (Some(target), _) => ("120000", target.as_bytes().to_vec()),
            (None, Some("100755")) => ("100755", content),
            (None, _) => ("100644", content),
        };
        found.insert(entry.path, file);
    }
    found
}

async fn streamed(client: &Client, path: &str) -> Vec<u8> {
    let request = client.read_request(path);
    let chunks = client.raw.clone().read_snapshot_stream(request).await;
    let Ok(chunks) = chunks else { return Vec::new() };
    let mut chunks = chunks.into_inner();
    let mut content = Vec::new();
    while let Some(chunk) = chunks.message().await.expect("whole") {
        content.extend_from_slice(&chunk.content);
    }
    content
}

fn executable() -> bytes::Bytes {
    Diff::attributes([("mode", "100755")], []).expect("valid")
}

fn rename(to: &str) -> bytes::Bytes {
    Diff::rename(&vdom_core::NodePath::parse(to).expect("a path"), None)
}
