//! `vdom sidecar` beside a gateway, with an identity of its own, so that it
//! caches.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use prost::Message;
use tonic::Code;
use vdom_proto::v1::freshness::Source;

use super::Side;
use super::calls::{self, READ_PATH, Reads, VALUE_BYTES, read_request};
use super::client;
use super::gateway::{Gateway, command_line};
use super::process::{Memory, ServerProcess, Wrapper, free_port};
use crate::Result;
use crate::load::Calls;
use crate::rows::Bench;

const READY_DEADLINE: Duration = Duration::from_secs(30);
const ASK_AGAIN_AFTER: Duration = Duration::from_millis(50);

/// A sidecar that is running.
pub(crate) struct Sidecar {
    pub(crate) process: ServerProcess,
    pub(crate) address: SocketAddr,
    token: String,
    version: String,
}

impl Sidecar {
    pub(crate) fn start(bench: &Bench, gateway: &Gateway, name: &str) -> Result<Self> {
        Self::start_under(bench, gateway, name, &Wrapper::default())
    }

    /// The same, within another program.
    pub(crate) fn start_under(
        bench: &Bench,
        gateway: &Gateway,
        name: &str,
        wrapper: &Wrapper,
    ) -> Result<Self> {
        let folder = bench.folder.join(name);
        std::fs::create_dir(&folder)?;
        let token_file = folder.join("token");
        std::fs::write(&token_file, &gateway.token)?;
        let address = free_port()?;
        let settings = [
            ("listen.address", address.to_string()),
            ("listen.admin", free_port()?.to_string()),
            ("upstream.address", gateway.url()),
            ("upstream.token_file", token_file.display().to_string()),
            ("auth.key_files", gateway.secret.display().to_string()),
        ];
        let arguments = command_line(bench, "sidecar", &settings);
        let mut process =
            ServerProcess::start_under(wrapper, name, &bench.vdom, &folder, arguments)?;
        process.await_port(address)?;
        let (token, version) = (gateway.token.clone(), gateway.version.clone());
        Ok(Self { process, address, token, version })
    }

    /// Writes the node that will be read and waits until it is served from the
    /// cache. The bytes of such an answer.
    pub(crate) fn fill_cache(&self, bench: &Bench) -> Result<usize> {
        bench.runtime.block_on(self.cached_answer())
    }

    async fn cached_answer(&self) -> Result<usize> {
        let deadline = Instant::now() + READY_DEADLINE;
        let mut client = client::connect(self.address, &self.token).await?;
        let value = vec![b'x'; VALUE_BYTES];
        let write = calls::write_request(READ_PATH.to_owned(), &value, 1);
        // It may listen before it has found its gateway.
        while let Err(status) = client.write_diff(write.clone()).await {
            let may_pass = matches!(status.code(), Code::Unavailable | Code::Unknown);
            if !may_pass || Instant::now() > deadline {
                return Err(format!("the sidecar refused a write: {status}").into());
            }
            tokio::time::sleep(ASK_AGAIN_AFTER).await;
        }
        loop {
            let answer = client
                .read_snapshot(read_request(READ_PATH.to_owned()))
                .await
                .map_err(|status| format!("the sidecar refused a read: {status}"))?
                .into_inner();
            let source = answer.freshness.map(|freshness| freshness.source());
            if source == Some(Source::Cache) && answer.content == value {
                return Ok(answer.encoded_len());
            }
            if Instant::now() > deadline {
                return Err(
                    format!("the sidecar does not cache: it answers from {source:?}").into()
                );
            }
            tokio::time::sleep(ASK_AGAIN_AFTER).await;
        }
    }

    /// Reads that it has in memory.
    pub(crate) fn cached_reads(&self) -> Box<dyn Calls> {
        Box::new(Reads::new(self.address, self.token.clone()))
    }

    /// Reads that it asks its gateway for.
    pub(crate) fn confirmed_reads(&self) -> Box<dyn Calls> {
        Box::new(Reads::confirmed(self.address, self.token.clone()))
    }

    /// As the server of cached reads.
    pub(crate) fn reads(self) -> Side {
        Side {
            name: format!("{} sidecar", self.version),
            durability: "none needed: a read",
            calls: Box::new(Reads::new(self.address, self.token)),
            process: self.process,
            address: self.address,
        }
    }

    /// Memory in use once it is at rest.
    pub(crate) fn memory_at_rest(&self) -> Result<Memory> {
        self.process.settle()?;
        self.process.memory()
    }
}
