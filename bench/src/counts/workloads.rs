//! The work that is counted, by how often a server is asked: never by time, so that the counts
//! repeat.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures::future::try_join_all;
use tonic::Status;
use vdom_proto::v1::SubscribeRequest;
use vdom_proto::v1::change_event::Type;

use super::instrument::{Kind, now};
use super::strace_log::Window;
use crate::rows::{Bench, put};
use crate::servers::process::timed;
use crate::servers::{
    Client, Gateway, Noise, VALUE_BYTES, connect, read_request, whole_branch, write_request,
};
use crate::{Failure, Result};

/// So many writers, each with a connection of its own, write at once.
const WRITERS: u64 = 64;
const READERS: u64 = 16;
const READS_AT_ONCE: u64 = 25;
const CONNECTIONS: usize = 4;
const WATCHES: u64 = 100;
const WATCH_CONNECTIONS: usize = 10;
const EVENTS_AT_ONCE: u64 = 10;
const IMPORTED_FILES: u64 = 500;
const LARGE_BYTES: usize = 10_000_000;
const EVENTS_DEADLINE: Duration = Duration::from_secs(60);

/// One of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Workload {
    Write,
    CachedRead,
    GatewayRead,
    Event,
    LargeWrite,
    ImportedFile,
}

/// Those of a gateway, in the order in which they run.
pub(super) const OF_GATEWAY: [Workload; 5] = [
    Workload::Write,
    Workload::GatewayRead,
    Workload::Event,
    Workload::LargeWrite,
    Workload::ImportedFile,
];

impl Workload {
    /// What it is called in the file of counts.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Write => "write",
            Self::CachedRead => "cached-read",
            Self::GatewayRead => "gateway-read",
            Self::Event => "delivered-event",
            Self::LargeWrite => "large-write",
            Self::ImportedFile => "imported-file",
        }
    }

    /// What one call is.
    pub(super) fn describe(self) -> &'static str {
        match self {
            Self::Write => "a write of 1 KB, 64 clients",
            Self::CachedRead => "a read of 1 KB from the sidecar's cache",
            Self::GatewayRead => "the latest read of 1 KB at the gateway",
            Self::Event => "an event of 1 KB, delivered to one of 100 subscribers",
            Self::LargeWrite => "a write of 10 MB by REST",
            Self::ImportedFile => "a file of 1 KB, imported with 499 others",
        }
    }

    /// How many calls a round of it has.
    pub(super) fn calls(self) -> u64 {
        match self {
            Self::Write => WRITERS,
            Self::CachedRead | Self::GatewayRead => READS_AT_ONCE * READERS,
            Self::Event => EVENTS_AT_ONCE * WATCHES,
            Self::LargeWrite => 1,
            Self::ImportedFile => IMPORTED_FILES,
        }
    }

    /// How many rounds are counted.
    pub(super) fn rounds(self, kind: Kind) -> u64 {
        match (self, kind) {
            // Slow there, and nearly the same each time.
            (Self::LargeWrite | Self::ImportedFile, Kind::Callgrind) => 1,
            (Self::Write, Kind::Allocations | Kind::Strace) => 15,
            _ => 3,
        }
    }

    /// Whether its messages come in one packet each: how often the server reads and what it
    /// allocates for that follows the network otherwise, and is another thing each time.
    pub(super) fn is_of_small_messages(self) -> bool {
        !matches!(self, Self::LargeWrite)
    }

    /// Whether its calls are answered in one moment, with what is put off still to be done.
    pub(super) fn is_answered_at_once(self) -> bool {
        matches!(self, Self::Write | Self::LargeWrite)
    }
}

/// What a workload needs, made ready before anything is counted.
pub(super) enum Prepared {
    Writers(Vec<Client>),
    Readers(Vec<Client>),
    Watches(Box<Watched>),
    Contents(Noise),
    Folder(tempfile::TempDir),
}

/// A branch with subscribers.
pub(super) struct Watched {
    writer: Client,
    delivered: Arc<AtomicU64>,
    watches: Vec<tokio::task::JoinHandle<()>>,
}

/// Makes a workload of the server at `address` ready, connections and first calls included.
pub(super) async fn prepare(
    workload: Workload,
    bench: &Bench,
    gateway: &Gateway,
    address: SocketAddr,
) -> Result<Prepared> {
    Ok(match workload {
        Workload::Write => {
            let writers = connections(WRITERS as usize, address, &gateway.token).await?;
            write_at_once(&writers, 1_000_000).await?;
            Prepared::Writers(writers)
        }
        Workload::CachedRead | Workload::GatewayRead => readers(address, &gateway.token).await?,
        Workload::Event => watches(gateway).await?,
        Workload::LargeWrite => {
            let mut noise = Noise::new();
            put(gateway, "large-first", &noise.bytes(1 << 20))?;
            Prepared::Contents(noise)
        }
        Workload::ImportedFile => Prepared::Folder(files(&bench.folder)?),
    })
}

