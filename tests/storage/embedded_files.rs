//! What happens to the files of an embedded store, and what the store makes of it.

use std::fs;
use std::io::{Seek, SeekFrom, Write};
use std::path::Path;

use vdom_store::embedded::{EmbeddedOptions, EmbeddedStore};
use vdom_store::{Chunk, Store, StoreErrorKind};

use super::image::{Content, Image};
use super::rounds::{batch, check, chunk, digest_before, fill, log, open, rows};

#[tokio::test]
async fn a_second_opening_is_refused_by_name() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path()).unwrap();
    let error = open(directory.path()).err().unwrap();
    assert_eq!(error.kind, StoreErrorKind::AlreadyOpen);
    assert!(error.message.contains(&directory.path().display().to_string()), "{error}");

    store.close().await.unwrap();
    let closed = store.ready().await.unwrap_err();
    assert_eq!(closed.kind, StoreErrorKind::Stopped);
    store.close().await.unwrap();
    open(directory.path()).unwrap().ready().await.unwrap();
}

#[tokio::test]
async fn other_formats_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    fill(&open(directory.path()).unwrap(), 1..3).await;
    wait_until_free(directory.path()).await;
    let format = directory.path().join("FORMAT");
    let ours = fs::read(&format).unwrap();
    let kinds = [
        ("vdom-store 4\n", StoreErrorKind::NewerFormat),
        ("vdom-store 10", StoreErrorKind::NewerFormat),
        ("vdom-store 0\n", StoreErrorKind::Damaged),
        // Its batches, or its chunks, are not where that format has them.
        ("vdom-store 1\n", StoreErrorKind::Damaged),
        ("vdom-store 2\n", StoreErrorKind::Damaged),
        ("vdom-store one\n", StoreErrorKind::Damaged),
        ("", StoreErrorKind::Damaged),
        ("another program's file\n", StoreErrorKind::Damaged),
    ];
    for (text, kind) in kinds {
        fs::write(&format, text).unwrap();
        let error = open(directory.path()).err().unwrap();
        assert_eq!(error.kind, kind, "{error}");
        assert!(error.message.contains(&directory.path().display().to_string()), "{error}");
    }
    fs::remove_file(&format).unwrap();
    assert_eq!(open(directory.path()).err().unwrap().kind, StoreErrorKind::Damaged);
    fs::write(&format, ours).unwrap();
    check(&open(directory.path()).unwrap(), 3).await.unwrap();
}

#[tokio::test]
async fn a_directory_that_cannot_be_one_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    fs::write(&file, "in the way").unwrap();
    let error = open(&file).err().unwrap();
    assert_eq!(error.kind, StoreErrorKind::Unavailable);
    assert!(error.message.contains("file"), "{error}");
}

#[tokio::test]
async fn a_disk_that_fills_up_takes_no_writes_and_serves_reads() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path()).unwrap();
    fill(&store, 1..3).await;
    store.close().await.unwrap();
    let options = EmbeddedOptions { min_free_bytes: u64::MAX, ..EmbeddedOptions::small() };
    let store = EmbeddedStore::open(directory.path(), options).unwrap();
    check(&store, 3).await.unwrap();
    let next = batch(0, 3, digest_before(&store, 0, 3).await);
    for error in [
        store.append(log(0), 3, &next).await.unwrap_err(),
        store.write_views(log(0), &rows(3), None).await.unwrap_err(),
        store.put_chunk("acme", Chunk::of(chunk(3))).await.unwrap_err(),
        store.ready().await.unwrap_err(),
    ] {
        assert_eq!(error.kind, StoreErrorKind::Full);
        assert!(error.message.contains("free"), "{error}");
        assert!(error.message.contains(&directory.path().display().to_string()), "{error}");
    }
    check(&store, 3).await.unwrap();
}

#[tokio::test]
async fn a_journal_that_lost_its_end_is_found_out() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path()).unwrap();
    fill(&store, 1..30).await;
    store.close().await.unwrap();
    let image = Image::of(directory.path());
    let (name, journal) = journal(&image);
    // What follows the last chunk nobody was promised.
    for (keep, of) in [(1, 2), (3, 4), (0, 1)] {
        let copy = copy_of(&image);
        let file = fs::OpenOptions::new().write(true).open(copy.path().join(name));
        file.unwrap().set_len(journal.bytes.len() as u64 * keep / of).unwrap();
        let error = open(copy.path()).err().unwrap();
        assert_eq!(error.kind, StoreErrorKind::Damaged, "{error}");
    }
    fs::remove_file(directory.path().join("MARK")).unwrap();
    assert_eq!(open(directory.path()).err().unwrap().kind, StoreErrorKind::Damaged);
}

