//! What a server runs under while something is counted, and how the count is read.

use std::fs::{self, File};
use std::io::{BufReader, Read};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use super::strace_log::{SystemCalls, Window};
use crate::Result;
use crate::servers::process::{ServerProcess, Wrapper, free_port, timed};

/// The build that counts its allocations tells them to whoever connects there.
const ALLOCATIONS_ADDRESS: &str = "VDOM_ALLOCATION_COUNT_ADDRESS";

/// What a server runs under.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Callgrind,
    Strace,
    Allocations,
}

/// One server's instrument.
pub(super) struct Instrument {
    kind: Kind,
    folder: PathBuf,
    allocations: SocketAddr,
    dumps: u32,
}

/// What was counted meanwhile.
#[derive(Debug)]
pub(super) enum Counted {
    Instructions(u64),
    Allocations {
        count: u64,
        bytes: u64,
    },
    /// Read once the server has ended.
    SystemCalls(Window),
}

/// A count that has begun.
#[derive(Clone, Copy)]
pub(super) enum Begun {
    Callgrind,
    Strace { from: f64 },
    Allocations { count: u64, bytes: u64 },
}

impl Instrument {
    pub(super) fn new(kind: Kind, folder: &Path) -> Result<Self> {
        fs::create_dir_all(folder)?;
        Ok(Self { kind, folder: folder.to_owned(), allocations: free_port()?, dumps: 0 })
    }

    pub(super) fn kind(&self) -> Kind {
        self.kind
    }

    /// How a server is started.
    pub(super) fn wrapper(&self) -> Wrapper {
        let command = match self.kind {
            Kind::Allocations => Vec::new(),
            Kind::Callgrind => vec![
                "valgrind".to_owned(),
                "--tool=callgrind".to_owned(),
                "--instr-atstart=no".to_owned(),
                "--fair-sched=yes".to_owned(),
                format!("--callgrind-out-file={}", self.profile().display()),
            ],
            Kind::Strace => ["strace", "-D", "-f", "-ttt", "-y", "-s", "0", "-o"]
                .map(str::to_owned)
                .into_iter()
                .chain([self.log().display().to_string()])
                .collect(),
        };
        let variables = match self.kind {
            Kind::Allocations => vec![(ALLOCATIONS_ADDRESS, self.allocations.to_string())],
            Kind::Callgrind | Kind::Strace => Vec::new(),
        };
        Wrapper { command, variables }
    }

    /// Begins to count.
    pub(super) fn begin(&self, server: &ServerProcess) -> Result<Begun> {
        match self.kind {
            Kind::Callgrind => {
                control(server, &["-i", "on"])?;
                Ok(Begun::Callgrind)
            }
            Kind::Strace => Ok(Begun::Strace { from: now()? }),
            Kind::Allocations => {
                let (count, bytes) = self.allocated()?;
                Ok(Begun::Allocations { count, bytes })
            }
        }
    }

    /// Counts until now.
    pub(super) fn end(&mut self, server: &ServerProcess, begun: Begun) -> Result<Counted> {
        match begun {
            Begun::Callgrind => {
                control(server, &["-i", "off"])?;
                control(server, &["-d"])?;
                self.dumps += 1;
                Ok(Counted::Instructions(self.instructions()?))
            }
            Begun::Strace { from } => Ok(Counted::SystemCalls(Window { from, to: now()? })),
            Begun::Allocations { count, bytes } => {
                let (count_now, bytes_now) = self.allocated()?;
                Ok(Counted::Allocations { count: count_now - count, bytes: bytes_now - bytes })
            }
        }
    }

    /// The system calls within each of some stretches of time, once the server has ended.
    pub(super) fn system_calls(&self, windows: &[Window]) -> Result<Vec<SystemCalls>> {
        SystemCalls::read(BufReader::new(File::open(self.log())?), windows)
    }

    fn log(&self) -> PathBuf {
        self.folder.join("strace.log")
    }

    fn profile(&self) -> PathBuf {
        self.folder.join("callgrind.out")
    }

    /// Of the last dump.
    fn instructions(&self) -> Result<u64> {
        let path = PathBuf::from(format!("{}.{}", self.profile().display(), self.dumps));
        let profile = fs::read_to_string(&path)
            .map_err(|error| format!("callgrind wrote no {}: {error}", path.display()))?;
        let totals = profile.lines().rev().find_map(|line| line.strip_prefix("totals: "));
        let totals = totals.and_then(|totals| totals.trim().parse().ok());
        totals.ok_or_else(|| format!("{} has no totals", path.display()).into())
    }

    fn allocated(&self) -> Result<(u64, u64)> {
        let mut text = String::new();
        let failed = |error| {
            format!(
                "the allocations cannot be read: {error}; build vdom with the feature \
                 count-allocations"
            )
        };
        TcpStream::connect(self.allocations)
            .and_then(|mut connection| connection.read_to_string(&mut text))
            .map_err(failed)?;
        let (count, bytes) = text.trim().split_once(' ').ok_or("two numbers were expected")?;
        Ok((count.parse()?, bytes.parse()?))
    }
}

fn control(server: &ServerProcess, command: &[&str]) -> Result<()> {
    timed(Command::new("callgrind_control").args(command).arg(server.id().to_string()))?;
    Ok(())
}

/// Seconds since the Unix epoch, as strace has them.
pub(super) fn now() -> Result<f64> {
    Ok(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs_f64())
}
