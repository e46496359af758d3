//! `vdom restore`: an empty store becomes what a backup holds, in a new epoch.
//!
//! Revisions that were acknowledged after the backup are gone, so every branch that
//! was open begins a new epoch: its log ends, and the next one of its name continues
//! it where it ended.

use std::collections::BTreeMap;
use std::io::{Read, Seek, SeekFrom};

use vdom_core::dom::change::CHAIN_START;
use vdom_core::{Error, ErrorCode, Hash, Result};
use vdom_edge::Environment;
use vdom_security::PermittedStore;
use vdom_store::{Append, Batch, BatchId, Chunk, LogDescriptor, LogEntry, LogId, LogName};

use super::archive::{Reader, Record};
use super::{MaintainedStore, unreadable};
use crate::error::from_store;
use crate::log_names::{address_of, repo_and_branch};
use crate::records::{ControlRecord, decode_batch, encode_batch};

/// How many logs were restored, batches in them, and chunks; and the branches that go on.
#[expect(missing_docs, reason = "the names say it")]
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RestoreReport {
    pub logs: u64,
    pub batches: u64,
    pub chunks: u64,
    /// The branches that go on, and the epoch that each of them begins.
    pub branches: Vec<(String, u64)>,
}

/// Fills an empty store from a backup, which is read to its end before the first
/// write. `progress` is told how many batches and chunks were written so far.
///
/// # Errors
/// Where the backup is damaged, the store holds something already, or cannot be
/// written; a store that is restored in part is of no use and must be emptied.
pub async fn restore<F: Read + Seek>(
    store: &MaintainedStore,
    environment: &Environment,
    mut file: F,
    mut progress: impl FnMut(u64),
) -> Result<RestoreReport> {
    let store = store.permitted();
    let failed = |error| from_store(error, "the store");
    if !store.realms().await.map_err(failed)?.is_empty() {
        return Err(Error::new(
            ErrorCode::FailedPrecondition,
            "the store holds something already: restore into an empty one",
        ));
    }
    let mut report = RestoreReport::default();
    // To its end: a damaged backup leaves the store as it was.
    let mut reader = begin(&mut file)?;
    while reader.next()?.is_some() {}
    // Chunks come before the batches that name them.
    let mut reader = begin(&mut file)?;
    while let Some(record) = reader.next()? {
        let Record::Chunk(realm, bytes) = record else { continue };
        store.put_chunk(&realm, Chunk::of(bytes)).await.map_err(failed)?;
        report.chunks += 1;
        progress(report.chunks);
    }
    let mut reader = begin(&mut file)?;
    let mut log: Option<(LogId, u64)> = None;
    let mut newest: BTreeMap<LogName, (LogDescriptor, LogEntry)> = BTreeMap::new();
    let mut current: Option<LogDescriptor> = None;
    while let Some(record) = reader.next()? {
        match record {
            Record::Log(descriptor) => {
                log = Some((descriptor.log_id(), 0));
                current = Some(descriptor);
                report.logs += 1;
            }
            Record::Batch(batch) => {
                let (Some((id, number)), Some(descriptor)) = (&mut log, &current) else {
                    return Err(Error::new(ErrorCode::DataLoss, "a batch belongs to no log"));
                };
                *number += 1;
                append(store, *id, *number, &batch).await?;
                let log_entry = LogEntry { number: *number, batch: *batch };
                let is_newer = newest
                    .get(&descriptor.name)
                    .is_none_or(|(known, _)| known.incarnation <= descriptor.incarnation);
                if is_newer {
                    newest.insert(descriptor.name.clone(), (descriptor.clone(), log_entry));
                }
                report.batches += 1;
                progress(report.chunks + report.batches);
            }
            Record::Chunk(..) => {}
        }
    }
    for (descriptor, last) in newest.into_values().filter(|(_, last)| !last.batch.closing) {
        let epoch = begin_epoch(store, environment, &descriptor, &last).await?;
        report.branches.push((address_of(&descriptor)?.to_string(), epoch));
    }
    Ok(report)
}

fn begin<F: Read + Seek>(file: &mut F) -> Result<Reader<std::io::BufReader<&mut F>>> {
    file.seek(SeekFrom::Start(0)).map_err(|error| unreadable("read the backup", &error))?;
    Reader::begin(std::io::BufReader::with_capacity(1 << 20, file))
}

/// Ends a log and begins the next of its name, which continues it.
async fn begin_epoch(
    store: PermittedStore<'_>,
    environment: &Environment,
    descriptor: &LogDescriptor,
    last: &LogEntry,
) -> Result<u64> {
    let record = decode_batch(last)?;
    let revision = record.first_revision + u64::from(record.count) - 1;
    let hash = if revision == 0 { CHAIN_START } else { record.hash };
    let empty = |previous, hash: Hash, epoch, control_records| -> Result<Batch> {
        let (manifest, body) = encode_batch(epoch, hash, &[], control_records)?;
        Ok(Batch {
            id: BatchId(environment.random()?),
            previous,
            descriptor: None,
            first_revision: revision + 1,
            count: 0,
            operations: Vec::new(),
            chunks: Vec::new(),
            closing: false,
            compacted_from: None,
            manifest,
            body,
        })
    };
    let closing =
        Batch { closing: true, ..empty(last.batch.digest(), hash, record.epoch, Vec::new())? };
    append(store, descriptor.log_id(), last.number + 1, &closing).await?;
    let now = u64::try_from(environment.now_ms()).unwrap_or_default();
    let epoch = now.max(record.epoch + 1);
    let parent = ControlRecord::Parent {
        branch: repo_and_branch(descriptor).1.to_owned(),
        incarnation: descriptor.incarnation,
        revision,
        previous_epoch: Some(record.epoch),
    };
    let next = LogDescriptor { incarnation: descriptor.incarnation + 1, ..descriptor.clone() };
    let first = empty([0; 32], hash, epoch, vec![parent])?;
    let first = Batch { descriptor: Some(next.clone()), ..first };
    append(store, next.log_id(), 1, &first).await?;
    Ok(epoch)
}

async fn append(store: PermittedStore<'_>, log: LogId, number: u64, batch: &Batch) -> Result<()> {
    match store.append(log, number, batch).await {
        Ok(Append::Committed) => Ok(()),
        Ok(Append::Conflict) => Err(Error::new(
            ErrorCode::FailedPrecondition,
            "something else writes to the store: stop it, empty the store and restore again",
        )),
        Err(error) => Err(from_store(error, "the store")),
    }
}
