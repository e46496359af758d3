//! `vdom restore`: a backup into an empty store.

use std::fs::File;
use std::path::PathBuf;

use serde_json::json;
use vdom_edge::Environment;
use vdom_gateway::maintenance::restore;

use super::store::{StoreOptions, maintain};
use crate::exit::{Exit, Failure};
use crate::humanize::{count, printable};
use crate::output::Output;

/// Fill an empty store from a backup
///
/// The gateway of the store must be stopped. Every branch begins a new epoch: clients
/// that know revisions from after the backup are told so, and all others go on.
#[derive(clap::Args, Debug)]
pub(crate) struct RestoreArguments {
    /// The backup
    file: PathBuf,
    #[command(flatten)]
    store: StoreOptions,
}

pub(crate) async fn run(arguments: RestoreArguments, output: &mut Output) -> Result<(), Failure> {
    let path = arguments.file;
    let file = File::open(&path).map_err(|error| {
        Failure::new(Exit::NotFound, format!("cannot read {}: {error}", path.display()))
    })?;
    let store = arguments.store.open_or_make().await?;
    let report = maintain(store, output, "batches and chunks restored", async |store, bar| {
        let environment = Environment::system();
        restore(store, &environment, file, |restored| bar.set_position(restored)).await
    })
    .await?;
    let branches = &report.branches;
    output.result(
        || {
            json!({
                "logs": report.logs,
                "batches": report.batches,
                "chunks": report.chunks,
                "branches": branches.iter().map(|(branch, epoch)| json!({
                    "branch": branch,
                    "epoch": epoch,
                })).collect::<Vec<_>>(),
            })
        },
        |_| {
            let mut lines: Vec<_> = branches
                .iter()
                .map(|(branch, epoch)| format!("{} begins epoch {epoch}", printable(branch)))
                .collect();
            lines.push(format!(
                "{} in {} restored",
                count(report.batches, "batch", "batches"),
                count(report.logs, "log", "logs")
            ));
            lines.join("\n")
        },
    )?;
    Ok(())
}
