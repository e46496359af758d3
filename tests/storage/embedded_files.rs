//! What happens to the files of an embedded store, and what the store makes of it.

use std::fs;
use std::io::{BufRead, BufReader, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use bytes::Bytes;
use vdom_store::embedded::{EmbeddedOptions, EmbeddedStore};
use vdom_store::{
    Append, Batch, BatchId, ChunkId, LogDescriptor, LogFilter, LogId, OperationKey, PathRange,
    Position, Store, StoreError, StoreErrorKind, View, ViewWrite, Watermark,
};

const CHILD_DIRECTORY: &str = "VDOM_TEST_STORE_DIRECTORY";
const LOGS: u64 = 3;

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
        ("vdom-store 2\n", StoreErrorKind::NewerFormat),
        ("vdom-store 10", StoreErrorKind::NewerFormat),
        ("vdom-store 0\n", StoreErrorKind::Damaged),
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
        store.put_chunk("acme", ChunkId::of(&chunk(3)), chunk(3)).await.unwrap_err(),
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
    let journal = image.files.iter().find(|file| file.name.contains(".jnl")).unwrap();
    for (keep, of) in [(1, 2), (9, 10), (0, 1)] {
        let copy = image.copy();
        let file = fs::OpenOptions::new().write(true).open(copy.path().join(&journal.name));
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
    let journal = image.files.iter().find(|file| file.name.contains(".jnl")).unwrap();
    let end = journal.bytes.iter().rposition(|byte| *byte != 0).unwrap();
    for at in [end / 3, end / 2, end - 5] {
        let copy = image.copy();
        let mut bytes = journal.bytes.clone();
        bytes[at] ^= 1;
        fs::write(copy.path().join(&journal.name), &bytes).unwrap();
        let errors = [(); 3].map(|()| open(copy.path()).err().unwrap());
        for error in &errors {
            assert_eq!(error.kind, StoreErrorKind::Damaged, "{error}");
            assert!(error.message.contains("acknowledged writes"), "{error}");
        }
        // Only the writes before the damage are left in the journal; a person can still
        // get at the ones after it.
        let kept = errors[0].message.split(" is in ").last().unwrap();
        let kept = fs::read(kept).unwrap();
        let cut = fs::read(copy.path().join(&journal.name)).unwrap().len();
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
                next(image.files.iter().map(|file| file.bytes.len() as u64).sum()) as usize;
            let file = image.files.iter().find(|file| {
                let here = at < file.bytes.len();
                at -= if here { 0 } else { file.bytes.len() };
                here
            });
            let file = file.unwrap();
            let copy = image.copy();
            write_at(&copy.path().join(&file.name), at, file.bytes[at] ^ 1 << next(8));
            let place = format!("byte {at} of {}", file.name);
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

#[tokio::test]
async fn what_was_acknowledged_survives_a_kill() {
    let directory = tempfile::tempdir().unwrap();
    let mut acknowledged = 0;
    for _ in 0..5 {
        let mut child = child("appends_until_killed", directory.path(), "");
        let output = BufReader::new(child.stdout.take().unwrap());
        let mut lines = output.lines().map_while(Result::ok);
        let rounds = lines.by_ref().filter_map(|line| line.strip_prefix("round ")?.parse().ok());
        acknowledged = rounds.take(15).last().unwrap_or(acknowledged);
        child.kill().unwrap();
        // What it still said before it died was acknowledged, too.
        let rest = lines.filter_map(|line| line.strip_prefix("round ")?.parse().ok()).last();
        acknowledged = rest.unwrap_or(acknowledged);
        child.wait().unwrap();

        let store = open(directory.path()).unwrap();
        check(&store, acknowledged + 1).await.unwrap();
        check_watermarks(&store).await;
        store.close().await.unwrap();
    }
    assert!(acknowledged > 5 * 10, "{acknowledged}");
}

#[tokio::test]
async fn a_failed_write_stops_the_store_for_good() {
    let directory = tempfile::tempdir().unwrap();
    // No file may grow beyond 64 MiB; the signal that would say so is ignored.
    let limit = "trap '' XFSZ; ulimit -f 65536;";
    let child = child("appends_until_the_disk_refuses", directory.path(), limit);
    let output = child.wait_with_output().unwrap();
    let output = String::from_utf8(output.stdout).unwrap();
    let value = |name: &str| output.lines().find_map(|line| line.strip_prefix(name));
    assert_eq!(value("failed "), Some("OutcomeUnknown"), "{output}");
    assert_eq!(value("afterwards "), Some("Stopped Stopped Stopped"), "{output}");
    let acknowledged: u64 = value("acknowledged ").unwrap().parse().unwrap();
    assert!(acknowledged > 1);

    let store = open(directory.path()).unwrap();
    let read = store.read(log(0), 1, usize::MAX).await.unwrap();
    assert!(read.len() as u64 >= acknowledged);
    for row in read {
        let previous = row.batch.previous;
        assert_eq!(row.batch, large(batch(0, row.number, previous), row.number));
    }
    // The outcome that was unknown is settled by appending again.
    let number = acknowledged + 1;
    let batch = large(batch(0, number, digest_before(&store, 0, number).await), number);
    assert_eq!(store.append(log(0), number, &batch).await.unwrap(), Append::Committed);
}

#[tokio::test]
#[ignore = "a process of its own, started by another test"]
async fn appends_until_killed() {
    let store = open(Path::new(&std::env::var(CHILD_DIRECTORY).unwrap())).unwrap();
    let mut from = 0;
    for log_number in 0..LOGS {
        let last = store.last(log(log_number)).await.unwrap().map_or(0, |row| row.number);
        from = from.max(last);
    }
    // The round that the last process died in is made whole first.
    for round in from.max(1).. {
        fill(&store, round..round + 1).await;
        println!("round {round}");
    }
}

#[tokio::test]
#[ignore = "a process of its own, started by another test"]
async fn appends_until_the_disk_refuses() {
    // With room in memory, all goes to one journal.
    let options = EmbeddedOptions { memtable_bytes: 1 << 30, ..EmbeddedOptions::default() };
    let store = EmbeddedStore::open(std::env::var(CHILD_DIRECTORY).unwrap(), options).unwrap();
    for number in 1.. {
        let batch = large(batch(0, number, digest_before(&store, 0, number).await), number);
        match store.append(log(0), number, &batch).await {
            Ok(_) => {}
            Err(error) => {
                println!("acknowledged {}\nfailed {:?}", number - 1, error.kind);
                break;
            }
        }
    }
    let append = store.append(log(1), 1, &batch(1, 1, [0; 32])).await.unwrap_err();
    let read = store.last(log(0)).await.unwrap_err();
    let ready = store.ready().await.unwrap_err();
    println!("afterwards {:?} {:?} {:?}", append.kind, read.kind, ready.kind);
}

fn open(path: &Path) -> Result<EmbeddedStore, StoreError> {
    EmbeddedStore::open(path, EmbeddedOptions::small())
}

/// One round writes a batch, rows, a watermark and a chunk for each log; repeating
/// a round changes nothing.
async fn fill(store: &EmbeddedStore, rounds: std::ops::Range<u64>) {
    for round in rounds {
        for log_number in 0..LOGS {
            let id = log(log_number);
            let batch = batch(log_number, round, digest_before(store, log_number, round).await);
            assert_eq!(store.append(id, round, &batch).await.unwrap(), Append::Committed);
            let watermark = Watermark { position: position(round), number: round };
            store.write_views(id, &rows(round), Some(watermark)).await.unwrap();
        }
        let chunk = chunk(round);
        store.put_chunk("acme", ChunkId::of(&chunk), chunk).await.unwrap();
    }
}

/// Holds every answer to what `fill(.., 1..end)` wrote; there may be more.
async fn check(store: &EmbeddedStore, end: u64) -> Result<(), StoreError> {
    let filter = LogFilter { realm: "acme".to_owned(), ..LogFilter::default() };
    let descriptors: Vec<_> = (0..LOGS).map(descriptor).collect();
    assert_eq!(store.logs(&filter).await?, descriptors);
    assert_eq!(store.realms().await?, ["acme"]);
    for log_number in 0..LOGS {
        let id = log(log_number);
        let read = store.read(id, 1, usize::MAX).await?;
        assert!(read.len() as u64 >= end - 1, "batches are missing");
        assert_eq!(store.last(id).await?.as_ref(), read.last());
        let mut previous = [0; 32];
        for (number, row) in (1..).zip(&read) {
            assert_eq!(row.number, number);
            assert_eq!(row.batch, batch(log_number, number, previous));
            previous = row.batch.digest();
        }
        for number in 1..end {
            assert_eq!(store.number_of(id, number).await?, Some(number));
            let key = operation(number);
            assert_eq!(store.find_operations(id, &[key]).await?, [Some(number)]);
        }
        let watermark = store.watermark(id).await?;
        assert!(read.len() as u64 >= watermark.number);
        for write in (1..=watermark.number).flat_map(rows) {
            if write.kind == HISTORY {
                let view = store.view(id, write.kind, &write.view.id).await?;
                assert_eq!(view, Some(write.view));
            }
        }
        let everything = PathRange {
            prefix: String::new(),
            after: None,
            include_tombstones: true,
            limit: usize::MAX,
        };
        let nodes = store.scan_paths(id, NODES, &everything).await?;
        assert_eq!(nodes.len() as u64, watermark.number.min(5), "{watermark:?}");
        for node in nodes {
            let revision = node.position.revision;
            assert_eq!(node, rows(revision)[0].view);
            assert!(revision + 5 > watermark.number);
        }
    }
    for number in 1..end {
        let chunk = chunk(number);
        assert_eq!(store.chunk("acme", ChunkId::of(&chunk)).await?, Some(chunk));
    }
    Ok(())
}

/// No watermark speaks of rows or batches that are not there.
async fn check_watermarks(store: &EmbeddedStore) {
    for log_number in 0..LOGS {
        let id = log(log_number);
        let number = store.watermark(id).await.unwrap().number;
        let last = store.last(id).await.unwrap().map_or(0, |row| row.number);
        assert!(number <= last);
        for write in (1..=number).flat_map(rows) {
            let view = store.view(id, write.kind, &write.view.id).await.unwrap().unwrap();
            assert!(view.position >= write.view.position);
        }
    }
}

fn descriptor(log_number: u64) -> LogDescriptor {
    LogDescriptor {
        realm: "acme".to_owned(),
        repo: "web".to_owned(),
        branch: format!("branch-{log_number}"),
        incarnation: 1,
    }
}

fn log(log_number: u64) -> LogId {
    descriptor(log_number).log_id()
}

fn position(revision: u64) -> Position {
    Position { epoch: 1, revision }
}

fn operation(number: u64) -> OperationKey {
    OperationKey([number as u8; 16])
}

fn batch(log_number: u64, number: u64, previous: [u8; 32]) -> Batch {
    let mut id = [log_number as u8; 16];
    id[..8].copy_from_slice(&number.to_be_bytes());
    Batch {
        id: BatchId(id),
        previous,
        descriptor: (number == 1).then(|| descriptor(log_number)),
        first_revision: number,
        count: 1,
        operations: vec![operation(number)],
        chunks: vec![ChunkId::of(&chunk(number))],
        closing: false,
        compacted_from: None,
        manifest: Bytes::from(format!("manifest {number}")),
        body: Bytes::from(format!("body {number} ").repeat(100)),
    }
}

/// The batch with a body of 2 MiB that does not compress.
fn large(mut batch: Batch, number: u64) -> Batch {
    let mut random = number;
    let mut next = || {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (random >> 33) as u32
    };
    batch.body = (0..512 << 10).flat_map(|_| next().to_le_bytes()).collect();
    batch
}

async fn digest_before(store: &EmbeddedStore, log_number: u64, number: u64) -> [u8; 32] {
    let before = store.next_batches(&[(log(log_number), number - 1)]).await.unwrap();
    before.first().map_or([0; 32], |(_, row)| row.batch.digest())
}

fn rows(number: u64) -> [ViewWrite; 2] {
    let node = number % 5;
    let view = |id: Bytes, path: Option<String>| View {
        id,
        path,
        live: !number.is_multiple_of(7),
        position: position(number),
        value: Bytes::from(format!("value {number} ").repeat(30)),
    };
    let node_id = Bytes::copy_from_slice(&node.to_be_bytes());
    let history_id = Bytes::copy_from_slice(&number.to_be_bytes());
    [
        ViewWrite { kind: NODES, view: view(node_id, Some(format!("dir/{number}"))) },
        ViewWrite { kind: HISTORY, view: view(history_id, None) },
    ]
}

fn chunk(number: u64) -> Bytes {
    Bytes::from(format!("chunk {number} ").repeat(200))
}

fn child(test: &str, directory: &Path, prelude: &str) -> std::process::Child {
    let program = std::env::current_exe().unwrap();
    let test = format!("storage::embedded_files::{test}");
    Command::new("bash")
        .args(["-c", &format!("{prelude} exec \"$0\" --ignored --exact --nocapture \"$1\"")])
        .arg(program)
        .arg(test)
        .env(CHILD_DIRECTORY, directory)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
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

/// The files of a store.
struct Image {
    files: Vec<ImageFile>,
}

struct ImageFile {
    /// Relative to the store.
    name: String,
    /// Without the zeros that the file was extended by.
    bytes: Vec<u8>,
    length: u64,
}

impl Image {
    fn of(path: &Path) -> Self {
        let mut files = Vec::new();
        for file in files_below(path) {
            let mut bytes = fs::read(&file).unwrap();
            let length = bytes.len() as u64;
            // In large steps, because debug builds are slow by the byte.
            while bytes.len() > 4096 && bytes[bytes.len() - 4096..] == [0; 4096] {
                bytes.truncate(bytes.len() - 4096);
            }
            let written = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
            bytes.truncate(written);
            let name = file.strip_prefix(path).unwrap().to_str().unwrap().to_owned();
            files.push(ImageFile { name, bytes, length });
        }
        Self { files }
    }

    fn copy(&self) -> tempfile::TempDir {
        let copy = tempfile::tempdir().unwrap();
        for file in &self.files {
            let path = copy.path().join(&file.name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, &file.bytes).unwrap();
            fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(file.length).unwrap();
        }
        copy
    }
}

fn files_below(path: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(path).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(files_below(&path));
        } else {
            files.push(path);
        }
    }
    files.sort();
    files
}

fn write_at(file: &Path, at: usize, byte: u8) {
    let mut file = fs::OpenOptions::new().write(true).open(file).unwrap();
    file.seek(SeekFrom::Start(at as u64)).unwrap();
    file.write_all(&[byte]).unwrap();
}
