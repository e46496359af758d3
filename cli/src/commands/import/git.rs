//! `vdom import --git`: brings the whole history of a repository of git into a
//! repo, every commit as one change set.

mod blob_reader;
mod commit_writer;
mod history_items;

mod branch_pipeline;
mod export_reader;
mod git_process;
mod history_writer;
pub(in crate::commands) mod imported_state;
mod ref_records;
mod repository_refs;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde_json::json;
use vdom_core::RepoName;
use vdom_git::branch_name::DETACHED_BRANCH;
use vdom_git::commit_graph::ImportPlan;
use vdom_git::object_id::ObjectId;
use vdom_git::ref_list::RepositoryRefs;

use self::history_items::HistoryItems;
use self::history_writer::HistoryWriter;
use super::AWAY_MAX;
use crate::exit::{Exit, Failure};
use crate::humanize::count;
use crate::output::{Output, Tone};
use crate::progress::progress_bar;
use crate::server::ServerOptions;

/// So many names are told; JSON has all.
const SHOWN_MAX: usize = 5;
const COMMITS: &str = "{bar:24} {human_pos}/{human_len} commits  {eta} left";
const BRANCHES: &str = "{bar:24} {human_pos}/{human_len} branches {msg}  {eta} left";
/// Of a phase of which nobody knows how long it takes.
const PHASE: &str = "{spinner} {msg}  {elapsed}";
const TICK: Duration = Duration::from_millis(100);

/// Brings it in; run again, it goes on after the last commit that is there.
pub(super) async fn import(
    repository: PathBuf,
    repo: &str,
    server: &ServerOptions,
    output: &mut Output,
) -> Result<(), Failure> {
    let started = Instant::now();
    RepoName::parse(repo).map_err(|error| Failure::new(Exit::Usage, error.message))?;
    let version = git_process::version(&repository)?;
    let client = server.connect_retrying(AWAY_MAX).await?;
    let of_git = repository.clone();
    let phase = progress_bar(output, None, PHASE);
    phase.enable_steady_tick(TICK);
    phase.set_message("reading which commits git has");
    let (mut refs, graph, is_shallow) = tokio::task::spawn_blocking(move || {
        Ok::<_, Failure>((
            repository_refs::read_refs(&of_git)?,
            repository_refs::read_graph(&of_git)?,
            repository_refs::is_shallow(&of_git)?,
        ))
    })
    .await
    .map_err(|error| Failure::failed(format!("cannot read the repository: {error}")))??;

    phase.finish_and_clear();
    let bar = progress_bar(output, Some(0), BRANCHES).with_message("compared");
    let already = imported_state::find(&client, repo, &bar).await?;
    bar.finish_and_clear();
    already.check_complete(&graph, repo)?;
    let plan = Arc::new(ImportPlan::new(&graph, &refs.heads, &already.commits, &already.tips));
    let mut writer =
        HistoryWriter::new(client.clone(), repo.to_owned(), Arc::clone(&plan), already);
    writer.check_branches().await?;
    let bar = progress_bar(output, Some(plan.owner.len() as u64), COMMITS);
    let imported = writer.imported();
    let is_imported = move |id: &ObjectId| imported.contains_key(id);
    let (items, thread) = export_reader::start(repository, version, Arc::clone(&plan), is_imported);
    let written = writer.write(HistoryItems::new(items), &bar).await;
    bar.finish_and_clear();
    let end = written.map_err(goes_on)?;
    // It has sent its last item.
    let _has_ended = thread.join();
    let bar = progress_bar(output, Some(plan.forks.len() as u64), BRANCHES).with_message("made");
    writer.fork(&bar).await.map_err(goes_on)?;
    bar.finish_and_clear();
    let phase = progress_bar(output, None, PHASE);
    phase.enable_steady_tick(TICK);
    phase.set_message("writing refs");
    let refs_changed =
        ref_records::write(&client, repo, &mut refs, end.tagged).await.map_err(goes_on)?;
    phase.finish_and_clear();
    let report = ImportReport {
        repo,
        commits: graph.len() as u64,
        written: plan.owner.len() as u64,
        branches: plan.branches.len() as u64 + plan.forks.len() as u64,
        refs: &refs,
        refs_changed,
        rewritten: &plan.rewritten,
        odd_persons: &end.odd_persons,
        headers: &end.headers,
        cut: &end.cut,
        is_shallow,
        elapsed: started.elapsed(),
    };
    report.print(output)
}

