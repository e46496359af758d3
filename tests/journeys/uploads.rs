//! Contents that come to nothing, through every door: the store keeps none of them.

use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::{StreamExt, stream};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tonic::Code;
use vdom_edge::settings::ByteSize;
use vdom_proto::v1;
use vdom_proto::v1::write_diffs_chunk::Chunk;
use vdom_store::embedded::{EmbeddedOptions, EmbeddedStore};
use vdom_store::{Store, StoreErrorKind};
use vdom_testkit::client::Client;
use vdom_testkit::eventually;
use vdom_testkit::gateway::{TestGateway, on_embedded};
use vdom_testkit::http::{HttpClient, Place};
use vdom_testkit::sidecar::TestSidecar;

const MIB: usize = 1 << 20;
const LARGE: usize = 60 * MIB;
const CLOSED_WITHIN: Duration = Duration::from_secs(30);
const NODES: &str = "/v1/repos/repo/branches/main/nodes";

/// Bytes of which no two chunks are alike.
fn large(bytes: usize) -> Bytes {
    let numbered = (0..bytes / 8).flat_map(|number| (number as u64).to_be_bytes());
    numbered.collect::<Vec<u8>>().into()
}

/// A gateway on an embedded store, and a sidecar before it.
struct Doors {
    gateway: TestGateway,
    sidecar: TestSidecar,
    folder: tempfile::TempDir,
}

impl Doors {
    async fn open(quota_bytes: usize) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let mut config = on_embedded(folder.path().join("store"));
        config.quotas.bytes = ByteSize(quota_bytes as u64);
        let gateway = TestGateway::with(config).await;
        let sidecar = TestSidecar::start(&gateway.grpc_url()).await;
        Self { gateway, sidecar, folder }
    }

    /// REST of the gateway and of the sidecar.
    fn rest(&self) -> [SocketAddr; 2] {
        [self.gateway.addresses.http, self.sidecar.addresses.tcp]
    }

    /// gRPC of the gateway and of the sidecar.
    async fn grpc(&self) -> [Client; 2] {
        [self.gateway.client().await, Client::connect(&self.sidecar.url(), None).await]
    }

    async fn staged_bytes(&self) -> u64 {
        let admin = HttpClient::new(Place::Tcp(self.gateway.addresses.admin), None);
        let metrics = admin.get("/metrics").await;
        let text = String::from_utf8_lossy(&metrics.body).into_owned();
        let staged = text.lines().find_map(|line| line.strip_prefix("vdom_dom_staged_bytes "));
        staged.expect("a gauge").parse().expect("a number")
    }

    async fn nothing_is_staged(&self) {
        eventually("nothing is staged", || async { self.staged_bytes().await == 0 }).await;
    }

    /// The bytes of chunks that the store has once all are closed.
    async fn close(self) -> u64 {
        self.sidecar.sidecar.drain().await;
        self.gateway.gateway.drain().await.expect("drained");
        chunk_bytes(&self.folder.path().join("store")).await
    }
}

async fn chunk_bytes(path: &Path) -> u64 {
    let deadline = Instant::now() + CLOSED_WITHIN;
    let store = loop {
        match EmbeddedStore::open(path, EmbeddedOptions::default()) {
            // What the gateway's did beside calls comes to its end first.
            Err(error)
                if error.kind == StoreErrorKind::AlreadyOpen && Instant::now() < deadline =>
            {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            opened => break opened.expect("a store"),
        }
    };
    let mut bytes = 0;
    for chunk in store.chunks("default", None, 100_000).await.expect("listed") {
        let found = store.chunk("default", chunk.id).await.expect("read").expect("there");
        bytes += found.len() as u64;
    }
    store.close().await.expect("closed");
    bytes
}

/// The status of the answer to a PUT, and the answer as it came. Who sends much is answered before
/// all of it is sent, so both go on at once.
async fn put(at: SocketAddr, path: &str, condition: &str, content: &Bytes) -> (u16, String) {
    let length = content.len();
    let head = format!(
        "PUT {NODES}/{path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n{condition}\
         content-length: {length}\r\n\r\n"
    );
    let (mut answers, mut requests) = TcpStream::connect(at).await.expect("a server").into_split();
    let content = content.clone();
    let sending = tokio::spawn(async move {
        // The server may have heard enough.
        let _ = requests.write_all(head.as_bytes()).await;
        let _ = requests.write_all(&content).await;
        requests
    });
    let (mut answer, mut piece) = (Vec::new(), [0; 4_096]);
    while let Ok(read @ 1..) = answers.read(&mut piece).await {
        answer.extend_from_slice(&piece[..read]);
    }
    sending.await.expect("sent as far as it was wanted");
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok());
    (status.unwrap_or_else(|| panic!("no answer: {answer}")), answer)
}

