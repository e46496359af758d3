//! Opens the connection: to which server, trusting whom, as whom.

use std::time::Duration;

use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};
use tonic::{Request, Status};
use vdom_core::limits::{
    HTTP2_CONNECTION_WINDOW_BYTES, HTTP2_DROPPED_STREAMS_FOR, HTTP2_DROPPED_STREAMS_MAX,
    HTTP2_STREAM_WINDOW_BYTES, KEEP_ALIVE_DEADLINE, KEEP_ALIVE_EVERY,
};

use crate::address::ServerAddress;
use crate::error::{Error, Result, innermost};
use crate::token::Token;

const CONNECT_DEADLINE: Duration = Duration::from_secs(5);
const CALL_DEADLINE: Duration = Duration::from_secs(30);
const RETRY_FOR: Duration = Duration::from_secs(5);

/// How to connect. Start from [`ConnectOptions::new`] and change what differs.
///
/// ```
/// use std::time::Duration;
/// use vdom_client::{ConnectOptions, Token};
///
/// let mut options = ConnectOptions::new("https://gateway.example:50051".parse()?);
/// options.token = Some(Token::new("eyJhbGciOiJFZERTQSJ9.e30.c2ln"));
/// options.call_timeout = Duration::from_secs(10);
/// # Ok::<(), vdom_client::InvalidAddress>(())
/// ```
#[derive(Clone, Debug)]
pub struct ConnectOptions {
    /// The gateway or sidecar to connect to.
    pub address: ServerAddress,
    /// Who calls; `None`: nobody in particular, which few servers take.
    pub token: Option<Token>,
    /// The realm of every request; empty: the token's.
    pub realm: String,
    /// Certificates of the authority to trust, in PEM; `None`: the system's. It counts
    /// for `https://` alone.
    pub ca_pem: Option<Vec<u8>>,
    /// How long one call may take, and the first answer of a stream. 30 s to begin with.
    pub call_timeout: Duration,
    /// How long a call is repeated while the server is away. 5 s to begin with.
    pub retry_for: Duration,
}

impl ConnectOptions {
    /// Connects to this server without a token, in the token's realm, trusting the
    /// system's authorities.
    pub fn new(address: ServerAddress) -> Self {
        Self {
            address,
            token: None,
            realm: String::new(),
            ca_pem: None,
            call_timeout: CALL_DEADLINE,
            retry_for: RETRY_FOR,
        }
    }
}

/// Puts a token on every call of a generated client.
#[derive(Clone, Debug)]
pub struct Credentials {
    authorization: Option<MetadataValue<Ascii>>,
}

impl Credentials {
    /// Sends this token; `None`: none.
    ///
    /// # Errors
    ///
    /// [`Error::Unusable`] where the token has characters that no header may have.
    pub fn new(token: Option<&Token>) -> Result<Self> {
        let Some(token) = token else {
            return Ok(Self { authorization: None });
        };
        let mut value: MetadataValue<Ascii> =
            format!("Bearer {}", token.reveal()).parse().map_err(|_| {
                Error::Unusable("the token has characters that no token has".to_owned())
            })?;
        value.set_sensitive(true);
        Ok(Self { authorization: Some(value) })
    }
}

impl Interceptor for Credentials {
    fn call(&mut self, mut request: Request<()>) -> std::result::Result<Request<()>, Status> {
        if let Some(authorization) = &self.authorization {
            request.metadata_mut().insert("authorization", authorization.clone());
        }
        Ok(request)
    }
}

/// Opens the HTTP/2 connection of these options, without a token. It comes back by
/// itself after it was lost.
///
/// TLS needs a cryptographic provider of `rustls` that the program has installed.
///
/// # Errors
///
/// [`Error::Unusable`] where the address or the authority cannot be used,
/// [`Error::Unreachable`] where nobody answers within 5 s.
pub async fn open_channel(options: &ConnectOptions) -> Result<Channel> {
    endpoint(options)?.connect().await.map_err(|error| Error::Unreachable {
        address: options.address.clone(),
        cause: innermost(&error),
    })
}

fn endpoint(options: &ConnectOptions) -> Result<Endpoint> {
    let unusable = |error: tonic::transport::Error| {
        Error::Unusable(format!("cannot use {}: {}", options.address, innermost(&error)))
    };
    let endpoint = Endpoint::from_shared(options.address.as_str().to_owned())
        .and_then(|endpoint| endpoint.user_agent(concat!("vdom/", env!("CARGO_PKG_VERSION"))))
        .map_err(unusable)?
        .connect_timeout(CONNECT_DEADLINE)
        .tcp_nodelay(true)
        .http2_keep_alive_interval(KEEP_ALIVE_EVERY)
        .keep_alive_timeout(KEEP_ALIVE_DEADLINE)
        .initial_stream_window_size(HTTP2_STREAM_WINDOW_BYTES)
        .initial_connection_window_size(HTTP2_CONNECTION_WINDOW_BYTES)
        // Streams are dropped by those who have read enough, and what still arrives for them is
        // no fault of the server: its connection must not end after so many.
        .http2_max_concurrent_reset_streams(HTTP2_DROPPED_STREAMS_MAX)
        .http2_reset_stream_duration(HTTP2_DROPPED_STREAMS_FOR)
        .http2_max_local_error_reset_streams(None);
    if !options.address.is_tls() {
        return Ok(endpoint);
    }
    let tls = match &options.ca_pem {
        None => ClientTlsConfig::new().with_native_roots(),
        Some(pem) => ClientTlsConfig::new().ca_certificate(Certificate::from_pem(pem)),
    };
    endpoint.tls_config(tls).map_err(unusable)
}
