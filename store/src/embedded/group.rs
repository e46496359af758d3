//! A group: what one write of the engine, and one fsync, makes of many requests.

use std::collections::HashMap;
use std::time::SystemTime;

use bytes::Bytes;

use super::committer::{Answer, Request};
use super::engine::{Moment, Row, Space};
use super::{keys, read, record};
use crate::batch::{Batch, BatchId, LogId, digest_in};
use crate::chain::{self, Tail};
use crate::contract::{Append, ChunkId, StoreError, StoreErrorKind, StoreResult};
use crate::view::{Position, View, ViewKind, ViewWrite, Watermark};

/// A group takes no more once it holds so much.
const GROUP_BYTES: usize = 16 << 20;
const GROUP_REQUESTS: usize = 4096;

/// Ends of logs, and places of rows, that are kept at hand.
const TAILS_AT_HAND: usize = 1 << 16;
const ROWS_AT_HAND: usize = 1 << 14;

/// The requests of a group, judged against what was written before them.
#[derive(Default)]
pub(super) struct Group {
    rows: Vec<Row>,
    /// Where the row of a key is in `rows`: a key is written once.
    staged: HashMap<(Space, Vec<u8>), usize>,
    batches: HashMap<(LogId, u64), BatchId>,
    watermarks: HashMap<LogId, Watermark>,
    waiting: Vec<Waiting>,
    bytes: usize,
    /// The spaces that somebody waits for an fsync of.
    durable: Vec<Space>,
}

/// What a write of a row must know of the row that it replaces.
struct Stored {
    position: Position,
    path: Option<String>,
}

/// Somebody, and the answer if the group is committed.
pub(super) enum Waiting {
    Append(Answer<Append>, StoreResult<Append>),
    Done(Answer<()>, StoreResult<()>),
    Counted(Answer<u64>, StoreResult<u64>),
}

/// What was written lately, or is being written: nobody else writes, so this is how it
/// stands.
#[derive(Default)]
pub(super) struct AtHand {
    tails: HashMap<LogId, Tail>,
    /// `None` for a row that is removed.
    rows: HashMap<Vec<u8>, Option<Stored>>,
}

impl Group {
    /// Takes a request in. Gives back who wants the store closed.
    pub(super) fn take(
        &mut self,
        request: Request,
        moment: &Moment<'_>,
        at_hand: &mut AtHand,
    ) -> Option<Answer<()>> {
        let waiting = match request {
            Request::Append { log, number, batch, encoded, answer } => {
                let outcome = self.append(moment, at_hand, log, number, &batch, &encoded);
                Waiting::Append(answer, outcome)
            }
            Request::Views { log, writes, watermark, answer } => {
                Waiting::Done(answer, self.write_views(moment, at_hand, log, writes, watermark))
            }
            Request::Chunk { realm, id, bytes, answer } => {
                Waiting::Done(answer, self.put_chunk(moment, &realm, id, &bytes))
            }
            Request::Compact { log, emptied, answer } => {
                Waiting::Done(answer, self.compact(moment, log, emptied))
            }
            Request::DeleteViews { log, kind, ids, answer } => {
                Waiting::Done(answer, self.delete_views(moment, at_hand, log, kind, &ids))
            }
            Request::ClearViews { log, keys, answer } => {
                self.clear_views(at_hand, log, keys);
                Waiting::Done(answer, Ok(()))
            }
            Request::DeleteChunks { realm, ids, before_ms, answer } => {
                Waiting::Counted(answer, self.delete_chunks(moment, &realm, &ids, before_ms))
            }
            Request::Close { answer } => return Some(answer),
        };
        self.waiting.push(waiting);
        None
    }

    pub(super) fn is_full(&self) -> bool {
        self.bytes >= GROUP_BYTES || self.waiting.len() >= GROUP_REQUESTS
    }

    /// The spaces that somebody waits for an fsync of.
    pub(super) fn durable(&self) -> &[Space] {
        &self.durable
    }

    /// The rows to write, and who waits for them.
    pub(super) fn into_rows(mut self, number: u64) -> (Vec<Row>, Vec<Waiting>) {
        for (log, watermark) in std::mem::take(&mut self.watermarks) {
            self.put(Space::Views, keys::watermark(log), &record::encode_watermark(watermark));
        }
        for space in std::mem::take(&mut self.durable) {
            self.put(space, keys::LAST_GROUP.to_vec(), &number.to_be_bytes());
        }
        (self.rows, self.waiting)
    }

