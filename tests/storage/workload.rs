//! What is written to stores that are damaged afterwards, and what must still be there.
//!
//! Every content is made from its number, so that any process can tell it.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::future::join_all;
use tempfile::TempDir;
use vdom_store::embedded::{EmbeddedOptions, EmbeddedStore};
use vdom_store::{
    Append, Batch, BatchId, Chunk, ChunkId, LogDescriptor, LogEntry, LogFilter, LogId, LogName,
    OperationKey, PathRange, Position, Store, StoreError, StoreErrorKind, StoreResult, View,
    ViewWrite, Watermark,
};

use super::{ACTORS, HISTORY, NODES};

pub(super) const LOGS: usize = 4;
const REALM: &str = "acme";
const NODE_COUNT: u64 = 7;
const BATCHES: u64 = 400;

/// Numbers that repeat with their seed (`SplitMix64`).
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    pub(super) fn index(&mut self, length: usize) -> usize {
        self.below(length as u64) as usize
    }

    pub(super) fn one_in(&mut self, count: u64) -> bool {
        self.below(count) == 0
    }
}

/// What a store has acknowledged.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Acknowledged {
    /// The number of the last batch of each log.
    pub(super) batches: [u64; LOGS],
    /// The numbers of the chunks.
    pub(super) chunks: BTreeSet<u64>,
}

impl Acknowledged {
    /// Takes note of what a writer reported; other text says nothing.
    pub(super) fn note(&mut self, report: &str) {
        let mut words = report.split(' ');
        let what = words.next();
        let mut number = || words.next().and_then(|word| word.parse::<u64>().ok());
        match what {
            Some("append") => {
                if let (Some(log), Some(batch)) = (number(), number()) {
                    let last = &mut self.batches[log as usize];
                    *last = batch.max(*last);
                }
            }
            Some("chunk") => self.chunks.extend(number()),
            Some("unchunk") => {
                let gone = number();
                self.chunks.retain(|held| Some(*held) != gone);
            }
            _ => {}
        }
    }
}

/// Why a store did not give what it must.
#[derive(Debug)]
pub(super) enum Fault {
    /// It said so.
    Refused(StoreError),
    /// It said something else.
    Wrong(String),
}

impl From<StoreError> for Fault {
    fn from(error: StoreError) -> Self {
        Self::Refused(error)
    }
}

/// All batches of all logs up to a length.
pub(super) struct Contents {
    batches: [Vec<Batch>; LOGS],
}

/// Small memtables and segments, so that little work has flushes, compactions, new journals and
/// new segments.
fn options(memtable_bytes: u64) -> EmbeddedOptions {
    let segment_bytes = memtable_bytes;
    EmbeddedOptions { memtable_bytes, segment_bytes, min_free_bytes: 0, ..EmbeddedOptions::small() }
}

/// A directory in memory where there is one: these tests do not need the disk.
pub(super) fn scratch() -> TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

/// Opens a store that the last user may still be letting go of.
pub(super) fn open(path: &Path, memtable_bytes: u64) -> StoreResult<EmbeddedStore> {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        match EmbeddedStore::open(path, options(memtable_bytes)) {
            Err(error)
                if error.kind == StoreErrorKind::AlreadyOpen && Instant::now() < deadline =>
            {
                std::thread::yield_now();
            }
            outcome => return outcome,
        }
    }
}

/// Writes to a store through some openings of it; `report` is told of each
/// acknowledgement. The last opening ends with a close.
pub(super) async fn write(
    path: &Path,
    memtable_bytes: u64,
    openings: u64,
    seed: u64,
    report: impl Fn(String),
) {
    let contents = Contents::new();
    let mut random = Random(seed);
    let mut done = Acknowledged::default();
    for opening in 1..=openings {
        let store = open(path, memtable_bytes).unwrap();
        for _ in 0..20 + random.below(20) {
            contents.write_some(&store, &mut done, &mut random, &report).await;
        }
        // The others just let go of it, as a process does that ends.
        if opening == openings || random.one_in(2) {
            store.close().await.unwrap();
        }
    }
}

