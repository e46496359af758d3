//! What each server is asked: small requests that cost the generator little.

use std::net::SocketAddr;

use bson::spec::BinarySubtype;
use bson::{RawBinaryRef, RawDocumentBuf};
use bytes::Bytes;
use prost::Message;
use vdom_proto::v1::{OnConflict, ReadSnapshotRequest, WriteDiffRequest};

use crate::Result;
use crate::load::fan_out::Writes;
use crate::load::{Calls, Grpc, Protocol, Redis};

/// Of every written value, and of the content that is read.
pub(crate) const VALUE_BYTES: usize = 1_024;
/// Keys or nodes that the writers take in turns: more than there are writers.
pub(crate) const KEYS: usize = 1_024;

pub(crate) const REPO: &str = "bench";
pub(crate) const BRANCH: &str = "main";
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
        Self { connection, request: read_request(READ_PATH.to_owned()).encode_to_vec() }
    }
}

/// Asks for the latest version of a node.
pub(crate) fn read_request(path: String) -> ReadSnapshotRequest {
    ReadSnapshotRequest {
        repo: REPO.to_owned(),
        branch: BRANCH.to_owned(),
        path,
        ..ReadSnapshotRequest::default()
    }
}

impl Reads {
    /// The same, as of a head that is confirmed after each request.
    pub(super) fn confirmed(address: SocketAddr, token: String) -> Self {
        let request =
            ReadSnapshotRequest { max_age_ms: Some(0), ..read_request(READ_PATH.to_owned()) };
        Self { request: request.encode_to_vec(), ..Self::new(address, token) }
    }
}

impl Calls for Reads {
    fn protocol(&self, streams: usize) -> Box<dyn Protocol> {
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
    /// Written to in turns.
    branches: Vec<String>,
}

impl DiffWrites {
    pub(super) fn new(address: SocketAddr, token: String) -> Self {
        let connection =
            GrpcConnection::new(address, "/virtualdom.v1.MemoryGateway/WriteDiff", Some(token));
        Self { connection, values: Values::new(), branches: vec![BRANCH.to_owned()] }
    }

    /// To so many branches in turns.
    pub(super) fn with_branches(self, count: usize) -> Self {
        let branches = (0..count).map(|number| format!("branch-{number}")).collect();
        Self { branches, ..self }
    }
}

/// Puts a content at a path.
pub(crate) fn write_request(path: String, value: &[u8], operation: u128) -> WriteDiffRequest {
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

/// Puts a content that follows in pieces.
pub(crate) fn put_without_content(path: String) -> WriteDiffRequest {
    let mut diff = RawDocumentBuf::new();
    diff.append(bson::cstr!("t"), "put");
    WriteDiffRequest {
        diff_bson: Bytes::from(diff.into_bytes()),
        path,
        ..WriteDiffRequest::default()
    }
}

impl Calls for DiffWrites {
    fn protocol(&self, streams: usize) -> Box<dyn Protocol> {
        self.connection.open(streams)
    }

    fn next(&mut self, message: &mut Vec<u8>) {
        let (number, value) = self.values.next();
        let mut request = write_request(key(number), value, u128::from(number));
        request.branch.clone_from(&self.branches[number as usize % self.branches.len()]);
        message.extend(request.encode_to_vec());
    }

    fn accepts(&self, answer: &[u8]) -> bool {
        // `success = true` comes first, being field 1.
        answer.starts_with(&[0x08, 0x01])
    }
}

impl Writes for DiffWrites {
    fn latest(&self) -> usize {
        self.values.written as usize % KEYS
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
    fn protocol(&self, streams: usize) -> Box<dyn Protocol> {
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

/// `Range` of one key of etcd, again and again.
pub(super) struct EtcdRanges {
    connection: GrpcConnection,
    request: Vec<u8>,
}

impl EtcdRanges {
    pub(super) fn new(address: SocketAddr, key: &str) -> Self {
        let connection = GrpcConnection::new(address, "/etcdserverpb.KV/Range", None);
        let request = etcd::RangeRequest { key: key.into(), ..etcd::RangeRequest::default() };
        Self { connection, request: request.encode_to_vec() }
    }
}

impl Calls for EtcdRanges {
    fn protocol(&self, streams: usize) -> Box<dyn Protocol> {
        self.connection.open(streams)
    }

    fn next(&mut self, message: &mut Vec<u8>) {
        message.extend(&self.request);
    }

    fn accepts(&self, answer: &[u8]) -> bool {
        answer.len() >= VALUE_BYTES
    }
}

impl Writes for EtcdPuts {
    fn latest(&self) -> usize {
        self.values.written as usize % KEYS
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
    fn protocol(&self, _: usize) -> Box<dyn Protocol> {
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
pub(crate) mod etcd {
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

    fn open(&self, streams: usize) -> Box<dyn Protocol> {
        Box::new(Grpc::new(self.method, &self.authority, self.token.as_deref(), streams))
    }
}

pub(super) fn key(number: u64) -> String {
    format!("node-{:04}", number % KEYS as u64)
}

/// The slot of the write that wrote this key.
pub(super) fn number_of(key: &[u8]) -> Result<usize> {
    let digits = key.strip_prefix(b"node-").and_then(|digits| str::from_utf8(digits).ok());
    let number = digits.and_then(|digits| digits.parse().ok()).filter(|number| *number < KEYS);
    number.ok_or_else(|| "an event of a key that nobody wrote".into())
}

/// Bytes that do not compress, the same on every run: xorshift64.
pub(crate) struct Noise(u64);

impl Noise {
    pub(crate) fn new() -> Self {
        Self(0x9e37_79b9_7f4a_7c15)
    }

    /// The next ones; a whole number of words.
    pub(crate) fn bytes(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(count);
        while bytes.len() < count {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            bytes.extend(self.0.to_le_bytes());
        }
        bytes
    }
}

/// Values that do not repeat and do not compress: windows of fixed noise.
pub(super) struct Values {
    noise: Vec<u8>,
    written: u64,
}

impl Values {
    const NOISE_BYTES: usize = 1 << 20;

    pub(super) fn new() -> Self {
        Self { noise: Noise::new().bytes(Self::NOISE_BYTES), written: 0 }
    }

    pub(super) fn next(&mut self) -> (u64, &[u8]) {
        self.written += 1;
        // A prime step visits every window before one comes again.
        let windows = (Self::NOISE_BYTES - VALUE_BYTES) as u64;
        let start = (self.written * 7_919 % windows) as usize;
        (self.written, &self.noise[start..start + VALUE_BYTES])
    }
}
