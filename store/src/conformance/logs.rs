//! Appending to logs and reading them.

use std::sync::Arc;

use super::fixtures::{LogWriter, assert_kind, descriptor, fresh, key, log_name};
use super::{Outcome, Subject};
use crate::batch::{BATCH_MAX_BYTES, Batch, BatchOutline, LogEnds, LogEntry};
use crate::error::StoreErrorKind;
use crate::log::{LogFilter, LogId, LogName};
use crate::store::Append;

pub async fn the_first_append_creates_the_log(subject: &mut dyn Subject) -> Outcome {
    let store = subject.store();
    let mut writer = LogWriter::new("main");
    assert_eq!(store.last(writer.log).await.unwrap(), None);
    assert_eq!(store.read(writer.log, 1, 1000).await.unwrap(), []);

    let batch = writer.batch(2);
    let batch = writer.append(&*store, batch).await;

    let first = LogEntry { number: 1, batch };
    assert_eq!(store.last(writer.log).await.unwrap(), Some(first.clone()));
    assert_eq!(store.read(writer.log, 1, 1000).await.unwrap(), [first]);
    Outcome::Passed
}

pub async fn one_of_many_creators_wins(subject: &mut dyn Subject) -> Outcome {
    for round in 0..10 {
        race(subject, LogWriter::new(&format!("race-{round}"))).await;
    }
    Outcome::Passed
}

pub async fn one_of_many_writers_wins_a_number(subject: &mut dyn Subject) -> Outcome {
    let store = subject.store();
    let mut writer = LogWriter::new("main");
    for _ in 0..10 {
        writer.append_many(&*store, 1).await;
        race(subject, writer.clone()).await;
        let winner = store.last(writer.log).await.unwrap().unwrap();
        writer.advance(&winner.batch);
    }
    Outcome::Passed
}

/// Eight writers, through two handles where there can be two, want one number.
async fn race(subject: &mut dyn Subject, writer: LogWriter) {
    let store = subject.store();
    let other = subject.peer().await.unwrap_or_else(|| Arc::clone(&store));
    let mut racers = tokio::task::JoinSet::new();
    for racer in 0..8 {
        let store = Arc::clone(if racer % 2 == 0 { &store } else { &other });
        let (log, number, batch) = (writer.log, writer.next, writer.batch(1));
        racers.spawn(async move { (store.append(log, number, &batch).await.unwrap(), batch) });
    }
    let answers = racers.join_all().await;
    let winners: Vec<_> =
        answers.iter().filter(|(answer, _)| *answer == Append::Committed).collect();
    assert_eq!(winners.len(), 1, "{answers:?}");
    let stored = store.read(writer.log, writer.next, usize::MAX).await.unwrap();
    assert_eq!(stored, [LogEntry { number: writer.next, batch: winners[0].1.clone() }]);
}

pub async fn the_same_batch_again_is_committed(subject: &mut dyn Subject) -> Outcome {
    let store = subject.store();
    let mut writer = LogWriter::new("main");
    let batches = writer.append_many(&*store, 3).await;
    for (number, batch) in (1..).zip(&batches) {
        let again = store.append(writer.log, number, batch).await;
        assert_eq!(again.unwrap(), Append::Committed);
        let mut other = batch.clone();
        other.id = fresh();
        let other = store.append(writer.log, number, &other).await;
        assert_eq!(other.unwrap(), Append::Conflict);
    }
    assert_eq!(store.read(writer.log, 1, usize::MAX).await.unwrap().len(), 3);
    Outcome::Passed
}

pub async fn gaps_and_misplaced_batches_are_refused(subject: &mut dyn Subject) -> Outcome {
    let store = subject.store();
    let mut writer = LogWriter::new("main");
    let log = writer.log;
    let first = writer.batch(1);
    assert_kind(store.append(log, 0, &first).await, StoreErrorKind::Invalid);
    let mut nameless = first.clone();
    nameless.descriptor = None;
    assert_kind(store.append(log, 1, &nameless).await, StoreErrorKind::Invalid);
    assert_kind(store.append(log, 2, &nameless).await, StoreErrorKind::Invalid);

    writer.append(&*store, first.clone()).await;
    let third = writer.batch(1);
    assert_kind(store.append(log, 3, &third).await, StoreErrorKind::Invalid);
    let mut second = third.clone();
    second.descriptor.clone_from(&first.descriptor);
    assert_kind(store.append(log, 2, &second).await, StoreErrorKind::Invalid);
    assert_eq!(store.last(log).await.unwrap().unwrap().number, 1);
    Outcome::Passed
}

