//! The gateway, as the sidecar asks it: an HTTP/2 connection for unary calls and others for
//! streams, opened when they are needed and again whenever they broke.

mod calls;
mod connections;
mod content;
mod streams;

pub(crate) use content::whole;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::Notify;
use tonic::metadata::MetadataValue;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};
use tonic::{Request, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use vdom_core::limits::{
    HEADER_LIST_MAX_BYTES, HTTP2_CONNECTION_WINDOW_BYTES, HTTP2_DROPPED_STREAMS_FOR,
    HTTP2_DROPPED_STREAMS_MAX, HTTP2_STREAM_WINDOW_BYTES, KEEP_ALIVE_DEADLINE,
    UNARY_MESSAGE_MAX_BYTES,
};
use vdom_core::{Error, Result};
use vdom_edge::error::from_status;
use vdom_edge::{Caller, deadline};
use vdom_proto::v1::memory_gateway_client::MemoryGatewayClient;

use connections::{StreamConnections, StreamPlace};

use crate::identity::OwnIdentity;
use vdom_edge::Environment;

/// How long opening a connection may take.
const CONNECT_DEADLINE: Duration = Duration::from_secs(5);
/// How often a connection is probed, also while nothing uses it: what is cached
/// depends on knowing soon that the gateway is away.
const PROBE_EVERY: Duration = Duration::from_secs(5);
/// The largest answer that is taken: a unary message and what frames it.
const ANSWER_MAX_BYTES: usize = UNARY_MESSAGE_MAX_BYTES + (64 << 10);
/// The deadline of a call on the sidecar's own account.
const OWN_DEADLINE: Duration = Duration::from_secs(10);

/// Where the gateway is.
#[derive(Clone, Debug)]
pub(crate) struct UpstreamAddress {
    /// `http://HOST:PORT` or `https://HOST:PORT`.
    pub(crate) url: String,
    /// Whom to trust, in PEM; `None`: the system's authorities.
    pub(crate) ca_file: Option<PathBuf>,
}

/// On whose behalf a call is made.
#[derive(Clone, Copy)]
pub(crate) enum OnBehalfOf<'a> {
    /// The caller, with its own token, deadline and request id.
    Caller(&'a Caller),
    /// The sidecar itself.
    Sidecar,
}

/// The gateway. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Upstream {
    client: MemoryGatewayClient<Channel>,
    streams: StreamConnections,
    health: HealthClient<Channel>,
    identity: OwnIdentity,
    environment: Environment,
    contact: Arc<Contact>,
}

/// When the gateway was there last, in ms of the environment; 0: never.
#[derive(Default)]
struct Contact {
    answered_at_ms: AtomicU64,
    /// The last call was not answered.
    is_away: AtomicBool,
    /// Told when the gateway answers again.
    back: Notify,
}

/// Whether the gateway is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Connectivity {
    /// It answered the last call.
    There,
    /// It has never answered.
    Never,
    /// It did not answer the last call; the last answer is so long ago.
    Away(Duration),
}

impl Upstream {
    /// Prepares the connection; nothing is sent yet. Refuses a URL or a file
    /// that cannot be used. Runs within tokio.
    pub(crate) fn new(
        address: &UpstreamAddress,
        identity: OwnIdentity,
        environment: Environment,
    ) -> Result<Self> {
        let endpoint = endpoint(address)?;
        let channel = endpoint.connect_lazy();
        let health = HealthClient::new(channel.clone());
        Ok(Self {
            client: client(channel),
            streams: StreamConnections::new(endpoint),
            health,
            identity,
            environment,
            contact: Arc::default(),
        })
    }

    /// The sidecar's own identity.
    pub(crate) fn identity(&self) -> &OwnIdentity {
        &self.identity
    }

    /// Whether the gateway is there, as far as the last call tells.
    pub(crate) fn connectivity(&self) -> Connectivity {
        let answered = self.contact.answered_at_ms.load(Ordering::Relaxed);
        if answered == 0 {
            Connectivity::Never
        } else if self.contact.is_away.load(Ordering::Relaxed) {
            Connectivity::Away(Duration::from_millis(self.now_ms().saturating_sub(answered)))
        } else {
            Connectivity::There
        }
    }

    /// Done when the gateway answers again after it was away.
    pub(crate) async fn back(&self) {
        self.contact.back.notified().await;
    }

    /// Asks the gateway whether it is there. Any answer at all says that it is.
    pub(crate) async fn probe(&self) -> bool {
        let mut health = self.health.clone();
        let mut request = Request::new(HealthCheckRequest { service: String::new() });
        request.set_timeout(CONNECT_DEADLINE);
        match health.check(request).await {
            Ok(_) => self.note(None),
            Err(status) => self.note(Some(&status)),
        }
        self.connectivity() == Connectivity::There
    }

    /// A request with the headers that go with every call, and its deadline.
    fn request<T>(&self, on_behalf_of: OnBehalfOf<'_>, message: T) -> Result<Request<T>> {
        let mut request = Request::new(message);
        let metadata = request.metadata_mut();
        let bearer = match on_behalf_of {
            OnBehalfOf::Caller(caller) => {
                if let Ok(id) = MetadataValue::try_from(&*caller.request_id) {
                    metadata.insert("x-request-id", id);
                }
                caller.bearer.clone()
            }
            OnBehalfOf::Sidecar => self.identity.token(),
        };
        if let Some(bearer) = bearer {
            let mut value = MetadataValue::try_from(format!("Bearer {bearer}"))
                .map_err(|_| Error::internal("a token with characters that no header can hold"))?;
            value.set_sensitive(true);
            metadata.insert("authorization", value);
        }
        Ok(request)
    }

