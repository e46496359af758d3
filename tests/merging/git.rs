//! `git merge-file`, the judge.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use super::triples::Triple;

/// How git is asked here; `None` where there is no git.
#[derive(Clone, Copy)]
pub(super) struct Git {
    /// Older ones know one algorithm alone, the same.
    names_algorithm: bool,
}

impl Git {
    /// The git of this machine.
    pub(super) fn find() -> Option<Self> {
        let version = Command::new("git").arg("--version").output().ok()?;
        let version = String::from_utf8(version.stdout).ok()?;
        let mut numbers = version.trim().rsplit(' ').next()?.split('.').map(str::parse::<u32>);
        let (major, minor) = (numbers.next()?.ok()?, numbers.next()?.ok()?);
        Some(Self { names_algorithm: (major, minor) >= (2, 44) })
    }

    /// What git makes of it; `None`: a conflict.
    pub(super) fn merge(self, triple: &Triple, folder: &Path) -> Option<Vec<u8>> {
        let files =
            [("current", &triple.current), ("base", &triple.base), ("proposed", &triple.proposed)];
        for (name, content) in files {
            fs::write(folder.join(name), content).expect("a file");
        }
        let mut command = Command::new("git");
        command.args(["merge-file", "-p", "-q"]).env_remove("GIT_DIR");
        if self.names_algorithm {
            command.arg("--diff-algorithm=myers");
        }
        let output = command
            .args(files.map(|(name, _)| name))
            .current_dir(folder)
            .stdin(Stdio::null())
            .output()
            .expect("git runs");
        match output.status.code() {
            Some(0) => Some(output.stdout),
            // So many conflicts.
            Some(1..=127) => None,
            _ => panic!("{}", String::from_utf8_lossy(&output.stderr)),
        }
    }
}
