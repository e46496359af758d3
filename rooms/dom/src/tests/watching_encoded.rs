//! What subscribers get, as events and as a transport sends them, is what the
//! history says: from memory, from the log, and from a branch that is continued.

use std::collections::BTreeMap;
use std::io::Write;

use futures::{StreamExt, stream};
use vdom_core::BranchName;
use vdom_core::dom::calls::{
    ChangeEvent, ChangeSetPart, CreateBranch, Event, GetHistory, ResumePoint, SetOutcome, Subscribe,
};
use vdom_core::dom::events::{BatchEvent, EventEncoder, StoredChange};

use super::*;

/// A line for each change, the same whatever it is written from.
struct Lines;

impl EventEncoder for Lines {
    fn encode(_: &BranchAddress, event: &BatchEvent, out: &mut Vec<u8>) -> Result<()> {
        match event {
            BatchEvent::Change(change) => writeln!(out, "{}", line(change)).expect("room"),
            BatchEvent::Stored(change) => writeln!(out, "{}", stored_line(change)?).expect("room"),
            BatchEvent::Progress { .. } => {}
        }
        Ok(())
    }
}

fn stored_line(change: &StoredChange) -> Result<String> {
    let StoredChange { epoch, set, hash, diff, .. } = change;
    let record = change.record()?;
    Ok(format!(
        "{epoch}.{} {:?} {:?} {} {:?} v{} {:?} {} {} {:?} {:?} {:?} {:?} {set:?} {hash} {:?}",
        record.revision,
        record.kind,
        record.node_kind,
        record.path,
        record.old_path,
        record.version,
        record.clock.entries.iter().copied().collect::<BTreeMap<_, _>>(),
        record.actor,
        record.author,
        record.message,
        record.metadata.iter().copied().collect::<BTreeMap<_, _>>(),
        record.operation,
        record.change_set,
        diff.as_ref().map(|diff| (diff.len(), &diff[diff.len().saturating_sub(20)..])),
    ))
}

fn line(event: &ChangeEvent) -> String {
    let ChangeEvent { change, set, hash, diff } = event;
    format!(
        "{}.{} {:?} {:?} {} {:?} v{} {:?} {} {} {:?} {:?} {:?} {:?} {set:?} {hash} {:?}",
        change.epoch,
        change.revision,
        change.kind,
        change.node_kind,
        change.path,
        change.old_path.as_ref().map(NodePath::as_str),
        change.version,
        change.clock.entries(),
        change.actor,
        change.author,
        change.message,
        change.metadata,
        change.operation,
        change.change_set,
        diff.as_ref().map(|diff| (diff.len(), &diff[diff.len().saturating_sub(20)..])),
    )
}

fn on(branch: &str) -> BranchAddress {
    BranchAddress { branch: BranchName::parse(branch).expect("valid"), ..address() }
}

async fn write_set(room: &DocumentRoom, message: &str, diffs: Vec<WriteDiff>) {
    let metadata = BTreeMap::from([("ticket".to_owned(), "7".to_owned())]);
    let request = WriteDiffs { message: message.to_owned(), metadata, ..set() };
    let parts = stream::iter(diffs).map(|diff| Ok(ChangeSetPart::Diff(Box::new(diff)))).boxed();
    let written = room.write_diffs(&caller("anna"), request, parts).await.expect("written");
    assert!(matches!(written, SetOutcome::Written(_)), "{written:?}");
}

