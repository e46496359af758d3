//! Segments from inside: groups, torn ends, damage, room given back.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::path::PathBuf;

use tempfile::TempDir;

use super::*;
use crate::batch::{BatchId, OperationKey};
use crate::embedded::keyspace::Keyspace;
use crate::embedded::{EmbeddedStore, keys};
use crate::error::StoreErrorKind;
use crate::log::LogName;
use crate::store::Store;

const LOG: LogId = LogId([5; 32]);

#[test]
fn requests_of_a_group_see_one_another() {
    let first = batch(1, [0; 32]);
    let mut second = batch(2, first.digest());
    second.operations = vec![OperationKey([1; 16])];
    let mut rival = second.clone();
    rival.id = BatchId([99; 16]);
    let mut stranger = batch(4, [0; 32]);
    stranger.descriptor = None;
    let asked = [(1, &first), (2, &second), (2, &rival), (2, &second), (4, &stranger)];
    let parts = Parts::new();
    let mut answers = asked.map(|(number, batch)| parts.append(LOG, number, batch));
    let reader = Arc::clone(&parts.writer.reader);
    let (groups, _directory) = parts.run();
    assert_eq!(groups, 1, "they share one sync");
    let [one, two, lost, again, gap] = answers.each_mut().map(|answer| answer.try_recv().unwrap());
    assert_eq!(one.unwrap(), Append::Committed);
    assert_eq!(two.unwrap(), Append::Committed);
    assert_eq!(lost.unwrap(), Append::Conflict);
    assert_eq!(again.unwrap(), Append::Committed);
    assert_eq!(gap.unwrap_err().kind, StoreErrorKind::Invalid);
    assert_eq!(reader.batches(LOG, 1, usize::MAX).unwrap().len(), 2);
}

#[test]
fn a_thousand_logs_share_their_syncs() {
    let parts = Parts::new();
    let answers: Vec<_> = (0..1000_u32)
        .map(|number| {
            let mut log = [0; 32];
            log[..4].copy_from_slice(&number.to_be_bytes());
            parts.append(LogId(log), 1, &batch(1, [0; 32]))
        })
        .collect();
    assert_eq!(parts.run().0, 1);
    for mut answer in answers {
        assert_eq!(answer.try_recv().unwrap().unwrap(), Append::Committed);
    }
}

#[test]
fn a_failed_group_leaves_appends_unknown_and_refusals_as_they_are() {
    let mut parts = Parts::new();
    // A file that cannot be written.
    let path = segment::path(&parts.writer.folder, 1);
    let read_only = Arc::new(fs::File::open(path).unwrap());
    let end = parts.writer.active.end();
    parts.writer.active =
        segment::ActiveSegment::go_on(read_only, end, parts.writer.sizes).unwrap();
    let asked = [(1, batch(1, [0; 32])), (3, batch(3, [0; 32]))];
    let answers = asked.map(|(number, batch)| parts.append(LOG, number, &batch));
    let stopped = parts.stopped.clone();
    drop(parts.run());
    let kinds = answers.map(|mut answer| answer.try_recv().unwrap().unwrap_err().kind);
    assert_eq!(kinds, [StoreErrorKind::OutcomeUnknown, StoreErrorKind::Invalid]);
    let error = stopped.check().unwrap_err();
    assert!(error.message.contains("has stopped because a write failed"), "{error}");
}

#[test]
fn a_frame_belongs_to_its_place() {
    let encoded = batch(1, [0; 32]).encode().unwrap();
    let at = LogPosition { segment: 3, offset: 700 };
    let mut frame = Vec::new();
    let location = frame::push_frame(&mut frame, at, LOG, 1, &encoded);
    assert_eq!(frame.len(), location.frame_bytes() as usize);
    let read = |frame: Vec<u8>, location, log, number| {
        frame::batch_of(&frame.into(), location, log, number)
    };
    assert_eq!(read(frame.clone(), location, LOG, 1), Some(encoded));
    for at in 0..frame.len() {
        let mut flipped = frame.clone();
        flipped[at] ^= 0x10;
        assert_eq!(read(flipped, location, LOG, 1), None, "{at}");
    }
    let elsewhere = |segment, offset| {
        let at = LogPosition { segment, offset };
        frame::Location { at, ..location }
    };
    for other in [elsewhere(3, 701), elsewhere(4, 700)] {
        assert_eq!(read(frame.clone(), other, LOG, 1), None);
    }
    assert_eq!(read(frame.clone(), location, LogId([6; 32]), 1), None);
    assert_eq!(read(frame, location, LOG, 2), None);
}