pub async fn a_batch_that_names_another_digest_is_refused(subject: &mut dyn Subject) -> Outcome {
    let store = subject.store();
    let mut writer = LogWriter::new("main");
    let mut first = writer.batch(1);
    first.previous = [1; 32];
    assert_kind(store.append(writer.log, 1, &first).await, StoreErrorKind::Invalid);
    writer.append_many(&*store, 2).await;
    let mut third = writer.batch(1);
    third.previous[31] ^= 1;
    assert_kind(store.append(writer.log, 3, &third).await, StoreErrorKind::Invalid);
    // The same writer put right goes on.
    writer.append_many(&*store, 1).await;
    Outcome::Passed
}

pub async fn the_largest_batch_comes_back(subject: &mut dyn Subject) -> Outcome {
    let store = subject.store();
    let mut writer = LogWriter::new("main");
    let mut batch = writer.batch(1);
    let rest = BATCH_MAX_BYTES - batch.encoded_len() + batch.body.len();
    batch.body = vec![0x5a; rest + 1].into();
    assert_kind(store.append(writer.log, 1, &batch).await, StoreErrorKind::Invalid);
    batch.body.truncate(rest);
    assert_eq!(batch.encoded_len(), BATCH_MAX_BYTES);
    let batch = writer.append(&*store, batch).await;
    assert_eq!(store.last(writer.log).await.unwrap().unwrap().batch, batch);
    Outcome::Passed
}

pub async fn a_log_is_read_in_pages(subject: &mut dyn Subject) -> Outcome {
    let store = subject.store();
    let mut writer = LogWriter::new("main");
    let batches = writer.append_many(&*store, 25).await;
    let length = batches[1].encoded_len();
    for max_bytes in [0, 1, length, 3 * length, usize::MAX] {
        let mut read = Vec::new();
        loop {
            let from = read.len() as u64 + 1;
            let page = store.read(writer.log, from, max_bytes).await.unwrap();
            if page.is_empty() {
                break;
            }
            assert!(page.iter().map(|row| row.number).eq(from..from + page.len() as u64));
            assert!(page.len() == 1 || page.len() * length <= max_bytes.saturating_add(2 * length));
            read.extend(page.into_iter().map(|row| row.batch));
        }
        assert_eq!(read, batches, "in pages of {max_bytes} bytes");
    }
    assert_eq!(store.read(writer.log, 26, usize::MAX).await.unwrap(), []);
    assert_eq!(store.read(writer.log, u64::MAX, usize::MAX).await.unwrap(), []);
    Outcome::Passed
}

pub async fn the_head_is_confirmed(subject: &mut dyn Subject) -> Outcome {
    let store = subject.store();
    let mut writer = LogWriter::new("main");
    assert!(store.confirm(writer.log, 0).await.unwrap());
    for head in 1..4 {
        writer.append_many(&*store, 1).await;
        assert!(store.confirm(writer.log, head).await.unwrap());
        assert!(!store.confirm(writer.log, head - 1).await.unwrap());
    }
    Outcome::Passed
}

pub async fn the_ends_of_many_logs(subject: &mut dyn Subject) -> Outcome {
    let store = subject.store();
    let (mut short, mut long) = (LogWriter::new("short"), LogWriter::new("long"));
    let only = short.append_many(&*store, 1).await.remove(0);
    let mut batches = long.append_many(&*store, 4).await;
    let closing = Batch { closing: true, ..long.batch(0) };
    batches.push(long.append(&*store, closing).await);

    let outline =
        |number, batch: &Batch| BatchOutline::from(&LogEntry { number, batch: batch.clone() });
    let mut wanted = vec![long.log, short.log];
    wanted.extend((0..1200_u32).map(|log| {
        let mut id = [9; 32];
        id[..4].copy_from_slice(&log.to_be_bytes());
        LogId(id)
    }));
    let mut found = store.ends(&wanted).await.unwrap();
    found.sort_by_key(|ends| ends.last.number);
    let expected = [
        LogEnds { log: short.log, first: outline(1, &only), last: outline(1, &only) },
        LogEnds { log: long.log, first: outline(1, &batches[0]), last: outline(5, &batches[4]) },
    ];
    assert_eq!(found, expected);
    assert!(found[1].last.closing);
    assert_eq!(store.ends(&[]).await.unwrap(), []);
    Outcome::Passed
}

