//! Notices what happens to files.

use std::collections::BTreeSet;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use notify::event::{AccessKind, AccessMode};
use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::error::{Error, Result};
use crate::local_path::{below, is_within};

/// A batch is settled after this much quiet.
const QUIET: Duration = Duration::from_millis(60);
/// It is taken after this much time even where there is none.
const UNQUIET_MAX: Duration = Duration::from_secs(1);
/// More paths than this are not told apart.
const PATHS_MAX: usize = 4_096;

/// Notices what happens in the folders that it is told of.
#[derive(Debug)]
pub(crate) struct Watcher {
    root: PathBuf,
    system: RecommendedWatcher,
    inbox: Arc<Inbox>,
    folders: BTreeSet<Vec<u8>>,
    /// What the system refused to watch.
    refused: BTreeSet<Vec<u8>>,
}

/// The paths where the system noticed something.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ObservedPaths {
    /// Where something may have changed.
    pub(crate) paths: BTreeSet<Vec<u8>>,
    /// Or anywhere: the system could not keep up.
    pub(crate) anywhere: bool,
}

#[derive(Debug, Default)]
struct Inbox {
    waiting: Mutex<Waiting>,
    came: Notify,
}

/// What was noticed and not taken yet.
#[derive(Debug, Default)]
struct Waiting {
    observed: ObservedPaths,
    /// When the first and the last of it came.
    times: Option<(Instant, Instant)>,
}

impl Watcher {
    pub(crate) fn new(root: &Path) -> Result<Self> {
        let inbox = Arc::new(Inbox::default());
        let (to, below_root) = (inbox.clone(), root.to_owned());
        let system = notify::recommended_watcher(move |event| to.take(&below_root, event))
            .map_err(|error| Error::failed(format!("cannot watch files: {error}")))?;
        Ok(Self {
            root: root.to_owned(),
            system,
            inbox,
            folders: BTreeSet::new(),
            refused: BTreeSet::new(),
        })
    }

    /// Watches just these folders. True where some are new: what came to them before
    /// is not noticed.
    pub(crate) fn watch(&mut self, folders: &BTreeSet<Vec<u8>>) -> bool {
        for gone in self.folders.difference(folders) {
            // Of a folder that is gone the system knows already.
            let _may_be_gone = self.system.unwatch(&below(&self.root, gone));
        }
        let mut has_new = false;
        let mut watched = BTreeSet::new();
        self.refused.clear();
        for folder in folders {
            if self.folders.contains(folder) {
                watched.insert(folder.clone());
                continue;
            }
            let path = below(&self.root, folder);
            match self.system.watch(&path, RecursiveMode::NonRecursive) {
                Ok(()) => {
                    has_new = true;
                    watched.insert(folder.clone());
                }
                Err(_) if !path.is_dir() => {}
                Err(_) => {
                    self.refused.insert(folder.clone());
                }
            }
        }
        self.folders = watched;
        has_new
    }

    /// How many folders the system does not watch, though they are there.
    pub(crate) fn unwatched(&self) -> usize {
        self.refused.len()
    }

    /// A folder that is made again must be watched again.
    pub(crate) fn forget(&mut self, observed: &ObservedPaths) {
        if observed.anywhere {
            self.folders.clear();
            return;
        }
        for path in observed.paths.iter().filter(|path| !path.is_empty()) {
            if self.folders.contains(path) {
                self.folders.retain(|folder| !is_within(folder, path));
            }
        }
    }

    /// What was noticed, once there is quiet. Nothing is lost where the caller
    /// stops waiting.
    pub(crate) async fn next_batch(&self) -> ObservedPaths {
        loop {
            let due = self.inbox.waiting.lock().due();
            match due {
                None => self.inbox.came.notified().await,
                Some(due) if due > Instant::now() => tokio::time::sleep_until(due).await,
                Some(_) => return std::mem::take(&mut *self.inbox.waiting.lock()).observed,
            }
        }
    }
}

impl Waiting {
    /// When there was quiet for long enough; `None` where nothing waits.
    fn due(&self) -> Option<Instant> {
        self.times.map(|(first, last)| (last + QUIET).min(first + UNQUIET_MAX))
    }
}

impl Inbox {
    fn take(&self, root: &Path, event: notify::Result<notify::Event>) {
        let (paths, anywhere) = match event {
            Ok(event) if is_reading(&event) => return,
            Ok(event) => {
                let anywhere = event.need_rescan();
                (event.paths, anywhere)
            }
            // Whatever it is: nothing may be missed.
            Err(_) => (Vec::new(), true),
        };
        let below_root = |path: &PathBuf| {
            let relative = path.strip_prefix(root).ok()?;
            Some(relative.as_os_str().as_bytes().to_vec())
        };
        let mut waiting = self.waiting.lock();
        waiting.observed.anywhere |= anywhere;
        waiting.observed.paths.extend(paths.iter().filter_map(below_root));
        if waiting.observed.paths.len() > PATHS_MAX {
            waiting.observed = ObservedPaths { anywhere: true, ..ObservedPaths::default() };
        }
        let now = Instant::now();
        waiting.times = Some((waiting.times.map_or(now, |(first, _)| first), now));
        drop(waiting);
        self.came.notify_one();
    }
}

fn is_reading(event: &notify::Event) -> bool {
    let is_writing = EventKind::Access(AccessKind::Close(AccessMode::Write));
    matches!(event.kind, EventKind::Access(_)) && event.kind != is_writing && !event.need_rescan()
}
