//! `SubscribeChanges`: every change of a branch, in order, once, from anywhere.
//!
//! A subscription is only a cursor into the log. It takes from the tail that the
//! branch keeps in memory for all its subscribers, and from the log where it
//! has fallen behind that, so a slow reader costs nothing but its cursor.

mod queue;

use std::ops::ControlFlow;
use std::pin::Pin;
use std::sync::Arc;

use futures::{StreamExt, stream};
use tokio::sync::watch;
use tokio::time::{Instant, Sleep};
use vdom_core::dom::calls::{ResumePoint, Subscribe};
use vdom_core::dom::events::{BatchEvent, EventSlice, StoredChange};
use vdom_core::limits::{
    SUBSCRIPTION_MAX_PATHS, SUBSCRIPTION_PROGRESS_EVERY, SUBSCRIPTION_QUEUE_MAX_EVENTS,
    SUBSCRIPTION_STALL_MAX,
};
use vdom_core::{Change, Error, ErrorCode, Result};
use vdom_edge::{Caller, Environment, ServiceStream};

use crate::branch::point_in_time::{hash_at, number_of};
use crate::branch::{AppliedBatch, Branch, Head, broken_chain, history_compacted};
use crate::error::from_store;
use crate::metrics::{DomMetrics, Subscribed};
use crate::records::{ChangeFilter, LogCursor, each_stored, event};
use crate::registry::BranchRegistry;
use crate::registry::read_consistency::epoch_changed;
use crate::verbs::read_snapshot::{freshness, readable_revision};
use crate::writer::{BranchHandle, branch_deleted};

use queue::EventQueue;

/// How much of the log is read at once.
const PAGE_BYTES: usize = 512 << 10;

/// Checks where to resume and starts the stream.
pub(crate) async fn subscribe(
    registry: &BranchRegistry,
    handle: Arc<BranchHandle>,
    caller: Caller,
    request: Subscribe,
) -> Result<ServiceStream<EventSlice>> {
    if request.paths.len() > SUBSCRIPTION_MAX_PATHS {
        return Err(Error::invalid(format!(
            "a subscription names {} paths, at most {SUBSCRIPTION_MAX_PATHS} are allowed",
            request.paths.len()
        )));
    }
    let head = handle.branch.watch_head();
    let after = match request.from {
        None => readable_revision(&handle, None).await?,
        Some(from) => resume_after(&handle, from).await?,
    };
    let now = Instant::now();
    let watch = Watch {
        queue: EventQueue::new(handle.branch.address.clone()),
        handle,
        caller,
        request,
        environment: registry.environment.clone(),
        metrics: registry.metrics.clone(),
        _subscribed: registry.metrics.subscribed(),
        head,
        cursor: LogCursor::new(after),
        progress_due: Box::pin(tokio::time::sleep_until(now)),
        last_taken: now,
        ended: false,
    };
    // Boxed, as it is moved for every item.
    let items = stream::unfold(Box::new(watch), |mut watch| async move {
        if watch.ended {
            return None;
        }
        let item = watch.next().await;
        watch.ended = item.is_err();
        watch.last_taken = Instant::now();
        Some((item, watch))
    });
    Ok(items.boxed())
}

struct Watch {
    handle: Arc<BranchHandle>,
    caller: Caller,
    request: Subscribe,
    environment: Environment,
    metrics: DomMetrics,
    _subscribed: Subscribed,
    head: watch::Receiver<Head>,
    /// Everything up to here is delivered or in the queue.
    cursor: LogCursor,
    queue: EventQueue,
    /// One timer for as long as the stream is open.
    progress_due: Pin<Box<Sleep>>,
    last_taken: Instant,
    ended: bool,
}

impl Watch {
    async fn next(&mut self) -> Result<EventSlice> {
        self.check_stall()?;
        loop {
            self.check_token()?;
            if let Some((events, changes)) = self.queue.pop() {
                self.metrics.delivered(changes);
                return Ok(events);
            }
            self.head.mark_unchanged();
            let head = self.handle.branch.head();
            if self.cursor.after < head.revision {
                self.fetch(head).await?;
                if self.queue.first().is_some() {
                    continue;
                }
            }
            let is_behind = self.cursor.after < head.revision;
            if head.closed && !is_behind {
                return Err(branch_deleted(&self.handle.branch));
            }
            if self.handle.branch.is_left_behind() && !is_behind {
                return Err(self.left_behind());
            }
            let now = Instant::now();
            if self.progress_due.deadline() <= now {
                self.progress_due.as_mut().reset(now + SUBSCRIPTION_PROGRESS_EVERY);
                let progress = BatchEvent::Progress {
                    epoch: head.epoch,
                    revision: self.delivered(),
                    freshness: freshness(&self.handle),
                };
                self.queue.push(progress);
            } else if !is_behind {
                // A change or the time for a progress event, whichever is first.
                tokio::select! {
                    _ = self.head.changed() => {}
                    () = &mut self.progress_due => {}
                }
            }
        }
    }