/// Creates a store whose journal is almost as long as the engine lets one become, and
/// little else, by writing the same rows again and again.
pub(super) async fn fill_journal(path: &Path, memtable_bytes: u64) {
    // Longer journals are sealed with the next flush of a memtable.
    const LONGEST: u64 = 64_000_000;
    const NODES: u64 = 400;
    const SOME: u64 = 10;
    let store = open(path, memtable_bytes).unwrap();
    let mut revision = 0;
    let mut write = async |rows: u64| {
        let row = |revision: u64| View {
            id: Bytes::copy_from_slice(&(revision % NODES).to_be_bytes()),
            path: None,
            live: true,
            position: position(revision),
            // Journals compress what is longer.
            value: Bytes::from(vec![1; 4000]),
        };
        let writes: Vec<_> = (revision + 1..=revision + rows)
            .map(|revision| ViewWrite { kind: ACTORS, view: row(revision) })
            .collect();
        revision += rows;
        store.write_views(log_id(0), &writes, None).await.unwrap();
    };
    let journal = path.join("engine/0.jnl");
    let length = || {
        let bytes = std::fs::read(&journal).unwrap();
        bytes.iter().rposition(|byte| *byte != 0).unwrap_or_default() as u64
    };
    let empty = length();
    write(NODES).await;
    let of_a_row = (length() - empty) / NODES;
    let mut left = (LONGEST - length()) / of_a_row - 2 * SOME;
    while left > 0 {
        let rows = left.min(NODES);
        write(rows).await;
        left -= rows;
    }
    assert!(LONGEST - length() < 3 * SOME * of_a_row, "the journal ends at {}", length());
    store.close().await.unwrap();
}

impl Contents {
    /// Logs longer than any writer makes them.
    pub(super) fn new() -> Self {
        let batches = std::array::from_fn(|log| {
            let mut previous = [0; 32];
            (1..=BATCHES)
                .map(|number| {
                    let batch = batch(log, number, previous);
                    previous = batch.digest();
                    batch
                })
                .collect()
        });
        Self { batches }
    }

    /// One step of a writer: appends that share a write, views, a chunk, or a compaction.
    async fn write_some(
        &self,
        store: &EmbeddedStore,
        done: &mut Acknowledged,
        random: &mut Random,
        report: &impl Fn(String),
    ) {
        match random.below(9) {
            0..5 => {
                let asked: Vec<_> = (0..LOGS)
                    .filter(|_| random.one_in(2))
                    .map(|log| (log, done.batches[log] + 1))
                    .collect();
                join_all(asked.iter().map(async |(log, number)| {
                    self.append(store, *log, *number).await.unwrap();
                    report(format!("append {log} {number}"));
                }))
                .await;
                for (log, number) in asked {
                    done.batches[log] = number;
                }
            }
            5..7 => {
                let log = random.index(LOGS);
                write_views(store, log, done.batches[log]).await.unwrap();
            }
            7 => {
                let log = random.index(LOGS);
                let compacted = 1 + random.below(done.batches[log] + 1);
                let manifests: Vec<_> =
                    (1..compacted).map(|number| (number, compacted_manifest())).collect();
                store.compact(log_id(log), &manifests).await.unwrap();
                store.reclaim().await.unwrap();
            }
            _ => Self::write_chunk(store, done, random, report).await,
        }
    }

    /// A chunk that is put, touched or removed.
    async fn write_chunk(
        store: &EmbeddedStore,
        done: &mut Acknowledged,
        random: &mut Random,
        report: &impl Fn(String),
    ) {
        let next = done.chunks.last().map_or(1, |last| last + 1);
        let old = done.chunks.iter().nth(random.index(1 + 2 * done.chunks.len())).copied();
        match old {
            Some(number) if random.one_in(3) => {
                // It may come back: from here on nothing is promised.
                report(format!("unchunk {number}"));
                done.chunks.remove(&number);
                let id = ChunkId::of(&chunk(number));
                store.delete_chunks(REALM, &[id], u64::MAX).await.unwrap();
                store.reclaim().await.unwrap();
            }
            put => {
                let number = put.unwrap_or(next);
                put_chunk(store, number).await.unwrap();
                report(format!("chunk {number}"));
                done.chunks.insert(number);
            }
        }
    }

    async fn append(&self, store: &EmbeddedStore, log: usize, number: u64) -> Result<(), Fault> {
        let batch = &self.batches[log][number as usize - 1];
        match store.append(log_id(log), number, batch).await? {
            Append::Committed => Ok(()),
            Append::Conflict => Err(Fault::Wrong(format!("batch {number} of log {log} is taken"))),
        }
    }

