//! Streams that end when they must: at the caller's deadline, with its token,
//! when the server drains, or above a limit.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{Stream, StreamExt, future, stream};
use tokio_util::sync::CancellationToken;
use vdom_core::limits::{CONTENT_MAX_BYTES, UNARY_DEADLINE_DEFAULT};
use vdom_core::{Error, ErrorCode, Result};

use crate::caller::Caller;
use crate::deadline;

/// Items that follow one another; an error is the last.
pub type ServiceStream<T> = BoxStream<'static, Result<T>>;

/// How many items may follow one another before the end is looked at again.
const ITEMS_IN_A_ROW: u32 = 16;

/// Cancelled when the server drains: in a request's extensions, for streams
/// that have no end of their own.
#[derive(Clone, Debug)]
pub struct Draining(pub CancellationToken);

/// The stream until the caller's deadline or token ends, or the server drains;
/// then the error that says so.
pub fn until_deadline<T: Send + 'static>(
    stream: ServiceStream<T>,
    caller: &Caller,
    draining: Option<Draining>,
) -> ServiceStream<T> {
    let deadline = caller.deadline;
    let token_left = caller
        .expires_at
        .map(|end| end.duration_since(caller.received_at).unwrap_or(Duration::ZERO));
    if deadline.is_none() && token_left.is_none() && draining.is_none() {
        return stream;
    }
    let end = async move {
        tokio::select! {
            () = wait_until(deadline) => deadline::exceeded(),
            () = wait_for(token_left) => Error::new(
                ErrorCode::Unauthenticated,
                "the token expired while the stream was open: resume with a new one",
            ),
            () = wait_for_drain(draining) => Error::unavailable(
                "the server is shutting down: resume where the stream ended",
            ),
        }
    };
    until(stream, Box::pin(end))
}

/// The answer of `call`; `Unavailable` where the server drains before it is there. For calls
/// that wait for others: an answer that is there already is given all the same.
pub async fn unless_draining<T>(
    draining: Option<Draining>,
    call: impl Future<Output = Result<T>>,
) -> Result<T> {
    let Some(Draining(draining)) = draining else { return call.await };
    tokio::select! {
        biased;
        answer = call => answer,
        () = draining.cancelled() => Err(Error::unavailable(
            "the server is shutting down, and what was waited for is not there: ask again",
        )),
    }
}

/// The items of a request's stream: none later than 30 s after the one before,
/// and none after an error.
pub fn with_idle_timeout<T: Send + 'static>(
    items: impl Stream<Item = Result<T>> + Send + 'static,
) -> ServiceStream<T> {
    stream::unfold(Some(items.boxed()), |items| async move {
        let mut items = items?;
        let item = match tokio::time::timeout(UNARY_DEADLINE_DEFAULT, items.next()).await {
            Ok(item) => item?,
            Err(_) => Err(Error::new(
                ErrorCode::DeadlineExceeded,
                format!(
                    "nothing more came for {} s: a stream must go on or end",
                    UNARY_DEADLINE_DEFAULT.as_secs()
                ),
            )),
        };
        let rest = item.is_ok().then_some(items);
        Some((item, rest))
    })
    .boxed()
}

/// The pieces of one content, [`with_idle_timeout`] and at most 100 MiB in all.
pub fn content(pieces: impl Stream<Item = Result<Bytes>> + Send + 'static) -> ServiceStream<Bytes> {
    let mut received = 0;
    let bounded = with_idle_timeout(pieces).map(move |piece| {
        let piece = piece?;
        received += piece.len() as u64;
        if received > CONTENT_MAX_BYTES { Err(content_too_large()) } else { Ok(piece) }
    });
    // An error is the last item, whoever found it.
    bounded
        .scan(false, |over, piece| {
            let ended = std::mem::replace(over, piece.is_err());
            future::ready((!ended).then_some(piece))
        })
        .boxed()
}

/// The refusal of a content above the limit.
pub fn content_too_large() -> Error {
    Error::too_large(format!("the content has more than {CONTENT_MAX_BYTES} bytes"))
}

type End = Pin<Box<dyn Future<Output = Error> + Send>>;

/// A stream that something else may end.
struct Until<T> {
    open: Option<(ServiceStream<T>, End)>,
    /// How many items came since the end was looked at.
    in_a_row: u32,
}

fn until<T: Send + 'static>(stream: ServiceStream<T>, end: End) -> ServiceStream<T> {
    Until { open: Some((stream, end)), in_a_row: ITEMS_IN_A_ROW }.boxed()
}

impl<T> Stream for Until<T> {
    type Item = Result<T>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<T>>> {
        let this = self.get_mut();
        let Some((stream, end)) = &mut this.open else { return Poll::Ready(None) };
        // A stream that always has a next item must end all the same.
        if this.in_a_row >= ITEMS_IN_A_ROW {
            this.in_a_row = 0;
            if let Poll::Ready(error) = end.as_mut().poll(context) {
                this.open = None;
                return Poll::Ready(Some(Err(error)));
            }
        }
        let item = stream.poll_next_unpin(context);
        match &item {
            Poll::Ready(Some(_)) => this.in_a_row += 1,
            Poll::Ready(None) => this.open = None,
            Poll::Pending => {
                this.in_a_row = 0;
                if let Poll::Ready(error) = end.as_mut().poll(context) {
                    this.open = None;
                    return Poll::Ready(Some(Err(error)));
                }
            }
        }
        item
    }
}

async fn wait_until(instant: Option<std::time::Instant>) {
    match instant {
        Some(instant) => tokio::time::sleep_until(instant.into()).await,
        None => std::future::pending().await,
    }
}

async fn wait_for(duration: Option<Duration>) {
    match duration {
        Some(duration) => tokio::time::sleep(duration).await,
        None => std::future::pending().await,
    }
}

async fn wait_for_drain(draining: Option<Draining>) {
    match draining {
        Some(Draining(token)) => token.cancelled().await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests;
