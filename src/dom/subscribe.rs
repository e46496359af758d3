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
use vdom_core::calls::{Event, ResumePoint, Subscribe};
use vdom_core::limits::{
    SUBSCRIPTION_MAX_PATHS, SUBSCRIPTION_PROGRESS_EVERY, SUBSCRIPTION_QUEUE_MAX_BYTES,
    SUBSCRIPTION_QUEUE_MAX_EVENTS, SUBSCRIPTION_STALL_MAX,
};
use vdom_core::{Change, Error, ErrorCode, Result};
use vdom_edge::{Caller, DomStream};

use super::branch::{BranchHandle, Head};
use super::packs::PackReader;
use super::past::{EntryReader, hash_at, number_of};
use super::read_snapshot::freshness;
use super::records::{Entry, event};
use super::room::{Shared, epoch_changed};
use super::writer::deleted;
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
        ready_bytes: 0,
        of_open_set: 0,
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
    /// Of the diffs that are ready.
    ready_bytes: usize,
    /// How many changes up to `after` belong to a change set that goes on.
    of_open_set: u32,
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
                if self.ready.is_empty() {
                    self.ready_bytes = 0;
                }
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
            if head.closed && self.after >= head.revision {
                return Err(deleted(&self.handle.branch));
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

    /// Makes the next changes ready: from memory, else from the log. Ends within a
    /// change set only where the queue is full.
    async fn fetch(&mut self, head: Head) -> Result<()> {
        let branch = self.handle.branch.clone();
        if let Some(batches) = branch.tail_after(self.after) {
            let mut packs = branch.packs();
            for batch in batches {
                for applied in batch.after(self.after) {
                    if self.is_full() {
                        return Ok(());
                    }
                    self.offer(&applied.entry, &mut packs).await?;
                }
            }
            return Ok(());
        }
        let mut reader = EntryReader::new(&branch);
        let inherited = branch.origin.as_ref().map_or(0, |origin| origin.revision);
        while self.after < inherited {
            if self.is_full() {
                return Ok(());
            }
            let entry = reader.at_revision(self.after + 1).await?;
            self.offer(&entry, reader.packs()).await?;
        }
        if self.after == head.revision || !self.ready.is_empty() {
            return Ok(());
        }
        let from = number_of(&branch, self.after + 1).await?;
        for number in from..=head.number {
            let first = reader.batch(number).await?.first_revision;
            let index = (self.after + 1).saturating_sub(first) as u32;
            let (mut piece, _) = reader.batch(number).await?.piece_of(index);
            while piece < reader.batch(number).await?.pieces() {
                for entry in reader.piece(number, piece).await?.to_vec() {
                    if self.is_full() {
                        return Ok(());
                    }
                    self.offer(&entry, reader.packs()).await?;
                }
                piece += 1;
            }
            if !self.ready.is_empty() {
                return Ok(());
            }
        }
        Ok(())
    }

    fn is_full(&self) -> bool {
        self.ready.len() >= SUBSCRIPTION_QUEUE_MAX_EVENTS
            || self.ready_bytes >= SUBSCRIPTION_QUEUE_MAX_BYTES
    }

    async fn offer(&mut self, entry: &Entry, packs: &mut PackReader<'_>) -> Result<()> {
        let change = &entry.change;
        if change.revision <= self.after {
            return Ok(());
        }
        if is_wanted(&self.request.paths, change) {
            let event = event(entry, self.request.include_diffs, packs).await?;
            self.ready_bytes += event.diff.as_ref().map_or(0, bytes::Bytes::len);
            self.ready.push_back(Event::Change(Box::new(event)));
        }
        self.after = change.revision;
        self.of_open_set = match change.change_set {
            Some(position) if position.index + 1 < position.size => position.index + 1,
            _ => 0,
        };
        Ok(())
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

    /// The revision to resume from: before the first event that is still ready, and
    /// before the whole change set that it belongs to.
    fn delivered(&self) -> u64 {
        match self.ready.front() {
            Some(Event::Change(event)) => {
                let of_its_set = event.change.change_set.map_or(0, |position| position.index);
                event.change.revision - 1 - u64::from(of_its_set)
            }
            _ => self.after - u64::from(self.of_open_set),
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
    if from.epoch != branch.head().epoch && !branch.shares(from.epoch, from.revision) {
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
    branch.check_kept(from.revision)?;
    if let Some(hash) = from.hash
        && hash != hash_at(branch, from.revision).await?
    {
        return Err(epoch_changed(branch, from.epoch));
    }
    Ok(from.revision)
}