#[tokio::test]
async fn a_torn_end_is_cut_and_lost_frames_are_found_out() {
    let directory = tempfile::tempdir().unwrap();
    let mut chain = Chain::default();
    for round in 1..=4_u64 {
        let store = open_when_free(directory.path()).await;
        chain.append(&store, LOG, 5).await;
        drop(store);
        // What a crash leaves of a group that was never acknowledged.
        drop(open_when_free(directory.path()).await);
        let (path, end) = last_segment(directory.path());
        let file = OpenOptions::new().write(true).open(path).unwrap();
        let torn = vec![0xa5; 300 * round as usize];
        std::os::unix::fs::FileExt::write_all_at(&file, &torn, end).unwrap();
    }
    let store = open_when_free(directory.path()).await;
    chain.check(&store, LOG).await;
    drop(store);
    drop(open_when_free(directory.path()).await);
    // What was acknowledged and is gone.
    let (path, end) = last_segment(directory.path());
    let file = OpenOptions::new().write(true).open(path).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, &[0; 40], end - 40).unwrap();
    for _ in 0..2 {
        let error = opened_when_free(directory.path(), options()).await.err().unwrap();
        assert_eq!(error.kind, StoreErrorKind::Damaged);
        assert!(error.message.contains("acknowledged writes"), "{error}");
    }
}

/// However much of the index had been written behind when the process ended.
#[tokio::test]
async fn an_index_that_is_half_written_is_completed() {
    // No segment is removed, which would need the index to last.
    let options = EmbeddedOptions { segment_bytes: 1 << 20, ..options() };
    for without_locations in [false, true] {
        let directory = tempfile::tempdir().unwrap();
        let mut chain = Chain::default();
        for _ in 0..2 {
            let store = opened_when_free(directory.path(), options).await.unwrap();
            chain.append(&store, LOG, 40).await;
            let compacted = chain.batches.len() as u64 / 2;
            chain.compact(&store, LOG, compacted).await;
            store.close().await.unwrap();
            let engine = Engine::open(&directory.path().join("engine"), &options).unwrap();
            let mut gone = vec![keys::INDEXED.to_vec()];
            if without_locations {
                gone.extend(chain.batches.keys().map(|number| keys::location(LOG, *number)));
            }
            let gone = gone.into_iter().map(|key| (Keyspace::Index, key, None));
            engine.write(gone, true).unwrap();
            drop(engine);
            let store = opened_when_free(directory.path(), options).await.unwrap();
            chain.check(&store, LOG).await;
            store.close().await.unwrap();
        }
    }
}

#[tokio::test]
async fn a_segment_that_is_shorter_than_its_index_is_found_out() {
    let directory = tempfile::tempdir().unwrap();
    let store = EmbeddedStore::open(directory.path(), options()).unwrap();
    Chain::default().append(&store, LOG, 5).await;
    store.close().await.unwrap();
    let (path, end) = last_segment(directory.path());
    OpenOptions::new().write(true).open(path).unwrap().set_len(end - 1).unwrap();
    let error = EmbeddedStore::open(directory.path(), options()).err().unwrap();
    assert_eq!(error.kind, StoreErrorKind::Damaged);
}

#[tokio::test]
async fn a_segment_that_is_gone_is_found_out() {
    for gone in [1, 2] {
        let directory = tempfile::tempdir().unwrap();
        let store = EmbeddedStore::open(directory.path(), options()).unwrap();
        let mut chain = Chain::default();
        while segment::list(&directory.path().join(FOLDER)).unwrap().len() < 2 {
            chain.append(&store, LOG, 1).await;
        }
        chain.append(&store, LOG, 1).await;
        store.close().await.unwrap();
        fs::remove_file(segment::path(&directory.path().join(FOLDER), gone)).unwrap();
        let error = match EmbeddedStore::open(directory.path(), options()) {
            Ok(store) => store.read(LOG, 1, usize::MAX).await.unwrap_err(),
            Err(error) => error,
        };
        assert_eq!(error.kind, StoreErrorKind::Damaged, "{error}");
    }
}

