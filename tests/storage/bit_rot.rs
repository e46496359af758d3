//! Bit rot: one flipped bit anywhere in the files of a store is found or harmless, and
//! never gives a wrong answer.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use parking_lot::Mutex;
use vdom_store::StoreErrorKind;

use super::image::Image;
use super::workload::{self, Acknowledged, Contents, Fault, Random};

const FLIPS: &str = "VDOM_CHAOS_FLIPS";
const SEED: &str = "VDOM_CHAOS_SEED";

/// With the first, most rows are in tables; with the second, in the journal.
const MEMTABLES_BYTES: [u64; 2] = [24 << 10, 1 << 20];

const HANGS_AFTER: Duration = Duration::from_secs(50);

/// What a store made of a flipped bit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Outcome {
    RefusedToOpen,
    RefusedToRead,
    /// All that was acknowledged was read.
    Harmless,
}

/// A populated store that was closed.
struct Subject {
    memtable_bytes: u64,
    image: Image,
    acknowledged: Acknowledged,
    contents: Contents,
}

struct Flip {
    file: PathBuf,
    at: u64,
    bit: u8,
}

#[test]
fn no_flipped_bit_is_served() {
    let flips = super::number_from_environment(FLIPS, 300) as usize;
    let seed = super::number_from_environment(SEED, 1);
    let subjects = MEMTABLES_BYTES.map(|memtable_bytes| Arc::new(populate(memtable_bytes)));
    let next = AtomicUsize::new(0);
    let outcomes: Mutex<BTreeMap<Outcome, usize>> = Mutex::default();
    let failed: Mutex<Vec<String>> = Mutex::default();
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(2, usize::from) {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= flips {
                        return;
                    }
                    let subject = &subjects[number % subjects.len()];
                    let flip = Flip::any(&subject.image, &mut Random(seed << 32 | number as u64));
                    let shown = flip.to_string();
                    match examine(Arc::clone(subject), flip) {
                        Ok(outcome) => *outcomes.lock().entry(outcome).or_default() += 1,
                        Err(what) => failed.lock().push(format!("{shown}: {what}")),
                    }
                }
            });
        }
    });
    let (outcomes, failed) = (outcomes.into_inner(), failed.into_inner());
    println!("{flips} flips: {outcomes:?}, {} failed", failed.len());
    assert!(failed.is_empty(), "{} of {flips} flips: {failed:#?}", failed.len());
    let harmless = outcomes.get(&Outcome::Harmless).copied().unwrap_or_default();
    assert!(harmless < flips / 2, "most flips hit nothing: {outcomes:?}");
}

fn populate(memtable_bytes: u64) -> Subject {
    let directory = workload::scratch();
    let acknowledged: Mutex<Acknowledged> = Mutex::default();
    let report = |report: String| acknowledged.lock().note(&report);
    runtime().block_on(workload::write(directory.path(), memtable_bytes, 4, 7, report));
    let image = Image::of(directory.path());
    let acknowledged = acknowledged.into_inner();
    Subject { memtable_bytes, image, acknowledged, contents: Contents::new() }
}

/// On a thread of its own, so that it may panic or hang.
fn examine(subject: Arc<Subject>, flip: Flip) -> Result<Outcome, String> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let directory = workload::scratch();
        subject.image.write_to(directory.path());
        flip.apply(directory.path());
        // Whoever waited for it may have given up.
        let _ = sender.send(runtime().block_on(outcome(&subject, directory.path())));
    });
    receiver.recv_timeout(HANGS_AFTER).unwrap_or_else(|error| {
        Err(match error {
            RecvTimeoutError::Timeout => "it hangs".to_owned(),
            RecvTimeoutError::Disconnected => "it panicked".to_owned(),
        })
    })
}

async fn outcome(subject: &Subject, path: &Path) -> Result<Outcome, String> {
    let (outcome, fault) = match workload::open(path, subject.memtable_bytes) {
        Err(error) => (Outcome::RefusedToOpen, Fault::Refused(error)),
        Ok(store) => match subject.contents.check(&store, &subject.acknowledged).await {
            Err(fault) => (Outcome::RefusedToRead, fault),
            Ok(found) if found == subject.acknowledged => return Ok(Outcome::Harmless),
            Ok(found) => (Outcome::Harmless, Fault::Wrong(format!("it holds {found:?}"))),
        },
    };
    match fault {
        // The number in FORMAT may become that of a release to come.
        Fault::Refused(error)
            if matches!(error.kind, StoreErrorKind::Damaged | StoreErrorKind::NewerFormat) =>
        {
            Ok(outcome)
        }
        Fault::Refused(error) => Err(format!("{:?}: {error}", error.kind)),
        Fault::Wrong(what) => Err(what),
    }
}

impl Flip {
    /// Half of them anywhere in what was written, the others in any file alike, be it
    /// small; some where nothing was written.
    fn any(image: &Image, random: &mut Random) -> Self {
        let files: Vec<_> = image.files.iter().filter(|(_, file)| file.length > 0).collect();
        let written: u64 = files.iter().map(|(_, file)| file.bytes.len() as u64).sum();
        let (file, at) = if random.one_in(2) {
            let mut at = random.below(written);
            let mut hit = None;
            for (name, content) in &files {
                let length = content.bytes.len() as u64;
                if at < length {
                    hit = Some(*name);
                    break;
                }
                at -= length;
            }
            (hit.unwrap(), at)
        } else {
            let (name, content) = files[random.index(files.len())];
            let end = if random.one_in(8) { content.length } else { content.bytes.len() as u64 };
            (name, random.below(end.max(1)))
        };
        Self { file: file.clone(), at, bit: random.below(8) as u8 }
    }

    fn apply(&self, root: &Path) {
        use std::os::unix::fs::FileExt;
        let file = std::fs::File::options().read(true).write(true).open(root.join(&self.file));
        let (file, mut byte) = (file.unwrap(), [0]);
        file.read_exact_at(&mut byte, self.at).unwrap();
        file.write_all_at(&[byte[0] ^ (1 << self.bit)], self.at).unwrap();
    }
}

impl fmt::Display for Flip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "bit {} of byte {} of {}", self.bit, self.at, self.file.display())
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().build().unwrap()
}