pub async fn revisions_find_their_batch(subject: &mut dyn Subject) -> Outcome {
    let store = subject.store();
    let mut writer = LogWriter::new("main");
    writer.next_revision = 10;
    // Batches 1 to 6 hold the revisions 10-12, none, 13, none, none, 14-15.
    for count in [3, 0, 1, 0, 0, 2] {
        writer.append(&*store, writer.batch(count)).await;
    }
    let expected =
        [(9, None), (10, Some(1)), (12, Some(1)), (13, Some(3)), (14, Some(6)), (15, Some(6))];
    for (revision, number) in expected {
        assert_eq!(store.number_of(writer.log, revision).await.unwrap(), number, "{revision}");
    }
    // Past the head: the last batch that holds a change.
    writer.append(&*store, writer.batch(0)).await;
    assert_eq!(store.number_of(writer.log, 99).await.unwrap(), Some(6));
    assert_eq!(store.number_of(LogWriter::new("other").log, 10).await.unwrap(), None);
    Outcome::Passed
}

pub async fn operations_find_their_batch(subject: &mut dyn Subject) -> Outcome {
    let store = subject.store();
    let mut writer = LogWriter::new("main");
    for operations in [&[1, 2][..], &[], &[3]] {
        let mut batch = writer.batch(operations.len() as u32);
        batch.operations = operations.iter().map(|number| key(*number)).collect();
        writer.append(&*store, batch).await;
    }
    let keys = [key(3), key(9), key(2), key(1), key(3)];
    let found = store.find_operations(writer.log, &keys).await.unwrap();
    assert_eq!(found, [Some(3), None, Some(1), Some(1), Some(3)]);
    assert_eq!(store.find_operations(writer.log, &[]).await.unwrap(), []);
    let other = LogWriter::new("other");
    assert_eq!(store.find_operations(other.log, &keys).await.unwrap(), [None; 5]);
    Outcome::Passed
}

pub async fn logs_are_listed_by_name(subject: &mut dyn Subject) -> Outcome {
    let store = subject.store();
    let mut logs = vec![
        descriptor("acme", "", "", 1),
        descriptor("acme", "api", "main", 1),
        descriptor("acme", "web", "fix/a.$b", 1),
        descriptor("acme", "web", "main", 1),
        descriptor("acme", "web", "main", 2),
        descriptor("acme", "website", "main", 1),
        descriptor("acme-2", "web", "main", 1),
    ];
    for log in logs.iter().rev() {
        LogWriter::of(log.clone()).append_many(&*store, 2).await;
    }
    assert_eq!(store.realms().await.unwrap(), ["acme", "acme-2"]);
    let list = |realm: &str, segments: &[&str]| {
        let LogName { realm, room, segments } = log_name(realm, "", segments);
        let store = Arc::clone(&store);
        async move {
            store.logs(&LogFilter { realm, room, segments, ..Default::default() }).await.unwrap()
        }
    };
    assert_eq!(list("acme-2", &[]).await, [logs.pop().unwrap()]);
    assert_eq!(list("acme", &[]).await, logs);
    assert_eq!(list("acme", &["web"]).await, logs[2..5]);
    assert_eq!(list("acme", &["web", "main"]).await, logs[3..5]);
    assert_eq!(list("acme", &["web", "main", "more"]).await, []);
    assert_eq!(list("acme", &[""]).await, logs[..1]);
    assert_eq!(list("nobody", &[]).await, []);
    Outcome::Passed
}

