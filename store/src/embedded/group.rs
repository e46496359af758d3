//! A group: what one write of the engine, and one fsync, makes of many requests.

use std::collections::HashMap;
use std::time::SystemTime;

use bytes::Bytes;

use super::committer::{Answer, Request};
use super::engine::{Moment, Row, Space};
use super::{keys, read, record};
use crate::batch::{Batch, BatchId, LogId, digest_of};
use crate::chain::{self, Tail};
use crate::contract::{Append, ChunkId, StoreError, StoreErrorKind, StoreResult};
use crate::view::{Position, View, ViewKind, ViewWrite, Watermark};

/// A group takes no more once it holds so much.
const GROUP_BYTES: usize = 16 << 20;
const GROUP_REQUESTS: usize = 4096;

/// Ends of logs that are kept at hand.
const TAILS_AT_HAND: usize = 1 << 16;

/// The requests of a group, judged against what was written before them.
#[derive(Default)]
pub(super) struct Group {
    rows: Vec<Row>,
    /// Where the row of a key is in `rows`: a key is written once.
    staged: HashMap<(Space, Vec<u8>), usize>,
    batches: HashMap<(LogId, u64), BatchId>,
    views: HashMap<Vec<u8>, Stored>,
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
}

/// The ends of the logs that were appended to.
#[derive(Default)]
pub(super) struct Tails(HashMap<LogId, Tail>);

impl Group {
    /// Takes a request in. Gives back who wants the store closed.
    pub(super) fn take(
        &mut self,
        request: Request,
        moment: &Moment<'_>,
        tails: &mut Tails,
    ) -> Option<Answer<()>> {
        let waiting = match request {
            Request::Append { log, number, batch, encoded, answer } => {
                let outcome = self.append(moment, tails, log, number, &batch, &encoded);
                Waiting::Append(answer, outcome)
            }
            Request::Views { log, writes, watermark, answer } => {
                Waiting::Done(answer, self.write_views(moment, log, writes, watermark))
            }
            Request::Chunk { realm, id, bytes, answer } => {
                Waiting::Done(answer, self.put_chunk(moment, &realm, id, &bytes))
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
        tails: &mut Tails,
        log: LogId,
        number: u64,
        batch: &Batch,
        encoded: &Bytes,
    ) -> StoreResult<Append> {
        let tail = tails.get(moment, log)?;
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
            let key = keys::operation(log, *operation);
            if !self.is_stored(moment, Space::Index, &key)? {
                self.put(Space::Index, key, &number.to_be_bytes());
            }
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
        tails.set(log, Tail { number, digest: digest_of(encoded), closing: batch.closing });
        Ok(Append::Committed)
    }

    fn write_views(
        &mut self,
        moment: &Moment<'_>,
        log: LogId,
        writes: Vec<ViewWrite>,
        watermark: Option<Watermark>,
    ) -> StoreResult<()> {
        for write in writes {
            self.write_view(moment, log, write.kind, &write.view)?;
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
        log: LogId,
        kind: ViewKind,
        view: &View,
    ) -> StoreResult<()> {
        let key = keys::row(log, kind, &view.id);
        let stored = match self.views.remove(&key) {
            Some(stored) => Some(stored),
            None => read::view(moment, log, kind, &view.id)?
                .map(|view| Stored { position: view.position, path: view.path }),
        };
        if let Some(stored) = stored {
            if stored.position >= view.position {
                self.views.insert(key, stored);
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
        self.views.insert(key, Stored { position: view.position, path: view.path.clone() });
        Ok(())
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
            refused => refused.answer(),
        }
    }
}

impl Tails {
    fn get(&mut self, moment: &Moment<'_>, log: LogId) -> StoreResult<Option<Tail>> {
        if let Some(tail) = self.0.get(&log) {
            return Ok(Some(*tail));
        }
        read::tail(moment, log)
    }

    /// Forgets when there are too many; only between groups, whose own ends are in
    /// no moment yet.
    pub(super) fn trim(&mut self) {
        if self.0.len() > TAILS_AT_HAND {
            self.0.clear();
        }
    }

    fn set(&mut self, log: LogId, tail: Tail) {
        self.0.insert(log, tail);
    }
}
