//! Chunks from inside: torn ends, lost rows, room given back.

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;

use super::*;
use crate::chunk::{Chunk, UploadId};
use crate::embedded::EmbeddedStore;
use crate::embedded::segments::last_segment;
use crate::embedded::tests::{Random, opened_when_free};
use crate::store::Store;

const REALMS: [&str; 2] = ["acme", "other"];

/// Puts, touches, uploads, removals, reopenings and rooms given back, by seed, beside a model.
#[tokio::test]
async fn whatever_happens_chunks_are_what_was_put() {
    for seed in 1..=12 {
        let directory = tempfile::tempdir().unwrap();
        let mut random = Random(seed);
        let mut model = Model::default();
        let mut store = opened_when_free(directory.path(), options()).await.unwrap();
        for step in 0..150 {
            let (realm, chunk) = (REALMS[random.below(2)], chunk(random.below(24)));
            let key = (realm, chunk.id());
            match random.below(12) {
                0 => store.reclaim().await.unwrap(),
                1 => {
                    store.close().await.unwrap();
                    store = opened_when_free(directory.path(), options()).await.unwrap();
                }
                2 => {
                    drop(store);
                    store = opened_when_free(directory.path(), options()).await.unwrap();
                }
                3 | 4 => {
                    let deleted = store.delete_chunks(realm, &[key.1], u64::MAX).await.unwrap();
                    assert_eq!(deleted == 1, model.chunks.remove(&key).is_some());
                    model.held.remove(&key);
                }
                5 => {
                    let held: Vec<_> = model.held.iter().copied().collect();
                    for (realm, id) in held {
                        assert_eq!(store.discard_chunks(realm, &[id], UPLOAD).await.unwrap(), 1);
                        model.chunks.remove(&(realm, id));
                    }
                    model.held.clear();
                }
                6 | 7 => {
                    store.stage_chunk(realm, chunk.clone(), UPLOAD).await.unwrap();
                    if model.chunks.insert(key, chunk.into_bytes()).is_none() {
                        model.held.insert(key);
                    }
                }
                _ => {
                    store.put_chunk(realm, chunk.clone()).await.unwrap();
                    model.chunks.insert(key, chunk.into_bytes());
                    model.held.remove(&key);
                }
            }
            if step % 10 == 0 {
                model.check(&store).await;
            }
        }
        store.reclaim().await.unwrap();
        model.check(&store).await;
        let held: usize = model.chunks.values().map(Bytes::len).sum();
        let taken = folder(directory.path(), &options()).bytes();
        assert!(taken < 2 * held as u64 + (1 << 18), "{taken} bytes for {held}, seed {seed}");
    }
}

/// Whatever the engine had not been told when the power went.
#[tokio::test]
async fn an_engine_that_lost_rows_gets_them_again() {
    let directory = tempfile::tempdir().unwrap();
    let put: Vec<_> = (0..8).map(chunk).collect();
    let store = EmbeddedStore::open(directory.path(), options()).unwrap();
    for chunk in &put {
        store.put_chunk("acme", chunk.clone()).await.unwrap();
    }
    store.delete_chunks("acme", &[put[0].id()], u64::MAX).await.unwrap();
    store.put_chunk("acme", put[0].clone()).await.unwrap();
    store.close().await.unwrap();
    for lost in 1..put.len() {
        let engine = Engine::open(&directory.path().join("engine"), &options()).unwrap();
        let rows = put[..lost]
            .iter()
            .flat_map(|chunk| [keys::chunk("acme", chunk.id()), keys::touched("acme", chunk.id())]);
        let rows = rows.chain([keys::INDEXED.to_vec()]);
        engine.write(rows.map(|key| (Keyspace::Chunks, key, None)), true).unwrap();
        drop(engine);
        let store = EmbeddedStore::open(directory.path(), options()).unwrap();
        for chunk in &put {
            let bytes = store.chunk("acme", chunk.id()).await.unwrap();
            assert_eq!(bytes.as_ref(), Some(chunk.bytes()));
        }
        let listed = store.chunks("acme", None, 100).await.unwrap();
        assert_eq!(listed.len(), put.len());
        store.close().await.unwrap();
    }
}

