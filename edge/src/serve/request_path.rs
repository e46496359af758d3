//! The path of every request, whatever its protocol and whoever answers it, as one list:
//!
//! | layer | why |
//! |---|---|
//! | limits | nothing is decoded that is too large: heads, streams and connections are held to theirs by `connection.rs`, messages by the adapters |
//! | request id | one id ties the log lines of a request together, across programs, and is in its answer; in one from memory where the caller or the log has seen it |
//! | identity | who calls is known before anyone answers; a refusal travels along, so that each adapter says it in its own protocol and what is open to all needs no exception |
//! | deadline | nobody works for a caller who has stopped waiting |
//! | access log, metrics | one line and one measurement a request, whatever becomes of it |
//! | panic guard | a fault in one request must not end the others of its connection |
//!
//! [`RequestService`](super::RequestService) walks it in front of the routes. A service that
//! answers before the routes do, as a sidecar's cache does, walks it too, and hands on what it
//! does not answer with [`Entered`] in the request's extensions: nothing is done twice.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use http::{HeaderMap, HeaderName};

use super::access_log::{self, log_panic};
use super::entered::Entered;
use super::request_context::RequestContext;
use super::request_id::RequestIds;
use crate::deadline::{self, parse_grpc_timeout};
use crate::token::CachingVerifier;

static GRPC_TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");

/// The layers that every request passes. Clones share what they remember.
#[derive(Clone)]
pub struct RequestPath {
    layers: Arc<Layers>,
}

struct Layers {
    context: Arc<RequestContext>,
    ids: RequestIds,
    tokens: CachingVerifier,
}

impl RequestPath {
    /// A path with nothing remembered yet.
    pub fn new(context: RequestContext) -> Self {
        // A request id that repeats is a nuisance in the log, not a fault.
        let ids = RequestIds::new(context.environment.random().unwrap_or_default());
        let tokens = CachingVerifier::new(context.tokens.clone());
        Self { layers: Arc::new(Layers { context: Arc::new(context), ids, tokens }) }
    }

    /// What it was made with.
    pub fn context(&self) -> &Arc<RequestContext> {
        &self.layers.context
    }

    /// Takes a request in by its head.
    pub fn enter(&self, headers: &HeaderMap) -> Entered {
        let Layers { context, ids, tokens } = &*self.layers;
        let started = deadline::now();
        let request_id = ids.of(headers);
        let received_at = context.environment.now();
        let token = tokens.verify(headers, received_at, started);
        let deadline = match headers.get(&GRPC_TIMEOUT) {
            None => Ok(None),
            Some(timeout) => parse_grpc_timeout(timeout.to_str().unwrap_or_default())
                // A time that cannot be represented never comes.
                .map(|timeout| started.checked_add(timeout)),
        };
        Entered { request_id, token, deadline, started, received_at }
    }

    /// What `answer` answers; `None` where it has nothing to say, or panicked, which the log
    /// tells.
    pub fn guarded<T>(&self, entered: &Entered, answer: impl FnOnce() -> Option<T>) -> Option<T> {
        catch_unwind(AssertUnwindSafe(answer)).unwrap_or_else(|panic| {
            log_panic(panic.as_ref(), entered.request_id());
            None
        })
    }

    /// Counts a request that was answered at once and well. `call` is of a closed list.
    pub fn answered(&self, entered: &Entered, call: &'static str, path: &str) {
        access_log::answered_at_once(&self.layers.context, entered, call, path);
    }
}

impl std::fmt::Debug for RequestPath {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_tuple("RequestPath").field(&self.layers.context).finish()
    }
}
