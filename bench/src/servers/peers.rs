//! The peers: a bare tonic echo and Redis, each as its users run it.

use std::ffi::OsStr;
use std::net::SocketAddr;
use std::path::Path;

use super::calls::{DiffWrites, Reads, RedisSets};
use super::process::{self, ServerProcess, free_port};
use super::{Missing, Side};
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
