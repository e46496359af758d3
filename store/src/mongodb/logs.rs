//! Logs in the collection `changes`.

use std::collections::{HashMap, HashSet};
use std::future::IntoFuture;
use std::time::Duration;

use tokio::time::Instant;

use ::mongodb::bson::{Document, doc};
use ::mongodb::options::ReadConcern;
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};

use super::documents::{self, BatchRow};
use super::errors::InsertFailure;
use super::handle::MongoStore;
use crate::batch::codec::digest_in;
use crate::batch::{Batch, BatchOutline, LogEnds, LogEntry, OperationKey};
use crate::error::StoreResult;
use crate::incarnations::IncarnationSearch;
use crate::log::{LogDescriptor, LogFilter, LogId, LogName};
use crate::log_chain::{self, LogTail};
use crate::store::Append;

/// So many `_id`s in one query.
const SLICE: usize = 500;

/// So many logs are asked for their last batch at once.
const LASTS_AT_ONCE: usize = 16;

/// Hardly any batch takes less.
const SMALL_BATCH_BYTES: usize = 256;

/// Between two looks for a batch that is there and not committed yet.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// Ends of logs that are remembered.
const TAILS_REMEMBERED: usize = 1 << 14;

impl MongoStore {
    pub(super) async fn append_batch(
        &self,
        log: LogId,
        number: u64,
        batch: &Batch,
    ) -> StoreResult<Append> {
        let encoded = batch.encode()?;
        let digest = digest_in(&encoded, batch);
        let document = documents::encode_batch(log, number, batch, &encoded, digest, self.writer)?;
        let before = self.tail_before(log, number).await?;
        if let Err(misplaced) = log_chain::check_follows(log, before.as_ref(), number, batch) {
            // Who has lost the number is told so first.
            return match self.stored_id(log, number).await? {
                Some(id) => Ok(ours_or_conflict(id, batch)),
                None => Err(misplaced),
            };
        }
        let what = "append";
        let give_up = Instant::now() + self.boundary.deadline;
        loop {
            let insert = self.collections.changes.insert_one(&document).into_future();
            match self.boundary.insert(what, insert).await {
                Ok(_) => break,
                Err(InsertFailure::Other(error)) => return Err(error),
                Err(InsertFailure::NotPrimary(error)) if Instant::now() >= give_up => {
                    return Err(error);
                }
                Err(InsertFailure::NotPrimary(_)) => {
                    tokio::time::sleep(LOOK_AGAIN).await;
                    continue;
                }
                Err(InsertFailure::Duplicate) => {}
            }
            // What is there may still roll back; only a majority has the last word.
            match self.stored_id(log, number).await? {
                Some(id) if ours_or_conflict(id, batch) == Append::Conflict => {
                    return Ok(Append::Conflict);
                }
                Some(_) => break,
                None if Instant::now() >= give_up => {
                    return Err(self.boundary.unknown(what, "a batch is there but not committed"));
                }
                None => tokio::time::sleep(LOOK_AGAIN).await,
            }
        }
        self.remember(log, LogTail { number, digest, closing: batch.closing });
        Ok(Append::Committed)
    }

    pub(super) async fn read_batches(
        &self,
        log: LogId,
        from: u64,
        max_bytes: usize,
    ) -> StoreResult<Vec<LogEntry>> {
        let filter = doc! { "_id": documents::batch_ids_from(log, from) };
        // Of small batches an answer holds many; it is cut at the bytes that are wanted.
        let answer = (max_bytes / SMALL_BATCH_BYTES).clamp(1, SLICE);
        let mut find = self.collections.changes.find(filter).sort(doc! { "_id": 1 });
        find = find.batch_size(answer as u32);
        if max_bytes < SMALL_BATCH_BYTES {
            find = find.limit(1);
        }
        self.boundary
            .within("read", async {
                let mut cursor = find.await?;
                let (mut page, mut bytes) = (Vec::<BatchRow>::new(), 0);
                while let Some(document) = cursor.try_next().await? {
                    let row = match documents::decode_batch(&self.boundary, document) {
                        Ok(row) => row,
                        Err(error) => return Ok(Err(error)),
                    };
                    bytes += row.encoded_len;
                    if !page.is_empty() && bytes > max_bytes {
                        break;
                    }
                    page.push(row);
                    if bytes >= max_bytes {
                        break;
                    }
                }
                Ok(Ok(page))
            })
            .await?
            .and_then(|page| self.check_page(log, from, page))
    }

