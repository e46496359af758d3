//! `vdom import`: brings a directory into a branch, or the history of a
//! repository of git into a repo.

pub(super) mod git;
mod in_the_way;
mod upload;
mod walk;

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use futures::{StreamExt, TryStreamExt, stream};
use indicatif::ProgressBar;
use serde_json::json;
use vdom_client::{BranchSpec, Client, DEFAULT_BRANCH};
use vdom_mirror::looks_secret;
use vdom_proto::v1::{NodeKind, ReadTreeRequest};

use self::in_the_way::in_the_way;
use self::upload::{RemoteEntry, Uploaded, Uploader};
use self::walk::LocalFile;
use super::file_problems::FileProblems;
use super::write::WriteOptions;
use crate::exit::{Exit, Failure};
use crate::humanize::{count, printable, size};
use crate::output::{Output, Tone};
use crate::progress::progress_bar;
use crate::server::ServerOptions;

const PROGRESS: &str = "{bar:24} {human_pos}/{human_len} files  {msg}  {eta} left";
/// How long a server may be away before the import gives up.
const AWAY_MAX: Duration = Duration::from_secs(30);

/// Bring a directory into a branch, or a git repository into a repo
///
/// Files that are there already with the same content are left alone, so an
/// interrupted import goes on when it is run again. Executable files get the
/// attribute `mode` = 100755, symbolic links `symlink` = their target. Files that
/// look like secrets, such as `.env` and private keys, are named at the end.
///
/// With --git, every commit becomes one change set, and every branch a branch.
/// Run again, it goes on after the last commit that is there.
#[derive(clap::Args, Debug)]
pub(crate) struct ImportArguments {
    /// Directory to bring in: every file in it except `.git` and `.vdom`
    #[arg(value_name = "DIR", required_unless_present = "git")]
    directory: Option<PathBuf>,
    /// Repository of git whose whole history to bring in
    #[arg(
        long,
        value_name = "REPOSITORY",
        conflicts_with_all = ["directory", "branch", "gitignore", "delete", "overwrite", "jobs", "connections", "message", "author"]
    )]
    git: Option<PathBuf>,
    /// Repo to write to; the first write makes it
    #[arg(long, value_name = "NAME")]
    repo: String,
    /// Branch to write to
    #[arg(long, default_value = DEFAULT_BRANCH)]
    branch: String,
    /// Leave out what `.gitignore` files name
    #[arg(long)]
    gitignore: bool,
    /// Delete files of the branch that DIR does not have
    #[arg(long)]
    delete: bool,
    /// Write over files that someone else changes meanwhile
    #[arg(long)]
    overwrite: bool,
    /// How many files at a time
    #[arg(long, value_name = "COUNT", default_value_t = 128, value_parser = clap::value_parser!(u16).range(1..=1_000))]
    jobs: u16,
    /// How many connections to the server
    #[arg(long, value_name = "COUNT", default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=16))]
    connections: u8,
    #[command(flatten)]
    options: WriteOptions,
    #[command(flatten)]
    server: ServerOptions,
}

/// Brings it in; an interrupt leaves what was written so far.
pub(crate) async fn run(arguments: ImportArguments, output: &mut Output) -> Result<(), Failure> {
    let outcome = tokio::select! {
        outcome = import(arguments, output) => Some(outcome),
        _ = tokio::signal::ctrl_c() => None,
    };
    outcome.unwrap_or_else(|| {
        output.note("interrupted: run the same command again to go on")?;
        Err(Failure::silent(Exit::Interrupted))
    })
}