#[tokio::test]
async fn a_journal_damaged_before_its_end_stays_found_out_and_keeps_the_rest() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path()).unwrap();
    fill(&store, 1..30).await;
    store.close().await.unwrap();
    let image = Image::of(directory.path());
    let (name, journal) = journal(&image);
    let end = journal.bytes.iter().rposition(|byte| *byte != 0).unwrap();
    for at in [end / 3, end / 2, end * 3 / 4] {
        let copy = copy_of(&image);
        let mut bytes = journal.bytes.clone();
        bytes[at] ^= 1;
        fs::write(copy.path().join(name), &bytes).unwrap();
        let errors = [(); 3].map(|()| open(copy.path()).err().unwrap());
        for error in &errors {
            assert_eq!(error.kind, StoreErrorKind::Damaged, "{error}");
            assert!(error.message.contains("acknowledged writes"), "{error}");
        }
        // Only the writes before the damage are left in the journal; a person can still
        // get at the ones after it.
        let kept = errors[0].message.split(" is in ").last().unwrap();
        let kept = fs::read(kept).unwrap();
        let cut = fs::read(copy.path().join(name)).unwrap().len();
        assert!(cut <= at && at < cut + kept.len(), "{at} is not in {cut} + {}", kept.len());
        assert!(bytes[cut..].starts_with(&kept) && end < cut + kept.len());
    }
}

/// Whatever byte is wrong: the store refuses to open, a call says `Damaged`, or
/// every answer is the right one.
#[tokio::test]
async fn no_flipped_byte_is_served() {
    // The first has all rows in tables, the second most of them in the journal.
    for (memtable_bytes, flips) in [(16 << 10, 100), (1 << 20, 50)] {
        let directory = tempfile::tempdir().unwrap();
        let options = EmbeddedOptions { memtable_bytes, ..EmbeddedOptions::small() };
        let store = EmbeddedStore::open(directory.path(), options).unwrap();
        fill(&store, 1..60).await;
        check(&store, 60).await.unwrap();
        store.close().await.unwrap();
        let mut random = 7_u64;
        let mut next = |bound: u64| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (random >> 33) % bound
        };
        let image = Image::of(directory.path());
        let mut found = 0;
        for _ in 0..flips {
            let mut at =
                next(image.files.values().map(|file| file.bytes.len() as u64).sum()) as usize;
            let file = image.files.iter().find(|(_, file)| {
                let here = at < file.bytes.len();
                at -= if here { 0 } else { file.bytes.len() };
                here
            });
            let (name, file) = file.unwrap();
            let copy = copy_of(&image);
            write_at(&copy.path().join(name), at, file.bytes[at] ^ 1 << next(8));
            let place = format!("byte {at} of {}", name.display());
            let outcome = match open(copy.path()) {
                Ok(store) => check(&store, 60).await,
                Err(error) => Err(error),
            };
            if let Err(error) = outcome {
                let damaged =
                    matches!(error.kind, StoreErrorKind::Damaged | StoreErrorKind::NewerFormat);
                assert!(damaged, "{place}: {:?} {error}", error.kind);
                found += 1;
            }
        }
        assert!(found > flips / 3, "only {found} of {flips} flips were found");
    }
}

/// A store that was dropped, not closed, is free once its thread has ended.
async fn wait_until_free(path: &Path) {
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
    loop {
        match open(path) {
            Ok(store) => return store.close().await.unwrap(),
            Err(error) => assert!(std::time::Instant::now() < deadline, "{error}"),
        }
        tokio::task::yield_now().await;
    }
}

fn write_at(file: &Path, at: usize, byte: u8) {
    let mut file = fs::OpenOptions::new().write(true).open(file).unwrap();
    file.seek(SeekFrom::Start(at as u64)).unwrap();
    file.write_all(&[byte]).unwrap();
}

/// The first journal of a store, and what it holds.
fn journal(image: &Image) -> (&Path, &Content) {
    let is_journal = |name: &Path| name.extension().is_some_and(|extension| extension == "jnl");
    let journal = image.files.iter().find(|(name, _)| is_journal(name));
    journal.map(|(name, content)| (name.as_path(), content)).unwrap()
}

fn copy_of(image: &Image) -> tempfile::TempDir {
    let copy = tempfile::tempdir().unwrap();
    image.write_to(copy.path());
    copy
}
