//! etcd as a peer: one member with its defaults, so that what is acknowledged is in its log,
//! fsynced.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use tonic::Status;
use tonic::transport::{Channel, Endpoint};

use super::calls::etcd::kv_client::KvClient;
use super::calls::etcd::{PutRequest, RangeRequest};
use super::calls::{EtcdPuts, EtcdRanges, Noise, key};
use super::process::{self, ServerProcess, free_port};
use super::watches::EtcdWatches;
use super::{Missing, Side, WatchedSide};
use crate::Result;
use crate::load::Calls;

const DURABILITY: &str =
    "fsync of the write-ahead log before each answer, shared by waiting writes";

const WRITERS: u64 = 512;
/// Of keys in one answer.
const PAGE: i64 = 10_000;
const READY_WITHIN: Duration = Duration::from_secs(60);
const ASK_AGAIN_AFTER: Duration = Duration::from_millis(2);

/// A server with data of its own.
pub(crate) struct Etcd {
    pub(crate) name: String,
    pub(crate) process: ServerProcess,
    pub(crate) address: SocketAddr,
    program: PathBuf,
    folder: PathBuf,
    arguments: Vec<String>,
}

/// As the server of durable writes.
pub(crate) fn etcd(folder: &Path) -> Result<std::result::Result<Side, Missing>> {
    Ok(start_etcd(folder)?.map(|etcd| {
        let calls = Box::new(EtcdPuts::new(etcd.address));
        let Etcd { name, process, address, .. } = etcd;
        Side { name, durability: DURABILITY, process, address, calls }
    }))
}

/// Watched by so many on each connection: each on a stream of its own, and all of them on
/// one, as etcd's own clients share theirs.
pub(crate) fn watched_etcd(
    folder: &Path,
    subscribers: usize,
) -> Result<std::result::Result<[WatchedSide; 2], Missing>> {
    Ok(start_etcd(folder)?.map(|etcd| {
        let Etcd { name, process, address, .. } = etcd;
        let process = Rc::new(process);
        [("a stream each", subscribers), ("shared streams", 1)].map(|(how, streams)| WatchedSide {
            name: format!("{name}, {how}"),
            durability: DURABILITY,
            process: Rc::clone(&process),
            address,
            watches: Box::new(EtcdWatches::new(address, streams, subscribers)),
            writes: Box::new(EtcdPuts::new(address)),
        })
    }))
}

/// Reads of the first key that [`Etcd::put_many`] wrote.
pub(crate) fn etcd_ranges(address: SocketAddr) -> Box<dyn Calls> {
    Box::new(EtcdRanges::new(address, &numbered(0)))
}

/// Starts it, where it is installed.
pub(crate) fn start_etcd(folder: &Path) -> Result<std::result::Result<Etcd, Missing>> {
    let Some(program) = process::find("etcd") else {
        return Ok(Err(Missing { name: "etcd", package: "etcd-server" }));
    };
    let version = process::output(&program, &["--version"])?;
    let version = version.lines().next().and_then(|line| line.rsplit(' ').next());
    let name = format!("etcd {}", version.unwrap_or_default());
    let (clients, members) = (free_port()?, free_port()?);
    let (client_url, peer_url) = (format!("http://{clients}"), format!("http://{members}"));
    let data = tempfile::Builder::new().prefix("etcd-").tempdir_in(folder)?.keep();
    let settings = [
        ("--data-dir", data.display().to_string()),
        ("--listen-client-urls", client_url.clone()),
        ("--advertise-client-urls", client_url),
        ("--listen-peer-urls", peer_url.clone()),
        ("--initial-cluster", format!("default={peer_url}")),
        ("--initial-advertise-peer-urls", peer_url),
        ("--log-level", "warn".to_owned()),
    ];
    let arguments: Vec<String> =
        settings.into_iter().flat_map(|(flag, value)| [flag.to_owned(), value]).collect();
    let mut process = ServerProcess::start("etcd", &program, folder, &arguments)?;
    process.await_port(clients)?;
    let folder = folder.to_owned();
    Ok(Ok(Etcd { name, process, address: clients, program, folder, arguments }))
}

impl Etcd {
    /// Puts so many keys, in ascending order, with values that do not compress.
    pub(crate) async fn put_many(&self, count: u64, value_bytes: usize) -> Result<()> {
        let client = self.client().await?;
        let value = Noise::new().bytes(value_bytes);
        let mut writers = JoinSet::new();
        for writer in 0..WRITERS {
            let (mut client, value) = (client.clone(), value.clone());
            writers.spawn(async move {
                for number in (writer..count).step_by(WRITERS as usize) {
                    let (key, value) = (numbered(number).into_bytes(), value.clone());
                    client.put(PutRequest { key, value }).await?;
                }
                Ok::<_, Status>(())
            });
        }
        while let Some(written) = writers.join_next().await {
            written?.map_err(|status| format!("etcd refused a put: {status}"))?;
        }
        Ok(())
    }

    /// Ends it, and starts it on what it has stored: from the start of the process until it
    /// answers a read.
    pub(crate) fn start_again(&mut self) -> Result<Duration> {
        self.process.terminate()?;
        let start = Instant::now();
        self.process = ServerProcess::start("etcd", &self.program, &self.folder, &self.arguments)?;
        self.process.await_port(self.address)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let mut client = self.client().await?;
            let request = RangeRequest { key: key(0).into_bytes(), ..RangeRequest::default() };
            while client.range(request.clone()).await.is_err() {
                if start.elapsed() > READY_WITHIN {
                    return Err("etcd does not answer after a start".into());
                }
                tokio::time::sleep(ASK_AGAIN_AFTER).await;
            }
            Ok(start.elapsed())
        })
    }

    /// How long it takes to read that many keys, page by page.
    pub(crate) async fn range_all(&self, count: u64) -> Result<Duration> {
        let mut client = self.client().await?;
        let start = Instant::now();
        let mut request =
            RangeRequest { key: b"key-".to_vec(), range_end: b"key.".to_vec(), limit: PAGE };
        let mut read = 0;
        loop {
            let page = client.range(request.clone()).await;
            let page = page.map_err(|status| format!("etcd refused a range: {status}"))?;
            let page = page.into_inner();
            read += page.kvs.len() as u64;
            let Some(last) = page.kvs.into_iter().last().filter(|_| page.more) else { break };
            request.key = last.key;
            request.key.push(0);
        }
        let length = start.elapsed();
        if read == count { Ok(length) } else { Err(format!("{read} of {count} keys").into()) }
    }

    async fn client(&self) -> Result<KvClient<Channel>> {
        let endpoint = Endpoint::from_shared(format!("http://{}", self.address))?;
        Ok(KvClient::new(endpoint.connect().await?))
    }
}

fn numbered(number: u64) -> String {
    format!("key-{number:06}")
}
