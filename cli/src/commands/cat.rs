//! `vdom cat`: prints the content of a node.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use futures::TryStreamExt;
use serde_json::{Value, json};
use vdom_client::{BranchSpec, NodeContent};
use vdom_proto::v1::{NodeKind, ReadSnapshotRequest, ReadSnapshotResponse};

use super::ls::kind_name;
use crate::exit::Failure;
use crate::extended_json;
use crate::humanize::time;
use crate::names::parse_path;
use crate::output::Output;
use crate::server::ServerOptions;

/// Print the content of a node
///
/// A file is printed as it is. A document is printed as extended JSON on a
/// terminal, and as BSON into a file or pipe.
#[derive(clap::Args, Debug)]
pub(crate) struct CatArguments {
    /// Branch to read
    #[arg(value_name = "REPO[@BRANCH]")]
    branch: BranchSpec,
    /// Node to print
    #[arg(value_parser = parse_path)]
    path: String,
    /// As of this revision [default: the latest]
    #[arg(long, value_name = "NUMBER", default_value_t = 0, hide_default_value = true)]
    revision: u64,
    /// Confirm with the store that this is the latest
    #[arg(long, conflicts_with = "revision")]
    fresh: bool,
    /// Print the bytes whatever they are, also on a terminal
    #[arg(long)]
    raw: bool,
    #[command(flatten)]
    server: ServerOptions,
}

pub(crate) async fn run(arguments: CatArguments, output: &mut Output) -> Result<(), Failure> {
    let client = arguments.server.connect().await?;
    let request = ReadSnapshotRequest {
        realm: client.realm(),
        repo: arguments.branch.repo.clone(),
        branch: arguments.branch.branch.clone(),
        path: arguments.path.clone(),
        revision: arguments.revision,
        max_age_ms: arguments.fresh.then_some(0),
        ..ReadSnapshotRequest::default()
    };
    let content = client.read(request).await?;
    warn_if_stale(&content.snapshot, output)?;
    if output.is_json() {
        return print_record(content, output).await;
    }
    let is_document = matches!(content.snapshot.kind(), NodeKind::Intent | NodeKind::Meta);
    if is_document && output.is_for_people() && !arguments.raw {
        let document = extended_json::to_json(&content.collect().await?)?;
        output.result(|| document.clone(), |_| format!("{document:#}"))?;
        return Ok(());
    }
    print_bytes(content, arguments.raw, output).await
}

async fn print_bytes(
    mut content: NodeContent,
    raw: bool,
    output: &mut Output,
) -> Result<(), Failure> {
    while let Some(piece) = content.pieces.try_next().await? {
        if output.is_for_people() && !raw && piece.contains(&0) {
            return Err(Failure::failed("this is no text, and would garble the terminal")
                .advice("send it to a file with `> FILE`, or print it with --raw"));
        }
        output.bytes(&piece)?;
    }
    Ok(())
}

async fn print_record(content: NodeContent, output: &mut Output) -> Result<(), Failure> {
    let snapshot = content.snapshot.clone();
    let (field, value) = value_for_programs(snapshot.kind(), &content.collect().await?)?;
    let mut record = json!({
        "path": snapshot.path,
        "kind": kind_name(snapshot.kind()),
        "node_id": hex::encode(&snapshot.node_id),
        "version": snapshot.version,
        "epoch": snapshot.epoch,
        "revision": snapshot.revision,
        "changed_revision": snapshot.changed_revision,
        "author": snapshot.author,
        "timestamp": time(snapshot.timestamp.as_ref()),
        "attributes": snapshot.attributes,
        "metadata": snapshot.metadata,
        "stale": snapshot.freshness.is_some_and(|freshness| freshness.stale),
    });
    record[field] = value;
    output.result(|| record, |_| String::new())?;
    Ok(())
}

fn value_for_programs(kind: NodeKind, content: &[u8]) -> Result<(&'static str, Value), Failure> {
    if matches!(kind, NodeKind::Intent | NodeKind::Meta) {
        return Ok(("document", extended_json::to_json(content)?));
    }
    Ok(match std::str::from_utf8(content) {
        Ok(text) => ("text", Value::from(text)),
        Err(_) => ("base64", Value::from(BASE64.encode(content))),
    })
}

fn warn_if_stale(snapshot: &ReadSnapshotResponse, output: &mut Output) -> Result<(), Failure> {
    if let Some(freshness) = snapshot.freshness
        && freshness.stale
    {
        output.note(&format!(
            "vdom: the gateway is away: this was the latest {} ms ago",
            freshness.age_ms
        ))?;
    }
    Ok(())
}
