//! What each server is asked: small requests that cost the generator little.

use std::net::SocketAddr;

use bson::spec::BinarySubtype;
use bson::{RawBinaryRef, RawDocumentBuf};
use bytes::Bytes;
use prost::Message;
use vdom_proto::v1::{OnConflict, ReadSnapshotRequest, WriteDiffRequest};

use crate::load::{Calls, Conversation, Grpc, Redis};

/// Of every written value, and of the content that is read.
pub(crate) const VALUE_BYTES: usize = 1_024;
/// Keys or nodes that the writers take in turns: more than there are writers.
const KEYS: u64 = 1_024;

pub(super) const REPO: &str = "bench";
pub(super) const BRANCH: &str = "main";
pub(super) const READ_PATH: &str = "node-0000";

/// The same request again and again; an answer holds at least a value.
pub(super) struct Reads {
    connection: GrpcConnection,
    request: Vec<u8>,
}

impl Reads {
    pub(super) fn new(address: SocketAddr, token: String) -> Self {
        let connection =
            GrpcConnection::new(address, "/virtualdom.v1.MemoryGateway/ReadSnapshot", Some(token));
        Self { connection, request: read_request().encode_to_vec() }
    }
}

/// Asks for the node that is read.
pub(super) fn read_request() -> ReadSnapshotRequest {
    ReadSnapshotRequest {
        repo: REPO.to_owned(),
        branch: BRANCH.to_owned(),
        path: READ_PATH.to_owned(),
        ..ReadSnapshotRequest::default()
    }
}

impl Calls for Reads {
    fn conversation(&self, streams: usize) -> Box<dyn Conversation> {
        self.connection.open(streams)
    }

    fn next(&mut self, message: &mut Vec<u8>) {
        message.extend(&self.request);
    }

    fn accepts(&self, answer: &[u8]) -> bool {
        answer.len() >= VALUE_BYTES
    }
}

/// `WriteDiff` of a whole new content, whatever stands there.
pub(super) struct DiffWrites {
    connection: GrpcConnection,
    values: Values,
}

impl DiffWrites {
    pub(super) fn new(address: SocketAddr, token: String) -> Self {
        let connection =
            GrpcConnection::new(address, "/virtualdom.v1.MemoryGateway/WriteDiff", Some(token));
        Self { connection, values: Values::new() }
    }
}

/// Puts a content at a path.
pub(super) fn write_request(path: String, value: &[u8], operation: u128) -> WriteDiffRequest {
    let mut diff = RawDocumentBuf::new();
    diff.append(bson::cstr!("t"), "put");
    diff.append(bson::cstr!("v"), RawBinaryRef { subtype: BinarySubtype::Generic, bytes: value });
    WriteDiffRequest {
        diff_bson: Bytes::from(diff.into_bytes()),
        repo: REPO.to_owned(),
        branch: BRANCH.to_owned(),
        path,
        operation_id: Bytes::copy_from_slice(&operation.to_be_bytes()),
        on_conflict: OnConflict::Overwrite.into(),
        ..WriteDiffRequest::default()
    }
}

impl Calls for DiffWrites {
    fn conversation(&self, streams: usize) -> Box<dyn Conversation> {
        self.connection.open(streams)
    }

    fn next(&mut self, message: &mut Vec<u8>) {
        let (number, value) = self.values.next();
        let request = write_request(key(number), value, u128::from(number));
        message.extend(request.encode_to_vec());
    }

    fn accepts(&self, answer: &[u8]) -> bool {
        // `success = true` comes first, being field 1.
        answer.starts_with(&[0x08, 0x01])
    }
}

/// `Put` of etcd.
pub(super) struct EtcdPuts {
    connection: GrpcConnection,
    values: Values,
}

impl EtcdPuts {
    pub(super) fn new(address: SocketAddr) -> Self {
        let connection = GrpcConnection::new(address, "/etcdserverpb.KV/Put", None);
        Self { connection, values: Values::new() }
    }
}

impl Calls for EtcdPuts {
    fn conversation(&self, streams: usize) -> Box<dyn Conversation> {
        self.connection.open(streams)
    }

    fn next(&mut self, message: &mut Vec<u8>) {
        let (number, value) = self.values.next();
        let put = etcd::PutRequest { key: key(number).into_bytes(), value: value.to_vec() };
        message.extend(put.encode_to_vec());
    }

    fn accepts(&self, answer: &[u8]) -> bool {
        !answer.is_empty()
    }
}

/// `SET` of Redis.
pub(super) struct RedisSets {
    values: Values,
}

impl RedisSets {
    pub(super) fn new() -> Self {
        Self { values: Values::new() }
    }
}

impl Calls for RedisSets {
    fn conversation(&self, _: usize) -> Box<dyn Conversation> {
        Box::new(Redis)
    }

    fn next(&mut self, message: &mut Vec<u8>) {
        let (number, value) = self.values.next();
        Redis::command(&[b"SET", key(number).as_bytes(), value], message);
    }

    fn accepts(&self, answer: &[u8]) -> bool {
        answer == b"+OK"
    }
}

/// The messages of etcd's public API.
#[allow(missing_docs, unreachable_pub, clippy::all, clippy::pedantic)]
pub(super) mod etcd {
    tonic::include_proto!("etcdserverpb");
}

struct GrpcConnection {
    authority: String,
    method: &'static str,
    token: Option<String>,
}

impl GrpcConnection {
    fn new(address: SocketAddr, method: &'static str, token: Option<String>) -> Self {
        Self { authority: address.to_string(), method, token }
    }

    fn open(&self, streams: usize) -> Box<dyn Conversation> {
        Box::new(Grpc::new(self.method, &self.authority, self.token.as_deref(), streams))
    }
}

fn key(number: u64) -> String {
    format!("node-{:04}", number % KEYS)
}

/// Values that do not repeat and do not compress: windows of fixed noise.
struct Values {
    noise: Vec<u8>,
    written: u64,
}

impl Values {
    const NOISE_BYTES: usize = 1 << 20;

    fn new() -> Self {
        // xorshift64: the same on every run.
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut noise = Vec::with_capacity(Self::NOISE_BYTES);
        while noise.len() < Self::NOISE_BYTES {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            noise.extend(state.to_le_bytes());
        }
        Self { noise, written: 0 }
    }

    fn next(&mut self) -> (u64, &[u8]) {
        self.written += 1;
        // A prime step visits every window before one comes again.
        let windows = (Self::NOISE_BYTES - VALUE_BYTES) as u64;
        let start = (self.written * 7_919 % windows) as usize;
        (self.written, &self.noise[start..start + VALUE_BYTES])
    }
}