    fn append(
        &mut self,
        moment: &Moment<'_>,
        at_hand: &mut AtHand,
        log: LogId,
        number: u64,
        batch: &Batch,
        encoded: &Bytes,
    ) -> StoreResult<Append> {
        let tail = at_hand.tail(moment, log)?;
        if tail.is_some_and(|tail| number <= tail.number) {
            let id = match self.batches.get(&(log, number)) {
                Some(id) => Some(*id),
                None => read::batch(moment, log, number)?.map(|row| row.batch.id),
            };
            return Ok(if id == Some(batch.id) { Append::Committed } else { Append::Taken });
        }
        chain::check_follows(log, tail.as_ref(), number, batch)?;

        self.put(Space::Logs, keys::batch(log, number), encoded);
        for operation in &batch.operations {
            self.put(Space::Index, keys::operation(log, *operation), &number.to_be_bytes());
        }
        if batch.count > 0 {
            let key = keys::revision(log, batch.first_revision);
            self.put(Space::Index, key, &number.to_be_bytes());
        }
        if let Some(descriptor) = &batch.descriptor {
            match minicbor::to_vec(descriptor) {
                Ok(bytes) => self.put(Space::Index, keys::descriptor(descriptor, log), &bytes),
                Err(error) => unreachable!("no descriptor refuses to be encoded: {error}"),
            }
        }
        self.batches.insert((log, number), batch.id);
        self.make_durable(&[Space::Logs, Space::Index]);
        let digest = digest_in(encoded, batch);
        at_hand.tails.insert(log, Tail { number, digest, closing: batch.closing });
        Ok(Append::Committed)
    }

    fn compact(
        &mut self,
        moment: &Moment<'_>,
        log: LogId,
        emptied: Vec<(u64, Bytes)>,
    ) -> StoreResult<()> {
        for (number, manifest) in emptied {
            let Some(row) = read::batch(moment, log, number)? else {
                return Err(chain::no_such_batch(log, number));
            };
            if row.batch.emptied.is_some() {
                continue;
            }
            for operation in &row.batch.operations {
                // It may have been used again since.
                if read::operations(moment, log, &[*operation])? == [Some(number)] {
                    self.stage(Space::Index, keys::operation(log, *operation), None);
                }
            }
            let encoded = row.batch.into_emptied(manifest).encode()?;
            self.put(Space::Logs, keys::batch(log, number), &encoded);
        }
        Ok(())
    }

    fn write_views(
        &mut self,
        moment: &Moment<'_>,
        at_hand: &mut AtHand,
        log: LogId,
        writes: Vec<ViewWrite>,
        watermark: Option<Watermark>,
    ) -> StoreResult<()> {
        for write in writes {
            self.write_view(moment, at_hand, log, write.kind, &write.view)?;
        }
        let Some(watermark) = watermark else { return Ok(()) };
        let stored = match self.watermarks.get(&log) {
            Some(watermark) => *watermark,
            None => read::watermark(moment, log)?,
        };
        if watermark > stored {
            self.watermarks.insert(log, watermark);
        }
        Ok(())
    }

    fn write_view(
        &mut self,
        moment: &Moment<'_>,
        at_hand: &mut AtHand,
        log: LogId,
        kind: ViewKind,
        view: &View,
    ) -> StoreResult<()> {
        let key = keys::row(log, kind, &view.id);
        if kind.is_written_once() {
            self.put(Space::Views, key, &record::encode_row(view));
            return Ok(());
        }
        if let Some(stored) = at_hand.take_row(moment, log, kind, &view.id, &key)? {
            if stored.position >= view.position {
                at_hand.rows.insert(key, Some(stored));
                return Ok(());
            }
            if let (ViewKind::Node, Some(path)) = (kind, &stored.path) {
                self.stage(Space::Views, keys::path(log, path, &view.id), None);
            }
        }
        if let (ViewKind::Node, Some(path)) = (kind, &view.path) {
            self.put(Space::Views, keys::path(log, path, &view.id), &[u8::from(view.live)]);
        }
        self.put(Space::Views, key.clone(), &record::encode_row(view));
        at_hand.rows.insert(key, Some(Stored { position: view.position, path: view.path.clone() }));
        Ok(())
    }

    fn delete_views(
        &mut self,
        moment: &Moment<'_>,
        at_hand: &mut AtHand,
        log: LogId,
        kind: ViewKind,
        ids: &[Bytes],
    ) -> StoreResult<()> {
        for id in ids {
            let key = keys::row(log, kind, id);
            if let Some(Stored { path: Some(path), .. }) =
                at_hand.take_row(moment, log, kind, id, &key)?
                && kind == ViewKind::Node
            {
                self.stage(Space::Views, keys::path(log, &path, id), None);
            }
            self.stage(Space::Views, key.clone(), None);
            at_hand.rows.insert(key, None);
        }
        Ok(())
    }