/// Plain writes, a small set, a set in packs, and more plain writes, of which a
/// second branch has the first part; the epoch and head of both.
async fn fill(room: &DocumentRoom) -> [(&'static str, u64, u64); 2] {
    let first = put(room, "a", "1").await;
    for number in 0..40 {
        put(room, &format!("n/{number}"), "x").await;
    }
    let moved = accepted(room, edit(&first, "a", Diff::rename(&path("n/a"), None))).await;
    let small = (0..3).map(|number| write(&format!("s/{number}"), Diff::put_file(b"s")));
    write_set(room, "a small set", small.collect()).await;
    let content = |number: u32| format!("{number} ").repeat(600);
    let large = (0..1_100).map(|number| {
        write(&format!("n/l/{number}"), Diff::put_file(content(1_000 + number).as_bytes()))
    });
    write_set(room, "a large set", large.collect()).await;
    let from = Some(BranchName::parse("main").expect("valid"));
    let address = on("next");
    let fork = CreateBranch { address, from, at_revision: None, operation_id: None };
    let next = room.create_branch(&caller("anna"), fork).await.expect("a branch");
    accepted(room, edit(&moved, "n/a", Diff::delete())).await;
    let last = put(room, "z", "2").await;
    let there = WriteDiff { address: on("next"), ..write("n/there", Diff::put_file(b"3")) };
    let there = accepted(room, there).await;
    [("main", last.epoch, last.revision), ("next", next.epoch, there.revision)]
}

async fn history(room: &DocumentRoom, branch: &str, include_diffs: bool) -> Vec<ChangeEvent> {
    let (mut before_revision, mut changes) = (None, Vec::new());
    loop {
        let address = on(branch);
        let request =
            GetHistory { address, node: None, before_revision, limit: 500, include_diffs };
        let page = room.history(&caller("anna"), request).await.expect("a page");
        changes.extend(page.changes);
        before_revision = page.next_before_revision;
        if before_revision.is_none() {
            changes.reverse();
            return changes;
        }
    }
}

/// Of events that are taken until `count` changes came.
async fn watched(room: &DocumentRoom, request: Subscribe, count: usize) -> Vec<String> {
    let mut events = events_of(room, &caller("anna"), request).await.expect("a stream");
    let mut lines = Vec::new();
    while lines.len() < count {
        match events.next().await.expect("no end").expect("no error") {
            Event::Change(change) => lines.push(line(&change)),
            Event::Progress { .. } => {}
        }
    }
    lines
}

/// The same of pieces.
async fn watched_encoded(room: &DocumentRoom, request: Subscribe, count: usize) -> Vec<String> {
    let mut batches = room.subscribe(&caller("anna"), request).await.expect("a stream");
    let mut lines = Vec::new();
    while lines.len() < count {
        let batch = batches.next().await.expect("no end").expect("no error");
        let piece = batch.encoded::<Lines>().expect("encoded");
        let piece = String::from_utf8(piece.to_vec()).expect("text");
        assert!(piece.is_empty() || piece.ends_with('\n'), "a part of an event");
        lines.extend(piece.lines().map(str::to_owned));
    }
    lines
}

#[tokio::test]
async fn events_and_pieces_say_what_the_history_says() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new(1));
    let room = room_over(store.clone());
    let branches = fill(&room).await;
    room.close().await;
    // One has its changes in memory, the other only in the log.
    for room in [room, room_over(store)] {
        for (branch, epoch, head) in branches {
            for include_diffs in [false, true] {
                let all = history(&room, branch, include_diffs).await;
                assert_eq!(all.len() as u64, head);
                for (paths, after) in [
                    (vec![], 0),
                    (vec![], 17),
                    // Within the set in packs, as who lost its connection asks.
                    (vec![], 700),
                    (vec![], head - 1),
                    (vec!["n".to_owned()], 0),
                    (vec!["n/a".to_owned(), "s/1".to_owned()], 3),
                ] {
                    let is_wanted = |event: &&ChangeEvent| {
                        let change = &event.change;
                        let covers = |prefix: &String| {
                            let old = change.old_path.iter().chain([&change.path]);
                            old.into_iter().any(|path| path.is_covered_by(prefix))
                        };
                        change.revision > after && (paths.is_empty() || paths.iter().any(covers))
                    };
                    let expected: Vec<_> = all.iter().filter(is_wanted).map(line).collect();
                    let from = Some(ResumePoint { epoch, revision: after, hash: None });
                    let request = Subscribe {
                        address: on(branch),
                        paths: paths.clone(),
                        from,
                        include_diffs,
                    };
                    let count = expected.len();
                    assert!(count > 0);
                    assert_eq!(watched(&room, request.clone(), count).await, expected);
                    assert_eq!(watched_encoded(&room, request, count).await, expected);
                }
            }
        }
    }
}

#[tokio::test]
async fn subscribers_share_what_is_encoded() {
    let room = room();
    put(&room, "a", "1").await;
    let request =
        Subscribe { address: address(), paths: Vec::new(), from: None, include_diffs: true };
    let mut streams = Vec::new();
    for _ in 0..2 {
        let batches = room.subscribe(&caller("anna"), request.clone()).await;
        streams.push(batches.expect("a stream"));
    }
    put(&room, "b", "2").await;
    let mut seen = Vec::new();
    for stream in &mut streams {
        let piece = loop {
            let batch = stream.next().await.expect("no end").expect("no error");
            let piece = batch.encoded::<Lines>().expect("encoded");
            if !piece.is_empty() {
                break piece;
            }
        };
        seen.push(piece);
    }
    assert_eq!(seen[0], seen[1]);
    assert_eq!(seen[0].as_ptr(), seen[1].as_ptr());
}