/// Appends, compactions, reopenings and rooms given back, by seed, beside a model.
#[tokio::test]
async fn whatever_happens_logs_hold_what_was_appended() {
    for seed in 1..=12 {
        let directory = tempfile::tempdir().unwrap();
        let mut random = Random(seed);
        let mut chains: [Chain; 3] = Default::default();
        let log = |number: usize| LogId([number as u8 + 1; 32]);
        let mut store = opened_when_free(directory.path(), written_behind()).await.unwrap();
        for _ in 0..60 {
            let number = random.below(3);
            let chain = &mut chains[number];
            match random.below(8) {
                0 => store.reclaim().await.unwrap(),
                1 => {
                    store.close().await.unwrap();
                    store = opened_when_free(directory.path(), written_behind()).await.unwrap();
                }
                2 => {
                    drop(store);
                    store = opened_when_free(directory.path(), written_behind()).await.unwrap();
                }
                3 | 4 => {
                    let upto = random.below(chain.batches.len() + 1) as u64;
                    chain.compact(&store, log(number), upto).await;
                }
                _ => chain.append(&store, log(number), 1 + random.below(20)).await,
            }
            chains[number].check(&store, log(number)).await;
        }
        for (number, chain) in chains.iter().enumerate() {
            chain.check(&store, log(number)).await;
        }
        store.reclaim().await.unwrap();
        let held: usize =
            chains.iter().flat_map(|chain| chain.batches.values()).map(Batch::encoded_len).sum();
        let files = segment::list(&directory.path().join(FOLDER)).unwrap().into_iter();
        let path = |number| segment::path(&directory.path().join(FOLDER), number);
        let taken: u64 = files.map(|number| fs::metadata(path(number)).unwrap().len()).sum();
        assert!(taken < 2 * held as u64 + (1 << 18), "{taken} bytes for {held}, seed {seed}");
        for (number, chain) in chains.iter().enumerate() {
            chain.check(&store, log(number)).await;
        }
    }
}

/// What a log must hold.
#[derive(Default)]
struct Chain {
    batches: BTreeMap<u64, Batch>,
}

impl Chain {
    async fn append(&mut self, store: &EmbeddedStore, log: LogId, count: usize) {
        for _ in 0..count {
            let last = self.batches.last_key_value();
            let (number, previous) =
                last.map_or((1, [0; 32]), |(number, batch)| (number + 1, batch.digest()));
            let batch = batch(number, previous);
            assert_eq!(store.append(log, number, &batch).await.unwrap(), Append::Committed);
            self.batches.insert(number, batch);
        }
    }

    async fn compact(&mut self, store: &EmbeddedStore, log: LogId, upto: u64) {
        let manifest = Bytes::from_static(b"compacted");
        let manifests: Vec<_> =
            self.batches.keys().copied().filter(|number| *number <= upto).collect();
        let manifests: Vec<_> =
            manifests.into_iter().map(|number| (number, manifest.clone())).collect();
        store.compact(log, &manifests).await.unwrap();
        for (number, _) in manifests {
            let Some(batch) = self.batches.remove(&number) else { continue };
            let kept = if batch.compacted_from.is_some() {
                batch
            } else {
                batch.into_compacted(manifest.clone())
            };
            self.batches.insert(number, kept);
        }
    }

    async fn check(&self, store: &EmbeddedStore, log: LogId) {
        let read = store.read(log, 1, usize::MAX).await.unwrap();
        assert!(read.iter().map(|entry| (&entry.number, &entry.batch)).eq(&self.batches));
        assert_eq!(store.last(log).await.unwrap().as_ref(), read.last());
        for (number, batch) in &self.batches {
            let kept = batch.compacted_from.is_none();
            let found = store.find_operations(log, &[operation(*number)]).await.unwrap();
            assert_eq!(found, [kept.then_some(*number)], "operation of batch {number}");
            assert_eq!(store.number_of(log, *number).await.unwrap(), Some(*number));
        }
        let head = self.batches.len() as u64;
        assert!(store.confirm(log, head).await.unwrap());
        assert!(head == 0 || !store.confirm(log, head - 1).await.unwrap());
    }
}

