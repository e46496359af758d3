//! `vdom rebuild`: every view of a store anew, from its logs.

use serde_json::json;
use vdom_edge::Environment;
use vdom_gateway::maintenance::rebuild;

use super::store::{StoreOptions, maintain};
use crate::exit::Failure;
use crate::humanize::count;
use crate::output::Output;

/// Derive all views of a store anew from its logs
///
/// The gateway of the store must be stopped. The logs are the truth: this repairs
/// damaged views, and what was interrupted goes on at the next start.
#[derive(clap::Args, Debug)]
pub(crate) struct RebuildArguments {
    #[command(flatten)]
    store: StoreOptions,
}

pub(crate) async fn run(arguments: RebuildArguments, output: &mut Output) -> Result<(), Failure> {
    let store = arguments.store.open().await?;
    let report = maintain(store, output, "changes derived", async |store, bar| {
        rebuild(store, &Environment::system(), |changes| bar.set_position(changes)).await
    })
    .await?;
    output.result(
        || json!({ "logs": report.logs, "changes": report.changes }),
        |_| {
            format!(
                "views of {} rebuilt: {}",
                count(report.logs, "log", "logs"),
                count(report.changes, "change", "changes"),
            )
        },
    )?;
    Ok(())
}
