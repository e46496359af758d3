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
    for seed in 1..=5 {
        let directory = tempfile::tempdir().unwrap();
        let mut random = Random(seed);
        let mut model = Model::default();
        let mut store = opened_when_free(directory.path(), options()).await.unwrap();
        for step in 0..400 {
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
            if step % 20 == 0 {
                model.check(&store).await;
            }
        }
        store.reclaim().await.unwrap();
        model.check(&store).await;
        let held: usize = model.chunks.values().map(Bytes::len).sum();
        let taken = folder(directory.path(), &options()).bytes();
        // A sixteenth of each segment, the one that is appended to, and what it is extended by.
        let most = held as u64 * 5 / 4 + (96 << 10);
        assert!(taken < most, "{taken} bytes for {held}, seed {seed}");
    }
}

/// Segments that hold nothing any more are removed, and nothing is looked for in them afterwards.
#[tokio::test]
async fn a_store_whose_chunks_are_all_removed_opens_again() {
    for closes in [true, false] {
        let directory = tempfile::tempdir().unwrap();
        let mut store = EmbeddedStore::open(directory.path(), options()).unwrap();
        for round in 0..3 {
            for number in 1..=40 {
                store.put_chunk("acme", chunk(number)).await.unwrap();
            }
            if round == 1 {
                store.close().await.unwrap();
                store = opened_when_free(directory.path(), options()).await.unwrap();
            }
            let ids: Vec<_> = (1..=40).map(|number| chunk(number).id()).collect();
            assert_eq!(store.delete_chunks("acme", &ids, u64::MAX).await.unwrap(), 40);
            store.reclaim().await.unwrap();
            let taken = folder(directory.path(), &options()).bytes();
            assert!(taken < 80 << 10, "{taken} bytes for nothing");
            if closes {
                store.close().await.unwrap();
            } else {
                drop(store);
            }
            store = opened_when_free(directory.path(), options()).await.unwrap();
        }
    }
}