    fn clear_views(&mut self, at_hand: &mut AtHand, log: LogId, keys: Vec<Bytes>) {
        self.watermarks.remove(&log);
        for key in keys {
            self.stage(Space::Views, key.to_vec(), None);
            at_hand.rows.insert(key.into(), None);
        }
    }

    fn put_chunk(
        &mut self,
        moment: &Moment<'_>,
        realm: &str,
        id: ChunkId,
        bytes: &Bytes,
    ) -> StoreResult<()> {
        let key = keys::chunk(realm, id);
        if !self.is_stored(moment, Space::Chunks, &key)? {
            self.put(Space::Chunks, key, bytes);
        }
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let now_ms = now.as_millis() as u64;
        self.put(Space::Chunks, keys::touched(realm, id), &now_ms.to_be_bytes());
        self.make_durable(&[Space::Chunks]);
        Ok(())
    }

    fn delete_chunks(
        &mut self,
        moment: &Moment<'_>,
        realm: &str,
        ids: &[ChunkId],
        before_ms: u64,
    ) -> StoreResult<u64> {
        let mut deleted = 0;
        for id in ids {
            let touched = keys::touched(realm, *id);
            // One that this group touches is in use.
            let is_touched_now = self.staged.contains_key(&(Space::Chunks, touched.clone()));
            let at = read::touched(moment, realm, *id)?;
            if !is_touched_now && at.is_some_and(|at| at < before_ms) {
                self.stage(Space::Chunks, keys::chunk(realm, *id), None);
                self.stage(Space::Chunks, touched, None);
                deleted += 1;
            }
        }
        Ok(deleted)
    }

    fn make_durable(&mut self, spaces: &[Space]) {
        for space in spaces {
            if !self.durable.contains(space) {
                self.durable.push(*space);
            }
        }
    }

    fn is_stored(&self, moment: &Moment<'_>, space: Space, key: &[u8]) -> StoreResult<bool> {
        match self.staged.get(&(space, key.to_vec())) {
            Some(at) => Ok(self.rows[*at].2.is_some()),
            None => Ok(moment.get(space, key)?.is_some()),
        }
    }

    fn put(&mut self, space: Space, key: Vec<u8>, value: &[u8]) {
        let value = record::seal(&key, value);
        self.stage(space, key, Some(value));
    }

    fn stage(&mut self, space: Space, key: Vec<u8>, value: Option<Bytes>) {
        self.bytes += key.len() + value.as_ref().map_or(0, Bytes::len);
        if let Some(at) = self.staged.get(&(space, key.clone())) {
            self.rows[*at].2 = value;
        } else {
            self.staged.insert((space, key.clone()), self.rows.len());
            self.rows.push((space, key, value));
        }
    }
}

impl Waiting {
    /// Answers after the group was committed.
    pub(super) fn answer(self) {
        // A caller that has gone is no reason to stop.
        match self {
            Self::Append(answer, outcome) => drop(answer.send(outcome)),
            Self::Done(answer, outcome) => drop(answer.send(outcome)),
            Self::Counted(answer, outcome) => drop(answer.send(outcome)),
        }
    }

    /// Answers after the group could not be committed.
    pub(super) fn fail(self, reason: &str) {
        match self {
            Self::Append(answer, Ok(_)) => {
                drop(answer.send(Err(StoreError::new(StoreErrorKind::OutcomeUnknown, reason))));
            }
            Self::Done(answer, Ok(())) => {
                drop(answer.send(Err(StoreError::new(StoreErrorKind::Stopped, reason))));
            }
            Self::Counted(answer, Ok(_)) => {
                drop(answer.send(Err(StoreError::new(StoreErrorKind::Stopped, reason))));
            }
            refused => refused.answer(),
        }
    }
}

impl AtHand {
    fn tail(&self, moment: &Moment<'_>, log: LogId) -> StoreResult<Option<Tail>> {
        match self.tails.get(&log) {
            Some(tail) => Ok(Some(*tail)),
            None => read::tail(moment, log),
        }
    }

    /// Takes out how a row stands; it is read where that is not known.
    fn take_row(
        &mut self,
        moment: &Moment<'_>,
        log: LogId,
        kind: ViewKind,
        id: &[u8],
        key: &[u8],
    ) -> StoreResult<Option<Stored>> {
        if let Some(stored) = self.rows.remove(key) {
            return Ok(stored);
        }
        let view = read::view(moment, log, kind, id)?;
        Ok(view.map(|view| Stored { position: view.position, path: view.path }))
    }

    /// Forgets when there is too much; only between groups, whose own writes are in no
    /// moment yet.
    pub(super) fn trim(&mut self) {
        if self.tails.len() > TAILS_AT_HAND {
            self.tails.clear();
        }
        if self.rows.len() > ROWS_AT_HAND {
            self.rows.clear();
        }
    }
}
