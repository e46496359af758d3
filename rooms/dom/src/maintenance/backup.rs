//! `vdom backup`: every log and every chunk that they name, in one file.

use std::collections::BTreeSet;
use std::io::Write;

use vdom_core::{Error, ErrorCode, Result};
use vdom_store::ChunkId;

use super::MaintainedStore;
use super::archive::Writer;
use crate::collection::named_by;
use crate::error::from_store;
use crate::log_names::{address_of, all_logs};
use crate::log_reader::LogReader;

/// How many logs a backup holds, batches in them, and chunks.
#[expect(missing_docs, reason = "the names say it")]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BackupReport {
    pub logs: u64,
    pub batches: u64,
    pub chunks: u64,
}

/// Writes a backup of the whole store; the file is given back to be made durable.
/// `progress` is told how many batches and chunks were written so far.
///
/// Logs that continue others come before those, so that nothing that a log relies on
/// can be missing however the store goes on meanwhile; chunks come last.
///
/// # Errors
/// Where the store is damaged, cannot be read, or the file not written.
pub async fn backup<W: Write>(
    store: &MaintainedStore,
    file: W,
    mut progress: impl FnMut(u64),
) -> Result<(W, BackupReport)> {
    let store = store.permitted();
    let mut writer = Writer::begin(file)?;
    let mut report = BackupReport::default();
    let mut chunks: BTreeSet<(String, ChunkId)> = BTreeSet::new();
    let mut logs = all_logs(store).await?;
    // A log is younger than what it continues; so are later incarnations.
    logs.sort_by_key(|log| std::cmp::Reverse(log.incarnation));
    for log in logs {
        let address = address_of(&log)?;
        writer.log(&log)?;
        report.logs += 1;
        let mut pages = LogReader::new(store, log.log_id(), 1, &address);
        while let Some(page) = pages.next().await? {
            for log_entry in &page {
                let encoded = log_entry.batch.encode();
                writer.batch(&encoded.map_err(|error| from_store(error, &address))?)?;
                let named = named_by(store, &address, log_entry).await?;
                chunks.extend(named.into_iter().map(|id| (log.name.realm.clone(), id)));
                report.batches += 1;
                progress(report.batches);
            }
        }
    }
    for (realm, id) in chunks {
        let bytes = store.chunk(&realm, id).await.map_err(|error| from_store(error, &realm))?;
        let bytes = bytes.ok_or_else(|| {
            Error::new(ErrorCode::DataLoss, format!("chunk {id} of realm `{realm}` is missing"))
        })?;
        writer.chunk(&realm, &bytes)?;
        report.chunks += 1;
        progress(report.batches + report.chunks);
    }
    Ok((writer.end()?, report))
}
