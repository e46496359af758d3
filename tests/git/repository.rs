//! A repository of git in a folder of its own, out of reach of the user's
//! settings.

use std::ffi::OsStr;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// A bare repository.
pub(crate) struct Repository {
    path: PathBuf,
}

/// How a commit or a tag is to be made.
#[derive(Clone, Debug, Default)]
pub(crate) struct Signed {
    pub(crate) author: Vec<u8>,
    pub(crate) email: Vec<u8>,
    pub(crate) date: String,
    pub(crate) committer_date: String,
    pub(crate) encoding: Option<&'static str>,
}

impl Repository {
    /// A new, empty one.
    pub(crate) fn new(path: &Path) -> Self {
        std::fs::create_dir_all(path).expect("a folder");
        let repository = Self { path: path.to_owned() };
        repository.run(&["init", "--quiet", "--bare", "--initial-branch=main"]);
        repository
    }

    /// One that is there.
    pub(crate) fn at(path: &Path) -> Self {
        Self { path: path.to_owned() }
    }

    /// A copy of another one, with all its refs.
    pub(crate) fn mirror(of: &Path, path: &Path) -> Result<Self, String> {
        let mut command = isolated(Path::new("."));
        command.args(["clone", "--quiet", "--mirror", "--no-local"]).arg(of).arg(path);
        let output = command.output().map_err(|error| format!("cannot run git: {error}"))?;
        if output.status.success() {
            Ok(Self { path: path.to_owned() })
        } else {
            Err(String::from_utf8_lossy(&output.stderr).into_owned())
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// What a command of git prints.
    pub(crate) fn run(&self, arguments: &[&str]) -> Vec<u8> {
        self.run_with(arguments, b"")
    }

    /// With this on standard input.
    pub(crate) fn run_with(&self, arguments: &[&str], input: &[u8]) -> Vec<u8> {
        let mut command = isolated(&self.path);
        command.args(arguments);
        finish(command, input)
    }

    /// Makes a commit of these bytes, `TREE` replaced by a tree without files, and lets a
    /// ref point to it; answers with its id.
    pub(crate) fn raw_commit(&self, ref_name: &str, commit: &str) -> String {
        let tree = self.run_with(&["mktree"], b"");
        let commit = commit.replace("TREE", String::from_utf8_lossy(&tree).trim());
        let made = ["hash-object", "-t", "commit", "-w", "--stdin", "--literally"];
        let id = self.run_with(&made, commit.as_bytes());
        let id = String::from_utf8_lossy(&id).trim().to_owned();
        self.run(&["update-ref", ref_name, &id]);
        id
    }

    /// As somebody, at some time.
    pub(crate) fn run_as(&self, signed: &Signed, arguments: &[&OsStr], input: &[u8]) -> String {
        let mut command = isolated(&self.path);
        if let Some(encoding) = signed.encoding {
            command.arg("-c").arg(format!("i18n.commitEncoding={encoding}"));
        }
        command
            .args(arguments)
            .env("GIT_AUTHOR_NAME", OsStr::from_bytes(&signed.author))
            .env("GIT_AUTHOR_EMAIL", OsStr::from_bytes(&signed.email))
            .env("GIT_AUTHOR_DATE", &signed.date)
            .env("GIT_COMMITTER_NAME", OsStr::from_bytes(&signed.author))
            .env("GIT_COMMITTER_EMAIL", OsStr::from_bytes(&signed.email))
            .env("GIT_COMMITTER_DATE", &signed.committer_date);
        String::from_utf8(finish(command, input)).expect("an id").trim().to_owned()
    }

    /// The refs, what each points to, and the tree that this comes to.
    pub(crate) fn refs(&self) -> String {
        let format = "%(refname) %(objecttype) %(objectname) %(tree) %(*objectname) %(*tree)";
        let refs = self.run(&["for-each-ref", "--format", format]);
        String::from_utf8_lossy(&refs).into_owned()
    }

    /// Every commit: id, tree, parents, who, when and why, as raw as git tells it.
    pub(crate) fn log(&self) -> Vec<String> {
        let format = "--format=%H %T %P%n%an <%ae> %ad%n%cn <%ce> %cd%n%e%n%B%x00";
        let log = self.run(&[
            "-c",
            "i18n.logOutputEncoding=ISO-8859-1",
            "log",
            "--all",
            "--topo-order",
            "--date=raw",
            format,
        ]);
        let mut commits: Vec<String> = log
            .split(|byte| *byte == 0)
            .map(|commit| commit.trim_ascii_start().escape_ascii().to_string())
            .collect();
        commits.sort();
        commits
    }
}

/// A command of git that knows nothing of the user, nor of a hook that runs the tests.
fn isolated(folder: &Path) -> Command {
    let mut command = Command::new("git");
    command
        .current_dir(folder)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("LC_ALL", "C")
        .env("HOME", "/nonexistent");
    command
}

fn finish(mut command: Command, input: &[u8]) -> Vec<u8> {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("git runs");
    let mut stdin = child.stdin.take().expect("its input");
    let input = input.to_vec();
    // Written beside, or git could wait for a reader while it is written to.
    let writer = std::thread::spawn(move || stdin.write_all(&input));
    let Output { status, stdout, stderr } = child.wait_with_output().expect("git ends");
    let written = writer.join().expect("written");
    assert!(status.success(), "{command:?}: {}", String::from_utf8_lossy(&stderr));
    written.expect("git reads its input");
    stdout
}