/// The parts of a set of one content, in the order in which they are sent.
fn set_of(client: &Client, at: &str, content: &Bytes) -> Vec<Chunk> {
    let diff = v1::WriteDiffRequest { diff_bson: Bytes::new(), ..client.put_request(at, b"") };
    let mut chunks = vec![Chunk::Header(client.set_header()), Chunk::Diff(diff)];
    for start in (0..content.len()).step_by(MIB) {
        chunks.push(Chunk::Content(content.slice(start..content.len().min(start + MIB))));
    }
    chunks
}

#[tokio::test(flavor = "multi_thread")]
async fn contents_that_are_refused_leave_no_byte_in_the_store() {
    // What is there before is there afterwards: the chunks of one content.
    let doors = Doors::open(40 * MIB).await;
    let kept = large(3 * MIB);
    assert_eq!(put(doors.rest()[0], "kept", "", &kept).await.0, 201);
    for door in doors.rest() {
        let (status, answer) = put(door, "beyond", "", &large(LARGE)).await;
        assert_eq!(status, 429);
        assert!(answer.contains("quotas.bytes"), "{answer}");
        for condition in ["if-none-match: *\r\n", "if-match: \"of-another-node\"\r\n"] {
            let (status, answer) = put(door, "kept", condition, &large(30 * MIB)).await;
            assert_eq!(status, 412, "{answer}");
        }
    }
    for mut client in doors.grpc().await {
        let beyond = client.stream_set(set_of(&client, "beyond", &large(LARGE))).await;
        assert_eq!(beyond.expect_err("beyond the quota").code(), Code::ResourceExhausted);
        let stale = set_of(&client, "kept", &large(30 * MIB));
        assert!(!client.stream_set(stale).await.expect("an answer").success);
        let header = v1::WriteDiffsRequest { expected_revision: 7, ..client.set_header() };
        let mut elsewhere = set_of(&client, "new", &large(30 * MIB));
        elsewhere[0] = Chunk::Header(header);
        let elsewhere = client.stream_set(elsewhere).await;
        assert_eq!(elsewhere.expect_err("at 1").code(), Code::FailedPrecondition);
    }
    doors.nothing_is_staged().await;
    assert_eq!(doors.close().await, kept.len() as u64);
}

#[tokio::test(flavor = "multi_thread")]
async fn contents_that_are_cut_off_leave_no_byte_in_the_store() {
    let doors = Doors::open(0).await;
    assert_eq!(put(doors.rest()[0], "a", "", &Bytes::from_static(b"small")).await.0, 201);
    let content = large(LARGE);
    for address in doors.rest() {
        let mut connection = TcpStream::connect(address).await.expect("a server");
        let head =
            format!("PUT {NODES}/cut HTTP/1.1\r\nhost: a\r\ncontent-length: {LARGE}\r\n\r\n");
        connection.write_all(head.as_bytes()).await.expect("sent");
        connection.write_all(&content[..20 * MIB]).await.expect("sent");
        eventually("some of it is staged", || async { doors.staged_bytes().await > 0 }).await;
        drop(connection);
        doors.nothing_is_staged().await;
    }
    for mut client in doors.grpc().await {
        let mut parts = set_of(&client, "cut", &content);
        parts.truncate(20);
        let parts = parts.into_iter().map(|chunk| v1::WriteDiffsChunk { chunk: Some(chunk) });
        let endless = stream::iter(parts).chain(stream::pending());
        let call = tokio::spawn(async move { client.raw.write_diffs_stream(endless).await });
        eventually("some of it is staged", || async { doors.staged_bytes().await > 0 }).await;
        call.abort();
        doors.nothing_is_staged().await;
    }
    // Of a call whose time is over, too.
    for mut client in doors.grpc().await {
        let mut parts = set_of(&client, "late", &content);
        parts.truncate(20);
        let parts = parts.into_iter().map(|chunk| v1::WriteDiffsChunk { chunk: Some(chunk) });
        let mut endless = tonic::Request::new(stream::iter(parts).chain(stream::pending()));
        endless.set_timeout(Duration::from_secs(1));
        client.raw.write_diffs_stream(endless).await.expect_err("late");
        doors.nothing_is_staged().await;
    }
    assert_eq!(doors.close().await, 0);
}
