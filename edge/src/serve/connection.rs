//! One connection: TLS, HTTP/1 or HTTP/2, their limits, and its end.

use std::convert::Infallible;
use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Context;
use std::time::Duration;

use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tower::Service;
use vdom_core::limits::{
    HANDSHAKE_DEADLINE, HEADER_LIST_MAX_BYTES, HTTP2_CONNECTION_WINDOW_BYTES,
    HTTP2_FRAME_MAX_BYTES, HTTP2_MAX_CONCURRENT_STREAMS, HTTP2_MAX_CONCURRENT_STREAMS_CEILING,
    HTTP2_STREAM_WINDOW_BYTES, KEEP_ALIVE_DEADLINE, KEEP_ALIVE_EVERY,
};

use super::listener::Stream;
use super::protocol_detect::{Protocol, recognize};
use super::write_coalescing::{CoalescingIo, PollCount};
use crate::observe::RequestMetrics;

/// The most header fields of an HTTP/1 request.
const HTTP1_MAX_HEADERS: usize = 128;
/// The most bytes that wait to be written on a stream of HTTP/2.
const HTTP2_SEND_BUFFER_BYTES: usize = 1 << 20;

/// What a connection may do.
#[derive(Clone, Debug)]
pub struct ServeSettings {
    /// With which certificates TLS is spoken; `None`: plain text.
    pub tls: Option<Arc<rustls::ServerConfig>>,
    /// How many connections a server holds; more wait to be accepted.
    pub max_connections: usize,
    /// How many HTTP/2 streams a connection may have; at most 10,000.
    pub max_concurrent_streams: u32,
    /// How long a peer may take for a TLS handshake, its first bytes, a head.
    pub handshake_deadline: Duration,
    /// How long an HTTP/2 connection may be idle before it is probed.
    pub keep_alive_every: Duration,
    /// How long a probe may stay unanswered.
    pub keep_alive_deadline: Duration,
    /// Where open connections are counted; `None`: nowhere.
    pub metrics: Option<Arc<RequestMetrics>>,
}

impl Default for ServeSettings {
    fn default() -> Self {
        Self {
            tls: None,
            max_connections: 10_000,
            max_concurrent_streams: HTTP2_MAX_CONCURRENT_STREAMS,
            handshake_deadline: HANDSHAKE_DEADLINE,
            keep_alive_every: KEEP_ALIVE_EVERY,
            keep_alive_deadline: KEEP_ALIVE_DEADLINE,
            metrics: None,
        }
    }
}

/// Serves one connection to its end. Once `draining` is cancelled, requests in
/// flight are still answered and no more are taken.
pub(super) async fn serve_connection<S, B>(
    stream: Stream,
    service: S,
    settings: &ServeSettings,
    draining: CancellationToken,
) where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible>
        + Clone
        + Send
        + 'static,
    S::Future: Send + 'static,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let _counted = Counted::new(settings.metrics.clone());
    let ended = match &settings.tls {
        None => serve_io(stream, service, settings, draining).await,
        Some(config) => {
            let accept = TlsAcceptor::from(Arc::clone(config)).accept(stream);
            let handshake = tokio::time::timeout(settings.handshake_deadline, accept);
            let accepted = tokio::select! {
                accepted = handshake => accepted,
                () = draining.cancelled() => return,
            };
            match accepted {
                Ok(Ok(stream)) => serve_io(stream, service, settings, draining).await,
                Ok(Err(error)) => Err(error.into()),
                Err(_) => Err(io::Error::from(io::ErrorKind::TimedOut).into()),
            }
        }
    };
    if let Err(error) = ended {
        // A peer that breaks off is everyday life, not a fault of ours.
        tracing::debug!("connection ended: {error}");
    }
}

type Ended = Result<(), Box<dyn std::error::Error + Send + Sync>>;

async fn serve_io<I, S, B>(
    io: I,
    service: S,
    settings: &ServeSettings,
    draining: CancellationToken,
) -> Ended
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible>
        + Clone
        + Send
        + 'static,
    S::Future: Send + 'static,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let recognized = tokio::select! {
        recognized = tokio::time::timeout(settings.handshake_deadline, recognize(io)) => recognized,
        () = draining.cancelled() => return Ok(()),
    };
    let Some((protocol, io)) = recognized?? else { return Ok(()) };
    let service = TowerToHyperService::new(service);
    let turns = PollCount::default();
    match protocol {
        Protocol::Http1 => {
            let io = TokioIo::new(io);
            let connection = http1_builder(settings).serve_connection(io, service).with_upgrades();
            let take_no_more = http1::UpgradeableConnection::graceful_shutdown;
            until_drained(connection, &turns, draining, take_no_more).await
        }
        Protocol::Http2 => {
            let io = TokioIo::new(CoalescingIo::new(io, turns.clone()));
            let connection = http2_builder(settings).serve_connection(io, service);
            until_drained(connection, &turns, draining, http2::Connection::graceful_shutdown).await
        }
    }
}

async fn until_drained<C>(
    connection: C,
    turns: &PollCount,
    draining: CancellationToken,
    take_no_more: impl FnOnce(Pin<&mut C>),
) -> Ended
where
    C: Future<Output = hyper::Result<()>>,
{
    let mut connection = pin!(connection);
    let turn = |connection: Pin<&mut C>, context: &mut Context<'_>| {
        turns.next();
        connection.poll(context)
    };
    let ended = tokio::select! {
        ended = poll_fn(|context| turn(connection.as_mut(), context)) => ended,
        () = draining.cancelled() => {
            take_no_more(connection.as_mut());
            poll_fn(|context| turn(connection.as_mut(), context)).await
        }
    };
    ended.map_err(Into::into)
}

fn http1_builder(settings: &ServeSettings) -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder
        // Without a timer the deadline for the head is inert.
        .timer(TokioTimer::new())
        .header_read_timeout(settings.handshake_deadline)
        .max_header_size(HEADER_LIST_MAX_BYTES as usize)
        .max_headers(HTTP1_MAX_HEADERS);
    builder
}

fn http2_builder(settings: &ServeSettings) -> http2::Builder<TokioExecutor> {
    let streams = settings.max_concurrent_streams.min(HTTP2_MAX_CONCURRENT_STREAMS_CEILING);
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .keep_alive_interval(settings.keep_alive_every)
        .keep_alive_timeout(settings.keep_alive_deadline)
        .max_concurrent_streams(streams)
        .max_header_list_size(HEADER_LIST_MAX_BYTES)
        .max_frame_size(HTTP2_FRAME_MAX_BYTES)
        .initial_stream_window_size(HTTP2_STREAM_WINDOW_BYTES)
        .initial_connection_window_size(HTTP2_CONNECTION_WINDOW_BYTES)
        .max_send_buf_size(HTTP2_SEND_BUFFER_BYTES);
    builder
}

/// Counts a connection for as long as it is open.
struct Counted(Option<Arc<RequestMetrics>>);

impl Counted {
    fn new(metrics: Option<Arc<RequestMetrics>>) -> Self {
        if let Some(metrics) = &metrics {
            metrics.connected();
        }
        Self(metrics)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        if let Some(metrics) = &self.0 {
            metrics.disconnected();
        }
    }
}
