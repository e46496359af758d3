//! How each server is watched, and what it tells its subscribers.

use std::net::SocketAddr;

use prost::Message;
use vdom_proto::v1::SubscribeRequest;
use vdom_proto::v1::change_event::Type;

use super::calls::{BRANCH, REPO, etcd, number_of};
use crate::Result;
use crate::load::fan_out::{Received, Watches};
use crate::load::{Protocol, Subscription};

/// What the generator looks at in a `ChangeEvent`; the rest is skipped, which
/// costs less than a value for each field.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Glance {
    #[prost(enumeration = "Type", tag = "1")]
    pub(crate) kind: i32,
    #[prost(uint64, tag = "12")]
    pub(crate) revision: u64,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Path {
    #[prost(enumeration = "Type", tag = "1")]
    kind: i32,
    #[prost(string, tag = "4")]
    path: String,
}

/// `SubscribeChanges` of a branch, a stream for each subscriber.
pub(super) struct ChangeStreams {
    authority: String,
    token: String,
    subscribers: usize,
}

impl ChangeStreams {
    pub(super) fn new(address: SocketAddr, token: String, subscribers: usize) -> Self {
        Self { authority: address.to_string(), token, subscribers }
    }
}

impl Watches for ChangeStreams {
    fn protocol(&self) -> Box<dyn Protocol> {
        Box::new(subscription(&self.authority, &self.token, self.subscribers))
    }

    fn requests(&self) -> Vec<(usize, Vec<u8>)> {
        let request = SubscribeRequest { include_diffs: true, ..whole_branch() };
        (0..self.subscribers).map(|slot| (slot, request.encode_to_vec())).collect()
    }

    fn receive(&self, message: &[u8], received: &mut dyn FnMut(Received)) -> Result<()> {
        let event = Path::decode(message)?;
        received(match event.kind() {
            Type::Progress => Received::Standing,
            _ => Received::Write(number_of(event.path.as_bytes())?),
        });
        Ok(())
    }
}

/// A connection on which changes are subscribed to.
pub(super) fn subscription(authority: &str, token: &str, streams: usize) -> Subscription {
    let method = "/virtualdom.v1.MemoryGateway/SubscribeChanges";
    Subscription::of_one_request(method, authority, Some(token), streams)
}

/// Asks for what happens from now on in the branch that is written to.
pub(crate) fn whole_branch() -> SubscribeRequest {
    SubscribeRequest {
        repo: REPO.to_owned(),
        branch: BRANCH.to_owned(),
        ..SubscribeRequest::default()
    }
}

/// Asks for every key that is written.
pub(crate) fn whole_keys() -> etcd::WatchCreateRequest {
    etcd::WatchCreateRequest { key: b"node-".into(), range_end: b"node.".into() }
}

/// `Watch` of every key that is written.
pub(super) struct EtcdWatches {
    authority: String,
    /// Of each connection.
    streams: usize,
    /// Spread over its streams.
    subscribers: usize,
}

impl EtcdWatches {
    pub(super) fn new(address: SocketAddr, streams: usize, subscribers: usize) -> Self {
        Self { authority: address.to_string(), streams, subscribers }
    }
}

impl Watches for EtcdWatches {
    fn protocol(&self) -> Box<dyn Protocol> {
        let method = "/etcdserverpb.Watch/Watch";
        Box::new(Subscription::of_many_requests(method, &self.authority, self.streams))
    }

    fn requests(&self) -> Vec<(usize, Vec<u8>)> {
        let create = etcd::watch_request::RequestUnion::CreateRequest(whole_keys());
        let request = etcd::WatchRequest { request_union: Some(create) }.encode_to_vec();
        (0..self.subscribers).map(|each| (each % self.streams, request.clone())).collect()
    }

    fn receive(&self, message: &[u8], received: &mut dyn FnMut(Received)) -> Result<()> {
        let response = etcd::WatchResponse::decode(message)?;
        if response.created {
            received(Received::Standing);
        }
        for event in response.events {
            let key = event.kv.unwrap_or_default().key;
            received(Received::Write(number_of(&key)?));
        }
        Ok(())
    }
}
