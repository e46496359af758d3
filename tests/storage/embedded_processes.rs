//! Processes that end, or whose disk refuses, while they write to an embedded store.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use vdom_store::embedded::{EmbeddedOptions, EmbeddedStore};
use vdom_store::{Append, Batch, Store};

use super::rounds::{LOGS, batch, check, digest_before, fill, log, open, rows};

/// Names the store's directory to a process that a test starts.
const CHILD_DIRECTORY: &str = "VDOM_TEST_STORE_DIRECTORY";

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

fn child(test: &str, directory: &Path, prelude: &str) -> std::process::Child {
    let program = std::env::current_exe().unwrap();
    let test = format!("storage::embedded_processes::{test}");
    Command::new("bash")
        .args(["-c", &format!("{prelude} exec \"$0\" --ignored --exact --nocapture \"$1\"")])
        .arg(program)
        .arg(test)
        .env(CHILD_DIRECTORY, directory)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}
