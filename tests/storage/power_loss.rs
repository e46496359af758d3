//! Power loss: whatever the disk then holds, the store opens with all it acknowledged.
//!
//! A process is recorded while it writes to a store; from the record come the states
//! that a disk may be in after its power went, at any moment of the work.

mod disk;
mod trace;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use parking_lot::Mutex;
use tempfile::TempDir;
use vdom_store::Store;
use vdom_testkit::skipped;

use self::disk::Cut;
use self::trace::{Trace, What};
use super::image::Image;
use super::workload::{self, Acknowledged, Contents, Fault, Random};

const CHILD_DIRECTORY: &str = "VDOM_TEST_STORE_DIRECTORY";
const CUTS: &str = "VDOM_CHAOS_CUTS";
const SEED: &str = "VDOM_CHAOS_SEED";
const MEMTABLE_BYTES: u64 = 24 << 10;
const OPENINGS: u64 = 6;

#[test]
fn what_was_acknowledged_survives_power_loss() {
    if let Some(reason) = trace::cannot_record() {
        return skipped("what_was_acknowledged_survives_power_loss", &reason);
    }
    let folder = workload::scratch();
    let trace = record(&folder.path().join("record"), &new_root(&folder));
    cut_often(&trace, super::number_from_environment(CUTS, 50) * 4 / 5);
}

#[test]
fn power_loss_while_a_journal_is_sealed_loses_nothing() {
    if let Some(reason) = trace::cannot_record() {
        return skipped("power_loss_while_a_journal_is_sealed_loses_nothing", &reason);
    }
    let folder = workload::scratch();
    let root = new_root(&folder);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(workload::fill_journal(&root.join("store"), MEMTABLE_BYTES));
    let trace = record(&folder.path().join("record"), &root);
    let is_journal = |name: &str| Path::new(name).extension().is_some_and(|end| end == "jnl");
    let is_new = |what: &What| matches!(what, What::Create { name, .. } if is_journal(name));
    let began = trace.operations.iter().filter(|operation| operation.began >= trace::START);
    assert!(began.map(|operation| &operation.what).any(is_new), "there is no new journal");
    cut_often(&trace, super::number_from_environment(CUTS, 50) / 5);
}

/// A process ended before its last writes were on the disk, or although an fsync of them
/// failed: the next one reads them from memory, and acknowledges what rests on them.
#[test]
fn what_was_never_synced_is_synced_before_anything_rests_on_it() {
    let test = "what_was_never_synced_is_synced_before_anything_rests_on_it";
    if let Some(reason) = trace::cannot_record() {
        return skipped(test, &reason);
    }
    let folder = workload::scratch();
    let root = new_root(&folder);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let on_the_disk = runtime.block_on(async {
        let store = workload::open(&root.join("store"), MEMTABLE_BYTES).unwrap();
        let contents = Contents::new();
        let some = contents.go_on(&store, &Acknowledged::default()).await.unwrap();
        let on_the_disk = Image::of(&root);
        contents.go_on(&store, &some).await.unwrap();
        on_the_disk
    });
    let in_memory = Image::of(&root);
    let names = |image: &Image| image.files.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&on_the_disk), names(&in_memory), "only contents are not on the disk");
    assert!(on_the_disk != in_memory);
    let trace = record_from(&on_the_disk, &folder.path().join("record"), &root);
    cut_often(&trace, super::number_from_environment(CUTS, 50) / 5);
}