#[tokio::test]
async fn a_torn_end_is_cut_and_lost_chunks_are_found_out() {
    let directory = tempfile::tempdir().unwrap();
    let folder = folder(directory.path(), &options());
    for round in 0..4 {
        let store = opened_when_free(directory.path(), options()).await.unwrap();
        store.put_chunk("acme", chunk(round)).await.unwrap();
        drop(store);
        drop(opened_when_free(directory.path(), options()).await.unwrap());
        // What a crash leaves of a group that was never acknowledged.
        let (path, end) = last_segment(&folder);
        let file = OpenOptions::new().write(true).open(path).unwrap();
        file.write_all_at(&vec![0xa5; 300 * (round + 1)], end).unwrap();
    }
    let store = opened_when_free(directory.path(), options()).await.unwrap();
    for round in 0..4 {
        let bytes = store.chunk("acme", chunk(round).id()).await.unwrap();
        assert_eq!(bytes.as_ref(), Some(chunk(round).bytes()));
    }
    store.close().await.unwrap();
    // What was acknowledged is gone, and the engine knew nothing of it.
    let engine = Engine::open(&directory.path().join("engine"), &options()).unwrap();
    engine.write([(Keyspace::Chunks, keys::INDEXED.to_vec(), None)], true).unwrap();
    drop(engine);
    let (path, end) = last_segment(&folder);
    let file = OpenOptions::new().write(true).open(path).unwrap();
    file.write_all_at(&[0; 40], end - 40).unwrap();
    for _ in 0..2 {
        let error = opened_when_free(directory.path(), options()).await.err().unwrap();
        assert_eq!(error.kind, StoreErrorKind::Damaged, "{error}");
        assert!(error.message.contains("acknowledged writes to its chunks"), "{error}");
    }
}

/// A chunk that is read finds its frame, wherever that moves meanwhile.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn chunks_are_read_while_they_move() {
    let directory = tempfile::tempdir().unwrap();
    let store = Arc::new(EmbeddedStore::open(directory.path(), options()).unwrap());
    let kept: Vec<_> = (0..4).map(chunk).collect();
    for chunk in &kept {
        store.put_chunk("acme", chunk.clone()).await.unwrap();
    }
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let reader = tokio::spawn({
        let (store, kept) = (Arc::clone(&store), kept.clone());
        async move {
            let mut reads = 0;
            while !*stopped.borrow() {
                for chunk in &kept {
                    let bytes = store.chunk("acme", chunk.id()).await.unwrap();
                    assert_eq!(bytes.as_ref(), Some(chunk.bytes()));
                    reads += 1;
                }
            }
            reads
        }
    });
    let folder = folder(directory.path(), &options());
    let first = folder.segments().unwrap()[0];
    for round in 0..20 {
        let passing: Vec<_> = (4..12).map(|number| chunk(100 * round + number)).collect();
        let ids: Vec<_> = passing.iter().map(Chunk::id).collect();
        for chunk in passing {
            store.put_chunk("acme", chunk).await.unwrap();
        }
        assert_eq!(store.delete_chunks("acme", &ids, u64::MAX).await.unwrap(), 8);
        store.reclaim().await.unwrap();
    }
    stop.send(true).unwrap();
    assert!(reader.await.unwrap() > 0);
    assert!(folder.segments().unwrap()[0] > first, "what was first has moved");
}

const UPLOAD: UploadId = UploadId([7; 16]);

#[derive(Default)]
struct Model {
    chunks: BTreeMap<(&'static str, ChunkId), Bytes>,
    /// Those that the upload alone has put.
    held: HashSet<(&'static str, ChunkId)>,
}

impl Model {
    async fn check(&self, store: &EmbeddedStore) {
        for number in 0..24 {
            let id = chunk(number).id();
            for realm in REALMS {
                let stored = store.chunk(realm, id).await.unwrap();
                assert_eq!(stored.as_ref(), self.chunks.get(&(realm, id)));
            }
        }
        for realm in REALMS {
            let listed = store.chunks(realm, None, 100).await.unwrap();
            let listed: Vec<_> = listed.into_iter().map(|chunk| chunk.id).collect();
            let expected = self.chunks.keys().filter(|(of, _)| *of == realm);
            assert_eq!(listed, expected.map(|(_, id)| *id).collect::<Vec<_>>());
        }
    }
}

fn options() -> EmbeddedOptions {
    EmbeddedOptions { segment_bytes: 16 << 10, min_free_bytes: 0, ..EmbeddedOptions::small() }
}

/// A chunk by number: of another length each, the first empty.
fn chunk(number: usize) -> Chunk {
    let bytes: Vec<u8> = (0..number % 24 * 357).map(|at| (at * (number + 1)) as u8).collect();
    Chunk::of([&number.to_le_bytes()[..(8 * number.min(1))], &bytes].concat().into())
}