struct ImportReport<'a> {
    repo: &'a str,
    commits: u64,
    written: u64,
    branches: u64,
    refs: &'a RepositoryRefs,
    refs_changed: u64,
    rewritten: &'a [String],
    odd_persons: &'a [String],
    headers: &'a BTreeMap<String, u64>,
    cut: &'a [String],
    is_shallow: bool,
    elapsed: Duration,
}

impl ImportReport<'_> {
    fn print(&self, output: &mut Output) -> Result<(), Failure> {
        for name in self.rewritten {
            output.note(&format!(
                "vdom: {name} was rewritten in git: {}@{name} stays as it is, and the new commits \
                 are on a branch of their own",
                self.repo
            ))?;
        }
        if !self.odd_persons.is_empty() {
            output.note(&format!(
                "vdom: {} by somebody whose name or time git itself does not read back: kept as \
                 it is, and repaired in an export, which changes the id: {}",
                count(self.odd_persons.len() as u64, "commit or tag is", "commits or tags are"),
                some(self.odd_persons),
            ))?;
        }
        if self.is_shallow {
            let begins =
                if self.cut.is_empty() { String::new() } else { format!(" at {}", some(self.cut)) };
            output.note(&format!(
                "vdom: the repository is a shallow clone: its history begins{begins}, without what \
                 was before; `git fetch --unshallow`, and the same command again, bring the rest in"
            ))?;
        }
        for (name, commits) in self.headers {
            output.note(&format!(
                "vdom: {} the header {name}: it is kept, but streams of git do not carry it, so \
                 that an export changes the ids of these commits and of those after them",
                count(*commits, "commit has", "commits have"),
            ))?;
        }
        if self.refs.records.iter().any(|record| record.branch.as_deref() == Some(DETACHED_BRANCH))
        {
            output.note(&format!(
                "vdom: HEAD is detached, and only it leads to some commits: they are on {}@{}",
                self.repo, DETACHED_BRANCH
            ))?;
        }
        for (name, kind) in &self.refs.left_out {
            output.note(&format!("vdom: {} is left out: a {kind}, no commit", lossy(name)))?;
        }
        output.result(
            || {
                let left_out = self.refs.left_out.iter().map(|(name, _)| lossy(name));
                json!({
                    "repo": self.repo,
                    "commits": self.commits,
                    "written": self.written,
                    "unchanged": self.commits - self.written,
                    "branches_written": self.branches,
                    "refs": self.refs.records.len(),
                    "refs_changed": self.refs_changed,
                    "refs_left_out": left_out.collect::<Vec<_>>(),
                    "rewritten": self.rewritten,
                    "odd_persons": self.odd_persons,
                    "headers": self.headers,
                    "shallow": self.is_shallow,
                    "cut": self.cut,
                    "seconds": self.elapsed.as_secs_f64(),
                })
            },
            |painter| {
                let commits = count(self.commits, "commit", "commits");
                format!(
                    "{}: {} in {:.1} s: {} written, {} there already, {}",
                    self.repo,
                    painter.paint(Tone::Strong, &commits),
                    self.elapsed.as_secs_f64(),
                    self.written,
                    self.commits - self.written,
                    count(self.refs.records.len() as u64, "ref", "refs"),
                )
            },
        )?;
        Ok(())
    }
}

/// The first few of them.
fn some(names: &[String]) -> String {
    let shown = names.iter().take(SHOWN_MAX).map(String::as_str).collect::<Vec<_>>().join(", ");
    if names.len() > SHOWN_MAX { format!("{shown}, …") } else { shown }
}

fn goes_on(failure: Failure) -> Failure {
    if failure.exit == Exit::Unavailable {
        return failure.advice("run the same command again to go on");
    }
    failure
}

fn lossy(name: &Bytes) -> String {
    String::from_utf8_lossy(name).into_owned()
}
