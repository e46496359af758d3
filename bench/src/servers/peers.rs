//! The peers: a bare tonic echo, etcd and Redis, each as its users run it.

use std::ffi::OsStr;
use std::net::SocketAddr;
use std::path::Path;
use std::rc::Rc;

use super::calls::{DiffWrites, EtcdPuts, Reads, RedisSets};
use super::process::{self, ServerProcess, free_port};
use super::watches::EtcdWatches;
use super::{Missing, Side, WatchedSide};
use crate::Result;
use crate::load::Calls;

/// Asked what a reader of vdom asks, with the same token.
pub(crate) fn echo_of_reads(program: &Path, folder: &Path, token: &str) -> Result<Side> {
    echo(program, folder, |address| Box::new(Reads::new(address, token.to_owned())))
}

/// Asked what a writer of vdom asks, with the same token.
pub(crate) fn echo_of_writes(program: &Path, folder: &Path, token: &str) -> Result<Side> {
    echo(program, folder, |address| Box::new(DiffWrites::new(address, token.to_owned())))
}

fn echo(
    program: &Path,
    folder: &Path,
    calls: impl FnOnce(SocketAddr) -> Box<dyn Calls>,
) -> Result<Side> {
    let address = free_port()?;
    let listen = address.to_string();
    let mut process = ServerProcess::start("echo", program, folder, ["echo", "--listen", &listen])?;
    process.await_port(address)?;
    Ok(Side {
        name: "tonic echo".to_owned(),
        durability: "none: a constant",
        process,
        address,
        calls: calls(address),
    })
}

/// One member with its defaults: what is acknowledged is in its log, fsynced.
pub(crate) fn etcd(folder: &Path) -> Result<std::result::Result<Side, Missing>> {
    Ok(start_etcd(folder)?.map(|etcd| {
        let calls = Box::new(EtcdPuts::new(etcd.address));
        let Etcd { name, process, address } = etcd;
        Side { name, durability: ETCD_DURABILITY, process, address, calls }
    }))
}

/// The same, watched by so many on each connection: each on a stream of its own,
/// and all of them on one, as etcd's own clients share theirs.
pub(crate) fn watched_etcd(
    folder: &Path,
    subscribers: usize,
) -> Result<std::result::Result<[WatchedSide; 2], Missing>> {
    Ok(start_etcd(folder)?.map(|etcd| {
        let Etcd { name, process, address } = etcd;
        let process = Rc::new(process);
        [("a stream each", subscribers), ("shared streams", 1)].map(|(how, streams)| WatchedSide {
            name: format!("{name}, {how}"),
            durability: ETCD_DURABILITY,
            process: Rc::clone(&process),
            address,
            watches: Box::new(EtcdWatches::new(address, streams, subscribers)),
            writes: Box::new(EtcdPuts::new(address)),
        })
    }))
}

const ETCD_DURABILITY: &str =
    "fsync of the write-ahead log before each answer, shared by waiting writes";

struct Etcd {
    name: String,
    process: ServerProcess,
    address: SocketAddr,
}

fn start_etcd(folder: &Path) -> Result<std::result::Result<Etcd, Missing>> {
    let Some(program) = process::find("etcd") else {
        return Ok(Err(Missing { name: "etcd", package: "etcd-server" }));
    };
    let version = process::output(&program, &["--version"])?;
    let version = version.lines().next().and_then(|line| line.rsplit(' ').next());
    let name = format!("etcd {}", version.unwrap_or_default());
    let (clients, members) = (free_port()?, free_port()?);
    let (client_url, peer_url) = (format!("http://{clients}"), format!("http://{members}"));
    let cluster = format!("default={peer_url}");
    let data = folder.join("etcd");
    let arguments: [&OsStr; 14] = [
        "--data-dir".as_ref(),
        data.as_ref(),
        "--listen-client-urls".as_ref(),
        client_url.as_ref(),
        "--advertise-client-urls".as_ref(),
        client_url.as_ref(),
        "--listen-peer-urls".as_ref(),
        peer_url.as_ref(),
        "--initial-advertise-peer-urls".as_ref(),
        peer_url.as_ref(),
        "--initial-cluster".as_ref(),
        cluster.as_ref(),
        "--log-level".as_ref(),
        "warn".as_ref(),
    ];
    let mut process = ServerProcess::start("etcd", &program, folder, arguments)?;
    process.await_port(clients)?;
    Ok(Ok(Etcd { name, process, address: clients }))
}

/// With an append-only file that is fsynced before each answer.
pub(crate) fn redis(folder: &Path) -> Result<std::result::Result<Side, Missing>> {
    let Some(program) = process::find("redis-server") else {
        return Ok(Err(Missing { name: "Redis", package: "redis-server" }));
    };
    let version = process::output(&program, &["--version"])?;
    let version = version.split_whitespace().find_map(|word| word.strip_prefix("v="));
    let name = format!("Redis {}", version.unwrap_or_default());
    let address = free_port()?;
    let port = address.port().to_string();
    let data = folder.join("redis");
    std::fs::create_dir(&data)?;
    let arguments: [&OsStr; 12] = [
        "--bind".as_ref(),
        "127.0.0.1".as_ref(),
        "--port".as_ref(),
        port.as_ref(),
        "--dir".as_ref(),
        data.as_ref(),
        "--appendonly".as_ref(),
        "yes".as_ref(),
        "--appendfsync".as_ref(),
        "always".as_ref(),
        "--save".as_ref(),
        "".as_ref(),
    ];
    let mut process = ServerProcess::start("redis", &program, folder, arguments)?;
    process.await_port(address)?;
    Ok(Ok(Side {
        name,
        durability: "fsync of the append-only file before each answer (appendfsync always), \
                     shared by waiting writes; keeps no history",
        process,
        address,
        calls: Box::new(RedisSets::new()),
    }))
}
