//! The rows of the report, one file each.

mod cached_read;
mod compare;
mod durable_write;
mod idle_memory;

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
    pub(crate) rounds: u32,
    /// How long a turn is measured.
    pub(crate) turn: Duration,
    /// For the few calls around the load.
    pub(crate) runtime: Runtime,
}

/// What can be measured.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Row {
    CachedRead,
    DurableWrite,
    IdleMemory,
}

impl Row {
    /// In the order of the report.
    pub(crate) const ALL: [Self; 3] = [Self::IdleMemory, Self::CachedRead, Self::DurableWrite];

    /// Measures it. Everything it starts has ended afterwards.
    pub(crate) fn run(self, bench: &Bench) -> Result<Vec<Table>> {
        match self {
            Self::CachedRead => cached_read::run(bench),
            Self::DurableWrite => durable_write::run(bench),
            Self::IdleMemory => idle_memory::run(bench),
        }
    }
}
