//! Following logs.

use std::sync::Arc;
use std::time::Duration;

use super::fixtures::Writer;
use super::{Outcome, Subject};
use crate::batch::{LogId, Numbered};
use crate::contract::{Append, EARLY_BATCH_MAX_BYTES};

const HEARD_WITHIN: Duration = Duration::from_secs(20);

pub async fn the_next_batches_of_many_logs(subject: &mut dyn Subject) -> Outcome {
    let store = subject.store();
    let mut short = Writer::new("short");
    let mut long = Writer::new("long");
    let only = short.append_many(&*store, 1).await.remove(0);
    let batches = long.append_many(&*store, 5).await;

    let mut watched = vec![(short.log, 2), (long.log, 4), (short.log, 1), (long.log, 6)];
    watched.extend((0..2500_u64).map(|log| {
        let mut id = [7; 32];
        id[..8].copy_from_slice(&log.to_be_bytes());
        (LogId(id), 1)
    }));
    let mut found = store.next_of(&watched).await.unwrap();
    found.sort_by_key(|(_, row)| row.number);
    let expected = [
        (short.log, Numbered { number: 1, batch: only }),
        (long.log, Numbered { number: 4, batch: batches[3].clone() }),
    ];
    assert_eq!(found, expected);
    assert_eq!(store.next_of(&[]).await.unwrap(), []);
    Outcome::Passed
}

pub async fn polling_misses_nothing(subject: &mut dyn Subject) -> Outcome {
    const BATCHES: u64 = 40;
    let store = subject.store();
    let reader = subject.peer().await.unwrap_or_else(|| Arc::clone(&store));
    let mut writers = [Writer::new("one"), Writer::new("two"), Writer::new("three")];
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
        for (log, row) in reader.next_of(&watched).await.unwrap() {
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

pub async fn others_are_heard_early(subject: &mut dyn Subject) -> Outcome {
    let Some(other) = subject.peer().await else {
        return Outcome::Skipped("no other process may append");
    };
    let store = subject.store();
    if store.promises().warnings.iter().any(|warning| warning.contains("change stream")) {
        return Outcome::Skipped("the server has no change streams");
    }
    let mut ours = Writer::new("ours");
    let mut theirs = Writer::new("theirs");
    let mut early = store.early();
    let mut large = theirs.batch(1);
    large.body = vec![1; EARLY_BATCH_MAX_BYTES].into();
    ours.append_many(&*store, 1).await;
    theirs.append(&*other, large).await;
    // Words may be lost, so they are given again until both kinds were heard.
    let (mut with_batch, mut without) = (false, false);
    let listening = async {
        while !(with_batch && without) {
            tokio::select! {
                word = early.recv() => {
                    let word = word.unwrap();
                    assert_eq!(word.log, theirs.log, "own appends are no news");
                    match word.batch {
                        None => without = true,
                        Some(batch) => {
                            let stored = store.read(word.log, word.number, 0).await.unwrap();
                            assert_eq!(stored[0].batch, batch);
                            with_batch = true;
                        }
                    }
                }
                () = tokio::time::sleep(Duration::from_millis(200)) => {
                    let mut batch = theirs.batch(1);
                    if !without {
                        batch.body = vec![1; EARLY_BATCH_MAX_BYTES].into();
                    }
                    let answer = other.append(theirs.log, theirs.next, &batch).await;
                    assert_eq!(answer.unwrap(), Append::Committed);
                    theirs.advance(&batch);
                }
            }
        }
    };
    tokio::time::timeout(HEARD_WITHIN, listening).await.expect("no early word was heard");
    Outcome::Passed
}