pub async fn logs_are_listed_in_pages(subject: &mut dyn Subject) -> Outcome {
    let store = subject.store();
    // The last name has two logs; keys of names that begin alike are neighbours.
    let names = ["a", "a-", "a/b", "b", "ba", "c"];
    for (repo, branch) in [("web", "zz"), ("wea", "b"), ("web2", "b")] {
        LogWriter::of(descriptor("acme", repo, branch, 1)).append_many(&*store, 1).await;
    }
    for name in names {
        LogWriter::of(descriptor("acme", "web", name, 1)).append_many(&*store, 2).await;
        LogWriter::of(descriptor("acme", "web", name, 2)).append_many(&*store, 1).await;
    }
    for limit in [1, 2, 3, 4, 100] {
        let mut found = Vec::new();
        let mut filter =
            LogFilter { segments: vec!["web".to_owned()], ..LogFilter::of_realm("acme") };
        filter.limit = Some(limit);
        loop {
            let page = store.logs(&filter).await.unwrap();
            assert!(page.len() <= limit);
            let Some(last) = page.last() else { break };
            filter.after.clone_from(&last.name.segments);
            found.extend(page);
        }
        let mut shown: Vec<_> = found.iter().map(|log| &*log.name.segments[1]).collect();
        assert!(found.is_sorted(), "{found:?}");
        shown.dedup();
        assert_eq!(shown, [&names[..], &["zz"]].concat(), "in pages of {limit}");
    }
    let mut filter = LogFilter::of_realm("acme");
    filter.after = vec!["web".to_owned(), "zz".to_owned()];
    assert_eq!(store.logs(&filter).await.unwrap(), [descriptor("acme", "web2", "b", 1)]);
    filter.limit = Some(0);
    assert_eq!(store.logs(&filter).await.unwrap(), []);

    // Those of a room have unlike numbers of segments.
    let of_room: [&[&str]; 4] = [&["a"], &["a", "b"], &["a", "b", "c"], &["b"]];
    for segments in of_room {
        let name = log_name("acme", "room", segments);
        LogWriter::of(name.incarnation(1)).append_many(&*store, 1).await;
    }
    let (room, mut after, mut found) = ("room".to_owned(), Vec::new(), Vec::new());
    loop {
        let (room, limit) = (room.clone(), Some(1));
        let filter = LogFilter { room, after, limit, ..LogFilter::of_realm("acme") };
        let mut page = store.logs(&filter).await.unwrap();
        let Some(last) = page.pop() else { break };
        found.push(last.name.segments.clone());
        after = last.name.segments;
    }
    assert_eq!(found, of_room);
    Outcome::Passed
}

pub async fn logs_of_rooms_are_apart(subject: &mut dyn Subject) -> Outcome {
    let store = subject.store();
    let without_room = log_name("acme", "", &["web", "main"]);
    let mut of_git = vec![
        log_name("acme", "git", &[]),
        log_name("acme", "git", &["web"]),
        log_name("acme", "git", &["web", "main"]),
        log_name("acme", "git", &["web", "main", "pack"]),
        log_name("acme", "git", &["website"]),
    ];
    let of_grid = log_name("acme", "grid", &["web", "main"]);
    let elsewhere = log_name("only-git", "git", &["web", "main"]);
    let mut batches = Vec::new();
    for name in [&without_room, &of_grid, &elsewhere].into_iter().chain(&of_git) {
        let mut writer = LogWriter::of(name.incarnation(1));
        batches.push((name.clone(), writer.append_many(&*store, 1).await.remove(0)));
    }
    // The same segments in another room are another log.
    for (name, batch) in &batches {
        let last = store.last(name.log_id(1)).await.unwrap();
        assert_eq!(last, Some(LogEntry { number: 1, batch: batch.clone() }), "{name:?}");
        assert_eq!(store.find(name).await.unwrap(), Some(name.incarnation(1)));
    }
    assert_eq!(store.realms().await.unwrap(), ["acme", "only-git"]);
    let list = |realm: &str, room: &str, segments: &[&str]| {
        let LogName { realm, room, segments } = log_name(realm, room, segments);
        let store = Arc::clone(&store);
        async move {
            let logs = store
                .logs(&LogFilter { realm, room, segments, ..Default::default() })
                .await
                .unwrap();
            logs.into_iter().map(|log| log.name).collect::<Vec<_>>()
        }
    };
    assert_eq!(list("acme", "", &[]).await, [without_room]);
    assert_eq!(list("only-git", "", &[]).await, []);
    assert_eq!(list("acme", "grid", &[]).await, [of_grid]);
    assert_eq!(list("only-git", "git", &[]).await, [elsewhere]);
    assert_eq!(list("acme", "git", &["web"]).await, of_git[1..4]);
    assert_eq!(list("acme", "git", &["web", "main"]).await, of_git[2..4]);
    assert_eq!(list("acme", "git", &["main"]).await, []);
    of_git.sort();
    assert_eq!(list("acme", "git", &[]).await, of_git);
    let of_every_room = store.logs(&LogFilter::of_every_room("acme")).await.unwrap();
    let of_every_room: Vec<_> = of_every_room.into_iter().map(|log| log.name).collect();
    let all = [log_name("acme", "", &["web", "main"])].into_iter().chain(of_git);
    let mut all: Vec<_> = all.chain([log_name("acme", "grid", &["web", "main"])]).collect();
    all.sort();
    assert_eq!(of_every_room, all);
    Outcome::Passed
}

