//! Watches of a branch that the sidecar follows: they share the one stream that it has anyway.

use std::sync::Arc;
use std::time::Duration;

use futures::{StreamExt, stream};
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use vdom_core::dom::calls::{Event, Freshness, Source, Subscribe};
use vdom_core::{Error, ErrorCode, Result};
use vdom_edge::ServiceStream;

use crate::branch::Branch;

/// The gateway says how far it is every second: after so long the stream is broken.
const SILENCE_MAX: Duration = Duration::from_secs(4);

/// The events of a branch from now on, without diffs. `None` where they cannot come from what
/// is followed: whoever wants diffs or what came before asks the gateway.
pub(crate) fn watch(branch: Arc<Branch>, request: &Subscribe) -> Option<ServiceStream<Event>> {
    if request.from.is_some() || request.include_diffs {
        return None;
    }
    // Before the head: what comes in between is told twice, and left out once.
    let events = branch.watch();
    let start = branch.head()?;
    let age = branch.age().filter(|age| *age < SILENCE_MAX)?;
    let freshness =
        Freshness { age_ms: age.as_millis() as u64, stale: false, source: Source::Cache };
    // An own write that was answered already is not to come.
    let now = start.revision.max(branch.min_read_revision());
    let first = Event::Progress { epoch: start.epoch, revision: now, freshness };
    let watch = LocalWatch {
        events,
        paths: request.paths.clone(),
        epoch: start.epoch,
        passed: now,
        resume: now,
        branch,
    };
    let rest = stream::unfold(Some(watch), |watch| async move {
        let mut watch = watch?;
        let event = watch.next().await;
        let watch = event.is_ok().then_some(watch);
        Some((event, watch))
    });
    Some(stream::iter([Ok(first)]).chain(rest).boxed())
}

struct LocalWatch {
    branch: Arc<Branch>,
    events: Receiver<Arc<Event>>,
    paths: Vec<String>,
    epoch: u64,
    /// Everything up to here was told, or is not wanted.
    passed: u64,
    /// The last of those that a reader may resume from.
    resume: u64,
}

impl LocalWatch {
    async fn next(&mut self) -> Result<Event> {
        loop {
            let event = tokio::select! {
                event = tokio::time::timeout(SILENCE_MAX, self.events.recv()) => event,
                () = self.branch.over() => return Err(self.broken()),
            };
            let event = match event {
                Ok(Ok(event)) => event,
                Ok(Err(RecvError::Lagged(_))) => {
                    let error = Error::new(
                        ErrorCode::Lagged,
                        format!("nothing was read for long: resume from revision {}", self.resume),
                    );
                    return Err(error.resource(&self.branch.address).at(self.epoch, self.resume));
                }
                Ok(Err(RecvError::Closed)) | Err(_) => return Err(self.broken()),
            };
            match &*event {
                Event::Change(change) => {
                    let revision = change.change.revision;
                    if revision <= self.passed {
                        continue;
                    }
                    self.passed = revision;
                    if change.is_resume_point() {
                        self.resume = revision;
                    }
                    if change.change.is_below(&self.paths) {
                        return Ok(Event::Change(change.clone()));
                    }
                }
                Event::Progress { revision, .. } if *revision >= self.resume => {
                    return Ok(Event::clone(&event));
                }
                Event::Progress { .. } => {}
            }
        }
    }

    fn broken(&self) -> Error {
        Error::unavailable("the stream from the gateway broke: resume where this one ended")
            .resource(&self.branch.address)
            .at(self.epoch, self.resume)
    }
}
