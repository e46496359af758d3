//! Streams of events: in batches, as services deliver them, and one by one.

use std::vec;

use futures::{StreamExt, TryStreamExt, stream};
use vdom_core::BranchAddress;
use vdom_core::dom::calls::Event;
use vdom_core::dom::events::{EventBatch, EventSlice};
use vdom_edge::ServiceStream;

/// Events that are ready together are delivered together, so many at most.
const EVENTS_PER_BATCH: usize = 256;

/// The events of the branch at `address` that come one by one, in batches.
pub fn in_batches(
    events: ServiceStream<Event>,
    address: BranchAddress,
) -> ServiceStream<EventSlice> {
    let batches = events.ready_chunks(EVENTS_PER_BATCH).flat_map(move |events| {
        let mut ready = Vec::with_capacity(events.len());
        let mut refusal = None;
        for event in events {
            match event {
                Ok(event) => ready.push(event.into()),
                Err(error) => refusal = Some(Err(error)),
            }
        }
        let batch = (!ready.is_empty())
            .then(|| Ok(EventSlice::whole(EventBatch::new(address.clone(), ready))));
        stream::iter(batch.into_iter().chain(refusal))
    });
    batches.boxed()
}

/// The events of batches, one by one. One that cannot be read ends them.
pub fn one_by_one(batches: ServiceStream<EventSlice>) -> ServiceStream<Event> {
    let state = (batches, Vec::new().into_iter());
    stream::try_unfold(state, |(mut batches, mut ready): (_, vec::IntoIter<Event>)| async move {
        loop {
            if let Some(event) = ready.next() {
                return Ok(Some((event, (batches, ready))));
            }
            let batch: Option<EventSlice> = ServiceStream::try_next(&mut batches).await?;
            let Some(batch) = batch else { return Ok(None) };
            ready = batch.to_events()?.into_iter();
        }
    })
    .boxed()
}
