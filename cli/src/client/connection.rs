//! Opens the connection: where to, trusting whom, as whom.

use std::time::Duration;

use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};
use tonic::{Request, Status};
use vdom_core::limits::{
    HTTP2_CONNECTION_WINDOW_BYTES, HTTP2_STREAM_WINDOW_BYTES, KEEP_ALIVE_DEADLINE, KEEP_ALIVE_EVERY,
};

use crate::exit::{Exit, Failure, innermost};
use crate::server::ServerOptions;

const CONNECT_DEADLINE: Duration = Duration::from_secs(5);

/// Connects, or says why that is not possible and what to do.
pub(super) async fn open(options: &ServerOptions) -> Result<Channel, Failure> {
    let advice = if options.server.is_tls() {
        "is it running? A certificate authority of your own is named with --ca-file"
    } else {
        "is `vdom up` running? Start it, or name another server with --server or VDOM_SERVER"
    };
    endpoint(options)?.connect().await.map_err(|error| {
        let cause = innermost(&error);
        Failure::new(Exit::Unavailable, format!("cannot reach {}: {cause}", options.server))
            .advice(advice)
    })
}

/// Puts the token on every call.
#[derive(Clone)]
pub(crate) struct Credentials {
    authorization: Option<MetadataValue<Ascii>>,
}

impl Credentials {
    /// The token of these options, where they have one.
    pub(super) fn new(options: &ServerOptions) -> Result<Self, Failure> {
        let Some(token) = options.token()? else {
            return Ok(Self { authorization: None });
        };
        let mut value: MetadataValue<Ascii> = format!("Bearer {}", token.reveal())
            .parse()
            .map_err(|_| Failure::failed("the token has characters that no token has"))?;
        value.set_sensitive(true);
        Ok(Self { authorization: Some(value) })
    }
}

impl Interceptor for Credentials {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(authorization) = &self.authorization {
            request.metadata_mut().insert("authorization", authorization.clone());
        }
        Ok(request)
    }
}

fn endpoint(options: &ServerOptions) -> Result<Endpoint, Failure> {
    let unusable = |error: tonic::transport::Error| {
        Failure::failed(format!("cannot use {}: {}", options.server, innermost(&error)))
    };
    let endpoint = Endpoint::from_shared(options.server.as_str().to_owned())
        .and_then(|endpoint| endpoint.user_agent(concat!("vdom/", env!("CARGO_PKG_VERSION"))))
        .map_err(unusable)?
        .connect_timeout(CONNECT_DEADLINE)
        .tcp_nodelay(true)
        .http2_keep_alive_interval(KEEP_ALIVE_EVERY)
        .keep_alive_timeout(KEEP_ALIVE_DEADLINE)
        .initial_stream_window_size(HTTP2_STREAM_WINDOW_BYTES)
        .initial_connection_window_size(HTTP2_CONNECTION_WINDOW_BYTES);
    if !options.server.is_tls() {
        return Ok(endpoint);
    }
    let tls = match &options.ca_file {
        None => ClientTlsConfig::new().with_native_roots(),
        Some(file) => {
            let pem = std::fs::read(file).map_err(|error| {
                Failure::failed(format!("cannot read the CA file {}: {error}", file.display()))
            })?;
            ClientTlsConfig::new().ca_certificate(Certificate::from_pem(pem))
        }
    };
    endpoint.tls_config(tls).map_err(unusable)
}