    pub(super) async fn last_batch(&self, log: LogId) -> StoreResult<Option<LogEntry>> {
        let filter = doc! { "_id": documents::batch_ids_from(log, 0) };
        let find = self.collections.changes.find_one(filter).sort(doc! { "_id": -1 });
        let last = self.boundary.within("read the last batch", find.into_future()).await?;
        let Some(last) = last else { return Ok(None) };
        let BatchRow { row, digest, .. } = documents::decode_batch(&self.boundary, last)?;
        self.remember(log, LogTail { number: row.number, digest, closing: row.batch.closing });
        Ok(Some(row))
    }

    pub(super) async fn ends_of(&self, logs: &[LogId]) -> StoreResult<Vec<LogEnds>> {
        // One query for all would read every batch of every log.
        let last = |log: LogId| async move { Ok((log, self.last_batch(log).await?)) };
        let lasts: Vec<_> = stream::iter(logs.iter().copied().map(last))
            .buffer_unordered(LASTS_AT_ONCE)
            .try_collect()
            .await?;
        let lasts = lasts.into_iter().filter_map(|(log, last)| Some((log, last?)));
        let lasts: Vec<_> = lasts.map(|(log, last)| (log, BatchOutline::from(&last))).collect();
        let longer = lasts.iter().filter(|(_, last)| last.number > 1);
        let firsts: Vec<_> = longer.map(|(log, _)| (*log, 1)).collect();
        let firsts: HashMap<_, _> = self
            .batches_at(&firsts)
            .await?
            .iter()
            .map(|(log, first)| (*log, BatchOutline::from(first)))
            .collect();
        let ends = |(log, last): (LogId, BatchOutline)| {
            let first = if last.number == 1 { Some(&last) } else { firsts.get(&log) };
            let first = first.cloned().ok_or_else(|| {
                let place = format!("batch 1 of log {log}");
                self.boundary.damaged(&place, "it is missing; restore from a backup")
            })?;
            Ok(LogEnds { log, first, last })
        };
        lasts.into_iter().map(ends).collect()
    }

    pub(super) async fn number_of_revision(
        &self,
        log: LogId,
        revision: u64,
    ) -> StoreResult<Option<u64>> {
        let revision = i64::try_from(revision).unwrap_or(i64::MAX);
        let filter = doc! { "l": log.to_string(), "f": { "$lte": revision } };
        let find = self
            .collections
            .changes
            .find_one(filter)
            .sort(doc! { "f": -1, "_id": -1 })
            .projection(doc! { "_id": 1 });
        let found = self.boundary.within("find a revision", find.into_future()).await?;
        found.map(|document| self.number_in(&document)).transpose()
    }

    pub(super) async fn is_free(&self, log: LogId, number: u64) -> StoreResult<bool> {
        let id = documents::batch_id(log, number);
        let find = || {
            self.collections
                .changes
                .find_one(doc! { "_id": &id })
                .projection(doc! { "_id": 1 })
                .max_time(self.boundary.deadline)
        };
        let what = "confirm the head";
        if self.linearizable.are_due() {
            let find = find().read_concern(ReadConcern::linearizable());
            let found = self.boundary.within(what, async {
                let found = find.await;
                match &found {
                    Ok(_) => self.linearizable.answered(),
                    Err(error) if self.linearizable.failed(error) => return Ok(None),
                    Err(_) => {}
                }
                found.map(Some)
            });
            if let Some(found) = found.await? {
                return Ok(found.is_none());
            }
        }
        let found = self.boundary.within(what, find().into_future()).await?;
        Ok(found.is_none())
    }

    /// Finds out whether the server reads linearizably; a server that cannot say so now is
    /// asked by the next confirmation.
    pub(super) async fn try_linearizable_reads(&self) {
        let none = LogId([0; 32]);
        if let Err(error) = self.is_free(none, 1).await {
            tracing::debug!(%error, "whether reads are linearizable is not known yet");
        }
    }

    pub(super) async fn batches_at(
        &self,
        logs: &[(LogId, u64)],
    ) -> StoreResult<Vec<(LogId, LogEntry)>> {
        let mut found = Vec::new();
        for slice in logs.chunks(SLICE) {
            let ids: Vec<_> =
                slice.iter().map(|(log, number)| documents::batch_id(*log, *number)).collect();
            let filter = doc! { "_id": { "$in": ids } };
            let find = self.collections.changes.find(filter).sort(doc! { "_id": 1 });
            for document in self.all(find, "read the next batches").await? {
                let BatchRow { log, row, .. } = documents::decode_batch(&self.boundary, document)?;
                found.push((log, row));
            }
        }
        Ok(found)
    }

