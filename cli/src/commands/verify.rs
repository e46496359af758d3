//! `vdom verify`: checks every hash of a store.

use serde_json::json;
use vdom_gateway::maintenance::{Finding, VerifyReport, verify};

use super::store::{StoreOptions, maintain};
use crate::exit::{Exit, Failure};
use crate::humanize::{count, printable};
use crate::output::{Output, Painter, Tone};

/// Check every hash of a store: the chain of each branch, and every chunk
///
/// The gateway of the store must be stopped. Fails with the first broken link of each
/// branch that has one.
#[derive(clap::Args, Debug)]
pub(crate) struct VerifyArguments {
    #[command(flatten)]
    store: StoreOptions,
}

pub(crate) async fn run(arguments: VerifyArguments, output: &mut Output) -> Result<(), Failure> {
    let store = arguments.store.open().await?;
    let report = maintain(store, output, "changes checked", async |store, bar| {
        verify(store, |changes| bar.set_position(changes)).await
    })
    .await?;
    output.result(|| record(&report), |painter| shown(&report, painter))?;
    if report.findings.is_empty() {
        return Ok(());
    }
    Err(Failure::new(Exit::Failed, "the store is damaged").advice(
        "restore it from a backup: `vdom restore`; what comes before a broken link can be read",
    ))
}

fn record(report: &VerifyReport) -> serde_json::Value {
    json!({
        "logs": report.logs,
        "batches": report.batches,
        "changes": report.changes,
        "chunks": report.chunks,
        "findings": report.findings.iter().map(|finding| json!({
            "branch": finding.branch,
            "incarnation": finding.incarnation,
            "batch": finding.batch,
            "revision": finding.revision,
            "what": finding.what,
        })).collect::<Vec<_>>(),
    })
}

fn shown(report: &VerifyReport, painter: &Painter) -> String {
    let mut lines: Vec<_> =
        report.findings.iter().map(|finding| painter.paint(Tone::Bad, &told(finding))).collect();
    lines.push(format!(
        "{} in {}, {}: {}",
        count(report.changes, "change", "changes"),
        count(report.logs, "log", "logs"),
        count(report.chunks, "chunk", "chunks"),
        match report.findings.len() as u64 {
            0 => painter.paint(Tone::Good, "sound"),
            broken => count(broken, "broken log", "broken logs"),
        }
    ));
    lines.join("\n")
}

fn told(finding: &Finding) -> String {
    let at = finding.revision.map(|revision| format!(", revision {revision}")).unwrap_or_default();
    let (branch, what) = (printable(&finding.branch), printable(&finding.what));
    format!("{branch} (log {}): batch {}{at}: {what}", finding.incarnation, finding.batch)
}
