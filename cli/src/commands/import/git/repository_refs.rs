//! What a repository of git has: its refs, and its commits with their parents.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::Stdio;

use bytes::Bytes;
use vdom_git::commit_graph::CommitGraph;
use vdom_git::object_id::ObjectId;
use vdom_git::ref_list::{self, RepositoryRefs};

use super::git_process;
use crate::exit::Failure;

/// A line names a commit and its parents.
const LINE_MAX_BYTES: usize = 4 << 20;

/// Asks git for the refs of a repository.
pub(super) fn read_refs(repository: &Path) -> Result<RepositoryRefs, Failure> {
    let mut command = git_process::git(repository);
    command.args(["for-each-ref", "--format", ref_list::FORMAT]);
    let listed = git_process::output(command)?;
    let mut refs = RepositoryRefs::parse(&listed).map_err(not_understood)?;
    match symbolic_head(repository)? {
        Some(head) => refs.set_head(head),
        None => {
            if let Some(commit) = detached_head(repository)? {
                refs.set_detached_head(commit);
            }
        }
    }
    Ok(refs)
}

/// Reads which commits there are.
pub(super) fn read_graph(repository: &Path) -> Result<CommitGraph, Failure> {
    let mut command = git_process::git(repository);
    command.args(["rev-list", "--all", "--topo-order", "--parents"]).stdout(Stdio::piped());
    command.stderr(Stdio::inherit());
    let mut child = command.spawn().map_err(|error| git_process::cannot_run(&error))?;
    let mut graph = CommitGraph::default();
    let mut problem = None;
    if let Some(listed) = child.stdout.take() {
        let mut lines = BufReader::new(listed);
        let mut line = Vec::new();
        loop {
            line.clear();
            match lines.read_until(b'\n', &mut line) {
                Ok(0) => break,
                Ok(_) if line.len() <= LINE_MAX_BYTES => {}
                Ok(_) => problem = Some(not_understood(&line[..100])),
                Err(error) => problem = Some(Failure::failed(format!("cannot read git: {error}"))),
            }
            if problem.is_some() {
                break;
            }
            let mut ids = line.trim_ascii_end().split(|byte| *byte == b' ').map(ObjectId::parse);
            match (ids.next().flatten(), ids.next()) {
                (Some(id), None) => graph.push(id, None),
                (Some(id), Some(Some(parent))) => graph.push(id, Some(parent)),
                _ => problem = Some(not_understood(&line)),
            }
        }
    }
    let status = child.wait().map_err(|error| git_process::cannot_run(&error))?;
    match problem {
        Some(problem) => Err(problem),
        None if status.success() => Ok(graph),
        None => Err(Failure::failed("git cannot list the commits: see what it says above")),
    }
}

/// Whether the parents of some commits are not there.
pub(super) fn is_shallow(repository: &Path) -> Result<bool, Failure> {
    let mut command = git_process::git(repository);
    command.args(["rev-parse", "--is-shallow-repository"]);
    Ok(git_process::output(command)?.trim_ascii_end() == b"true")
}

fn symbolic_head(repository: &Path) -> Result<Option<Bytes>, Failure> {
    let mut command = git_process::git(repository);
    command.args(["symbolic-ref", "--quiet", "HEAD"]);
    let output = command.output().map_err(|error| git_process::cannot_run(&error))?;
    // Exit code 1: HEAD is detached, and no ref of its own.
    Ok(output.status.success().then(|| Bytes::copy_from_slice(output.stdout.trim_ascii_end())))
}

/// The commit that HEAD is at, where no ref leads to it.
fn detached_head(repository: &Path) -> Result<Option<ObjectId>, Failure> {
    let mut command = git_process::git(repository);
    command.args(["rev-parse", "--verify", "--quiet", "HEAD^{commit}"]);
    let output = command.output().map_err(|error| git_process::cannot_run(&error))?;
    let digits = output.stdout.trim_ascii_end();
    let Some(commit) = ObjectId::parse(digits) else { return Ok(None) };
    let mut command = git_process::git(repository);
    command.args(["for-each-ref", "--count=1", "--contains", &commit.to_string()]);
    Ok(git_process::output(command)?.is_empty().then_some(commit))
}

fn not_understood(line: &[u8]) -> Failure {
    Failure::failed(format!("git says {:?}", String::from_utf8_lossy(line.trim_ascii_end())))
}
