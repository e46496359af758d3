//! `SubscribeChanges`: every change of a branch, in order, once, from anywhere.
//!
//! A subscription is only a place in the log. It takes from the tail that the
//! branch keeps in memory for all its subscribers, and from the log where it
//! has fallen behind that, so a slow reader costs nothing but its place.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::stream;
use tokio::sync::watch;
use tokio::time::Instant;
use vdom_core::calls::{ChangeEvent, Event, ResumePoint, Subscribe};
use vdom_core::change::CHAIN_START;
use vdom_core::limits::{
    CHUNK_BYTES, SUBSCRIPTION_MAX_PATHS, SUBSCRIPTION_PROGRESS_EVERY,
    SUBSCRIPTION_QUEUE_MAX_EVENTS, SUBSCRIPTION_STALL_MAX,
};
use vdom_core::{Change, Error, ErrorCode, Hash, Result};
use vdom_edge::{Caller, DomStream};

use super::branch::{BranchHandle, Head};
use super::past::{EntryReader, number_of};
use super::read_snapshot::freshness;
use super::records::Entry;
use super::room::{Shared, epoch_changed};
use crate::environment::Environment;
use crate::observe::{DomMetrics, Subscribed};

/// Checks where to resume and starts the stream.
pub(crate) async fn subscribe(
    room: &Shared,
    handle: Arc<BranchHandle>,
    caller: Caller,
    request: Subscribe,
) -> Result<DomStream<Event>> {
    if request.paths.len() > SUBSCRIPTION_MAX_PATHS {
        return Err(Error::invalid(format!(
            "a subscription names {} paths, at most {SUBSCRIPTION_MAX_PATHS} are allowed",
            request.paths.len()
        )));
    }
    let head = handle.branch.watch_head();
    let after = match request.from {
        None => handle.branch.head().revision,
        Some(from) => resume_after(&handle, from).await?,
    };
    let watch = Watch {
        handle,
        caller,
        request,
        environment: room.environment.clone(),
        metrics: room.metrics.clone(),
        _subscribed: room.metrics.subscribed(),
        head,
        after,
        ready: VecDeque::new(),
        last_progress: None,
        last_taken: Instant::now(),
        ended: false,
    };
    let events = stream::unfold(watch, |mut watch| async move {
        if watch.ended {
            return None;
        }
        let event = watch.next().await;
        watch.ended = event.is_err();
        watch.last_taken = Instant::now();
        Some((event, watch))
    });
    Ok(events.boxed())
}

struct Watch {
    handle: Arc<BranchHandle>,
    caller: Caller,
    request: Subscribe,
    environment: Environment,
    metrics: DomMetrics,
    _subscribed: Subscribed,
    head: watch::Receiver<Head>,
    /// Everything up to here is delivered or ready.
    after: u64,
    ready: VecDeque<Event>,
    last_progress: Option<Instant>,
    last_taken: Instant,
    ended: bool,
}

impl Watch {
    async fn next(&mut self) -> Result<Event> {
        self.check_stall()?;
        loop {
            self.check_token()?;
            if let Some(event) = self.ready.pop_front() {
                self.metrics.delivered();
                return Ok(event);
            }
            self.head.mark_unchanged();
            let head = self.handle.branch.head();
            if self.after < head.revision {
                self.fetch(head).await?;
                if !self.ready.is_empty() {
                    continue;
                }
            }
            let progress_due = self.last_progress.map_or(Duration::ZERO, |last| {
                SUBSCRIPTION_PROGRESS_EVERY.saturating_sub(last.elapsed())
            });
            if progress_due.is_zero() {
                self.last_progress = Some(Instant::now());
                return Ok(Event::Progress {
                    epoch: head.epoch,
                    revision: self.after,
                    freshness: freshness(&self.handle),
                });
            }
            // A change or the time for a progress event, whichever is first.
            let _ = tokio::time::timeout(progress_due, self.head.changed()).await;
        }
    }

