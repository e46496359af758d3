//! One call over gRPC: who makes it, how long it may take, how it answers.

use std::sync::Arc;
use std::time::Instant;

use futures::StreamExt;
use futures::stream::BoxStream;
use tonic::{Response, Status};
use vdom_core::limits::COMPRESS_ABOVE_BYTES;
use vdom_core::{Error, RealmName, Result};

use super::library_refusal::library_refusal;
use vdom_edge::ServiceStream;
use vdom_edge::caller::{self, Caller};
use vdom_edge::deadline;
use vdom_edge::error::{from_status, to_status};
use vdom_edge::stream::{Draining, unless_draining, until_deadline};

pub(super) type UnaryResult<T> = std::result::Result<Response<T>, Status>;
pub(super) type ResponseStream<T> = BoxStream<'static, std::result::Result<T, Status>>;

/// One call: who makes it, and how it ends.
pub(super) struct Call {
    pub(super) caller: Caller,
    deadline: Instant,
    draining: Option<Draining>,
}

impl Call {
    /// A call whose answer, or whose stream's beginning, has a deadline; what
    /// follows of a stream has only the one that the caller names.
    pub(super) fn new(extensions: &http::Extensions) -> std::result::Result<Self, Status> {
        let caller = caller::of(extensions)
            .map_err(|error| to_status(error, &caller::request_id(extensions)))?;
        Ok(Self {
            deadline: deadline::of_answer(&caller),
            draining: extensions.get::<Draining>().cloned(),
            caller,
        })
    }

    /// The realm of a request that names none.
    pub(super) fn realm(&self) -> Option<&RealmName> {
        self.caller.realm.as_ref()
    }

    /// A request that could be read, or the refusal.
    pub(super) fn decoded<T>(&self, request: Result<T>) -> std::result::Result<T, Status> {
        request.map_err(|error| self.status(error))
    }

    /// The answer within the call's deadline.
    pub(super) async fn within<T>(
        &self,
        call: impl Future<Output = Result<T>>,
    ) -> std::result::Result<T, Status> {
        deadline::within(self.deadline, call).await.map_err(|error| self.status(error))
    }

    /// The answer to a read, which must not hold the server's drain where it waits for what
    /// others write.
    pub(super) async fn read<T>(
        &self,
        waits: bool,
        call: impl Future<Output = Result<T>>,
    ) -> std::result::Result<T, Status> {
        let draining = self.draining.clone().filter(|_| waits);
        self.within(unless_draining(draining, call)).await
    }

    /// The answer to a request that streams: it takes as long as it needs, where
    /// the caller does not say otherwise.
    pub(super) async fn within_deadline_if_any<T>(
        &self,
        call: impl Future<Output = Result<T>>,
    ) -> std::result::Result<T, Status> {
        match self.caller.deadline {
            Some(_) => self.within(call).await,
            None => call.await.map_err(|error| self.status(error)),
        }
    }

    pub(super) fn status(&self, error: Error) -> Status {
        to_status(error, &self.caller.request_id)
    }

    /// A response that streams, until one of its bounds ends it.
    pub(super) fn stream<T, A>(
        self,
        items: ServiceStream<T>,
        encode: impl Fn(T) -> A + Send + 'static,
    ) -> Response<ResponseStream<A>>
    where
        T: Send + 'static,
        A: Send + 'static,
    {
        let request_id = Arc::clone(&self.caller.request_id);
        let answers = until_deadline(items, &self.caller, self.draining)
            .map(move |item| item.map(&encode).map_err(|error| to_status(error, &request_id)));
        Response::new(answers.boxed())
    }

    /// The items until one of the call's bounds ends them.
    pub(super) fn until_deadline<T: Send + 'static>(
        self,
        items: ServiceStream<T>,
    ) -> ServiceStream<T> {
        until_deadline(items, &self.caller, self.draining)
    }
}

/// A unary answer; small ones are not worth compressing.
pub(super) fn unary<T: prost::Message>(answer: T) -> Response<T> {
    let small = answer.encoded_len() <= COMPRESS_ABOVE_BYTES;
    let mut response = Response::new(answer);
    if small {
        response.disable_compression();
    }
    response
}

/// Why the next message of a request's stream cannot be read.
pub(super) fn unreadable(status: &Status) -> Error {
    library_refusal(status).unwrap_or_else(|| from_status(status))
}
