//! Fetches a JWK set: bounded in time and size, no redirects.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode, Uri};
use http_body_util::{BodyExt, Empty, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use vdom_core::{Error, Result};

use super::keys::KEYS_MAX_BYTES;

/// How long a fetch may take.
const FETCH_DEADLINE: Duration = Duration::from_secs(10);

/// Where a JWK set is fetched from.
pub(super) struct JwksUrl {
    uri: Uri,
    client: Client<HttpsConnector<HttpConnector>, Empty<Bytes>>,
}

impl JwksUrl {
    /// Takes https, and http on the loopback interface.
    pub(super) fn new(url: &str) -> Result<Self> {
        let refused = |why: &str| Error::invalid(format!("JWKS URL {url:?} {why}"));
        let uri: Uri = url.parse().map_err(|error| refused(&format!("is no URL: {error}")))?;
        let loopback = matches!(uri.host(), Some("localhost" | "127.0.0.1" | "[::1]"));
        match uri.scheme_str() {
            Some("https") => {}
            Some("http") if loopback => {}
            _ => return Err(refused("must be https: who changes keys on the way is let in")),
        }
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        let connector = HttpsConnectorBuilder::new()
            .with_provider_and_native_roots(provider)
            .map_err(|error| refused(&format!("needs the system's CA certificates: {error}")))?
            .https_or_http()
            .enable_http1()
            .build();
        Ok(Self { uri, client: Client::builder(TokioExecutor::new()).build(connector) })
    }

    pub(super) async fn fetch(&self) -> Result<Bytes> {
        let fetched = tokio::time::timeout(FETCH_DEADLINE, self.request()).await;
        fetched.unwrap_or_else(|_| {
            Err(self.failed(format_args!("no answer within {} s", FETCH_DEADLINE.as_secs())))
        })
    }

    async fn request(&self) -> Result<Bytes> {
        let request = Request::get(self.uri.clone())
            .header(http::header::ACCEPT, "application/json")
            .body(Empty::new())
            .map_err(|error| self.failed(error))?;
        let response = self
            .client
            .request(request)
            .await
            .map_err(|error| self.failed(format_args!("{error:?}")))?;
        if response.status() != StatusCode::OK {
            return Err(self.failed(format_args!("the answer was {}", response.status())));
        }
        let body = Limited::new(response.into_body(), KEYS_MAX_BYTES).collect().await;
        Ok(body.map_err(|error| self.failed(error))?.to_bytes())
    }

    fn failed(&self, why: impl std::fmt::Display) -> Error {
        Error::unavailable(format!("the JWK set at {} cannot be fetched", self.uri)).context(why)
    }
}