    pub(super) async fn numbers_of_operations(
        &self,
        log: LogId,
        keys: &[OperationKey],
    ) -> StoreResult<Vec<Option<u64>>> {
        let mut numbers = vec![None; keys.len()];
        for (slice, numbers) in keys.chunks(SLICE).zip(numbers.chunks_mut(SLICE)) {
            let wanted: Vec<_> = slice.iter().map(ToString::to_string).collect();
            let filter = doc! { "l": log.to_string(), "o": { "$in": wanted.clone() } };
            let find = self
                .collections
                .changes
                .find(filter)
                .sort(doc! { "_id": 1 })
                .projection(doc! { "_id": 1, "o": 1 });
            for document in self.all(find, "find operations").await? {
                let number = self.number_in(&document)?;
                let carried = document
                    .get_array("o")
                    .map_err(|error| self.boundary.damaged("the operations of a batch", error))?;
                for (wanted, found) in wanted.iter().zip(numbers.iter_mut()) {
                    if carried.iter().any(|key| key.as_str() == Some(wanted)) {
                        *found = Some(number);
                    }
                }
            }
        }
        Ok(numbers)
    }

    pub(super) async fn compact_batches(
        &self,
        log: LogId,
        manifests: &[(u64, Bytes)],
    ) -> StoreResult<()> {
        for (number, manifest) in manifests {
            let id = documents::batch_id(log, *number);
            let what = "compact a batch";
            let find = self.collections.changes.find_one(doc! { "_id": &id });
            let Some(found) = self.boundary.within(what, find.into_future()).await? else {
                return Err(log_chain::no_such_batch(log, *number));
            };
            let batch = documents::decode_batch(&self.boundary, found)?.row.batch;
            if batch.compacted_from.is_some() {
                continue;
            }
            let batch = batch.into_compacted(manifest.clone());
            let (small, large) = documents::contents(&batch.encode()?);
            let compact = doc! { "$set": small, "$unset": large };
            let changes = &self.collections.changes;
            let update = || changes.update_one(doc! { "_id": &id }, compact.clone()).into_future();
            self.boundary.repeatable(what, update).await?;
        }
        Ok(())
    }

    pub(super) async fn newest_log(&self, name: &LogName) -> StoreResult<Option<LogDescriptor>> {
        let mut search = IncarnationSearch::new(name);
        loop {
            let probes: Vec<_> = search.probes().collect();
            if probes.is_empty() {
                return Ok(search.newest().map(|newest| name.incarnation(newest)));
            }
            let ids: Vec<_> = probes.iter().map(|(_, log)| documents::batch_id(*log, 1)).collect();
            let find = self
                .collections
                .changes
                .find(doc! { "_id": { "$in": ids } })
                .sort(doc! { "_id": 1 })
                .projection(doc! { "_id": 1 });
            let found = self.all(find, "find a log").await?;
            let existing: HashSet<_> = found
                .iter()
                .filter_map(|document| documents::log_and_number(document.get_str("_id").ok()?))
                .map(|(log, _)| log)
                .collect();
            search.narrow(&probes, |log| existing.contains(&log));
        }
    }

    pub(super) async fn descriptors(&self, filter: &LogFilter) -> StoreResult<Vec<LogDescriptor>> {
        let mut find = self
            .collections
            .changes
            .find(documents::described_by(filter))
            .projection(doc! { "_id": 1, "d": 1 });
        let limit = filter.limit.unwrap_or(usize::MAX);
        // Only where the query is all of the filter; in the order of the index, so that no more
        // is read than is answered.
        let is_cut_by_server =
            filter.is_in_order_of_names() && documents::is_described_by_query(filter);
        find = match filter.limit.and_then(|limit| i64::try_from(limit).ok()) {
            Some(limit) if is_cut_by_server => {
                find.sort(doc! { "d.realm": 1, "d.repo": 1, "d.branch": 1 }).limit(limit)
            }
            _ => find.sort(doc! { "_id": 1 }),
        };
        let documents = self.all(find, "list logs").await?;
        let decode = |document: &Document| {
            let id = document.get_str("_id").unwrap_or_default();
            documents::decode_descriptor(document).ok_or_else(|| {
                self.boundary.damaged(&format!("batch {id}"), "it does not describe its log")
            })
        };
        let mut logs = documents.iter().map(decode).collect::<StoreResult<Vec<_>>>()?;
        logs.retain(|log| filter.matches(&log.name));
        logs.sort();
        logs.truncate(limit);
        Ok(logs)
    }