pub async fn the_newest_log_of_a_name_is_found(subject: &mut dyn Subject) -> Outcome {
    const INCARNATIONS: u64 = 9;
    let store = subject.store();
    let name = log_name("acme", "", &["web", "main"]);
    let others = [
        log_name("acme", "", &["web", "mai"]),
        log_name("acme", "", &["web", "main/x"]),
        log_name("acme", "git", &["web", "main"]),
        log_name("acme-2", "", &["web", "main"]),
    ];
    assert_eq!(store.find(&name).await.unwrap(), None);
    for incarnation in 1..=INCARNATIONS {
        let mut writer = LogWriter::of(name.incarnation(incarnation));
        writer.append_many(&*store, 1).await;
        assert_eq!(store.find(&name).await.unwrap(), Some(name.incarnation(incarnation)));
        let mut closing = writer.batch(0);
        closing.closing = true;
        writer.append(&*store, closing).await;
        // One that has ended is still the newest.
        assert_eq!(store.find(&name).await.unwrap(), Some(name.incarnation(incarnation)));
    }
    for other in others {
        assert_eq!(store.find(&other).await.unwrap(), None, "{other:?}");
    }
    Outcome::Passed
}

pub async fn names_that_no_log_can_have_are_refused(subject: &mut dyn Subject) -> Outcome {
    let store = subject.store();
    for name in [
        log_name("acme", "", &["web"]),
        log_name("acme", "", &["web", "main", "more"]),
        log_name("acme", "git", &["we\0b"]),
        log_name("acme", "g\0t", &["web"]),
    ] {
        let writer = LogWriter::of(name.incarnation(1));
        let answer = store.append(writer.log, 1, &writer.batch(1)).await;
        assert_kind(answer, StoreErrorKind::Invalid);
        assert_eq!(store.last(writer.log).await.unwrap(), None);
    }
    assert_eq!(store.realms().await.unwrap(), Vec::<String>::new());
    Outcome::Passed
}

pub async fn a_closed_log_takes_no_more(subject: &mut dyn Subject) -> Outcome {
    let store = subject.store();
    let mut writer = LogWriter::of(descriptor("acme", "web", "main", 1));
    writer.append_many(&*store, 2).await;
    let late = writer.clone();
    let mut closing = writer.batch(0);
    closing.closing = true;
    let closing = writer.append(&*store, closing).await;

    // A writer of the old incarnation loses its number, and gets no further.
    let lost = store.append(late.log, late.next, &late.batch(1)).await;
    assert_eq!(lost.unwrap(), Append::Conflict);
    let beyond = store.append(writer.log, writer.next, &writer.batch(1)).await;
    assert_kind(beyond, StoreErrorKind::Invalid);
    let again = store.append(writer.log, 3, &closing).await;
    assert_eq!(again.unwrap(), Append::Committed);
    assert!(store.last(writer.log).await.unwrap().unwrap().batch.closing);

    let mut next = LogWriter::of(descriptor("acme", "web", "main", 2));
    next.append_many(&*store, 1).await;
    assert_eq!(store.last(next.log).await.unwrap().unwrap().number, 1);
    assert_eq!(store.last(writer.log).await.unwrap().unwrap().number, 3);
    Outcome::Passed
}

pub async fn neighbouring_ids_are_apart(subject: &mut dyn Subject) -> Outcome {
    let store = subject.store();
    let mut last = [0; 32];
    last[31] = 1;
    let ids = [[0; 32], last, [0x7f; 32], [0xff; 32]].map(LogId);
    let mut writers = ids.map(|log| LogWriter { log, ..LogWriter::new("main") });
    for (batches, writer) in (1..).zip(&mut writers) {
        let mut batch = writer.batch(1);
        batch.operations = vec![key(1)];
        writer.append(&*store, batch).await;
        writer.append_many(&*store, batches - 1).await;
    }
    for (batches, writer) in (1..).zip(&writers) {
        let read = store.read(writer.log, 1, usize::MAX).await.unwrap();
        assert_eq!(read.len(), batches);
        assert_eq!(store.last(writer.log).await.unwrap(), read.last().cloned());
        assert_eq!(store.number_of(writer.log, 99).await.unwrap(), Some(batches as u64));
        assert_eq!(store.find_operations(writer.log, &[key(1)]).await.unwrap(), [Some(1)]);
    }
    Outcome::Passed
}
