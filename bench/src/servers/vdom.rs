//! vdom as its users run it: `vdom gateway` on the embedded store and
//! `vdom sidecar` beside it, tokens checked.

use std::fs::File;
use std::io::Read;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use prost::Message;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request};
use vdom_proto::v1::freshness::Source;
use vdom_proto::v1::memory_gateway_client::MemoryGatewayClient;

use super::calls::{self, DiffWrites, READ_PATH, Reads, VALUE_BYTES};
use super::process::{self, Memory, ServerProcess, free_port};
use super::{Side, calls::read_request};
use crate::Result;
use crate::rows::Bench;

const READY_DEADLINE: Duration = Duration::from_secs(30);
const ASK_AGAIN_AFTER: Duration = Duration::from_millis(50);

/// A gateway on an embedded store of its own.
pub(crate) struct Gateway {
    process: ServerProcess,
    address: SocketAddr,
    secret: PathBuf,
    /// Of everyone in the benchmark.
    pub(crate) token: String,
    version: String,
}

impl Gateway {
    /// Starts it; `name` is its folder's, too.
    pub(crate) fn start(bench: &Bench, name: &str) -> Result<Self> {
        let folder = bench.folder.join(name);
        std::fs::create_dir(&folder)?;
        let secret = folder.join("secret");
        std::fs::write(&secret, random_text()?)?;
        let key = secret.display().to_string();
        let scopes = "dom.read,dom.write";
        let minting =
            ["token", "--key", &key, "--subject", "bench", "--scope", scopes, "--ttl", "12h"];
        let token = process::output(&bench.vdom, &minting)?;
        let version = process::output(&bench.vdom, &["--version"])?;
        let address = free_port()?;
        let settings = [
            ("listen.grpc", address.to_string()),
            ("listen.http", free_port()?.to_string()),
            ("listen.admin", free_port()?.to_string()),
            ("store.kind", "embedded".to_owned()),
            ("store.path", folder.join("store").display().to_string()),
            ("auth.key_files", key),
        ];
        let arguments = command_line(bench, "gateway", &settings);
        let mut process = ServerProcess::start(name, &bench.vdom, &folder, arguments)?;
        process.await_port(address)?;
        Ok(Self { process, address, secret, token, version })
    }

    /// As the server of durable writes.
    pub(crate) fn writes(self) -> Side {
        Side {
            name: format!("{} gateway", self.version),
            durability: "fsync of the branch's log before each answer, shared by waiting writes",
            calls: Box::new(DiffWrites::new(self.address, self.token)),
            process: self.process,
            address: self.address,
        }
    }

    /// Memory in use once it is at rest.
    pub(crate) fn memory_at_rest(&self) -> Result<Memory> {
        self.process.settle()?;
        self.process.memory()
    }

    /// Processor time used so far.
    pub(crate) fn cpu_time(&self) -> Result<Duration> {
        self.process.cpu_time()
    }
}

/// A sidecar beside a gateway, with an identity of its own, so that it caches.
pub(crate) struct Sidecar {
    process: ServerProcess,
    address: SocketAddr,
    token: String,
    version: String,
}

impl Sidecar {
    /// Starts it.
    pub(crate) fn start(bench: &Bench, gateway: &Gateway, name: &str) -> Result<Self> {
        let folder = bench.folder.join(name);
        std::fs::create_dir(&folder)?;
        let token_file = folder.join("token");
        std::fs::write(&token_file, &gateway.token)?;
        let address = free_port()?;
        let settings = [
            ("listen.address", address.to_string()),
            ("listen.admin", free_port()?.to_string()),
            ("upstream.address", format!("http://{}", gateway.address)),
            ("upstream.token_file", token_file.display().to_string()),
            ("auth.key_files", gateway.secret.display().to_string()),
        ];
        let arguments = command_line(bench, "sidecar", &settings);
        let mut process = ServerProcess::start(name, &bench.vdom, &folder, arguments)?;
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
        let channel = Endpoint::new(format!("http://{}", self.address))?.connect().await?;
        let mut client = MemoryGatewayClient::new(channel);
        let value = vec![b'x'; VALUE_BYTES];
        let write = calls::write_request(READ_PATH.to_owned(), &value, 1);
        // It may listen before it has found its gateway.
        while let Err(status) = client.write_diff(self.with_token(write.clone())?).await {
            if status.code() != Code::Unavailable || Instant::now() > deadline {
                return Err(format!("the sidecar refused a write: {status}").into());
            }
            tokio::time::sleep(ASK_AGAIN_AFTER).await;
        }
        loop {
            let answer = self.read(&mut client).await?;
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

    async fn read(
        &self,
        client: &mut MemoryGatewayClient<Channel>,
    ) -> Result<vdom_proto::v1::ReadSnapshotResponse> {
        let answer = client.read_snapshot(self.with_token(read_request())?).await;
        Ok(answer.map_err(|status| format!("the sidecar refused a read: {status}"))?.into_inner())
    }

    fn with_token<T>(&self, message: T) -> Result<Request<T>> {
        let mut request = Request::new(message);
        let bearer: MetadataValue<Ascii> = format!("Bearer {}", self.token).parse()?;
        request.metadata_mut().insert("authorization", bearer);
        Ok(request)
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

fn command_line(bench: &Bench, verb: &str, settings: &[(&str, String)]) -> Vec<String> {
    let filter = if bench.access_log { "info" } else { "info,vdom::access=warn" };
    let log = std::iter::once(format!("log.filter={filter}"));
    let settings = settings.iter().map(|(key, value)| format!("{key}={value}")).chain(log);
    std::iter::once(verb.to_owned())
        .chain(settings.flat_map(|setting| ["--set".to_owned(), setting]))
        .collect()
}

/// A secret for the length of the run.
fn random_text() -> Result<String> {
    let mut random = File::open("/dev/urandom")?;
    let mut next = || -> Result<u128> {
        let mut bytes = [0; 16];
        random.read_exact(&mut bytes)?;
        Ok(u128::from_be_bytes(bytes))
    };
    Ok(format!("{:032x}{:032x}", next()?, next()?))
}
