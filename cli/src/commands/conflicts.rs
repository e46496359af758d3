//! `vdom conflicts`: what two writers disagree about, and how it ends.

use std::path::PathBuf;

use bytes::Bytes;
use clap::Subcommand;
use serde_json::{Value, json};
use vdom_client::{BranchSpec, Client, random_operation_id};
use vdom_core::limits::CONFLICT_PAGE_MAX;
use vdom_proto::v1::explain_conflict_response::Merge;
use vdom_proto::v1::resolve_conflict_request::Resolution;
use vdom_proto::v1::{
    ExplainConflictRequest, ListConflictsRequest, NodeKind, ResolveConflictRequest, StoredConflict,
    VectorClock,
};

use super::change;
use super::diff::text::{DiffSide, unified};
use super::put::read_input;
use super::write;
use crate::exit::{Exit, Failure};
use crate::extended_json;
use crate::humanize::{printable, time};
use crate::names::parse_prefix;
use crate::output::{Output, Painter, Tone};
use crate::server::ServerOptions;

/// How much of an id is shown, and enough to name it.
const SHOWN_ID_DIGITS: usize = 12;

/// List, show and resolve conflicts that were kept
#[derive(clap::Args, Debug)]
pub(crate) struct ConflictsArguments {
    #[command(subcommand)]
    action: ConflictsAction,
}

#[derive(Subcommand, Debug)]
enum ConflictsAction {
    /// List the conflicts of a branch
    List {
        /// Branch to list
        #[arg(value_name = "REPO[@BRANCH]")]
        branch: BranchSpec,
        /// Only these nodes and what lies below them
        #[arg(value_parser = parse_prefix, value_name = "PATH")]
        paths: Vec<String>,
        #[command(flatten)]
        server: ServerOptions,
    },
    /// Show what stands there and what was refused
    Show {
        #[command(flatten)]
        conflict: ConflictSelector,
        #[command(flatten)]
        server: ServerOptions,
    },
    /// End a conflict
    Resolve(Box<ResolveArguments>),
}

#[derive(clap::Args, Debug)]
struct ConflictSelector {
    /// Branch of the conflict
    #[arg(value_name = "REPO[@BRANCH]")]
    branch: BranchSpec,
    /// The conflict's id, or how it begins
    #[arg(value_name = "ID", value_parser = parse_id)]
    id: String,
}

#[derive(clap::Args, Debug)]
struct ResolveArguments {
    #[command(flatten)]
    conflict: ConflictSelector,
    #[command(flatten)]
    how: How,
    /// Why: kept with the change
    #[arg(long, short, default_value = "", hide_default_value = true)]
    message: String,
    #[command(flatten)]
    server: ServerOptions,
}

#[derive(clap::Args, Debug)]
#[group(required = true, multiple = false)]
struct How {
    /// Keep what stands there
    #[arg(long)]
    ours: bool,
    /// Take what was refused
    #[arg(long)]
    theirs: bool,
    /// Merge both, where that is possible now
    #[arg(long)]
    merge: bool,
    /// Take the content of this file; `-` is standard input
    #[arg(long, value_name = "FILE")]
    manual: Option<PathBuf>,
}

pub(crate) async fn run(arguments: ConflictsArguments, output: &mut Output) -> Result<(), Failure> {
    match arguments.action {
        ConflictsAction::List { branch, paths, server } => {
            list(&branch, &paths, &server, output).await
        }
        ConflictsAction::Show { conflict, server } => show(&conflict, &server, output).await,
        ConflictsAction::Resolve(arguments) => resolve(*arguments, output).await,
    }
}

async fn list(
    branch: &BranchSpec,
    paths: &[String],
    server: &ServerOptions,
    output: &mut Output,
) -> Result<(), Failure> {
    let client = server.connect().await?;
    let mut after = Some(Bytes::new());
    let mut are_none = true;
    while let Some(after_id) = after.take() {
        let (conflicts, next) = page(&client, branch, paths, after_id).await?;
        for conflict in &conflicts {
            are_none = false;
            output.result(|| record(conflict), |painter| line(conflict, painter))?;
        }
        after = next;
    }
    if are_none {
        output.note(&format!("{branch} has no conflicts"))?;
    }
    Ok(())
}