async fn import(arguments: ImportArguments, output: &mut Output) -> Result<(), Failure> {
    if let Some(repository) = arguments.git {
        return git::import(repository, &arguments.repo, &arguments.server, output).await;
    }
    let Some(directory) = arguments.directory.clone() else {
        return Err(Failure::new(Exit::Usage, "name a directory, or a repository with --git"));
    };
    let started = Instant::now();
    let branch = BranchSpec::new(&arguments.repo, &arguments.branch)?;
    let mut clients = Vec::new();
    for _ in 0..arguments.connections {
        clients.push(arguments.server.connect_retrying(AWAY_MAX).await?);
    }
    let gitignore = arguments.gitignore;
    let walked = tokio::task::spawn_blocking(move || walk::walk(&directory, gitignore))
        .await
        .map_err(|error| Failure::failed(format!("cannot read the directory: {error}")))??;
    let mut remote = remote_entries(&clients[0], &branch).await?;

    let uploader = Uploader::new(clients, branch, arguments.options, arguments.overwrite);
    let mut tally = ImportTally { problems: walked.problems.into(), ..ImportTally::default() };
    let may_delete = arguments.delete && tally.problems.is_empty();
    if arguments.delete && !may_delete {
        output.note("vdom: not everything could be read, so nothing is deleted")?;
    }

    let jobs = usize::from(arguments.jobs);
    let mut files = walked.files;
    if may_delete {
        let met = in_the_way(paths_of(&files), remote.keys().map(String::as_str));
        let gone: HashSet<_> = met.into_values().flatten().map(str::to_owned).collect();
        delete(&uploader, gone, &mut remote, jobs, &mut tally).await?;
    }
    for (path, standing) in in_the_way(paths_of(&files), remote.keys().map(String::as_str)) {
        let standing: Vec<_> = standing.iter().take(3).map(|path| printable(path)).collect();
        let advice = if arguments.delete { "" } else { "; --delete takes it out first" };
        let problem = format!("{} is in its way in the branch{advice}", standing.join(", "));
        tally.problem(path.to_owned(), Failure::failed(problem))?;
    }
    let blocked: HashSet<_> = tally.problems.paths().map(str::to_owned).collect();
    files.retain(|file| !blocked.contains(&file.path));
    let bar = progress_bar(output, Some(files.len() as u64), PROGRESS);
    upload(&uploader, &files, &remote, jobs, &bar, &mut tally).await?;
    bar.finish_and_clear();
    if may_delete {
        let kept: HashSet<&str> = paths_of(&files).collect();
        let gone = remote.keys().filter(|path| !kept.contains(path.as_str())).cloned().collect();
        delete(&uploader, gone, &mut remote, jobs, &mut tally).await?;
    }
    tally.report(uploader.branch(), started.elapsed(), output)
}

async fn upload(
    uploader: &Uploader,
    files: &[LocalFile],
    remote: &HashMap<String, RemoteEntry>,
    jobs: usize,
    bar: &ProgressBar,
    tally: &mut ImportTally,
) -> Result<(), Failure> {
    let mut uploaded = stream::iter(files)
        .map(async |file| (file, uploader.upload(file, remote.get(&file.path)).await))
        .buffer_unordered(jobs);
    while let Some((file, outcome)) = uploaded.next().await {
        tally.count(file, outcome)?;
        bar.inc(1);
        bar.set_message(size(tally.bytes));
    }
    Ok(())
}

/// Deletes files of the branch; documents are left alone.
async fn delete(
    uploader: &Uploader,
    gone: HashSet<String>,
    remote: &mut HashMap<String, RemoteEntry>,
    jobs: usize,
    tally: &mut ImportTally,
) -> Result<(), Failure> {
    let gone: Vec<_> = remote
        .extract_if(|path, entry| entry.kind == NodeKind::File && gone.contains(path))
        .collect();
    let mut deleted = stream::iter(gone)
        .map(async |(path, entry)| {
            let outcome = uploader.delete(&path, &entry).await;
            (path, entry, outcome)
        })
        .buffer_unordered(jobs);
    while let Some((path, entry, outcome)) = deleted.next().await {
        match outcome {
            Ok(()) => tally.deleted += 1,
            Err(failure) => {
                tally.problem(path.clone(), failure)?;
                remote.insert(path, entry);
            }
        }
    }
    Ok(())
}

fn paths_of(files: &[LocalFile]) -> impl Iterator<Item = &str> + Clone {
    files.iter().map(|file| file.path.as_str())
}