    /// Makes the next changes ready: from memory, else from the log.
    async fn fetch(&mut self, head: Head) -> Result<()> {
        match self.handle.branch.tail_after(self.cursor.after) {
            Some(batches) => self.take_from_memory(&batches).await,
            None => self.take_from_log(head).await,
        }
    }

    async fn take_from_memory(&mut self, batches: &[Arc<AppliedBatch>]) -> Result<()> {
        let Self { handle, request, cursor, queue, .. } = self;
        let branch = &handle.branch;
        let mut packs = branch.packs();
        for batch in batches {
            if queue.is_full() {
                return Ok(());
            }
            let with_diffs = request.include_diffs;
            if queue.push_batch(batch, cursor.after, &request.paths, with_diffs) {
                if let Some(Change { revision, change_set, .. }) = batch.last_change() {
                    cursor.pass(*revision, *change_set);
                }
                continue;
            }
            for applied in batch.after(cursor.after) {
                if queue.is_full() {
                    return Ok(());
                }
                let change = &applied.entry.change;
                if change.is_below(&request.paths) {
                    let event = event(&applied.entry, with_diffs, &mut packs).await?;
                    queue.push(BatchEvent::Change(event));
                }
                cursor.pass(change.revision, change.change_set);
            }
        }
        Ok(())
    }

    /// A page of the log of this branch, or of the one that it continues.
    async fn take_from_log(&mut self, head: Head) -> Result<()> {
        let Self { handle, request, cursor, queue, .. } = self;
        let branch = &handle.branch;
        let (owner, upto) = owner_of(branch, cursor.after + 1, head.revision);
        let oldest = owner.compaction().limit;
        if cursor.after < oldest {
            return Err(history_compacted(owner, cursor.after, oldest));
        }
        let from = number_of(owner, cursor.after + 1).await?;
        let page = owner.store().read(owner.log, from, PAGE_BYTES).await;
        let page = page.map_err(|error| from_store(error, &owner.address))?;
        let begun = cursor.after;
        let mut packs = owner.packs();
        let filter = ChangeFilter {
            paths: &request.paths,
            // To its readers, what a branch continues is its own.
            epoch: head.epoch,
            with_diffs: request.include_diffs,
            upto,
        };
        let mut push = |change: StoredChange| {
            queue.push(BatchEvent::Stored(change));
            if queue.is_full() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        for log_entry in &page {
            let taken = each_stored(log_entry, filter, cursor, &mut packs, &mut push).await;
            match taken {
                Ok(ControlFlow::Continue(())) if cursor.after < upto => {}
                Ok(_) => return Ok(()),
                // It went between the look at the limit and the read, or was not heard of yet.
                Err(error) if error.code == ErrorCode::Compacted => {
                    return Err(owner.compacted_after(owner.head().number, cursor.after).await?);
                }
                Err(error) => return Err(error),
            }
        }
        // What the head says is there must be.
        if cursor.after == begun { Err(broken_chain(&owner.address, from)) } else { Ok(()) }
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
        if self.last_taken.elapsed() < SUBSCRIPTION_STALL_MAX {
            return Ok(());
        }
        let head = self.handle.branch.head();
        let behind = head.revision.saturating_sub(self.delivered());
        if behind <= SUBSCRIPTION_QUEUE_MAX_EVENTS as u64 {
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

    /// What comes next is no longer told here: who resumes is, or learns that it is compacted.
    fn left_behind(&self) -> Error {
        let branch = &self.handle.branch;
        Error::unavailable(format!(
            "{} went on, and was compacted, while this gateway was away: resume from revision {}",
            branch.address,
            self.delivered()
        ))
        .resource(&branch.address)
        .at(branch.head().epoch, self.delivered())
    }

    /// The revision to resume from: before the first change that is still in the
    /// queue, and before the whole change set that it belongs to.
    fn delivered(&self) -> u64 {
        match self.queue.first() {
            Some((revision, of_its_set)) => revision - 1 - u64::from(of_its_set),
            None => self.cursor.resume_point(),
        }
    }
}

/// The branch whose own log has `revision`, and the last revision to take from it.
fn owner_of(branch: &Branch, revision: u64, upto: u64) -> (&Branch, u64) {
    match &branch.parent {
        Some(parent) if revision <= parent.revision => {
            owner_of(&parent.branch, revision, upto.min(parent.revision))
        }
        _ => (branch, upto),
    }
}

/// The revision after which to go on, once it is known to be of this log.
async fn resume_after(handle: &BranchHandle, from: ResumePoint) -> Result<u64> {
    let branch = &handle.branch;
    if from == ResumePoint::EARLIEST {
        return Ok(branch.oldest_revision());
    }
    let is_shared =
        || from.epoch == branch.head().epoch || branch.shares(from.epoch, from.revision);
    if !is_shared() || from.revision > branch.head().revision {
        // It may be of what another gateway did, unheard of here.
        handle.verify_head().await?;
    }
    if !is_shared() {
        return Err(epoch_changed(branch, from.epoch));
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
