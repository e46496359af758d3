//! A server: accepts connections from one place until it drains.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::Service;

use super::accept::Accept;
use super::connection::{ServeSettings, serve_connection};
use super::listener::LocalAddress;

/// Whether a server answered all that it had taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drained {
    /// Every request in flight was answered.
    Clean,
    /// The deadline came before the last answer.
    Cut {
        /// How many connections were cut off.
        connections: usize,
    },
}

impl Drained {
    /// How many connections were cut off.
    pub fn cut(self) -> usize {
        match self {
            Self::Clean => 0,
            Self::Cut { connections } => connections,
        }
    }

    /// Tells operators where requests were not answered.
    pub fn log(self) {
        if let Self::Cut { connections } = self {
            tracing::warn!(connections, "connections were cut off at the drain's deadline");
        }
    }
}

impl FromIterator<Self> for Drained {
    /// How several servers ended together.
    fn from_iter<I: IntoIterator<Item = Self>>(all: I) -> Self {
        match all.into_iter().map(Self::cut).sum() {
            0 => Self::Clean,
            connections => Self::Cut { connections },
        }
    }
}

/// A running server. Dropping it stops it at once.
#[derive(Debug)]
pub struct Server {
    address: Option<LocalAddress>,
    draining: CancellationToken,
    cut: CancellationToken,
    tasks: TaskTracker,
}

impl Server {
    /// Begins to serve what `connections` has to accept, on the current runtime.
    pub fn start<A, S, B>(mut connections: A, service: S, settings: ServeSettings) -> Self
    where
        A: Accept,
        S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible>
            + Clone
            + Send
            + 'static,
        S::Future: Send + 'static,
        B: Body + Send + 'static,
        B::Data: Send,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let server = Self {
            address: connections.local_address(),
            draining: CancellationToken::new(),
            cut: CancellationToken::new(),
            tasks: TaskTracker::new(),
        };
        let (draining, cut, tasks) =
            (server.draining.clone(), server.cut.clone(), server.tasks.clone());
        let accepting = async move {
            let settings = Arc::new(settings);
            let free = Arc::new(Semaphore::new(settings.max_connections));
            loop {
                let accepted = async {
                    let permit = Arc::clone(&free).acquire_owned().await.ok()?;
                    Some((connections.accept().await, permit))
                };
                let accepted = tokio::select! {
                    accepted = accepted => accepted,
                    () = draining.cancelled() => return,
                };
                let Some((stream, permit)) = accepted else { return };
                let (service, settings) = (service.clone(), Arc::clone(&settings));
                let (draining, cut) = (draining.clone(), cut.clone());
                tasks.spawn(async move {
                    tokio::select! {
                        () = serve_connection(stream, service, &settings, draining) => {}
                        () = cut.cancelled() => {}
                    }
                    drop(permit);
                });
            }
        };
        let cut = server.cut.clone();
        server.tasks.spawn(async move {
            tokio::select! {
                () = accepting => {}
                () = cut.cancelled() => {}
            }
        });
        server
    }

    /// Where it listens; `None` where another thread does that for it.
    pub fn local_address(&self) -> Option<&LocalAddress> {
        self.address.as_ref()
    }

    /// Cancelled when the server begins to drain.
    pub fn draining(&self) -> CancellationToken {
        self.draining.clone()
    }

    /// Takes no more connections and requests, lets those in flight end, and
    /// cuts off what is left after `deadline`.
    pub async fn drain(self, deadline: Duration) -> Drained {
        self.draining.cancel();
        self.tasks.close();
        if tokio::time::timeout(deadline, self.tasks.wait()).await.is_ok() {
            return Drained::Clean;
        }
        let connections = self.tasks.len();
        self.cut.cancel();
        self.tasks.wait().await;
        Drained::Cut { connections }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.draining.cancel();
        self.cut.cancel();
    }
}
