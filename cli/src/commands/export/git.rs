//! Writes the history of a repo as a stream for `git fast-import`.

mod branch_histories;
mod change_origin;
mod commit_builder;
mod git_stream;
mod ref_writer;
mod tree_shape;

use std::io::{self, BufWriter, Write};

use bytes::Bytes;
use vdom_core::RepoName;
use vdom_git::command::StreamCommand;
use vdom_git::fast_import::FastImportWriter;

use self::branch_histories::RepoHistory;
use self::git_stream::GitStream;
use super::ExportArguments;
use crate::exit::{Exit, Failure};
use crate::humanize::count;
use crate::output::Output;
use crate::progress::progress_bar;

/// Writes it to standard output.
pub(super) async fn export(
    arguments: &ExportArguments,
    output: &mut Output,
) -> Result<(), Failure> {
    let repo = &arguments.repo;
    RepoName::parse(repo).map_err(|error| Failure::new(Exit::Usage, error.message))?;
    if output.is_for_people() {
        return Err(Failure::new(Exit::Usage, "this stream is for git, not for a terminal")
            .advice(format!("vdom export --git --repo {repo} | git -C REPOSITORY fast-import")));
    }
    let client = arguments.server.connect().await?;
    let branches = client.branches(repo).await?;
    if branches.is_empty() {
        return Err(Failure::new(Exit::NotFound, format!("there is no repo {repo}"))
            .advice("`vdom ls` lists the repos"));
    }
    let records = ref_writer::read(&client, repo).await?;
    let bar = progress_bar(output, None, "{spinner} {human_pos} commits");
    let writer = FastImportWriter::new(BufWriter::with_capacity(1 << 20, Stdout(output)));
    let mut git = GitStream::new(writer, arguments.signatures);
    git.write(&StreamCommand::Feature(Bytes::from_static(b"done")))?;
    // Git itself has dates that its reader takes only when told so.
    git.write(&StreamCommand::Feature(Bytes::from_static(b"date-format=raw-permissive")))?;
    let mut history = RepoHistory::new(client, repo, branches);
    history.write(&mut git, &bar).await?;
    let outcome = ref_writer::write(&mut git, &records, history.tips())?;
    git.write(&StreamCommand::Done)?;
    git.flush()?;
    let commits = git.commits();
    let lost_headers = git.take_lost_headers();
    drop(git);
    bar.finish_and_clear();
    for note in outcome.notes {
        output.note(&format!("vdom: {note}"))?;
    }
    if history.cut() > 0 {
        output.note(&format!(
            "vdom: {} without their parents, as they came from a shallow clone: their ids change, \
             and those of the commits after them; `vdom import --git` of a whole one completes them",
            count(history.cut(), "commit is", "commits are")
        ))?;
    }
    for (name, commits) in lost_headers {
        output.note(&format!(
            "vdom: {} the header {}, which this stream does not carry: their ids change, and those \
             of the commits after them",
            count(commits, "commit had", "commits had"),
            name.escape_ascii()
        ))?;
    }
    output.note(&format!("{repo}: {}", count(commits, "commit", "commits")))?;
    let problems = history.problems();
    match problems.exit() {
        None => Ok(()),
        Some(exit) => Err(problems.failure(exit, "written")),
    }
}

/// Standard output as something to write to.
struct Stdout<'a>(&'a mut Output);

impl Write for Stdout<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.bytes(bytes).map(|()| bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}
