//! What the path of a request needs to know of its program.

use std::fmt;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::route_label::RouteLabel;
use crate::environment::Environment;
use crate::observe::RequestMetrics;
use crate::token::TokenVerifier;

/// What the path of a request needs to know.
#[derive(Clone)]
pub struct RequestContext {
    /// What tokens are checked with.
    pub tokens: TokenVerifier,
    /// The clock that tokens are checked against, and randomness for request ids.
    pub environment: Environment,
    /// How metrics and access logs name the calls of the service.
    pub route_labels: &'static [RouteLabel],
    /// Where requests and their times are counted.
    pub metrics: Arc<RequestMetrics>,
    /// Such as `tcp`, `tls`, `unix`: a label of metrics.
    pub transport: &'static str,
    /// Cancelled when the process drains: endless streams end then.
    pub draining: CancellationToken,
}

impl fmt::Debug for RequestContext {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("RequestContext")
            .field("tokens", &self.tokens)
            .field("transport", &self.transport)
            .finish_non_exhaustive()
    }
}
