//! git as a peer, with nobody's settings.

use std::path::Path;
use std::process::Command;

use crate::machine;

/// Makes what is committed as durable as what vdom acknowledges: every object,
/// those of a commit with one fsync.
pub(crate) const FSYNC_EVERYTHING: [&str; 4] =
    ["-c", "core.fsync=all", "-c", "core.fsyncMethod=batch"];

/// A call of git on a repository, free to use both cores, that puts off no work.
pub(crate) fn command(repository: &Path) -> Command {
    let mut command = machine::on_every_core("git");
    command
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("HOME", repository)
        .args(["-c", "user.name=bench", "-c", "user.email=bench@localhost"])
        .args(["-c", "gc.auto=0", "-c", "maintenance.auto=false"])
        .arg("--git-dir")
        .arg(repository);
    command
}
