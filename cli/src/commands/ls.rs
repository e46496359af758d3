//! `vdom ls`: the repos of a realm, or the tree of a branch.

use futures::TryStreamExt;
use serde_json::json;
use vdom_client::{BranchSpec, Client};
use vdom_proto::v1::{NodeKind, ReadTreeRequest, TreeEntry};

use crate::exit::Failure;
use crate::humanize::{count, printable, size, time};
use crate::names::parse_prefix;
use crate::output::{Output, Painter, Tone};
use crate::server::ServerOptions;

/// List repos, or the tree of a branch
#[derive(clap::Args, Debug)]
pub(crate) struct LsArguments {
    /// Branch to list; without it, the repos of the realm
    #[arg(value_name = "REPO[@BRANCH]")]
    branch: Option<BranchSpec>,
    /// Only this node and what lies below it
    #[arg(value_parser = parse_prefix, default_value = "", hide_default_value = true)]
    prefix: String,
    /// Also size, version, author, time and attributes
    #[arg(long, short)]
    long: bool,
    /// As of this revision [default: the latest]
    #[arg(long, value_name = "NUMBER", default_value_t = 0, hide_default_value = true)]
    revision: u64,
    /// Confirm with the store that this is the latest
    #[arg(long, conflicts_with = "revision")]
    fresh: bool,
    #[command(flatten)]
    server: ServerOptions,
}

pub(crate) async fn run(arguments: LsArguments, output: &mut Output) -> Result<(), Failure> {
    let client = arguments.server.connect().await?;
    let Some(branch) = &arguments.branch else {
        return list_repos(&client, output).await;
    };
    let mut entries = client
        .tree(ReadTreeRequest {
            realm: client.realm(),
            repo: branch.repo.clone(),
            branch: branch.branch.clone(),
            prefix: arguments.prefix.clone(),
            revision: arguments.revision,
            max_age_ms: arguments.fresh.then_some(0),
            ..ReadTreeRequest::default()
        })
        .await?;
    while let Some(entry) = entries.try_next().await? {
        output.result(|| record(&entry), |painter| line(&entry, arguments.long, painter))?;
    }
    Ok(())
}

async fn list_repos(client: &Client, output: &mut Output) -> Result<(), Failure> {
    let repos = client.repos().await?;
    if repos.is_empty() {
        output.note("no repos yet: `vdom import DIR --repo NAME` or `vdom put` makes one")?;
    }
    for repo in repos {
        output.result(
            || json!({ "repo": repo.name, "branches": repo.branches }),
            |painter| {
                let branches = count(repo.branches.into(), "branch", "branches");
                format!("{}  {}", repo.name, painter.paint(Tone::Faint, &branches))
            },
        )?;
    }
    Ok(())
}

fn line(entry: &TreeEntry, long: bool, painter: &Painter) -> String {
    let mut path = printable(&entry.path);
    if !long {
        return path;
    }
    if let Some(target) = entry.attributes.get("symlink") {
        path = format!("{path} -> {}", printable(target));
    } else if entry.attributes.get("mode").is_some_and(|mode| mode == "100755") {
        path = painter.paint(Tone::Good, &format!("{path}*"));
    }
    format!(
        "{:6} {:>9} {:>5}  {}  {:16} {path}",
        kind_name(entry.kind()),
        size(entry.size_bytes),
        format!("v{}", entry.version),
        time(entry.timestamp.as_ref()),
        printable(&entry.author),
    )
}

fn record(entry: &TreeEntry) -> serde_json::Value {
    json!({
        "path": entry.path,
        "kind": kind_name(entry.kind()),
        "node_id": hex::encode(&entry.node_id),
        "size_bytes": entry.size_bytes,
        "version": entry.version,
        "author": entry.author,
        "timestamp": time(entry.timestamp.as_ref()),
        "attributes": entry.attributes,
        "changed_revision": entry.changed_revision,
        "epoch": entry.epoch,
        "revision": entry.revision,
    })
}

/// The name of a kind on the command line.
pub(crate) fn kind_name(kind: NodeKind) -> &'static str {
    match kind {
        NodeKind::File | NodeKind::Unspecified => "file",
        NodeKind::Intent => "intent",
        NodeKind::Meta => "meta",
    }
}
