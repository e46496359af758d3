//! Bad input: the right code, a message that says what, where and what to do,
//! nothing written, and a server that goes on.

/// Makes a test of each of these for the gateway and one for a sidecar.
macro_rules! at_both_doors {
    ($($name:ident)+) => {
        $(mod $name {
            use crate::bad_input::Server;

            #[tokio::test]
            async fn at_the_gateway() {
                super::$name(Server::gateway().await).await;
            }

            #[tokio::test]
            async fn at_a_sidecar() {
                super::$name(Server::sidecar().await).await;
            }
        })+
    };
}

mod branches;
mod bson;
mod change_sets;
mod clocks;
mod diffs;
mod names;
mod rest;
mod sizes;

use std::net::SocketAddr;

use bytes::Bytes;
use tonic::Status;
use vdom_core::Diff;
use vdom_core::document::DocumentBuilder;
use vdom_proto::v1;
use vdom_testkit::client::Client;
use vdom_testkit::gateway::TestGateway;
use vdom_testkit::http::{HttpClient, Place};
use vdom_testkit::sidecar::TestSidecar;

use crate::refusal::Refusal;

/// The text of the node `file`; `ü` is bytes 2 and 3.
const TEXT: &str = "grüße";

/// A server, and behind it a gateway on which two nodes stand: `file`, a text,
/// and `meta`, `{a: 1}`.
struct Server {
    gateway: TestGateway,
    /// `None`: the gateway itself is asked.
    sidecar: Option<TestSidecar>,
    client: Client,
    file: v1::WriteDiffResponse,
    meta: v1::WriteDiffResponse,
}

impl Server {
    /// The gateway itself.
    async fn gateway() -> Self {
        let gateway = TestGateway::start().await;
        let client = gateway.client().await;
        Self::with(gateway, None, client).await
    }

    /// A sidecar before the gateway.
    async fn sidecar() -> Self {
        let gateway = TestGateway::start().await;
        let sidecar = TestSidecar::start(&gateway.grpc_url()).await;
        let client = Client::connect(&sidecar.url(), None).await;
        Self::with(gateway, Some(sidecar), client).await
    }

    async fn with(gateway: TestGateway, sidecar: Option<TestSidecar>, mut client: Client) -> Self {
        let file = client.put_request("file", TEXT.as_bytes());
        let file = client.write(file).await.expect("written");
        let meta = meta_request(&client, "meta", &document(|it| it.append_i32("a", 1)));
        let meta = client.write(meta).await.expect("written");
        Self { gateway, sidecar, client, file, meta }
    }

    /// Where it speaks gRPC over HTTP/2.
    fn grpc_url(&self) -> String {
        self.sidecar.as_ref().map_or_else(|| self.gateway.grpc_url(), TestSidecar::url)
    }

    /// Where it speaks HTTP/1.
    fn http_address(&self) -> SocketAddr {
        let http = self.gateway.addresses.http;
        self.sidecar.as_ref().map_or(http, |sidecar| sidecar.addresses.tcp)
    }

    fn http(&self) -> HttpClient {
        HttpClient::new(Place::Tcp(self.http_address()), None)
    }

    /// A diff of the node `file`, by who has seen it.
    fn edit_file(&self, diff: Bytes) -> v1::WriteDiffRequest {
        self.edit(&self.file, "file", diff)
    }

    /// A diff of the node `meta`, by who has seen it.
    fn edit_meta(&self, diff: Bytes) -> v1::WriteDiffRequest {
        self.edit(&self.meta, "meta", diff)
    }

    fn edit(
        &self,
        seen: &v1::WriteDiffResponse,
        path: &str,
        diff_bson: Bytes,
    ) -> v1::WriteDiffRequest {
        v1::WriteDiffRequest {
            node_id: seen.node_id.clone(),
            vector_clock: seen.vector_clock.clone(),
            diff_bson,
            ..self.client.put_request(path, b"")
        }
    }

    /// Sends a write that must be refused with this code and these words.
    async fn refuse(
        &mut self,
        what: &str,
        request: v1::WriteDiffRequest,
        code: &str,
        words: &[&str],
    ) {
        let answer = self.client.write(request).await;
        check_refused(what, answer, code, words);
        self.check_untouched(what).await;
    }

    /// Nothing was written: the branch stands where it stood, and nothing else
    /// came to be.
    async fn check_untouched(&mut self, what: &str) {
        let repos = self.client.raw.list_repos(v1::ListReposRequest::default()).await;
        let repos = repos.expect("an answer").into_inner().repos;
        assert_eq!(repos.len(), 1, "{what}: {repos:?}");
        let request = v1::ListBranchesRequest { repo: "repo".to_owned(), ..Default::default() };
        let branches = self.client.raw.list_branches(request).await;
        let branches = branches.expect("an answer").into_inner().branches;
        let revisions: Vec<_> = branches.iter().map(|branch| branch.revision).collect();
        assert_eq!(revisions, [self.meta.revision], "{what}");
    }

    /// The server still writes and reads.
    async fn check_serves(mut self) {
        let written = self.client.overwrite("file", b"goes on").await.expect("written");
        assert_eq!(written.revision, self.meta.revision + 1, "nothing was written in between");
        let read = self.client.read_after("file", &written).await.expect("read");
        assert_eq!(read.content, b"goes on"[..]);
    }
}

/// Checks that a call was refused, and how.
fn check_refused<T>(what: &str, answer: Result<T, Status>, code: &str, words: &[&str]) {
    let status = answer.err().unwrap_or_else(|| panic!("{what}: accepted"));
    assert_refusal(what, &Refusal::from_grpc(&status), code, words);
}

fn assert_refusal(what: &str, refusal: &Refusal, code: &str, words: &[&str]) {
    assert_eq!(refusal.code, code, "{what}: {refusal:?}");
    for word in words {
        assert!(refusal.message.contains(word), "{what}: {word:?} is not said: {refusal:?}");
    }
}

/// A new META node.
fn meta_request(client: &Client, path: &str, document: &[u8]) -> v1::WriteDiffRequest {
    v1::WriteDiffRequest {
        kind: v1::NodeKind::Meta.into(),
        diff_bson: Diff::put_document(document),
        ..client.put_request(path, b"")
    }
}

/// A BSON document.
fn document(build: impl FnOnce(&mut DocumentBuilder) -> &mut DocumentBuilder) -> Bytes {
    let mut document = DocumentBuilder::new();
    build(&mut document);
    document.finish()
}

/// A document that nests this deep, itself included.
fn nested(depth: usize) -> Bytes {
    /// The least document, and what each level puts around another.
    const EMPTY: usize = 5;
    const LEVEL: usize = 8;
    let mut document = Vec::new();
    for inner in (0..depth).rev() {
        let length = i32::try_from(EMPTY + inner * LEVEL).expect("31 bits");
        document.extend_from_slice(&length.to_le_bytes());
        if inner > 0 {
            document.extend_from_slice(b"\x03d\0");
        }
    }
    document.extend(std::iter::repeat_n(0, depth));
    document.into()
}
