//! `vdom gateway` on the embedded store, as its users run it, tokens checked.

use std::fs::File;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::Command;
use std::rc::Rc;
use std::thread;
use std::time::{Duration, Instant};

use vdom_proto::v1::ListBranchesRequest;

use super::calls::{self, BRANCH, DiffWrites, READ_PATH, REPO, Reads, VALUE_BYTES};
use super::client::{self, Client};
use super::process::{self, Memory, ServerProcess, Wrapper, free_port};
use super::watches::{self, ChangeStreams};
use super::{Side, WatchedSide};
use crate::Result;
use crate::load::Protocol;
use crate::rows::Bench;

/// When a write is answered.
pub(crate) const DURABILITY: &str =
    "fsync of the branch's log before each answer, shared by waiting writes";

const STORE: &str = "store";
const READY_DEADLINE: Duration = Duration::from_secs(120);
const ASK_AGAIN_AFTER: Duration = Duration::from_millis(2);

/// A gateway with a store of its own.
pub(crate) struct Gateway {
    pub(crate) process: ServerProcess,
    pub(super) address: SocketAddr,
    pub(crate) http: SocketAddr,
    admin: SocketAddr,
    pub(super) secret: PathBuf,
    /// Of everyone in the benchmark.
    pub(crate) token: String,
    pub(super) version: String,
    folder: PathBuf,
    command_line: Vec<String>,
}

impl Gateway {
    /// Starts it; `name` is its folder's, too.
    pub(crate) fn start(bench: &Bench, name: &str) -> Result<Self> {
        Self::start_under(bench, name, &Wrapper::default())
    }

    /// The same, within another program.
    pub(crate) fn start_under(bench: &Bench, name: &str, wrapper: &Wrapper) -> Result<Self> {
        let folder = bench.folder.join(name);
        std::fs::create_dir(&folder)?;
        let secret = folder.join("secret");
        std::fs::write(&secret, random_text()?)?;
        let key = secret.display().to_string();
        let scopes = "dom.read,dom.write,dom.author";
        let minting =
            ["token", "--key", &key, "--subject", "bench", "--scope", scopes, "--ttl", "12h"];
        let token = process::output(&bench.vdom, &minting)?;
        let version = process::output(&bench.vdom, &["--version"])?;
        let (address, http, admin) = (free_port()?, free_port()?, free_port()?);
        let settings = [
            ("listen.grpc", address.to_string()),
            ("listen.http", http.to_string()),
            ("listen.admin", admin.to_string()),
            ("store.kind", "embedded".to_owned()),
            ("store.path", folder.join(STORE).display().to_string()),
            ("auth.key_files", key),
        ];
        let command_line = command_line(bench, "gateway", &settings);
        let mut process =
            ServerProcess::start_under(wrapper, name, &bench.vdom, &folder, &command_line)?;
        process.await_port(address)?;
        Ok(Self { process, address, http, admin, secret, token, version, folder, command_line })
    }

    /// Starts it on what it has stored, once it has ended: from the start of the
    /// process until it is ready.
    pub(crate) fn start_again(&mut self, bench: &Bench) -> Result<Duration> {
        let name = self.process.name().to_owned();
        let start = Instant::now();
        self.process = ServerProcess::start(&name, &bench.vdom, &self.folder, &self.command_line)?;
        while !self.is_ready() {
            if start.elapsed() > READY_DEADLINE {
                return Err(format!("{name} is not ready after {READY_DEADLINE:?}").into());
            }
            thread::sleep(ASK_AGAIN_AFTER);
        }
        Ok(start.elapsed())
    }

    fn is_ready(&self) -> bool {
        let asked = || -> std::io::Result<bool> {
            let mut connection = TcpStream::connect(self.admin)?;
            connection.write_all(b"GET /health/ready HTTP/1.0\r\n\r\n")?;
            let mut answer = String::new();
            connection.read_to_string(&mut answer)?;
            Ok(answer.split(' ').nth(1) == Some("200"))
        };
        // Nobody listens yet.
        asked().unwrap_or(false)
    }

    /// Where gRPC is spoken, as a command takes it.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The `vdom` command, as its client.
    pub(crate) fn command(&self, bench: &Bench, verb: &str) -> Command {
        let mut command = Command::new(&bench.vdom);
        command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("VDOM_SERVER", self.url())
            .env("VDOM_TOKEN", &self.token)
            .arg(verb);
        command
    }

    /// For the calls around a load.
    pub(crate) async fn client(&self) -> Result<Client> {
        client::connect(self.address, &self.token).await
    }

    /// Of the branch that is written to.
    pub(crate) async fn epoch(&self) -> Result<u64> {
        let request = ListBranchesRequest { repo: REPO.to_owned(), ..Default::default() };
        let branches = self.client().await?.list_branches(request).await;
        let branches = branches.map_err(|status| format!("no branches are listed: {status}"))?;
        let branch = branches.into_inner().branches.into_iter().find(|each| each.name == BRANCH);
        Ok(branch.ok_or("the branch that was written to is not there")?.epoch)
    }

    /// As the server of durable writes.
    pub(crate) fn writes(self) -> Side {
        Side {
            name: format!("{} gateway", self.version),
            durability: DURABILITY,
            calls: Box::new(DiffWrites::new(self.address, self.token)),
            process: self.process,
            address: self.address,
        }
    }

    /// As the server of durable writes to so many branches in turns.
    pub(crate) fn writes_to_branches(self, count: usize) -> Side {
        let calls = DiffWrites::new(self.address, self.token.clone()).with_branches(count);
        Side { calls: Box::new(calls), ..self.writes() }
    }

    /// As the server of reads, once it has what is read.
    pub(crate) fn reads(self, bench: &Bench) -> Result<Side> {
        bench.runtime.block_on(self.write(READ_PATH, &[b'x'; VALUE_BYTES]))?;
        Ok(Side {
            name: format!("{} gateway", self.version),
            durability: "none needed: a read",
            calls: Box::new(Reads::new(self.address, self.token)),
            process: self.process,
            address: self.address,
        })
    }

    /// As a server with so many subscribers on each connection.
    pub(crate) fn watched(self, bench: &Bench, subscribers: usize) -> Result<WatchedSide> {
        // The first write makes the branch.
        bench.runtime.block_on(self.write("first", b"x"))?;
        let watches = ChangeStreams::new(self.address, self.token.clone(), subscribers);
        Ok(WatchedSide {
            name: format!("{} gateway", self.version),
            durability: DURABILITY,
            watches: Box::new(watches),
            writes: Box::new(DiffWrites::new(self.address, self.token)),
            process: Rc::new(self.process),
            address: self.address,
        })
    }

    async fn write(&self, path: &str, value: &[u8]) -> Result<()> {
        let mut write = calls::write_request(path.to_owned(), value, 0);
        // The loads count theirs from 1.
        write.operation_id.clear();
        let written = self.client().await?.write_diff(write).await;
        written.map_err(|status| format!("the gateway refused a write: {status}"))?;
        Ok(())
    }

    /// The directory of its store.
    pub(crate) fn store(&self) -> PathBuf {
        self.folder.join(STORE)
    }

    /// Where a load is sent.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// A connection that has one stream of changes.
    pub(crate) fn subscription(&self) -> Box<dyn Protocol> {
        Box::new(watches::subscription(&self.address.to_string(), &self.token, 1))
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

/// The arguments of a server: its verb and its settings.
pub(super) fn command_line(bench: &Bench, verb: &str, settings: &[(&str, String)]) -> Vec<String> {
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
