//! A gateway that cannot start says why in one clear line, touches nothing, and
//! ends with an exit code.

mod configuration;
mod mongodb;
mod settings;
mod stores;

use std::time::Duration;

use tokio::process::Command;
use vdom_testkit::process::command;

use crate::cli::{Ran, finish};

const FAILED: i32 = 1;
const WRONG_USAGE: i32 = 2;

/// `vdom gateway` on free ports, with nothing of the test's environment.
fn gateway(arguments: &[&str]) -> Command {
    let mut command = command(["gateway"]);
    command.env_clear().args(["--grpc", "0", "--http", "0", "--admin", "0"]).args(arguments);
    command
}

/// Runs a gateway that must end by itself, having said why in one line.
async fn refused(what: &str, command: Command, exit: i32, words: &[&str]) -> Ran {
    let ran = tokio::time::timeout(Duration::from_secs(20), finish(command, b""));
    let ran = ran.await.unwrap_or_else(|_| panic!("{what}: it runs"));
    assert_eq!(ran.exit, exit, "{what}: {}", ran.stderr);
    assert!(ran.stdout.is_empty(), "{what}: {ran:?}");
    let is_log =
        |line: &&str| [" INFO ", " WARN ", " ERROR "].iter().any(|level| line.contains(level));
    let lines: Vec<_> = ran.stderr.lines().filter(|line| !is_log(line)).collect();
    let [line] = lines[..] else { panic!("{what}: not one line: {}", ran.stderr) };
    assert!(line.starts_with("vdom: "), "{what}: {line}");
    for word in words {
        assert!(line.contains(word), "{what}: {word:?} is not said: {line}");
    }
    ran
}
