//! What a repository of git has: its refs, and its commits with their parents.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::Stdio;

use bytes::Bytes;
use vdom_git::branch_name;
use vdom_git::commit_graph::CommitGraph;
use vdom_git::object_id::ObjectId;
use vdom_git::record::RefRecord;

use super::git_process;
use crate::exit::Failure;

const HEADS: &[u8] = b"refs/heads/";
/// The heads that claim the commits that they share, first ones first.
const TRUNKS: [&[u8]; 4] = [b"main", b"master", b"trunk", b"develop"];
/// A line names a commit and its parents.
const LINE_MAX_BYTES: usize = 4 << 20;

/// The refs of a repository.
#[derive(Debug, Default)]
pub(super) struct RepositoryRefs {
    /// What is kept of each; of a tag, its commit and tags are told by the stream.
    pub(super) records: Vec<RefRecord>,
    /// Branches, with the name of the branch of the repo, in the order in which
    /// they may claim commits.
    pub(super) heads: Vec<(String, ObjectId)>,
    /// Refs to something that is no commit, and what it is.
    pub(super) left_out: Vec<(Bytes, String)>,
}

/// Asks git for the refs of a repository.
pub(super) fn read_refs(repository: &Path) -> Result<RepositoryRefs, Failure> {
    let mut command = git_process::git(repository);
    let format = "%(objectname)%00%(objecttype)%00%(*objecttype)%00%(symref)%00%(refname)";
    command.args(["for-each-ref", "--format", format]);
    let listed = git_process::output(command)?;
    let mut refs = RepositoryRefs::default();
    for line in listed.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        let fields: Vec<&[u8]> = line.splitn(5, |byte| *byte == 0).collect();
        let [id, kind, points_to, symbolic, name] = fields[..] else {
            return Err(not_understood(line));
        };
        refs.add(id, kind, points_to, symbolic, name).ok_or_else(|| not_understood(line))?;
    }
    if let Some(head) = symbolic_head(repository)? {
        let trunk = branch_name::encode_branch(head.strip_prefix(HEADS).unwrap_or(&head));
        refs.heads.sort_by_key(|(name, _)| {
            let place = TRUNKS.iter().position(|trunk| name.as_bytes() == *trunk);
            (*name != trunk, place.unwrap_or(TRUNKS.len()), name.clone())
        });
        let name = Bytes::from_static(b"HEAD");
        refs.records.push(RefRecord { name, symbolic: Some(head), ..RefRecord::default() });
    }
    Ok(refs)
}

impl RepositoryRefs {
    fn add(
        &mut self,
        id: &[u8],
        kind: &[u8],
        points_to: &[u8],
        symbolic: &[u8],
        name: &[u8],
    ) -> Option<()> {
        let mut record = RefRecord { name: Bytes::copy_from_slice(name), ..RefRecord::default() };
        if !symbolic.is_empty() {
            record.symbolic = Some(Bytes::copy_from_slice(symbolic));
        } else if kind == b"commit" {
            record.commit = Some(Bytes::copy_from_slice(id));
            if let Some(head) = name.strip_prefix(HEADS) {
                let branch = branch_name::encode_branch(head);
                record.branch = Some(branch.clone());
                self.heads.push((branch, ObjectId::parse(id)?));
            }
        } else if kind != b"tag" || matches!(points_to, b"tree" | b"blob") {
            let kind = if kind == b"tag" { points_to } else { kind };
            self.left_out.push((record.name, String::from_utf8_lossy(kind).into_owned()));
            return Some(());
        }
        self.records.push(record);
        Some(())
    }
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

fn symbolic_head(repository: &Path) -> Result<Option<Bytes>, Failure> {
    let mut command = git_process::git(repository);
    command.args(["symbolic-ref", "--quiet", "HEAD"]);
    let output = command.output().map_err(|error| git_process::cannot_run(&error))?;
    // Exit code 1: HEAD is detached, and no ref of its own.
    Ok(output.status.success().then(|| Bytes::copy_from_slice(output.stdout.trim_ascii_end())))
}

fn not_understood(line: &[u8]) -> Failure {
    Failure::failed(format!("git says {:?}", String::from_utf8_lossy(line.trim_ascii_end())))
}
