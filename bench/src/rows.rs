//! The rows of the report, one file each.

mod cached_read;
mod compare;
mod create_branch;
mod durable_write;
mod fan_out;
mod gateway_read;
mod idle_memory;
mod import_history;
mod import_tree;
mod large_write;
mod refused_uploads;
mod replay;
mod scaling;
mod start;

pub(crate) use large_write::put;

use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use tokio::runtime::Runtime;

use crate::Result;
use crate::report::Table;

/// What a run has at hand.
pub(crate) struct Bench {
    /// The command under test.
    pub(crate) vdom: PathBuf,
    /// This program, which is also the echo.
    pub(crate) echo: PathBuf,
    /// For the servers' data; removed at the end.
    pub(crate) folder: PathBuf,
    /// Whether vdom logs every call.
    pub(crate) access_log: bool,
    /// Files to be imported, where there are any.
    pub(crate) tree: Option<PathBuf>,
    /// Whose history is imported.
    pub(crate) repository: PathBuf,
    pub(crate) rounds: u32,
    /// How long a turn is measured.
    pub(crate) turn: Duration,
    /// For the few calls around the load.
    pub(crate) runtime: Runtime,
}

/// Tells whoever watches how far it is.
pub(crate) fn progress(what: &str) {
    // A run is worth finishing where nobody watches.
    let _closed = writeln!(std::io::stderr(), "{what}");
}

/// What can be measured.
#[derive(clap::Subcommand, Clone, Copy, Debug)]
pub(crate) enum Row {
    /// Memory of a sidecar and a gateway that have nothing to do
    IdleMemory,
    /// A cached `ReadSnapshot` at the sidecar, against a bare tonic echo
    CachedRead,
    /// Durable writes of 64 clients, against etcd, a bare tonic echo and Redis
    DurableWrite,
    /// The latest `ReadSnapshot` at the gateway, against a bare tonic echo
    GatewayRead,
    /// 1,000 subscribers of one branch, against etcd's watch
    FanOut,
    /// The whole history of a branch on one stream
    Replay,
    /// A directory imported, against `git add` and `git commit`
    ImportTree,
    /// A repository's history imported, against git's own export and import
    ImportHistory,
    /// Contents of 10 and 100 MB, against a file written and fsynced
    LargeWrite,
    /// What uploads of 60 MB leave on the disk that are refused or cut off
    RefusedUploads,
    /// A branch created from another, against two fsyncs
    CreateBranch,
    /// A start on 1,000,000 changes, and memory with a full cache
    Start,
    /// Calls at a sidecar with up to 2,000 open watches, against etcd
    OpenWatches,
    /// Up to 50,000 branches listed after a start, against a range of etcd
    ColdList,
    /// Pages of history as messages grow
    HistoryPages,
    /// Up to 5,000 dropped streams on one connection
    DroppedStreams,
    /// A commit with up to 50,000 files imported, against git
    ImportFiles,
    /// Up to 10,000 branches imported, against git
    ImportBranches,
    /// Up to 4,000 merges in 20,000 commits imported, against git
    ImportMerges,
}

impl Row {
    /// How work grows with what there is.
    pub(crate) const SCALING: [Self; 7] = [
        Self::OpenWatches,
        Self::ColdList,
        Self::HistoryPages,
        Self::DroppedStreams,
        Self::ImportFiles,
        Self::ImportBranches,
        Self::ImportMerges,
    ];

    /// In the order of the report.
    pub(crate) const ALL: [Self; 19] = [
        Self::IdleMemory,
        Self::CachedRead,
        Self::DurableWrite,
        Self::GatewayRead,
        Self::FanOut,
        Self::Replay,
        Self::ImportTree,
        Self::ImportHistory,
        Self::LargeWrite,
        Self::RefusedUploads,
        Self::CreateBranch,
        Self::Start,
        Self::OpenWatches,
        Self::ColdList,
        Self::HistoryPages,
        Self::DroppedStreams,
        Self::ImportFiles,
        Self::ImportBranches,
        Self::ImportMerges,
    ];

    /// Measures it. Everything it starts has ended afterwards.
    pub(crate) fn run(self, bench: &Bench) -> Result<Vec<Table>> {
        match self {
            Self::IdleMemory => idle_memory::run(bench),
            Self::CachedRead => cached_read::run(bench),
            Self::DurableWrite => durable_write::run(bench),
            Self::GatewayRead => gateway_read::run(bench),
            Self::FanOut => fan_out::run(bench),
            Self::Replay => replay::run(bench),
            Self::ImportTree => import_tree::run(bench),
            Self::ImportHistory => import_history::run(bench),
            Self::LargeWrite => large_write::run(bench),
            Self::RefusedUploads => refused_uploads::run(bench),
            Self::CreateBranch => create_branch::run(bench),
            Self::Start => start::run(bench),
            Self::OpenWatches => scaling::open_watches::run(bench),
            Self::ColdList => scaling::cold_list::run(bench),
            Self::HistoryPages => scaling::history_pages::run(bench),
            Self::DroppedStreams => scaling::dropped_streams::run(bench),
            Self::ImportFiles => scaling::import_files::run(bench),
            Self::ImportBranches => scaling::import_branches::run(bench),
            Self::ImportMerges => scaling::import_merges::run(bench),
        }
    }
}
