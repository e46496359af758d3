//! One thread per core, each with a runtime of its own: connections stay where
//! they were accepted, and threads share nothing but the cache.
//!
//! On TCP every thread has its own listener and the system spreads connections
//! (`SO_REUSEPORT`); those of a unix socket are handed out in turn.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::thread::JoinHandle;
use std::time::Duration;

use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tower::Service;
use vdom_core::{Error, ErrorCode, Result};
use vdom_edge::serve::{
    Accept, Bind, Drained, HandedOver, Listener, ServeSettings, Server, Stream,
};

/// How many accepted connections of the unix socket wait for their thread.
const HANDED_OUT_MAX: usize = 128;

/// What every thread serves.
pub(crate) trait Serve:
    Service<
        Request<Incoming>,
        Response = Response<Self::AnswerBody>,
        Error = Infallible,
        Future: Send + 'static,
    > + Clone
    + Send
    + 'static
{
    /// The body of an answer.
    type AnswerBody: Body<Data: Send, Error: Into<Box<dyn std::error::Error + Send + Sync>>>
        + Send
        + 'static;
}

impl<S, B> Serve for S
where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible>
        + Clone
        + Send
        + 'static,
    S::Future: Send + 'static,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    type AnswerBody = B;
}

/// The services of one thread.
pub(crate) struct Services<T, U> {
    /// For connections over TCP.
    pub(crate) tcp: T,
    /// For those of the unix socket.
    pub(crate) unix: U,
    /// For both; the number of connections is that of each.
    pub(crate) settings: ServeSettings,
}

/// The running threads. Dropped, they stop at once.
pub(crate) struct Workers {
    address: SocketAddr,
    threads: Vec<Worker>,
    draining: CancellationToken,
}

struct Worker {
    thread: JoinHandle<()>,
    drain: oneshot::Sender<Duration>,
    drained: oneshot::Receiver<Drained>,
    handed_out: mpsc::Sender<StdUnixStream>,
}

impl Workers {
    /// Opens `address` and begins to serve it on so many threads, each with
    /// services of its own. Refuses an address that another process listens on.
    pub(crate) async fn start<T: Serve + Sync, U: Serve + Sync>(
        address: SocketAddr,
        threads: usize,
        services: impl Fn() -> Services<T, U>,
    ) -> Result<Self> {
        let address = free_address(address).await?;
        let draining = CancellationToken::new();
        let mut workers = Vec::with_capacity(threads);
        for number in 0..threads.max(1) {
            workers.push(Worker::start(number, address, services()).await?);
        }
        Ok(Self { address, threads: workers, draining })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Hands the connections of a unix socket to the threads in turn.
    pub(crate) fn hand_out(&self, mut listener: Listener) {
        let queues: Vec<_> = self.threads.iter().map(|worker| worker.handed_out.clone()).collect();
        let draining = self.draining.clone();
        tokio::spawn(async move {
            for queue in queues.iter().cycle() {
                let accepted = tokio::select! {
                    accepted = Accept::accept(&mut listener) => accepted,
                    () = draining.cancelled() => return,
                };
                let Stream::Unix(stream) = accepted else { continue };
                match stream.into_std() {
                    Ok(stream) => {
                        if queue.send(stream).await.is_err() {
                            return;
                        }
                    }
                    Err(error) => tracing::warn!("a connection was not handed over: {error}"),
                }
            }
        });
    }

    /// Takes no more connections and requests, lets those in flight end, and
    /// cuts off what is left after `deadline`.
    pub(crate) async fn drain(self, deadline: Duration) -> Drained {
        self.draining.cancel();
        let mut ended = Vec::new();
        for worker in self.threads {
            // Gone already: then there is nothing to drain.
            let _ = worker.drain.send(deadline);
            ended.push((worker.drained, worker.thread));
        }
        let mut all = Vec::new();
        for (drained, thread) in ended {
            all.push(drained.await.unwrap_or(Drained::Clean));
            let joined = tokio::task::spawn_blocking(move || thread.join()).await;
            if !matches!(joined, Ok(Ok(()))) {
                tracing::error!("a serving thread panicked");
            }
        }
        all.into_iter().collect()
    }
}

impl Worker {
    async fn start<T: Serve + Sync, U: Serve + Sync>(
        number: usize,
        address: SocketAddr,
        services: Services<T, U>,
    ) -> Result<Self> {
        let (started, is_started) = oneshot::channel();
        let (drain, drain_wanted) = oneshot::channel();
        let (drained_sender, drained) = oneshot::channel();
        let (handed_out, connections) = mpsc::channel(HANDED_OUT_MAX);
        let serve = async move {
            let bind = Bind::Tcp { address, reuse_port: true };
            let listener = match Listener::bind(&bind).await {
                Ok(listener) => listener,
                Err(error) => {
                    // Whoever waits for it is still there.
                    let _ = started.send(Err(error));
                    return;
                }
            };
            let Services { tcp, unix, settings } = services;
            let tcp = Server::start(listener, tcp, settings.clone());
            let unix = Server::start(HandedOver(connections), unix, settings);
            let _ = started.send(Ok(()));
            // Dropped instead: stop at once.
            let Ok(deadline) = drain_wanted.await else { return };
            let (tcp, unix) = tokio::join!(tcp.drain(deadline), unix.drain(deadline));
            let _ = drained_sender.send([tcp, unix].into_iter().collect());
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| cannot_start(&error))?;
        let thread = std::thread::Builder::new()
            .name(format!("serve-{number}"))
            .spawn(move || runtime.block_on(serve))
            .map_err(|error| cannot_start(&error))?;
        is_started.await.map_err(Error::internal)??;
        Ok(Self { thread, drain, drained, handed_out })
    }
}

/// The address with a port of its own. Listeners that share an address do not
/// notice those of another process; this one does.
async fn free_address(address: SocketAddr) -> Result<SocketAddr> {
    let listener = Listener::bind(&Bind::Tcp { address, reuse_port: false }).await?;
    let address = listener.local_address().tcp();
    address.ok_or_else(|| Error::internal("a TCP listener without an address"))
}

fn cannot_start(error: &std::io::Error) -> Error {
    Error::new(ErrorCode::FailedPrecondition, format!("cannot start a serving thread: {error}"))
}
