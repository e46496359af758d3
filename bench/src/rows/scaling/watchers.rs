//! Watches that stand open beside what is measured, read by a thread of their own.

use std::net::SocketAddr;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::sync::{oneshot, watch};
use tokio::task::JoinSet;
use tonic::Streaming;
use tonic::transport::Endpoint;
use vdom_proto::v1::SubscribeRequest;

use crate::servers::etcd_api::watch_client::WatchClient;
use crate::servers::etcd_api::{WatchRequest, watch_request};
use crate::servers::{Client, whole_branch, whole_keys};
use crate::{Failure, Result};

/// Which carry the watches in turns.
const CONNECTIONS: usize = 10;
const OPEN_WITHIN: Duration = Duration::from_secs(60);

/// So many open watches, until it is closed.
pub(super) struct Watchers {
    close: oneshot::Sender<()>,
    thread: JoinHandle<Result<u64>>,
}

/// Whose watches.
pub(super) enum Watched {
    /// `SubscribeChanges` of a gateway or a sidecar, which asks its gateway for what has diffs.
    Branch { address: SocketAddr, token: String, include_diffs: bool },
    /// `Watch` of etcd, a stream for each watch.
    Keys { address: SocketAddr },
}

impl Watchers {
    /// Opens them, and waits until each has begun.
    pub(super) fn open(watched: Watched, count: usize) -> Result<Self> {
        let (close, closed) = oneshot::channel();
        let (opened, is_open) = std::sync::mpsc::channel();
        let thread = thread::spawn(move || {
            tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
                let mut watches = JoinSet::new();
                let (leave, left) = watch::channel(());
                let begun = tokio::time::timeout(OPEN_WITHIN, open(watched, count, &left));
                let streams = match begun.await {
                    Ok(Ok(streams)) => streams,
                    Ok(Err(failure)) => {
                        // Who waits for them learns of it from the thread.
                        drop(opened);
                        return Err(failure);
                    }
                    Err(_) => return Err(format!("{count} watches were not open in time").into()),
                };
                for stream in streams {
                    watches.spawn(stream);
                }
                let _waits = opened.send(());
                let _closed = closed.await;
                drop(leave);
                let mut messages = 0;
                while let Some(read) = watches.join_next().await {
                    messages += read??;
                }
                Ok(messages)
            })
        });
        let watchers = Self { close, thread };
        match is_open.recv() {
            Ok(()) => Ok(watchers),
            Err(_) => Err(watchers.close().err().unwrap_or_else(|| "no watch was opened".into())),
        }
    }

    /// Closes them: how many messages they were sent.
    ///
    /// # Errors
    /// Where one of them ended before.
    pub(super) fn close(self) -> Result<u64> {
        let _left = self.close.send(());
        self.thread.join().map_err(|_| Failure::from("the watchers' thread panicked"))?
    }
}

/// A watch that has begun: read until it is left, and then how many messages it had.
type Reading = std::pin::Pin<Box<dyn Future<Output = Result<u64>> + Send>>;

async fn open(watched: Watched, count: usize, left: &watch::Receiver<()>) -> Result<Vec<Reading>> {
    let mut readings: Vec<Reading> = Vec::with_capacity(count);
    match watched {
        Watched::Branch { address, token, include_diffs } => {
            let request = SubscribeRequest { include_diffs, ..whole_branch() };
            let mut clients = Vec::new();
            for _ in 0..CONNECTIONS.min(count) {
                clients.push(crate::servers::connect(address, &token).await?);
            }
            for index in 0..count {
                let client: &mut Client = &mut clients[index % CONNECTIONS];
                let stream = client.subscribe_changes(request.clone()).await;
                let stream = stream.map_err(|status| format!("watch {index}: {status}"))?;
                let mut stream = stream.into_inner();
                stream.message().await?;
                readings.push(Box::pin(read(stream, left.clone())));
            }
        }
        Watched::Keys { address } => {
            let mut clients = Vec::new();
            for _ in 0..CONNECTIONS.min(count) {
                let endpoint = Endpoint::from_shared(format!("http://{address}"))?;
                clients.push(WatchClient::new(endpoint.connect().await?));
            }
            for index in 0..count {
                let create = watch_request::RequestUnion::CreateRequest(whole_keys());
                let request = WatchRequest { request_union: Some(create) };
                // A stream of requests that does not end, as a watcher's does not.
                let requests = tokio_stream::StreamExt::chain(
                    tokio_stream::iter([request]),
                    tokio_stream::pending(),
                );
                let stream = clients[index % CONNECTIONS].watch(requests).await?;
                let mut stream = stream.into_inner();
                stream.message().await?;
                readings.push(Box::pin(read(stream, left.clone())));
            }
        }
    }
    Ok(readings)
}

async fn read<M>(mut stream: Streaming<M>, mut left: watch::Receiver<()>) -> Result<u64> {
    let mut messages = 0;
    loop {
        tokio::select! {
            message = stream.message() => match message? {
                Some(_) => messages += 1,
                None => return Err("a watch ended".into()),
            },
            // The sender goes when they are closed.
            _ = left.changed() => return Ok(messages),
        }
    }
}
