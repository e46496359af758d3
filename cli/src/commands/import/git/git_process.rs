//! Runs git, as far as its environment does not change what it says.

use std::io;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::exit::{Exit, Failure};

/// What git must know to tell everything: names for tags of tags.
const OLDEST: (u32, u32) = (2, 27);

/// Variables of git that say how it reaches and trusts what it reads; all others say what
/// it reads, and are those of whoever called us: a hook's name another repository.
const KEPT_VARIABLES: [&str; 11] = [
    "GIT_ASKPASS",
    "GIT_CONFIG_GLOBAL",
    "GIT_CONFIG_NOSYSTEM",
    "GIT_CONFIG_SYSTEM",
    "GIT_EXEC_PATH",
    "GIT_PROXY_COMMAND",
    "GIT_SSH",
    "GIT_SSH_COMMAND",
    "GIT_SSH_VARIANT",
    "GIT_SSL_CAINFO",
    "GIT_TERMINAL_PROMPT",
];

/// A command of git about this repository and no other, whatever the environment says
/// and wherever the repository lies.
pub(super) fn git(repository: &Path) -> Command {
    let mut command = Command::new("git");
    for (name, _) in std::env::vars_os() {
        let is_of_git = name.as_encoded_bytes().starts_with(b"GIT_");
        if is_of_git && !KEPT_VARIABLES.iter().any(|kept| name == *kept) {
            command.env_remove(name);
        }
    }
    // Nor one that the directory only lies in.
    if let Some(parent) = repository.canonicalize().ok().as_deref().and_then(Path::parent) {
        command.env("GIT_CEILING_DIRECTORIES", parent);
    }
    // What commits are, not what somebody wants them to be taken for: no grafts, from a file
    // that can never be there.
    command.env("GIT_NO_REPLACE_OBJECTS", "1").env("GIT_GRAFT_FILE", "/dev/null/none");
    command.arg("-C").arg(repository).env("LC_ALL", "C").env("GIT_OPTIONAL_LOCKS", "0");
    command.stdin(Stdio::null());
    command
}

/// What a command of git printed.
pub(super) fn output(mut command: Command) -> Result<Vec<u8>, Failure> {
    let output = command.output().map_err(|error| cannot_run(&error))?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let said = said.lines().next().unwrap_or("it did not say why").to_owned();
    Err(Failure::failed(format!("git refused: {said}")))
}

/// Major and minor version of the git that is installed.
pub(super) fn version(repository: &Path) -> Result<(u32, u32), Failure> {
    let mut command = git(repository);
    command.arg("--version");
    let said = output(command)?;
    let said = String::from_utf8_lossy(&said);
    let version = parse_version(&said)
        .ok_or_else(|| Failure::failed(format!("git says that it is {:?}", said.trim())))?;
    if version < OLDEST {
        let (major, minor) = OLDEST;
        return Err(Failure::failed(format!("{} is too old", said.trim()))
            .advice(format!("install git {major}.{minor} or newer")));
    }
    Ok(version)
}

/// That git cannot be run at all.
pub(super) fn cannot_run(error: &io::Error) -> Failure {
    if error.kind() == io::ErrorKind::NotFound {
        return Failure::new(Exit::NotFound, "there is no `git` on the PATH")
            .advice("install git 2.27 or newer");
    }
    Failure::failed(format!("cannot run git: {error}"))
}

fn parse_version(said: &str) -> Option<(u32, u32)> {
    let mut numbers = said.split_whitespace().nth(2)?.split('.');
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_every_vendor_are_understood() {
        assert_eq!(parse_version("git version 2.39.5"), Some((2, 39)));
        assert_eq!(parse_version("git version 2.50.1 (Apple Git-155)\n"), Some((2, 50)));
        assert_eq!(parse_version("git version 2.47.windows.1"), Some((2, 47)));
        assert_eq!(parse_version("hub"), None);
    }
}
