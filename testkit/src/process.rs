//! The `vdom` command as a process of its own, ended with the test.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, ChildStderr, Command};

/// Where `cargo build` put the command that belongs to this test.
pub fn vdom() -> PathBuf {
    let test = std::env::current_exe().expect("the test's own path");
    let folder = test.parent().and_then(|deps| deps.parent()).expect("a target folder");
    let program = folder.join("vdom");
    assert!(program.is_file(), "{} is missing: run `cargo build --workspace`", program.display());
    program
}

/// A command of `vdom`, killed with its handle.
pub fn command<I, S>(arguments: I) -> Command
where
    I: IntoIterator<Item = S>,
    S: AsRef<OsStr>,
{
    let mut command = Command::new(vdom());
    command.args(arguments).kill_on_drop(true).stdin(Stdio::null());
    command
}

/// Everything that a process complains about; the last of it is shown too, should a
/// test fail.
async fn collect(complaints: ChildStderr) -> String {
    let mut lines = BufReader::new(complaints).lines();
    let mut text = String::new();
    while let Ok(Some(line)) = lines.next_line().await {
        eprintln!("{line}");
        text.push_str(&line);
        text.push('\n');
    }
    text
}

/// A server that says on its standard output, in one line of JSON, where it
/// listens.
pub struct ServerProcess {
    pub child: Child,
    /// The line of JSON that it prints when it serves.
    pub ready_line: Value,
}

impl ServerProcess {
    /// Starts it and waits for its line, at most 60 s.
    pub async fn start<I, S>(arguments: I) -> Self
    where
        I: IntoIterator<Item = S>,
        S: AsRef<OsStr>,
    {
        Self::start_command(command(arguments)).await
    }

    /// As [`Self::start`], of a command that was changed, or that runs it in its turn.
    pub async fn start_command(mut command: Command) -> Self {
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("vdom can be started");
        let output = child.stdout.take().expect("its output");
        let complaints = child.stderr.take().expect("its complaints");
        let complaints = tokio::spawn(collect(complaints));
        let mut lines = BufReader::new(output).lines();
        let line = tokio::time::timeout(Duration::from_secs(60), lines.next_line())
            .await
            .expect("vdom says within 60 s where it listens")
            .expect("its output can be read");
        let Some(line) = line else {
            let complaints = complaints.await.unwrap_or_default();
            panic!("vdom ended before it said where it listens: {complaints}");
        };
        let ready_line = serde_json::from_str(&line).expect("one line of JSON");
        Self { child, ready_line }
    }

    /// `vdom up` on a data directory, with ports by the system.
    pub async fn up(data: &Path, more: &[&str]) -> Self {
        Self::start_command(Self::up_command(data, more)).await
    }

    /// The command of [`Self::up`].
    pub fn up_command(data: &Path, more: &[&str]) -> Command {
        let data = data.display().to_string();
        let mut arguments = vec!["--json", "up", "--data", &data];
        for port in ["--grpc", "--http", "--admin", "--sidecar", "--sidecar-admin"] {
            arguments.extend([port, "0"]);
        }
        arguments.extend(more);
        command(arguments)
    }

    /// `kill -9`.
    pub async fn kill(mut self) {
        self.child.kill().await.expect("it was running");
    }

    /// What it said under `name`, as text.
    pub fn text(&self, name: &str) -> String {
        match self.ready_line.pointer(&format!("/{}", name.replace('.', "/"))) {
            Some(Value::String(text)) => text.clone(),
            other => panic!("no text `{name}`: {other:?} in {}", self.ready_line),
        }
    }
}