async fn show(
    chosen: &ConflictSelector,
    server: &ServerOptions,
    output: &mut Output,
) -> Result<(), Failure> {
    let client = server.connect().await?;
    let found = find(&client, chosen).await?;
    let request = ExplainConflictRequest {
        realm: client.realm(),
        repo: chosen.branch.repo.clone(),
        branch: chosen.branch.branch.clone(),
        conflict_id: found.conflict_id.clone(),
    };
    let explained = client.raw().explain_conflict(client.unary(request)).await?.into_inner();
    let unseen = explained.unseen.clone().unwrap_or_default();
    output.result(
        || {
            let mut record = record(&found);
            record["unseen"] = unseen.changes.iter().map(change::record).collect();
            record["merge"] = merge_word(explained.merge()).into();
            record
        },
        |painter| {
            let mut text = text(&found, painter);
            text.push_str("\n\nWhat its writer had not seen:");
            for change in &unseen.changes {
                text.push('\n');
                text.push_str(&change::lines(change, painter));
            }
            if unseen.next_before_revision > 0 {
                text.push_str("\n(and older ones)");
            }
            let outcome = match explained.merge() {
                Merge::Clean => "Both merge: `--merge` would be written.",
                Merge::Conflicting => "Both disagree: `--merge` would be refused.",
                Merge::Impossible | Merge::Unspecified => {
                    "Nothing is known to merge with: decide with --ours, --theirs or --manual."
                }
            };
            text.extend(["\n\n", outcome]);
            text
        },
    )?;
    Ok(())
}

async fn resolve(arguments: ResolveArguments, output: &mut Output) -> Result<(), Failure> {
    let ResolveArguments { conflict: chosen, how, message, server } = arguments;
    let client = server.connect().await?;
    let found = find(&client, &chosen).await?;
    let info = found.conflict.clone().unwrap_or_default();
    let (resolution, content) = match &how.manual {
        Some(file) => {
            let input = read_input(file)?;
            let content =
                if info.kind() == NodeKind::File { input } else { extended_json::to_bson(&input)? };
            (Resolution::Manual, content)
        }
        None if how.theirs => (Resolution::Theirs, Bytes::new()),
        None if how.merge => (Resolution::Merge, Bytes::new()),
        None => (Resolution::Ours, Bytes::new()),
    };
    let branch = &chosen.branch;
    let request = ResolveConflictRequest {
        realm: client.realm(),
        repo: branch.repo.clone(),
        branch: branch.branch.clone(),
        conflict_id: found.conflict_id.clone(),
        resolution: resolution.into(),
        content,
        // As it stands: what was shown may be older, and nothing is asked twice.
        vector_clock: Some(VectorClock::default()),
        message,
        operation_id: random_operation_id()?,
    };
    let answer = client.raw().resolve_conflict(client.unary(request)).await?.into_inner();
    let path = &info.path;
    let written = match answer.written {
        Some(written) if written.success || written.conflict.is_some() => {
            Some(write::accepted(written, branch, path)?)
        }
        _ => None,
    };
    output.result(
        || {
            let mut record = match &written {
                Some(written) => write::record(written, branch, path),
                None => json!({ "repo": branch.repo, "branch": branch.branch, "path": path }),
            };
            record["resolved"] = hex::encode(&found.conflict_id).into();
            record
        },
        |_| match &written {
            Some(written) => {
                format!("resolved {}: revision {}", printable(path), written.revision)
            }
            None => format!("resolved {}: it stays as it is", printable(path)),
        },
    )?;
    Ok(())
}

/// The conflict whose id begins as it was given.
async fn find(client: &Client, chosen: &ConflictSelector) -> Result<StoredConflict, Failure> {
    let ConflictSelector { branch, id } = chosen;
    let mut after = Some(Bytes::new());
    let mut found: Option<StoredConflict> = None;
    while let Some(after_id) = after.take() {
        let (conflicts, next) = page(client, branch, &[], after_id).await?;
        for conflict in conflicts {
            if !hex::encode(&conflict.conflict_id).starts_with(id) {
                continue;
            }
            if found.is_some() {
                let message = format!("several conflicts of {branch} begin with {id}");
                return Err(Failure::new(Exit::Usage, message).advice("give more of the id"));
            }
            found = Some(conflict);
        }
        after = next;
    }
    found.ok_or_else(|| {
        Failure::new(Exit::NotFound, format!("{branch} has no conflict {id}"))
            .advice(format!("`vdom conflicts list {branch}` lists them"))
    })
}