/// What the branch holds now, by path; nothing where there is no such branch.
async fn remote_entries(
    client: &Client,
    branch: &BranchSpec,
) -> Result<HashMap<String, RemoteEntry>, Failure> {
    let request = ReadTreeRequest {
        realm: client.realm(),
        repo: branch.repo.clone(),
        branch: branch.branch.clone(),
        max_age_ms: Some(0),
        ..ReadTreeRequest::default()
    };
    let listed: vdom_client::Result<HashMap<_, _>> = async {
        let entries = client.tree(request).await?;
        entries.map_ok(|entry| (entry.path.clone(), RemoteEntry::from(entry))).try_collect().await
    }
    .await;
    match listed {
        Err(error) if error.is_not_found() => Ok(HashMap::new()),
        listed => Ok(listed?),
    }
}

/// What became of the files so far.
#[derive(Default)]
struct ImportTally {
    files: u64,
    bytes: u64,
    written: u64,
    unchanged: u64,
    deleted: u64,
    revision: u64,
    /// Files that hold secrets as a rule, and were written.
    secrets: Vec<String>,
    /// What could not be brought in, and why.
    problems: FileProblems,
}

impl ImportTally {
    fn count(
        &mut self,
        file: &LocalFile,
        outcome: Result<Uploaded, Failure>,
    ) -> Result<(), Failure> {
        match outcome {
            Ok(uploaded) => {
                self.files += 1;
                self.bytes += uploaded.size_bytes;
                match uploaded.revision {
                    Some(revision) => {
                        self.written += 1;
                        if looks_secret(file.path.as_bytes()) {
                            self.secrets.push(file.path.clone());
                        }
                        self.revision = self.revision.max(revision);
                    }
                    None => self.unchanged += 1,
                }
                Ok(())
            }
            Err(failure) => self.problem(file.path.clone(), failure),
        }
    }

    /// Notes a problem with one file; one that all files would have ends the
    /// import.
    fn problem(&mut self, path: String, failure: Failure) -> Result<(), Failure> {
        match failure.exit {
            Exit::Unavailable => Err(failure.advice("run the same command again to go on")),
            Exit::Denied => Err(failure),
            _ => {
                self.problems.push(path, failure);
                Ok(())
            }
        }
    }

    fn report(
        mut self,
        branch: &BranchSpec,
        elapsed: Duration,
        output: &mut Output,
    ) -> Result<(), Failure> {
        self.problems.sort();
        self.secrets.sort();
        if !self.secrets.is_empty() {
            let files = count(self.secrets.len() as u64, "file looks", "files look");
            let names: Vec<_> = self.secrets.iter().map(|path| printable(path)).collect();
            output.note(&format!(
                "vdom: {files} like secrets, and were brought in:\n  {}\n  where they should not \
                 be there: name them in .gitignore and give --gitignore, remove them with \
                 `vdom rm`, and change the secrets",
                names.join("\n  ")
            ))?;
        }
        let seconds = elapsed.as_secs_f64();
        output.result(
            || {
                json!({
                    "repo": branch.repo,
                    "branch": branch.branch,
                    "files": self.files,
                    "bytes": self.bytes,
                    "written": self.written,
                    "unchanged": self.unchanged,
                    "deleted": self.deleted,
                    "revision": self.revision,
                    "secrets": self.secrets,
                    "seconds": seconds,
                    "problems": self.problems.records(),
                })
            },
            |painter| {
                let mut parts = vec![
                    format!("{} written", self.written),
                    format!("{} unchanged", self.unchanged),
                ];
                if self.deleted > 0 {
                    parts.push(format!("{} deleted", self.deleted));
                }
                if self.revision > 0 {
                    parts.push(format!("now at revision {}", self.revision));
                }
                format!(
                    "{branch}: {}, {} in {seconds:.1} s: {}",
                    painter.paint(Tone::Strong, &count(self.files, "file", "files")),
                    size(self.bytes),
                    parts.join(", "),
                )
            },
        )?;
        match self.problems.exit() {
            None => Ok(()),
            Some(exit) => Err(self.problems.failure(exit, "brought in")),
        }
    }
}

#[cfg(test)]
mod tests;
