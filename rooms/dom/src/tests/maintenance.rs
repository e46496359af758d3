//! Verifying, backing up and restoring a whole store.

use std::io::Cursor;

use futures::{StreamExt, TryStreamExt};
use vdom_core::dom::calls::{CreateBranch, Event, ReadTree, ResumePoint, Subscribe};
use vdom_core::limits::CHUNK_BYTES;
use vdom_core::{BranchName, ErrorCode};
use vdom_store::{Chunk, LogEntry, LogFilter};

use super::*;
use crate::maintenance::{backup, restore, verify};

/// Two branches, one of them continuing the other, and a content in chunks.
async fn filled(store: &Arc<dyn Store>) -> Written {
    let room = room_over(store.clone());
    let first = put(&room, "a", "one").await;
    put(&room, "large", &"x".repeat(CHUNK_BYTES + 1)).await;
    let next = CreateBranch {
        address: BranchAddress::parse("", "repo", "next").expect("valid"),
        from: Some(BranchName::parse("main").expect("valid")),
        at_revision: Some(1),
        operation_id: None,
    };
    room.create_branch(&caller("anna"), next.clone()).await.expect("created");
    accepted(&room, WriteDiff { address: next.address, ..write("b", Diff::put_file(b"two")) })
        .await;
    accepted(&room, edit(&first, "a", Diff::put_file(b"changed"))).await;
    room.close().await;
    first
}

async fn tree(room: &DocumentRoom, branch: &str) -> Vec<(String, u64)> {
    let request = ReadTree {
        address: BranchAddress::parse("", "repo", branch).expect("valid"),
        prefix: String::new(),
        at: ReadAt::default(),
        include_content: false,
    };
    let entries = room.read_tree(&caller("anna"), request).await.expect("a tree");
    let shown =
        |entry: vdom_core::dom::calls::TreeEntry| (entry.node.path.to_string(), entry.size_bytes);
    entries.map_ok(shown).try_collect().await.expect("whole")
}

async fn backed_up(store: &Arc<dyn Store>) -> Vec<u8> {
    let (file, report) = backup(&maintained(store), Vec::new(), |_| {}).await.expect("a backup");
    assert_eq!((report.logs, report.chunks), (2, 2));
    file
}

#[tokio::test]
async fn a_sound_store_is_found_sound() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new(1));
    filled(&store).await;
    let report = verify(&maintained(&store), |_| {}).await.expect("verified");
    assert_eq!((report.logs, report.changes, report.chunks), (2, 4, 2));
    assert!(report.findings.is_empty(), "{:?}", report.findings);
}

/// The batches of a log, one of them changed on the way.
async fn copied_with(
    store: &Arc<dyn Store>,
    branch: &str,
    change: impl Fn(&mut LogEntry),
) -> Arc<dyn Store> {
    let copy: Arc<dyn Store> = Arc::new(MemoryStore::new(2));
    let filter = LogFilter::of_realm("default");
    for log in store.logs(&filter).await.expect("logs") {
        let mut previous = [0; 32];
        for mut log_entry in store.read(log.log_id(), 1, usize::MAX).await.expect("batches") {
            for id in &log_entry.batch.chunks {
                let bytes = store.chunk("default", *id).await.expect("readable").expect("there");
                copy.put_chunk("default", Chunk::of(bytes)).await.expect("stored");
            }
            if log.name.segments[1] == branch {
                change(&mut log_entry);
            }
            log_entry.batch.previous = previous;
            previous = log_entry.batch.digest();
            let (log, number) = (log.log_id(), log_entry.number);
            copy.append(log, number, &log_entry.batch).await.expect("appended");
        }
    }
    copy
}

