//! Following logs.

use std::sync::Arc;
use std::time::Duration;

use super::fixtures::LogWriter;
use super::{Outcome, Subject};
use crate::batch::LogEntry;
use crate::commit_hint::HINTED_BATCH_MAX_BYTES;
use crate::log::LogId;
use crate::store::Append;

const HEARD_WITHIN: Duration = Duration::from_secs(20);

pub async fn the_next_batches_of_many_logs(subject: &mut dyn Subject) -> Outcome {
    let store = subject.store();
    let mut short = LogWriter::new("short");
    let mut long = LogWriter::new("long");
    let only = short.append_many(&*store, 1).await.remove(0);
    let batches = long.append_many(&*store, 5).await;

    let mut watched = vec![(short.log, 2), (long.log, 4), (short.log, 1), (long.log, 6)];
    watched.extend((0..2500_u64).map(|log| {
        let mut id = [7; 32];
        id[..8].copy_from_slice(&log.to_be_bytes());
        (LogId(id), 1)
    }));
    let mut found = store.next_batches(&watched).await.unwrap();
    found.sort_by_key(|(_, row)| row.number);
    let expected = [
        (short.log, LogEntry { number: 1, batch: only }),
        (long.log, LogEntry { number: 4, batch: batches[3].clone() }),
    ];
    assert_eq!(found, expected);
    assert_eq!(store.next_batches(&[]).await.unwrap(), []);
    Outcome::Passed
}

pub async fn polling_misses_nothing(subject: &mut dyn Subject) -> Outcome {
    const BATCHES: u64 = 40;
    let store = subject.store();
    let reader = subject.peer().await.unwrap_or_else(|| Arc::clone(&store));
    let mut writers = [LogWriter::new("one"), LogWriter::new("two"), LogWriter::new("three")];
    let mut watched = writers.clone().map(|writer| (writer.log, 1));
    let writing = tokio::spawn(async move {
        let mut written = Vec::new();
        for round in 0..BATCHES {
            let writer = &mut writers[(round % 3) as usize];
            written.push((writer.log, writer.next, writer.append(&*store, writer.batch(1)).await));
        }
        written
    });
    let mut seen = Vec::new();
    while (seen.len() as u64) < BATCHES {
        for (log, row) in reader.next_batches(&watched).await.unwrap() {
            let next = watched.iter_mut().find(|(watched, _)| *watched == log).unwrap();
            assert_eq!(row.number, next.1);
            next.1 += 1;
            seen.push((log, row.number, row.batch));
        }
        tokio::task::yield_now().await;
    }
    let mut written = writing.await.unwrap();
    written.sort_by_key(|(log, number, _)| (*log, *number));
    seen.sort_by_key(|(log, number, _)| (*log, *number));
    assert_eq!(seen, written);
    Outcome::Passed
}

pub async fn commits_of_others_are_hinted(subject: &mut dyn Subject) -> Outcome {
    let Some(other) = subject.peer().await else {
        return Outcome::Skipped("no other process may append");
    };
    let store = subject.store();
    if store.guarantees().warnings.iter().any(|warning| warning.contains("change stream")) {
        return Outcome::Skipped("the server has no change streams");
    }
    let mut ours = LogWriter::new("ours");
    let mut theirs = LogWriter::new("theirs");
    let mut hints = store.commit_hints();
    let mut large = theirs.batch(1);
    large.body = vec![1; HINTED_BATCH_MAX_BYTES].into();
    ours.append_many(&*store, 1).await;
    theirs.append(&*other, large).await;
    // Hints may be lost, so there are more until both kinds were heard.
    let (mut with_batch, mut without) = (false, false);
    let listening = async {
        while !(with_batch && without) {
            tokio::select! {
                hint = hints.recv() => {
                    let hint = hint.unwrap();
                    assert_eq!(hint.log, theirs.log, "own appends are no news");
                    match hint.batch {
                        None => without = true,
                        Some(batch) => {
                            let stored = store.read(hint.log, hint.number, 0).await.unwrap();
                            assert_eq!(stored[0].batch, batch);
                            with_batch = true;
                        }
                    }
                }
                () = tokio::time::sleep(Duration::from_millis(200)) => {
                    let mut batch = theirs.batch(1);
                    if !without {
                        batch.body = vec![1; HINTED_BATCH_MAX_BYTES].into();
                    }
                    let answer = other.append(theirs.log, theirs.next, &batch).await;
                    assert_eq!(answer.unwrap(), Append::Committed);
                    theirs.advance(&batch);
                }
            }
        }
    };
    tokio::time::timeout(HEARD_WITHIN, listening).await.expect("no hint was heard");
    Outcome::Passed
}