/// Numbers by seed.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        ((self.0 >> 33) % bound as u64) as usize
    }
}

/// The thread that appends, before it runs.
struct Parts {
    directory: TempDir,
    writer: LogWriter,
    requests: mpsc::Sender<LogRequest>,
    receiver: mpsc::Receiver<LogRequest>,
    stopped: Stopped,
}

impl Parts {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let (opened, _released) = Directory::open(directory.path(), create).unwrap();
        let engine = Engine::open(&opened.engine_path(), &options()).unwrap();
        let (engine, opened) = (Arc::new(engine), Arc::new(opened));
        let stopped = Stopped::default();
        let (tasks, _) = mpsc::unbounded_channel();
        let writer = recover(&opened, &engine, &options(), &stopped, tasks).unwrap();
        let (requests, receiver) = mpsc::channel(QUEUE_REQUESTS);
        Self { directory, writer, requests, receiver, stopped }
    }

    fn append(
        &self,
        log: LogId,
        number: u64,
        batch: &Batch,
    ) -> oneshot::Receiver<StoreResult<Append>> {
        let (reply, answer) = oneshot::channel();
        let (encoded, batch) = (batch.encode().unwrap(), batch.clone());
        let request = AppendRequest { log, number, batch, encoded, reply };
        assert!(self.requests.try_send(LogRequest::Append(Box::new(request))).is_ok());
        answer
    }

    /// Serves what was asked; tells how many groups that made.
    fn run(self) -> (u64, TempDir) {
        drop(self.requests);
        (self.writer.run(self.receiver), self.directory)
    }
}

fn options() -> EmbeddedOptions {
    EmbeddedOptions { segment_bytes: 16 << 10, min_free_bytes: 0, ..EmbeddedOptions::small() }
}

/// Where the index is written behind all the time.
fn written_behind() -> EmbeddedOptions {
    EmbeddedOptions { memtable_bytes: 16 << 10, ..options() }
}

/// A store that was dropped is free once its threads have ended.
async fn open_when_free(path: &Path) -> EmbeddedStore {
    opened_when_free(path, options()).await.unwrap()
}

async fn opened_when_free(path: &Path, options: EmbeddedOptions) -> StoreResult<EmbeddedStore> {
    loop {
        match EmbeddedStore::open(path, options) {
            Err(error) if error.kind == StoreErrorKind::AlreadyOpen => {
                tokio::task::yield_now().await;
            }
            opened => return opened,
        }
    }
}

/// The file that is appended to, and where its frames end.
fn last_segment(directory: &Path) -> (PathBuf, u64) {
    let folder = directory.join(FOLDER);
    let number = segment::list(&folder).unwrap().pop().unwrap();
    let path = segment::path(&folder, number);
    let file = fs::File::open(&path).unwrap();
    let start = LogPosition { segment: number, offset: frame::HEADER_BYTES };
    let mut frames = segment::FrameReader::new(&file, start).unwrap();
    while let segment::Found::Frame { .. } = frames.next().unwrap() {}
    (path, frames.position().offset.into())
}

fn operation(number: u64) -> OperationKey {
    OperationKey([number as u8; 16])
}

fn batch(number: u64, previous: [u8; 32]) -> Batch {
    let name = |name: &str| name.to_owned();
    let descriptor = LogName {
        realm: name("acme"),
        room: String::new(),
        segments: vec![name("web"), name("main")],
    }
    .incarnation(1);
    let mut id = [7; 16];
    id[..8].copy_from_slice(&number.to_be_bytes());
    Batch {
        id: BatchId(id),
        previous,
        descriptor: (number == 1).then_some(descriptor),
        first_revision: number,
        count: 1,
        operations: vec![operation(number)],
        chunks: Vec::new(),
        closing: false,
        compacted_from: None,
        manifest: Bytes::from_static(b"manifest"),
        body: Bytes::from(vec![number as u8; 600]),
    }
}