#[tokio::test]
async fn the_first_broken_link_is_found() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new(1));
    filled(&store).await;
    // The store's own chain is whole; that of the changes is not.
    let forged = copied_with(&store, "main", |log_entry| {
        if log_entry.number == 1 {
            let mut body = log_entry.batch.body.to_vec();
            *body.last_mut().expect("a diff") ^= 1;
            log_entry.batch.body = body.into();
        }
    })
    .await;
    let report = verify(&maintained(&forged), |_| {}).await.expect("verified");
    assert_eq!(report.findings.len(), 1, "{:?}", report.findings);
    let finding = &report.findings[0];
    assert_eq!((finding.batch, finding.revision), (1, Some(1)));
    assert!(finding.branch.ends_with("main"), "{finding:?}");
    assert!(finding.what.contains("diff"), "{finding:?}");

    let lost = copied_with(&store, "main", |log_entry| {
        if log_entry.batch.chunks.len() == 2 {
            log_entry.batch.chunks[0].0[0] ^= 1;
        }
    })
    .await;
    let report = verify(&maintained(&lost), |_| {}).await.expect("verified");
    assert!(report.findings[0].what.contains("missing"), "{:?}", report.findings);
}

#[tokio::test]
async fn a_restored_store_reads_as_the_one_that_was_backed_up() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new(1));
    let first = filled(&store).await;
    let file = backed_up(&store).await;
    let old = room_over(store);
    let restored: Arc<dyn Store> = Arc::new(MemoryStore::new(2));
    let report = restore(&maintained(&restored), &environment(), Cursor::new(&file), |_| {}).await;
    let report = report.expect("restored");
    assert_eq!((report.logs, report.branches.len()), (2, 2));
    assert!(verify(&maintained(&restored), |_| {}).await.expect("verified").findings.is_empty());
    let new = room_over(restored);
    for branch in ["main", "next"] {
        assert_eq!(tree(&new, branch).await, tree(&old, branch).await);
    }
    assert_eq!(text_at(&new, "a", Some(1)).await.as_deref(), Some("one"));
    let written = accepted(&new, overwrite("a", "after")).await;
    assert_eq!(written.revision, 4);
    assert!(written.epoch > first.epoch, "a new epoch");

    // What both epochs have is still good; what came after the backup is not.
    let since = |revision| ReadAt {
        min_revision: Some(revision),
        min_epoch: Some(first.epoch),
        ..ReadAt::default()
    };
    read_at(&new, "a", since(3)).await.expect("at or below the common revision");
    let error = read_at(&new, "a", since(4)).await.expect_err("beyond it");
    assert_eq!(error.code, ErrorCode::EpochChanged);
    let subscribe = |revision| Subscribe {
        address: address(),
        paths: vec![],
        from: Some(ResumePoint { epoch: first.epoch, revision, hash: None }),
        include_diffs: false,
    };
    let mut events = events_of(&new, &caller("anna"), subscribe(2)).await.expect("resumed");
    let mut revisions = Vec::new();
    while revisions.len() < 2 {
        if let Event::Change(change) = events.next().await.expect("an event").expect("no error") {
            assert_eq!(change.change.epoch, written.epoch);
            revisions.push(change.change.revision);
        }
    }
    assert_eq!(revisions, [3, 4]);
    let error = events_of(&new, &caller("anna"), subscribe(4)).await.err().expect("refused");
    assert_eq!(error.code, ErrorCode::EpochChanged);
}

#[tokio::test]
async fn a_damaged_backup_and_a_store_in_use_are_refused_before_the_first_write() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new(1));
    filled(&store).await;
    let file = backed_up(&store).await;
    let error = restore(&maintained(&store), &environment(), Cursor::new(&file), |_| {}).await;
    assert_eq!(error.expect_err("not empty").code, ErrorCode::FailedPrecondition);
    let step = file.len() / 97;
    for at in (0..file.len()).step_by(step) {
        let empty: Arc<dyn Store> = Arc::new(MemoryStore::new(3));
        let cut = &file[..at];
        restore(&maintained(&empty), &environment(), Cursor::new(cut), |_| {})
            .await
            .expect_err("cut");
        let mut flipped = file.clone();
        flipped[at] ^= 0x10;
        restore(&maintained(&empty), &environment(), Cursor::new(flipped), |_| {})
            .await
            .expect_err("flipped");
        assert!(empty.realms().await.expect("readable").is_empty(), "nothing was written");
    }
}