/// Opens the store as it may be after cuts at so many moments.
fn cut_often(trace: &Trace, cuts: u64) {
    let seed = super::number_from_environment(SEED, 1);
    let moments = Moments::of(trace);
    let contents = Contents::new();
    let next = AtomicUsize::new(0);
    let failed: Mutex<BTreeMap<String, Vec<String>>> = Mutex::default();
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(2, usize::from) {
            scope.spawn(|| {
                let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= cuts as usize {
                        return;
                    }
                    let mut random = Random(seed << 32 | number as u64);
                    let cut = Cut::by_seed(moments.any(&mut random), random.next());
                    let outcome = runtime.block_on(examine(trace, &cut, &contents));
                    if let Err(fault) = outcome {
                        failed.lock().entry(fault).or_default().push(format!("{cut:?}"));
                    }
                }
            });
        }
    });
    let failed = failed.into_inner();
    let count: usize = failed.values().map(Vec::len).sum();
    println!("{cuts} cuts of {}: {count} failed", trace.summary());
    assert!(failed.is_empty(), "{count} of {cuts} cuts: {failed:#?}");
}

#[tokio::test]
#[ignore = "a process of its own, started by another test"]
async fn writes_while_it_is_recorded() {
    let path = std::env::var(CHILD_DIRECTORY).unwrap();
    let seed = super::number_from_environment(SEED, 1);
    let report = |report: String| println!("reports: {report}");
    workload::write(Path::new(&path), MEMTABLE_BYTES, OPENINGS, seed, report).await;
}

/// Opens what is left after a power cut, goes on with it, and opens it again.
async fn examine(trace: &Trace, cut: &Cut, contents: &Contents) -> Result<(), String> {
    let mut acknowledged = Acknowledged::default();
    for (_, report) in trace.reports.iter().filter(|(at, _)| *at < cut.at) {
        acknowledged.note(report);
    }
    let directory = workload::scratch();
    cut.image(trace).write_to(directory.path());
    let path = directory.path().join("store");
    let mut opened = "at first";
    for last in [false, true] {
        let outcome = async {
            let store = workload::open(&path, MEMTABLE_BYTES)?;
            let found = contents.check(&store, &acknowledged).await?;
            if !last {
                acknowledged = contents.go_on(&store, &found).await?;
            }
            store.close().await?;
            Ok(())
        };
        outcome.await.map_err(|fault| {
            let said = match fault {
                Fault::Refused(error) => format!("{:?}: {error}", error.kind),
                Fault::Wrong(what) => what,
            };
            // So that the same fault has the same words.
            format!("{opened}: {}", said.replace(&directory.path().display().to_string(), ""))
        })?;
        opened = "again";
    }
    Ok(())
}

fn new_root(folder: &TempDir) -> PathBuf {
    let root = folder.path().join("root");
    std::fs::create_dir(&root).unwrap();
    root
}

/// Records a process that writes to the store below `root`, all of which is on the disk.
fn record(record: &Path, root: &Path) -> Trace {
    let trace = record_from(&Image::of(root), record, root);
    assert!(Image::of(root) == Image::at_the_end(&trace), "not all that was done was recorded");
    trace
}

/// As [`record`], where the disk holds `before`, whatever the process sees of it.
fn record_from(before: &Image, record: &Path, root: &Path) -> Trace {
    let output = trace::recorder(record, &std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "--nocapture"])
        .arg("storage::power_loss::writes_while_it_is_recorded")
        .env(CHILD_DIRECTORY, root.join("store"))
        .stderr(Stdio::inherit())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    let trace = Trace::read(&std::fs::read(record).unwrap(), root, before);
    assert!(trace.reports.len() > 100, "only {} reports: no work", trace.reports.len());
    trace
}

/// The moments at which the power may go.
struct Moments {
    end: usize,
    /// Around changes of names, where most can go wrong and time is short.
    around_names: Vec<usize>,
}

impl Moments {
    fn of(trace: &Trace) -> Self {
        let around_names = trace
            .operations
            .iter()
            .filter(|operation| operation.began >= trace::START)
            .filter(|operation| !matches!(operation.what, What::Write { .. }))
            .flat_map(|operation| [operation.began, operation.ended + 1])
            .collect();
        Self { end: trace.end + 1, around_names }
    }

    fn any(&self, random: &mut Random) -> usize {
        if random.one_in(2) {
            self.around_names[random.index(self.around_names.len())]
        } else {
            trace::START + random.index(self.end - trace::START)
        }
    }
}