/// A page of conflicts, and the id that the next one comes after.
async fn page(
    client: &Client,
    branch: &BranchSpec,
    paths: &[String],
    after_conflict_id: Bytes,
) -> Result<(Vec<StoredConflict>, Option<Bytes>), Failure> {
    let request = ListConflictsRequest {
        realm: client.realm(),
        repo: branch.repo.clone(),
        branch: branch.branch.clone(),
        paths: paths.to_vec(),
        limit: CONFLICT_PAGE_MAX,
        after_conflict_id,
    };
    let answer = client.raw().list_conflicts(client.unary(request)).await?.into_inner();
    let last = answer.conflicts.last().map(|conflict| conflict.conflict_id.clone());
    Ok((answer.conflicts, last.filter(|_| answer.more)))
}

fn record(stored: &StoredConflict) -> Value {
    let info = stored.conflict.clone().unwrap_or_default();
    let request = stored.request.clone().unwrap_or_default();
    json!({
        "id": hex::encode(&stored.conflict_id),
        "path": info.path,
        "node_id": hex::encode(&info.node_id),
        "reason": info.reason().as_str_name().trim_start_matches("REASON_").to_lowercase(),
        "subject": stored.subject,
        "message": request.message,
        "timestamp": time(stored.timestamp.as_ref()),
        "current_version": info.current_version,
        "current_author": info.current_author,
        "base_missing": info.base_missing,
        "hunks": info.hunks.len(),
        "diff": extended_json::to_json(&request.diff_bson).ok(),
    })
}

fn line(stored: &StoredConflict, painter: &Painter) -> String {
    let info = stored.conflict.clone().unwrap_or_default();
    let reason = info.reason().as_str_name().trim_start_matches("REASON_").to_lowercase();
    let id = hex::encode(&stored.conflict_id);
    format!(
        "{}  {}  {}  {}  refused to {}",
        painter.paint(Tone::Strong, &id.chars().take(SHOWN_ID_DIGITS).collect::<String>()),
        painter.paint(Tone::Faint, &time(stored.timestamp.as_ref())),
        painter.paint(Tone::Bad, &reason.replace('_', " ")),
        printable(&info.path),
        printable(&stored.subject),
    )
}

fn text(stored: &StoredConflict, painter: &Painter) -> String {
    let info = stored.conflict.clone().unwrap_or_default();
    let request = stored.request.clone().unwrap_or_default();
    let mut text = line(stored, painter);
    if !request.message.is_empty() {
        text.extend(["\n    ", &printable(&request.message)]);
    }
    let standing = format!(
        "\n\nWhat stands there: version {} by {}, against the base of the refused change",
        info.current_version,
        printable(&info.current_author)
    );
    text.push_str(&standing);
    if info.content_omitted {
        text.push_str("\n(too large to show)");
    } else if info.base_missing {
        text.push_str("\n(the base is no longer kept)");
    } else {
        let base = DiffSide { name: "base", content: &info.base_content };
        let current = DiffSide { name: "current", content: &info.current_content };
        text.push('\n');
        text.push_str(&unified(&base, &current, info.kind(), painter));
    }
    text.push_str("\n\nWhat was refused:\n");
    text.push_str(&match extended_json::to_json(&request.diff_bson) {
        Ok(diff) => printable_lines(&format!("{diff:#}")),
        Err(failure) => failure.message,
    });
    text
}

fn merge_word(merge: Merge) -> String {
    merge.as_str_name().trim_start_matches("MERGE_").to_lowercase()
}

fn printable_lines(text: &str) -> String {
    text.lines().map(printable).collect::<Vec<_>>().join("\n")
}

fn parse_id(text: &str) -> Result<String, String> {
    let is_id = (4..=32).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    if is_id {
        Ok(text.to_lowercase())
    } else {
        Err("give at least 4 hexadecimal digits, as `vdom conflicts list` prints them".to_owned())
    }
}