    /// Makes a unary call.
    async fn call<T, A, F>(
        &self,
        on_behalf_of: OnBehalfOf<'_>,
        message: T,
        send: impl FnOnce(MemoryGatewayClient<Channel>, Request<T>) -> F,
    ) -> Result<A>
    where
        F: Future<Output = std::result::Result<tonic::Response<A>, Status>>,
    {
        self.call_by(self.client.clone(), on_behalf_of, message, send).await
    }

    /// A client for one call that streams, and its place among those.
    fn streaming_client(&self) -> Result<(MemoryGatewayClient<Channel>, StreamPlace)> {
        let (channel, place) = self.streams.take()?;
        Ok((client(channel), place))
    }

    /// Makes a call whose answer, or whose first answer, has a deadline.
    async fn call_by<T, A, F>(
        &self,
        client: MemoryGatewayClient<Channel>,
        on_behalf_of: OnBehalfOf<'_>,
        message: T,
        send: impl FnOnce(MemoryGatewayClient<Channel>, Request<T>) -> F,
    ) -> Result<A>
    where
        F: Future<Output = std::result::Result<tonic::Response<A>, Status>>,
    {
        let mut request = self.request(on_behalf_of, message)?;
        let left = match on_behalf_of {
            OnBehalfOf::Caller(caller) => caller
                .deadline
                .map(|deadline| deadline.saturating_duration_since(vdom_edge::deadline::now())),
            OnBehalfOf::Sidecar => None,
        };
        if left.is_some_and(|left| left.is_zero()) {
            return Err(deadline::exceeded());
        }
        if let Some(left) = left {
            request.set_timeout(left);
        }
        let answer = send(client, request);
        let answer = tokio::time::timeout(left.unwrap_or(OWN_DEADLINE), answer).await;
        let Ok(answer) = answer else { return Err(deadline::exceeded()) };
        self.heard(answer.map(tonic::Response::into_inner))
    }

    /// Takes note of whether the gateway is there, and reads its error.
    fn heard<A>(&self, answer: std::result::Result<A, Status>) -> Result<A> {
        self.note(answer.as_ref().err());
        answer.map_err(|status| from_status(&status))
    }

    fn note(&self, status: Option<&Status>) {
        let is_away = status.is_some_and(is_of_the_connection);
        let was_away = self.contact.is_away.swap(is_away, Ordering::Relaxed);
        if was_away && !is_away {
            self.contact.back.notify_waiters();
        }
        if !is_away {
            self.contact.answered_at_ms.fetch_max(self.now_ms(), Ordering::Relaxed);
        }
    }

    /// Never 0, which says never.
    fn now_ms(&self) -> u64 {
        self.environment.elapsed_ms() + 1
    }
}

fn client(channel: Channel) -> MemoryGatewayClient<Channel> {
    MemoryGatewayClient::new(channel)
        .max_decoding_message_size(ANSWER_MAX_BYTES)
        .max_encoding_message_size(ANSWER_MAX_BYTES)
}

/// Whether it was not the gateway that answered, but the lack of it.
fn is_of_the_connection(status: &Status) -> bool {
    use tonic::Code;
    let is_bare = status.details().is_empty();
    is_bare
        && (matches!(status.code(), Code::Unavailable | Code::Cancelled | Code::DeadlineExceeded)
            || (status.code() == Code::Unknown && std::error::Error::source(status).is_some()))
}

fn endpoint(address: &UpstreamAddress) -> Result<Endpoint> {
    let unusable = |why: &dyn std::fmt::Display| {
        Error::invalid(format!(
            "upstream.address `{}` cannot be used: {why}; write http://HOST:PORT or \
             https://HOST:PORT",
            address.url
        ))
    };
    let mut endpoint = Endpoint::from_shared(address.url.clone())
        .map_err(|error| unusable(&error))?
        .user_agent(concat!("vdom-sidecar/", env!("CARGO_PKG_VERSION")))
        .map_err(|error| unusable(&error))?
        .connect_timeout(CONNECT_DEADLINE)
        .tcp_nodelay(true)
        .tcp_keepalive(Some(PROBE_EVERY))
        .http2_keep_alive_interval(PROBE_EVERY)
        .keep_alive_timeout(KEEP_ALIVE_DEADLINE)
        .keep_alive_while_idle(true)
        .http2_max_header_list_size(HEADER_LIST_MAX_BYTES)
        .initial_stream_window_size(HTTP2_STREAM_WINDOW_BYTES)
        .initial_connection_window_size(HTTP2_CONNECTION_WINDOW_BYTES)
        // Streams are dropped by those who have read enough, and what still arrives for them is
        // no fault of the server: its connection must not end after so many.
        .http2_max_concurrent_reset_streams(HTTP2_DROPPED_STREAMS_MAX)
        .http2_reset_stream_duration(HTTP2_DROPPED_STREAMS_FOR)
        .http2_max_local_error_reset_streams(None);
    match endpoint.uri().scheme_str() {
        Some("http") => {}
        Some("https") => {
            let mut tls = ClientTlsConfig::new();
            tls = match &address.ca_file {
                Some(file) => {
                    let pem = std::fs::read(file).map_err(|error| {
                        Error::invalid(format!(
                            "upstream.ca_file `{}` cannot be read: {error}",
                            file.display()
                        ))
                    })?;
                    tls.ca_certificate(Certificate::from_pem(pem))
                }
                None => tls.with_native_roots(),
            };
            endpoint = endpoint.tls_config(tls).map_err(|error| unusable(&error))?;
        }
        _ => return Err(unusable(&"it has another scheme")),
    }
    Ok(endpoint)
}