/// Those who read the same node, of a gateway or a sidecar.
async fn readers(address: SocketAddr, token: &str) -> Result<Prepared> {
    let connections = connections(CONNECTIONS, address, token).await?;
    let readers: Vec<_> =
        (0..READERS as usize).map(|at| connections[at % CONNECTIONS].clone()).collect();
    read(&readers, 5).await?;
    Ok(Prepared::Readers(readers))
}

/// Does a round of the work; tells when its calls were made and answered.
pub(super) async fn run(
    workload: Workload,
    prepared: &mut Prepared,
    round: u64,
    bench: &Bench,
    gateway: &Gateway,
) -> Result<Window> {
    let from = now()?;
    match prepared {
        Prepared::Writers(writers) => write_at_once(writers, round * workload.calls()).await?,
        Prepared::Readers(readers) => read(readers, READS_AT_ONCE).await?,
        Prepared::Watches(watched) => {
            let Watched { writer, delivered, .. } = &**watched;
            let before = delivered.load(Ordering::SeqCst);
            for write in 1..=EVENTS_AT_ONCE {
                write_one(writer.clone(), 2_000_000 + round * EVENTS_AT_ONCE + write).await?;
                await_deliveries(delivered, before + write * WATCHES).await?;
            }
        }
        Prepared::Contents(noise) => {
            put(gateway, &format!("large-{round}"), &noise.bytes(LARGE_BYTES))?;
        }
        Prepared::Folder(folder) => {
            let mut import = gateway.command(bench, "import");
            let repo = format!("imported-{round}");
            import.arg(folder.path()).args(["--repo", &repo, "--quiet"]);
            timed(&mut import)?;
        }
    }
    Ok(Window { from, to: now()? })
}

async fn connections(count: usize, address: SocketAddr, token: &str) -> Result<Vec<Client>> {
    try_join_all((0..count).map(|_| connect(address, token))).await
}

/// Every writer once, all of them at the same time.
async fn write_at_once(writers: &[Client], first: u64) -> Result<()> {
    let writes =
        writers.iter().zip(first..).map(|(writer, number)| write_one(writer.clone(), number));
    try_join_all(writes).await?;
    Ok(())
}

async fn write_one(mut client: Client, number: u64) -> Result<()> {
    let value = [b'x'; VALUE_BYTES];
    let request = write_request(format!("node-{:04}", number % WRITERS), &value, number.into());
    client.write_diff(request).await.map_err(refused)?;
    Ok(())
}

async fn read(readers: &[Client], times: u64) -> Result<()> {
    let reads = readers.iter().map(|reader| {
        let mut reader = reader.clone();
        async move {
            for _ in 0..times {
                reader
                    .read_snapshot(read_request("node-0000".to_owned()))
                    .await
                    .map_err(refused)?;
            }
            Ok::<_, Failure>(())
        }
    });
    try_join_all(reads).await?;
    Ok(())
}

async fn watches(gateway: &Gateway) -> Result<Prepared> {
    let connections = connections(WATCH_CONNECTIONS, gateway.address(), &gateway.token).await?;
    let delivered = Arc::new(AtomicU64::new(0));
    let mut watches = Vec::new();
    for watch in 0..WATCHES as usize {
        let mut client = connections[watch % WATCH_CONNECTIONS].clone();
        let request = SubscribeRequest { include_diffs: true, ..whole_branch() };
        let mut events = client.subscribe_changes(request).await.map_err(refused)?.into_inner();
        let delivered = Arc::clone(&delivered);
        watches.push(tokio::spawn(async move {
            while let Ok(Some(event)) = events.message().await {
                if event.r#type() != Type::Progress {
                    delivered.fetch_add(1, Ordering::SeqCst);
                }
            }
        }));
    }
    let writer = connect(gateway.address(), &gateway.token).await?;
    // Subscribers that begin at the oldest kept change have seen all once they have this.
    write_one(writer.clone(), 3_000_000).await?;
    await_quiet(&delivered).await;
    Ok(Prepared::Watches(Box::new(Watched { writer, delivered, watches })))
}

async fn await_deliveries(delivered: &AtomicU64, wanted: u64) -> Result<()> {
    let all = async {
        while delivered.load(Ordering::SeqCst) < wanted {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(EVENTS_DEADLINE, all).await.map_err(|_| "events were not delivered".into())
}

/// Until no event has come for a while.
async fn await_quiet(delivered: &AtomicU64) {
    let mut before = u64::MAX;
    while delivered.load(Ordering::SeqCst) != before {
        before = delivered.load(Ordering::SeqCst);
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

fn files(folder: &Path) -> Result<tempfile::TempDir> {
    let files = tempfile::tempdir_in(folder)?;
    let mut noise = Noise::new();
    for file in 0..IMPORTED_FILES {
        let letters = noise.bytes(VALUE_BYTES);
        let text: String = letters.iter().map(|byte| char::from(b'a' + byte % 16)).collect();
        fs::write(files.path().join(format!("file-{file}.txt")), text)?;
    }
    Ok(files)
}

#[expect(clippy::needless_pass_by_value, reason = "it maps an error")]
fn refused(status: Status) -> Failure {
    format!("a call was refused: {status}").into()
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.watches.iter().for_each(tokio::task::JoinHandle::abort);
    }
}