/// The room of many removed chunks comes back without anybody asking.
#[tokio::test]
async fn room_of_removed_chunks_comes_back_by_itself() {
    let directory = tempfile::tempdir().unwrap();
    let store = EmbeddedStore::open(directory.path(), options()).unwrap();
    let ids: Vec<_> = (1..=100).map(|number| chunk(number).id()).collect();
    for number in 1..=100 {
        store.put_chunk("acme", chunk(number)).await.unwrap();
    }
    assert_eq!(store.delete_chunks("acme", &ids, u64::MAX).await.unwrap(), 100);
    let folder = folder(directory.path(), &options());
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
    while folder.segments().unwrap().len() > 1 {
        assert!(std::time::Instant::now() < deadline, "{:?} stay", folder.segments());
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
}

/// Whatever the engine had not been told when the power went.
#[tokio::test]
async fn an_engine_that_lost_rows_gets_them_again() {
    let directory = tempfile::tempdir().unwrap();
    let put: Vec<_> = (1..9).map(chunk).collect();
    let engine_path = directory.path().join("engine");
    let older = tempfile::tempdir().unwrap();
    let store = EmbeddedStore::open(directory.path(), options()).unwrap();
    for chunk in &put[..4] {
        store.stage_chunk("acme", chunk.clone(), UPLOAD).await.unwrap();
    }
    store.close().await.unwrap();
    copy_files(&engine_path, older.path());
    let store = EmbeddedStore::open(directory.path(), options()).unwrap();
    // Made anew to stay, after they were removed.
    let ids: Vec<_> = put[..2].iter().map(Chunk::id).collect();
    assert_eq!(store.delete_chunks("acme", &ids, u64::MAX).await.unwrap(), 2);
    for chunk in put[..2].iter().chain(&put[4..]) {
        store.put_chunk("acme", chunk.clone()).await.unwrap();
    }
    store.close().await.unwrap();
    // The engine as it was before.
    std::fs::remove_dir_all(&engine_path).unwrap();
    std::fs::create_dir(&engine_path).unwrap();
    copy_files(older.path(), &engine_path);
    for _ in 0..2 {
        let store = EmbeddedStore::open(directory.path(), options()).unwrap();
        for chunk in &put {
            let bytes = store.chunk("acme", chunk.id()).await.unwrap();
            assert_eq!(bytes.as_ref(), Some(chunk.bytes()));
        }
        assert_eq!(store.chunks("acme", None, 100).await.unwrap().len(), put.len());
        store.reclaim().await.unwrap();
        store.close().await.unwrap();
    }
    let store = EmbeddedStore::open(directory.path(), options()).unwrap();
    let ids: Vec<_> = put.iter().map(Chunk::id).collect();
    let discarded = store.discard_chunks("acme", &ids, UPLOAD).await.unwrap();
    assert_eq!(discarded, 2, "those that were put stay, and those that are staged go");
}

/// A chunk of an older store, which a power cut brought back beside its successor.
#[tokio::test]
async fn a_chunk_of_an_older_format_goes_with_its_successor() {
    let directory = tempfile::tempdir().unwrap();
    let (kept, twice) = (chunk(3), chunk(5));
    let store = EmbeddedStore::open(directory.path(), options()).unwrap();
    store.put_chunk("acme", twice.clone()).await.unwrap();
    store.close().await.unwrap();
    let engine = Engine::open(&directory.path().join("engine"), &options()).unwrap();
    let rows = [&kept, &twice].into_iter().flat_map(|chunk| {
        let touched = 1_u64.to_be_bytes().to_vec();
        [
            (keys::inline_chunk("acme", chunk.id()), chunk.bytes().to_vec()),
            (keys::touched("acme", chunk.id()), touched),
        ]
    });
    let rows = rows.map(|(key, value)| {
        let value = record::seal(&key, &value);
        (Keyspace::Chunks, key, Some(value))
    });
    engine.write(rows, true).unwrap();
    drop(engine);
    let store = EmbeddedStore::open(directory.path(), options()).unwrap();
    for chunk in [&kept, &twice] {
        let bytes = store.chunk("acme", chunk.id()).await.unwrap();
        assert_eq!(bytes.as_ref(), Some(chunk.bytes()));
        assert_eq!(store.delete_chunks("acme", &[chunk.id()], u64::MAX).await.unwrap(), 1);
        assert_eq!(store.chunk("acme", chunk.id()).await.unwrap(), None);
    }
}

/// A store of format 2 whose change was broken off is changed when it is opened again.
#[tokio::test]
async fn a_change_of_format_that_was_broken_off_is_made_again() {
    for marker in [None, Some(&b""[..]), Some(&[0; 5000])] {
        let directory = tempfile::tempdir().unwrap();
        EmbeddedStore::open(directory.path(), options()).unwrap().close().await.unwrap();
        let folder = folder(directory.path(), &options());
        std::fs::remove_dir_all(folder.path()).unwrap();
        if let Some(marker) = marker {
            std::fs::create_dir(folder.path()).unwrap();
            std::fs::write(folder.marker(), marker).unwrap();
        }
        // An engine of that format knows nothing of them.
        let engine = Engine::open(&directory.path().join("engine"), &options()).unwrap();
        engine.write([(Keyspace::Chunks, keys::INDEXED.to_vec(), None)], true).unwrap();
        drop(engine);
        std::fs::write(directory.path().join("FORMAT"), "vdom-store 2\n").unwrap();
        let store = EmbeddedStore::open(directory.path(), options()).unwrap();
        store.put_chunk("acme", chunk(7)).await.unwrap();
        store.close().await.unwrap();
        let store = EmbeddedStore::open(directory.path(), options()).unwrap();
        assert!(store.chunk("acme", chunk(7).id()).await.unwrap().is_some());
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

fn copy_files(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).unwrap() {
        let (entry, to) = (entry.unwrap().path(), to);
        let to = to.join(entry.file_name().unwrap());
        if entry.is_dir() {
            std::fs::create_dir(&to).unwrap();
            copy_files(&entry, &to);
        } else {
            std::fs::copy(&entry, &to).unwrap();
        }
    }
}