    /// Makes the next changes ready: from memory, else from the log.
    async fn fetch(&mut self, head: Head) -> Result<()> {
        let branch = self.handle.branch.clone();
        if let Some(batches) = branch.tail_after(self.after) {
            for batch in batches {
                for applied in &batch.changes {
                    self.offer(&applied.entry);
                }
                self.after = self.after.max(batch.head.revision);
                if self.ready.len() >= SUBSCRIPTION_QUEUE_MAX_EVENTS {
                    return Ok(());
                }
            }
            return Ok(());
        }
        let mut reader = EntryReader::new(&branch);
        let number = number_of(&branch, self.after + 1).await?;
        for number in number..=head.number {
            for entry in reader.batch(number).await? {
                self.offer(entry);
                self.after = self.after.max(entry.change.revision);
            }
            if !self.ready.is_empty() {
                return Ok(());
            }
        }
        Ok(())
    }

    fn offer(&mut self, entry: &Entry) {
        let change = &entry.change;
        if change.revision <= self.after || !is_wanted(&self.request.paths, change) {
            return;
        }
        let wants_diff = self.request.include_diffs && entry.diff.len() <= CHUNK_BYTES;
        self.ready.push_back(Event::Change(Box::new(ChangeEvent {
            change: change.clone(),
            set: entry.set.clone(),
            hash: entry.hash,
            diff: wants_diff.then(|| entry.diff.clone()),
        })));
    }

    fn check_token(&self) -> Result<()> {
        match self.caller.expires_at {
            Some(at) if at <= self.environment.now() => Err(Error::new(
                ErrorCode::Unauthenticated,
                "the token has expired: subscribe again with a new one",
            )
            .resource(&self.handle.branch.address)
            .at(self.handle.branch.head().epoch, self.delivered())),
            _ => Ok(()),
        }
    }

    /// A reader that took nothing for long, and has more waiting than its queue
    /// holds, is told where to resume.
    fn check_stall(&self) -> Result<()> {
        let head = self.handle.branch.head();
        let behind = head.revision.saturating_sub(self.delivered());
        if self.last_taken.elapsed() < SUBSCRIPTION_STALL_MAX
            || behind <= SUBSCRIPTION_QUEUE_MAX_EVENTS as u64
        {
            return Ok(());
        }
        Err(Error::new(
            ErrorCode::Lagged,
            format!(
                "nothing was read for {} s while {behind} changes wait: resume from revision {}",
                self.last_taken.elapsed().as_secs(),
                self.delivered()
            ),
        )
        .resource(&self.handle.branch.address)
        .at(head.epoch, self.delivered()))
    }

    /// The revision to resume from: before the first event that is still ready.
    fn delivered(&self) -> u64 {
        match self.ready.front() {
            Some(Event::Change(event)) => event.change.revision - 1,
            _ => self.after,
        }
    }
}

/// Whether any of the paths covers where the node is or was.
fn is_wanted(paths: &[String], change: &Change) -> bool {
    paths.is_empty()
        || paths.iter().any(|prefix| {
            change.path.is_covered_by(prefix)
                || change.old_path.as_ref().is_some_and(|path| path.is_covered_by(prefix))
        })
}

/// The revision after which to go on, once it is known to be of this log.
async fn resume_after(handle: &BranchHandle, from: ResumePoint) -> Result<u64> {
    let branch = &handle.branch;
    if from.epoch != branch.head().epoch {
        return Err(epoch_changed(branch, from.epoch));
    }
    if from.revision > branch.head().revision {
        handle.confirm().await?;
    }
    let head = branch.head();
    if from.revision > head.revision {
        return Err(Error::new(
            ErrorCode::FailedPrecondition,
            format!(
                "{} has no revision {} to resume from: it is at {}",
                branch.address, from.revision, head.revision
            ),
        )
        .resource(&branch.address)
        .at(head.epoch, head.revision));
    }
    if let Some(hash) = from.hash
        && hash != hash_at(handle, from.revision).await?
    {
        return Err(epoch_changed(branch, from.epoch));
    }
    Ok(from.revision)
}

async fn hash_at(handle: &BranchHandle, revision: u64) -> Result<Hash> {
    let branch = &handle.branch;
    if revision == 0 {
        return Ok(CHAIN_START);
    }
    let head = branch.head();
    if revision == head.revision {
        return Ok(head.hash);
    }
    let mut reader = EntryReader::new(branch);
    let number = number_of(branch, revision).await?;
    let entries = reader.batch(number).await?;
    let entry = entries.iter().find(|entry| entry.change.revision == revision);
    let entry = entry.ok_or_else(|| super::branch::broken_chain(&branch.address, number))?;
    Ok(entry.hash)
}