    /// Reads everything: what was acknowledged must be there, and all that is there
    /// must be what was written. Tells what was found.
    pub(super) async fn check(
        &self,
        store: &EmbeddedStore,
        acknowledged: &Acknowledged,
    ) -> Result<Acknowledged, Fault> {
        let mut found = Acknowledged::default();
        for (log, batches) in self.batches.iter().enumerate() {
            let last = check_log(store, log, batches).await?;
            let promised = acknowledged.batches[log];
            let show = || format!("log {log} ends at {last}, {promised} was acknowledged");
            require(last >= promised, show)?;
            found.batches[log] = last;
            check_views(store, log, last).await?;
        }
        let there: Vec<_> = (0..LOGS).filter(|log| found.batches[*log] > 0).collect();
        let filter = LogFilter::of_realm(REALM);
        let listed = store.logs(&filter).await?;
        let is_listed =
            listed.iter().eq(&there.iter().copied().map(descriptor).collect::<Vec<_>>());
        require(is_listed, || format!("{listed:?} are listed, {there:?} are there"))?;
        let realms = store.realms().await?;
        require(realms.len() == there.len().min(1), || format!("the realms are {realms:?}"))?;
        let last_chunk = acknowledged.chunks.last().map_or(1, |last| last + 1);
        for number in 1..=last_chunk {
            let bytes = chunk(number);
            let stored = store.chunk(REALM, ChunkId::of(&bytes)).await?;
            let is_promised = acknowledged.chunks.contains(&number);
            require(stored.is_some() || !is_promised, || format!("chunk {number} is gone"))?;
            if let Some(stored) = stored {
                require(stored == bytes, || format!("chunk {number} is another"))?;
                found.chunks.insert(number);
            }
        }
        Ok(found)
    }

    /// Goes on writing where the store ends.
    pub(super) async fn go_on(
        &self,
        store: &EmbeddedStore,
        from: &Acknowledged,
    ) -> Result<Acknowledged, Fault> {
        let mut done = from.clone();
        for (log, last) in done.batches.iter_mut().enumerate() {
            *last += 1;
            self.append(store, log, *last).await?;
            write_views(store, log, *last).await?;
        }
        let number = done.chunks.last().map_or(1, |last| last + 1);
        put_chunk(store, number).await?;
        done.chunks.insert(number);
        Ok(done)
    }
}

async fn check_log(store: &EmbeddedStore, log: usize, batches: &[Batch]) -> Result<u64, Fault> {
    let id = log_id(log);
    let read = store.read(id, 1, usize::MAX).await?;
    for (row, batch) in read.iter().zip(batches) {
        let is_compacted = row.batch.compacted_from.is_some();
        let whole = || row.batch == *batch;
        let compacted = || row.batch == batch.clone().into_compacted(compacted_manifest());
        let is_it = if is_compacted { compacted() } else { whole() };
        require(is_it, || format!("batch {} of log {log} is another", row.number))?;
    }
    let last = store.last(id).await?;
    require(last.as_ref() == read.last(), || format!("log {log} has another end: {last:?}"))?;
    let end = read.len() as u64;
    require(store.confirm(id, end).await?, || format!("log {log} goes on after {end}"))?;
    let keys: Vec<_> = (1..=end + 1).map(|number| operation(log, number)).collect();
    let found = store.find_operations(id, &keys).await?;
    let kept = |entry: &LogEntry| entry.batch.compacted_from.is_none().then_some(entry.number);
    let all = read.iter().map(kept).chain([None]);
    require(found.iter().copied().eq(all), || format!("operations of log {log}: {found:?}"))?;
    for number in 1..=end {
        let found = store.number_of(id, number).await?;
        let show = || format!("revision {number} of log {log} is in batch {found:?}");
        require(found == Some(number), show)?;
    }
    Ok(end)
}

