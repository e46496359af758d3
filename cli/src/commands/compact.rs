//! `vdom compact`: old history of a store makes room.

use std::time::Duration;

use serde_json::json;
use vdom_edge::Environment;
use vdom_edge::settings::Interval;
use vdom_gateway::Retention;
use vdom_gateway::maintenance::{StoreCompactionReport, compact};

use super::store::{StoreOptions, maintain};
use crate::exit::{Exit, Failure};
use crate::humanize::{count, printable};
use crate::output::Output;

/// Take old changes out of a store, so that they make room
///
/// The gateway of the store must be stopped. What stands now stays, and so do the
/// hashes of all changes; states and changes that are older than asked for are gone.
/// What another branch continues is kept for it.
#[derive(clap::Args, Debug)]
pub(crate) struct CompactArguments {
    /// Keep at least so many of the newest changes of each branch
    #[arg(long, value_name = "COUNT")]
    keep_changes: Option<u64>,
    /// Keep at least what is younger than this, such as 90d
    #[arg(long, value_name = "AGE", value_parser = age)]
    keep_age: Option<Duration>,
    #[command(flatten)]
    store: StoreOptions,
}

pub(crate) async fn run(arguments: CompactArguments, output: &mut Output) -> Result<(), Failure> {
    let retention = Retention { changes: arguments.keep_changes, age: arguments.keep_age };
    if retention == (Retention { changes: None, age: None }) {
        return Err(Failure::new(Exit::Usage, "nothing says what to keep")
            .advice("name --keep-changes COUNT, --keep-age AGE or both"));
    }
    let store = arguments.store.open().await?;
    let report = maintain(store, output, "changes compacted", async |store, bar| {
        let environment = Environment::system();
        compact(store, &environment, retention, |changes| bar.set_position(changes)).await
    })
    .await?;
    output.result(|| record(&report), |_| shown(&report))?;
    Ok(())
}

fn age(text: &str) -> Result<Duration, String> {
    text.parse::<Interval>().map(|age| age.0).map_err(|error| error.message)
}

fn record(report: &StoreCompactionReport) -> serde_json::Value {
    json!({
        "branches": report.branches.iter().map(|(branch, report)| json!({
            "branch": branch,
            "oldest_revision": report.oldest_revision,
            "changes": report.changes,
        })).collect::<Vec<_>>(),
        "chunks": report.chunks,
    })
}

fn shown(report: &StoreCompactionReport) -> String {
    let mut lines: Vec<_> = report
        .branches
        .iter()
        .map(|(branch, report)| {
            format!(
                "{}: {} taken out, kept from revision {}",
                printable(branch),
                count(report.changes, "change", "changes"),
                report.oldest_revision
            )
        })
        .collect();
    if lines.is_empty() {
        lines.push("nothing to compact".to_owned());
    }
    if report.chunks > 0 {
        lines.push(format!("{} deleted", count(report.chunks, "chunk", "chunks")));
    }
    lines.join("\n")
}
