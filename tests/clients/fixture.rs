//! The servers that clients of others are tried with, as both are run: with tokens.

use std::net::SocketAddr;

use tokio::process::Command;
use vdom_testkit::gateway::TestGateway;
use vdom_testkit::keys::Keys;
use vdom_testkit::sidecar::TestSidecar;

/// A gateway and a sidecar before it.
pub(super) struct Fixture {
    pub(super) gateway: TestGateway,
    sidecar: TestSidecar,
    keys: Keys,
}

/// One of the two, as a client finds it.
pub(super) struct Door {
    /// Also of a repo to use, since both lead to one gateway.
    pub(super) name: &'static str,
    pub(super) grpc: SocketAddr,
    /// Of REST and gRPC-Web.
    pub(super) http: SocketAddr,
    pub(super) admin: SocketAddr,
}

impl Fixture {
    pub(super) async fn start() -> Self {
        let keys = Keys::generate();
        let gateway = TestGateway::with_tokens(&keys).await;
        let sidecar = TestSidecar::with_tokens(&gateway.grpc_url(), &keys).await;
        Self { gateway, sidecar, keys }
    }

    pub(super) fn doors(&self) -> [Door; 2] {
        let (gateway, sidecar) = (&self.gateway.addresses, &self.sidecar.addresses);
        let (grpc, http, admin) = (gateway.grpc, gateway.http, gateway.admin);
        [
            Door { name: "gateway", grpc, http, admin },
            Door { name: "sidecar", grpc: sidecar.tcp, http: sidecar.tcp, admin: sidecar.admin },
        ]
    }

    /// A token that may read and write.
    pub(super) fn writer(&self) -> String {
        self.keys.token("anna", "dom.read dom.write")
    }

    /// A token that may read.
    pub(super) fn reader(&self) -> String {
        self.keys.token("bob", "dom.read")
    }
}

impl Door {
    /// `http://…` of REST and gRPC-Web.
    pub(super) fn url(&self) -> String {
        format!("http://{}", self.http)
    }

    /// `http://…` of a node.
    pub(super) fn node_url(&self, repo: &str, path: &str) -> String {
        format!("{}/v1/repos/{repo}/branches/main/nodes/{path}", self.url())
    }
}

/// Runs a client to its end, which must be a good one; both its outputs.
#[track_caller]
pub(super) fn succeeded(output: &std::process::Output, what: &str) -> String {
    let [out, err] =
        [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes).into_owned());
    assert!(output.status.success(), "{what}: {}\n{out}\n{err}", output.status);
    format!("{out}\n{err}")
}

/// Runs a suite of Python's `unittest`, of which no test may be left out.
pub(super) async fn pass_unittest(command: &mut Command, what: &str) {
    let said = succeeded(&command.output().await.expect("python runs"), what);
    assert!(said.contains("\nOK\n") && !said.contains("Ran 0 tests"), "{what}: {said}");
}