/// Holds the rows of a log to its watermark: they are written together.
async fn check_views(store: &EmbeddedStore, log: usize, end: u64) -> Result<(), Fault> {
    let id = log_id(log);
    let watermark = store.watermark(id).await?.number;
    require(watermark <= end, || format!("log {log} has views of {watermark}, but ends at {end}"))?;
    for write in (1..=watermark).flat_map(|number| rows(log, number)) {
        if write.kind == HISTORY {
            let row = store.view(id, write.kind, &write.view.id).await?;
            let show = || format!("a row of log {log} is {row:?} in place of {write:?}");
            require(row.as_ref() == Some(&write.view), show)?;
        }
    }
    let everything = PathRange {
        prefix: String::new(),
        after: None,
        include_tombstones: true,
        limit: usize::MAX,
    };
    let mut nodes = store.scan_paths(id, NODES, &everything).await?;
    nodes.sort_by_key(|node| node.position);
    let newest = (watermark.saturating_sub(NODE_COUNT) + 1)..=watermark;
    let expected: Vec<_> = newest.map(|number| rows(log, number)[0].view.clone()).collect();
    require(nodes == expected, || format!("log {log} at {watermark} has the nodes {nodes:?}"))
}

fn require(holds: bool, what: impl FnOnce() -> String) -> Result<(), Fault> {
    if holds { Ok(()) } else { Err(Fault::Wrong(what())) }
}

async fn write_views(store: &EmbeddedStore, log: usize, number: u64) -> StoreResult<()> {
    let id = log_id(log);
    let done = store.watermark(id).await?.number;
    let writes: Vec<_> = (done + 1..=number).flat_map(|number| rows(log, number)).collect();
    store.write_views(id, &writes, Some(Watermark { position: position(number), number })).await
}

async fn put_chunk(store: &EmbeddedStore, number: u64) -> StoreResult<()> {
    let bytes = chunk(number);
    store.put_chunk(REALM, Chunk::of(bytes)).await
}

fn descriptor(log: usize) -> LogDescriptor {
    LogName {
        realm: REALM.to_owned(),
        room: String::new(),
        segments: vec!["web".to_owned(), format!("branch-{log}")],
    }
    .incarnation(1)
}

fn log_id(log: usize) -> LogId {
    descriptor(log).log_id()
}

fn operation(log: usize, number: u64) -> OperationKey {
    OperationKey(batch_id(log, number).0)
}

fn position(revision: u64) -> Position {
    Position { epoch: 1, revision }
}

fn batch_id(log: usize, number: u64) -> BatchId {
    let mut id = [log as u8; 16];
    id[..8].copy_from_slice(&number.to_be_bytes());
    BatchId(id)
}

fn batch(log: usize, number: u64, previous: [u8; 32]) -> Batch {
    let mut random = Random(number << 8 | log as u64);
    // The largest are kept outside of the engine's tables.
    let length = match random.below(20) {
        0 => 17_000 + random.below(30_000),
        1..5 => 1000 + random.below(8000),
        _ => random.below(600),
    };
    Batch {
        id: batch_id(log, number),
        previous,
        descriptor: (number == 1).then(|| descriptor(log)),
        first_revision: number,
        count: 1,
        operations: vec![operation(log, number)],
        chunks: Vec::new(),
        closing: false,
        compacted_from: None,
        manifest: Bytes::from(format!("manifest {number}")),
        body: noise(&mut random, length),
    }
}

/// What stands in for the changes of a batch that is compacted.
fn compacted_manifest() -> Bytes {
    Bytes::from_static(b"compacted")
}

/// The node that a change is about, and the change in its history.
fn rows(log: usize, number: u64) -> [ViewWrite; 2] {
    let view = |id: u64, path: Option<String>| View {
        id: Bytes::copy_from_slice(&id.to_be_bytes()),
        path,
        live: !number.is_multiple_of(5),
        position: position(number),
        value: Bytes::from(format!("value {number} of {log} ").repeat(20)),
    };
    let node = view(number % NODE_COUNT, Some(format!("dir/{number}")));
    let history = view(number, None);
    [ViewWrite { kind: NODES, view: node }, ViewWrite { kind: HISTORY, view: history }]
}

fn chunk(number: u64) -> Bytes {
    let mut random = Random(number << 32);
    let length = if random.one_in(3) { 17_000 + random.below(20_000) } else { random.below(5000) };
    noise(&mut random, length + 8)
}

/// Bytes that do not compress.
fn noise(random: &mut Random, length: u64) -> Bytes {
    let mut bytes: Vec<_> =
        (0..length.div_ceil(8)).flat_map(|_| random.next().to_le_bytes()).collect();
    bytes.truncate(length as usize);
    bytes.into()
}
