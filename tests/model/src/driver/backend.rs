//! What gateways stand over: memory with its faults, or the embedded store in a folder of its
//! own.

use std::sync::Arc;

use tempfile::TempDir;
use vdom_store::Store;
use vdom_store::embedded::{EmbeddedOptions, EmbeddedStore};
use vdom_store::memory::{AppendFault, MemoryStore, ViewFaults};

use crate::steps::Scenario;

/// Which store a scenario is played over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BackendKind {
    /// Memory, for any number of gateways, in virtual time.
    Memory,
    /// The embedded store, for one gateway, in real time and without faults.
    Embedded,
}

/// The store of a scenario.
pub(super) enum Backend {
    Memory(Arc<MemoryStore>),
    Embedded {
        store: Arc<EmbeddedStore>,
        /// Removed with it.
        _folder: TempDir,
    },
}

impl Backend {
    /// An empty store that goes wrong as the scenario says.
    pub(super) fn new(kind: BackendKind, scenario: &Scenario) -> Self {
        if kind == BackendKind::Embedded {
            let folder = tempfile::tempdir().expect("a folder");
            let store = EmbeddedStore::open(folder.path(), options(scenario.seed));
            let store = Arc::new(store.expect("an empty store opens"));
            return Self::Embedded { store, _folder: folder };
        }
        let store = match scenario.gateways {
            0 | 1 => MemoryStore::new(scenario.seed),
            _ => MemoryStore::shared(scenario.seed),
        };
        store.lose_commit_hints(scenario.lose_hints);
        let backend = Self::Memory(Arc::new(store));
        backend.disturb_views(scenario);
        backend
    }

    /// For who maintains it while no gateway runs, and for the only gateway.
    pub(super) fn store(&self) -> Arc<dyn Store> {
        match self {
            Self::Memory(store) => store.clone(),
            Self::Embedded { store, .. } => store.clone(),
        }
    }

    /// For one of several gateways.
    pub(super) fn peer(&self) -> Arc<dyn Store> {
        match self {
            Self::Memory(store) => Arc::new(store.peer()),
            Self::Embedded { store, .. } => store.clone(),
        }
    }

    /// Lets the answer to the next append be lost.
    pub(super) fn fail_next_append(&self, fault: AppendFault) {
        if let Self::Memory(store) = self {
            store.fail_next_append(fault);
        }
    }

    /// Lets view writes go wrong as often as the scenario says.
    pub(super) fn disturb_views(&self, scenario: &Scenario) {
        if let Self::Memory(store) = self {
            let faults = ViewFaults { lost: scenario.lost_views, late: scenario.lost_views };
            store.disturb_views(faults);
        }
    }

    /// From now on view writes go well, and those that are late come.
    pub(super) fn settle_views(&self) {
        if let Self::Memory(store) = self {
            store.disturb_views(ViewFaults::default());
            store.settle_views();
        }
    }
}

/// Segments of 4 KiB to 1 MiB, and memtables of 16 KiB to 1 MiB: with the small ones segments are
/// sealed and removed, and the index is written behind, all the time.
fn options(seed: u64) -> EmbeddedOptions {
    EmbeddedOptions {
        segment_bytes: 4096 << (seed % 9),
        memtable_bytes: 16_384 << (seed / 9 % 7),
        min_free_bytes: 0,
        ..EmbeddedOptions::small()
    }
}
