//! Writes the history of a repo as a stream for `git fast-import`.

mod branches;
mod refs;
mod set;
mod stream;

use std::io::{self, BufWriter, Write};

use bytes::Bytes;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use vdom::git::fast_import::Writer;
use vdom::git::stream::Command;
use vdom_core::RepoName;

use self::branches::History;
use self::stream::GitStream;
use super::Arguments;
use crate::client::Client;
use crate::exit::{Exit, Failure};
use crate::output::{Output, count};

/// Writes it to standard output.
pub(super) async fn export(arguments: &Arguments, output: &mut Output) -> Result<(), Failure> {
    let repo = &arguments.repo;
    RepoName::parse(repo).map_err(|error| Failure::new(Exit::Usage, error.message))?;
    if output.is_for_people() {
        return Err(Failure::new(Exit::Usage, "this stream is for git, not for a terminal")
            .advice(format!("vdom export --git --repo {repo} | git -C REPOSITORY fast-import")));
    }
    let client = Client::connect(&arguments.server).await?;
    let branches = client.branches(repo).await?;
    if branches.is_empty() {
        return Err(Failure::new(Exit::NotFound, format!("there is no repo {repo}"))
            .advice("`vdom ls` lists the repos"));
    }
    let records = refs::read(&client, repo).await?;
    let bar = progress_bar(output.draws_progress());
    let writer = Writer::new(BufWriter::with_capacity(1 << 20, Stdout(output)));
    let mut git = GitStream::new(writer, arguments.signatures);
    git.write(&Command::Feature(Bytes::from_static(b"done")))?;
    // Git itself has dates that its reader takes only when told so.
    git.write(&Command::Feature(Bytes::from_static(b"date-format=raw-permissive")))?;
    let mut history = History::new(client, repo, branches);
    history.write(&mut git, &bar).await?;
    let shortened = refs::write(&mut git, &records, history.tips())?;
    git.write(&Command::Done)?;
    git.flush()?;
    let commits = git.commits();
    drop(git);
    bar.finish_and_clear();
    for name in shortened {
        output.note(&format!(
            "vdom: {} points to its commit: the tag between them has no ref",
            name.escape_ascii()
        ))?;
    }
    output.note(&format!("{repo}: {}", count(commits, "commit", "commits")))?;
    Ok(())
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

fn progress_bar(is_drawn: bool) -> ProgressBar {
    if !is_drawn {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
    // The template is ours and valid; the default style is no loss.
    if let Ok(style) = ProgressStyle::with_template("{spinner} {human_pos} commits") {
        bar.set_style(style);
    }
    bar
}
