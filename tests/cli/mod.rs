//! The `vdom` command as people and scripts use it.

mod exporting;
mod history;
mod import;
mod mirroring;
mod nodes;
mod serving;
mod stores;
mod watching;

use std::path::Path;
use std::process::Stdio;

use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;
use vdom_testkit::process::{ServerProcess, command};

/// Runs commands against one `vdom up`.
pub(crate) struct Shell {
    pub(crate) up: ServerProcess,
    pub(crate) server: String,
    pub(crate) token: String,
    _folder: tempfile::TempDir,
}

/// How a command ended.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) exit: i32,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: String,
}

impl Shell {
    pub(crate) async fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let up = ServerProcess::up(&folder.path().join("data"), &["--log", "error"]).await;
        let server = format!("http://{}", up.text("sidecar.address"));
        let token = up.text("token");
        Self { up, server, token, _folder: folder }
    }

    /// A command with server and token, and nothing of the test's environment.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = alone(arguments);
        command.env("VDOM_SERVER", &self.server).env("VDOM_TOKEN", &self.token);
        command
    }

    pub(crate) async fn run(&self, arguments: &[&str]) -> Ran {
        finish(self.command(arguments), b"").await
    }

    /// With this on standard input.
    pub(crate) async fn run_with(&self, input: &[u8], arguments: &[&str]) -> Ran {
        finish(self.command(arguments), input).await
    }

    pub(crate) async fn put(&self, repo: &str, path: &str, content: &[u8]) {
        self.run_with(content, &["put", repo, path]).await.succeeded();
    }

    pub(crate) async fn cat(&self, repo: &str, path: &str) -> Vec<u8> {
        self.run(&["cat", repo, path]).await.succeeded().stdout
    }
}

impl Ran {
    #[track_caller]
    pub(crate) fn succeeded(self) -> Self {
        assert_eq!(self.exit, 0, "{}", self.stderr);
        self
    }

    /// Refused with this exit code and these words.
    #[track_caller]
    pub(crate) fn refused(&self, exit: i32, words: &[&str]) {
        assert_eq!(self.exit, exit, "{}", self.stderr);
        for word in words {
            assert!(self.stderr.contains(word), "{word:?} is not in: {}", self.stderr);
        }
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.stdout.clone()).expect("UTF-8")
    }

    /// The lines of NDJSON.
    pub(crate) fn records(&self) -> Vec<Value> {
        let text = self.text();
        text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
    }
}

/// A command that knows no server.
pub(crate) fn alone(arguments: &[&str]) -> Command {
    let mut command = command(arguments);
    command.env_clear().env("HOME", "/nonexistent");
    command
}

pub(crate) async fn finish(mut command: Command, input: &[u8]) -> Ran {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("vdom runs");
    let mut stdin = child.stdin.take().expect("its input");
    // A command that refuses early need not read its input.
    let _may_be_closed = stdin.write_all(input).await;
    drop(stdin);
    let output = child.wait_with_output().await.expect("it ends");
    Ran {
        exit: output.status.code().expect("an exit code"),
        stdout: output.stdout,
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

pub(crate) fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}
