//! Logs from inside: groups, torn ends, damage, room given back.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};

use tempfile::TempDir;

use super::*;
use crate::batch::{BatchId, OperationKey};
use crate::embedded::keyspace::Keyspace;
use crate::embedded::segments::{ActiveSegment, last_segment};
use crate::embedded::tests::{Random, opened_when_free};
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
    let path = parts.writer.folder.segment(1);
    let read_only = Arc::new(fs::File::open(path).unwrap());
    let end = parts.writer.active.end();
    parts.writer.active = ActiveSegment::go_on(read_only, end, &parts.writer.folder).unwrap();
    let asked = [(1, batch(1, [0; 32])), (3, batch(3, [0; 32]))];
    let answers = asked.map(|(number, batch)| parts.append(LOG, number, &batch));
    let stopped = parts.stopped.clone();
    drop(parts.run());
    let kinds = answers.map(|mut answer| answer.try_recv().unwrap().unwrap_err().kind);
    assert_eq!(kinds, [StoreErrorKind::OutcomeUnknown, StoreErrorKind::Invalid]);
    let error = stopped.check().unwrap_err();
    assert!(error.message.contains("has stopped because a write failed"), "{error}");
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
        let (path, end) = last_segment(&folder(directory.path(), &options()));
        let file = OpenOptions::new().write(true).open(path).unwrap();
        let torn = vec![0xa5; 300 * round as usize];
        std::os::unix::fs::FileExt::write_all_at(&file, &torn, end).unwrap();
    }
    let store = open_when_free(directory.path()).await;
    chain.check(&store, LOG).await;
    drop(store);
    drop(open_when_free(directory.path()).await);
    // What was acknowledged and is gone.
    let (path, end) = last_segment(&folder(directory.path(), &options()));
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
    let (path, end) = last_segment(&folder(directory.path(), &options()));
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
        let folder = folder(directory.path(), &options());
        while folder.segments().unwrap().len() < 2 {
            chain.append(&store, LOG, 1).await;
        }
        chain.append(&store, LOG, 1).await;
        store.close().await.unwrap();
        fs::remove_file(folder.segment(gone)).unwrap();
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
        let taken = folder(directory.path(), &options()).bytes();
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
        let folder = folder(directory.path(), &options());
        let (opened, _released) = Directory::open(directory.path(), || folder.create()).unwrap();
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