    pub(super) async fn all_realms(&self) -> StoreResult<Vec<String>> {
        let distinct = self.collections.changes.distinct("d.realm", doc! {});
        let realms = self.boundary.within("list realms", distinct.into_future()).await?;
        let mut realms: Vec<_> =
            realms.iter().filter_map(|realm| realm.as_str().map(str::to_owned)).collect();
        realms.sort();
        Ok(realms)
    }

    /// All documents of a cursor.
    pub(super) async fn all(
        &self,
        find: ::mongodb::action::Find<'_, Document>,
        what: &str,
    ) -> StoreResult<Vec<Document>> {
        self.boundary.within(what, async { find.await?.try_collect().await }).await
    }

    /// The batch that an append at this number must follow; `None` for the first.
    async fn tail_before(&self, log: LogId, number: u64) -> StoreResult<Option<LogTail>> {
        let before = number - 1;
        if before == 0 {
            return Ok(None);
        }
        let known = self.tails.lock().get(&log).copied();
        if let Some(tail) = known.filter(|tail| tail.number == before) {
            return Ok(Some(tail));
        }
        // The writer knows that it is committed. A new primary may not know yet, so
        // no majority is asked for.
        let find = self
            .collections
            .changes
            .find_one(doc! { "_id": documents::batch_id(log, before) })
            .projection(doc! { "_id": 1, "h": 1, "c": 1 })
            .read_concern(ReadConcern::local());
        let what = "read the batch before";
        let Some(mut found) = self.boundary.within(what, find.into_future()).await? else {
            return Ok(None);
        };
        let closing = found.get_bool("c").unwrap_or(false);
        let digest =
            documents::take_bytes(&mut found, "h").and_then(|digest| digest[..].try_into().ok());
        let digest = digest.ok_or_else(|| self.boundary.damaged(what, "it has no digest"))?;
        Ok(Some(LogTail { number: before, digest, closing }))
    }

    /// The id of the committed batch at a number.
    async fn stored_id(&self, log: LogId, number: u64) -> StoreResult<Option<[u8; 16]>> {
        let find = self
            .collections
            .changes
            .find_one(doc! { "_id": documents::batch_id(log, number) })
            .projection(doc! { "_id": 1, "i": 1 });
        let what = "read the batch that stands there";
        let found = self.boundary.within(what, find.into_future()).await;
        // Our own batch may be what stands there.
        let found = found.map_err(|error| self.boundary.unknown("append", error))?;
        let Some(mut found) = found else { return Ok(None) };
        let id = documents::take_bytes(&mut found, "i").and_then(|id| id[..].try_into().ok());
        id.map(Some).ok_or_else(|| self.boundary.damaged(what, "it has no id"))
    }

    fn check_page(&self, log: LogId, from: u64, page: Vec<BatchRow>) -> StoreResult<Vec<LogEntry>> {
        let mut before = None;
        for (expected, row) in (from..=u64::MAX).zip(&page) {
            if row.row.number != expected {
                let place = format!("batch {expected} of log {log}");
                return Err(self.boundary.damaged(&place, "it is missing; restore from a backup"));
            }
            if let Some(before) = before {
                log_chain::check_chain(log, expected, before, &row.row.batch)?;
            }
            before = Some(row.digest);
        }
        Ok(page.into_iter().map(|row| row.row).collect())
    }

    fn number_in(&self, document: &Document) -> StoreResult<u64> {
        let id = document.get_str("_id").unwrap_or_default();
        documents::log_and_number(id)
            .map(|(_, number)| number)
            .ok_or_else(|| self.boundary.damaged("batch", format_args!("{id} is not one of ours")))
    }

    fn remember(&self, log: LogId, tail: LogTail) {
        let mut tails = self.tails.lock();
        if tails.len() >= TAILS_REMEMBERED && !tails.contains_key(&log) {
            tails.clear();
        }
        let known = tails.entry(log).or_insert(tail);
        if tail.number > known.number {
            *known = tail;
        }
    }
}

fn ours_or_conflict(stored: [u8; 16], batch: &Batch) -> Append {
    if stored == batch.id.0 { Append::Committed } else { Append::Conflict }
}
