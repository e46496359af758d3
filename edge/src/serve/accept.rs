//! Where a server's connections come from: a listener, or another thread that has one.

use std::os::unix::net::UnixStream as StdUnixStream;
use std::time::Duration;

use tokio::net::UnixStream;
use tokio::sync::mpsc;

use super::listener::{Listener, LocalAddress, Stream};

/// How long to pause when the system has no more sockets to give.
const ACCEPT_AGAIN_AFTER: Duration = Duration::from_millis(50);

/// A source of connections that a [`Server`](super::Server) serves.
pub trait Accept: Send + 'static {
    /// The next connection. What cannot be accepted is logged, and the next one waited
    /// for; pending for ever where no more will come. Nothing is lost when it is dropped.
    fn accept(&mut self) -> impl Future<Output = Stream> + Send;

    /// Where it listens itself; `None` where it only takes over.
    fn local_address(&self) -> Option<LocalAddress> {
        None
    }
}

impl Accept for Listener {
    async fn accept(&mut self) -> Stream {
        loop {
            match Listener::accept(self).await {
                Ok(stream) => return stream,
                Err(error) => {
                    tracing::warn!("a connection was not accepted: {error}");
                    tokio::time::sleep(ACCEPT_AGAIN_AFTER).await;
                }
            }
        }
    }

    fn local_address(&self) -> Option<LocalAddress> {
        Some(Listener::local_address(self).clone())
    }
}

/// Connections of a unix socket that another thread accepted.
#[derive(Debug)]
pub struct HandedOver(pub mpsc::Receiver<StdUnixStream>);

impl Accept for HandedOver {
    async fn accept(&mut self) -> Stream {
        while let Some(stream) = self.0.recv().await {
            match UnixStream::from_std(stream) {
                Ok(stream) => return Stream::Unix(stream),
                Err(error) => tracing::warn!("a connection was not taken over: {error}"),
            }
        }
        std::future::pending().await
    }
}
