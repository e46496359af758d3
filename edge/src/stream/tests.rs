//! How streams end.

use std::time::{Instant, SystemTime};

use std::sync::Arc;

use vdom_core::access::Scopes;

use super::*;

fn caller() -> Caller {
    Caller {
        subject: Arc::from("ann"),
        realm: None,
        scopes: Scopes::all(),
        deadline: None,
        expires_at: None,
        received_at: SystemTime::now(),
        request_id: Arc::from("request-1"),
        bearer: None,
    }
}

fn endless() -> ServiceStream<u32> {
    stream::iter([Ok(1)]).chain(stream::pending()).boxed()
}

async fn last_code<T>(stream: ServiceStream<T>) -> Option<ErrorCode> {
    let items: Vec<_> = stream.collect().await;
    items.into_iter().next_back().and_then(|item| item.err().map(|error| error.code))
}

#[tokio::test(start_paused = true)]
async fn an_endless_stream_ends_with_its_deadline_its_token_or_the_server() {
    let late = Caller { deadline: Some(Instant::now() + Duration::from_secs(5)), ..caller() };
    assert_eq!(
        last_code(until_deadline(endless(), &late, None)).await,
        Some(ErrorCode::DeadlineExceeded)
    );

    let expired = Caller { expires_at: Some(SystemTime::now()), ..caller() };
    assert_eq!(
        last_code(until_deadline(endless(), &expired, None)).await,
        Some(ErrorCode::Unauthenticated)
    );

    let leeway_left = Duration::from_secs(3);
    let mut ending = caller();
    ending.expires_at = Some(ending.received_at + leeway_left);
    let opened = tokio::time::Instant::now();
    let end = last_code(until_deadline(endless(), &ending, None)).await;
    assert_eq!(end, Some(ErrorCode::Unauthenticated));
    assert_eq!(opened.elapsed().as_secs(), leeway_left.as_secs());

    let drain = CancellationToken::new();
    let stream = until_deadline(endless(), &caller(), Some(Draining(drain.clone())));
    drain.cancel();
    assert_eq!(last_code(stream).await, Some(ErrorCode::Unavailable));
}

#[tokio::test]
async fn a_stream_that_always_has_more_ends_too() {
    let drain = CancellationToken::new();
    let always = stream::repeat_with(|| Ok(1)).boxed();
    let mut stream = until_deadline(always, &caller(), Some(Draining(drain.clone())));
    assert!(matches!(stream.next().await, Some(Ok(1))));
    drain.cancel();
    let rest: Vec<_> = stream.take(1_000).collect().await;
    assert!(rest.len() < 1_000, "it went on");
    assert_eq!(
        rest.last().and_then(|last| last.as_ref().err()).map(|error| error.code),
        Some(ErrorCode::Unavailable)
    );
}

#[tokio::test(start_paused = true)]
async fn a_content_ends_at_its_limit_and_when_it_stalls() {
    let piece = Bytes::from(vec![0; 1 << 20]);
    let pieces = stream::repeat_with(move || Ok(piece.clone()));
    let received: Vec<_> = content(pieces).collect().await;
    assert_eq!(received.len(), 101, "100 whole pieces fit into 100 MiB, then the refusal");
    assert_eq!(
        received.last().and_then(|last| last.as_ref().err()).map(|error| error.code),
        Some(ErrorCode::TooLarge)
    );

    let stalled = stream::iter([Ok(Bytes::from_static(b"a"))]).chain(stream::pending());
    assert_eq!(last_code(content(stalled)).await, Some(ErrorCode::DeadlineExceeded));
}

#[tokio::test]
async fn a_drain_ends_what_waits_and_nothing_that_is_there() {
    let drain = CancellationToken::new();
    let draining = || Some(Draining(drain.clone()));
    let waiting = tokio::spawn(unless_draining(draining(), std::future::pending::<Result<()>>()));
    drain.cancel();
    let error = waiting.await.expect("it ends").expect_err("not there");
    assert_eq!(error.code, ErrorCode::Unavailable);
    assert_eq!(unless_draining(draining(), async { Ok(1) }).await, Ok(1));
}
