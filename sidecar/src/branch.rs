//! One branch that is kept true: its head, what is known of its nodes, and the
//! loads that are on their way.
//!
//! Every change is applied to the cache before the head moves past it, and a
//! reader looks at the head before the cache. So what a reader finds is never
//! older than the head that its answer names.

mod single_flight;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{broadcast, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use vdom_core::dom::calls::{ChangeEvent, Event, Freshness, SetWritten, Source, Written};
use vdom_core::{BranchAddress, Error, NodeId};

use crate::apply;
use crate::cache::{CachedNode, KeyRef, Missing, NodeCache, Position, Slot};
use vdom_edge::Environment;

pub(crate) use single_flight::{Joined, Load, Settled};

/// How many own writes may wait for their events before the branch is read anew.
const OWN_WRITES_MAX: usize = 4_096;

/// How many events a local watch may lag behind.
const SHARED_EVENTS_MAX: usize = 256;

/// How long answers from memory are good without the gateway.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StalenessPolicy {
    /// After so long without a confirmation, an answer says that it is stale.
    pub(crate) stale_after: Duration,
    /// After so long, rights that nobody could take away end.
    pub(crate) offline_max: Duration,
}

/// What a read asks of an answer from memory.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Wanted {
    /// It must not be older.
    pub(crate) revision: u64,
    /// The epoch that the revision belongs to; `None`: whichever it is now.
    pub(crate) epoch: Option<u64>,
    /// The head must have been confirmed so recently.
    pub(crate) max_age_ms: Option<u64>,
}

/// An answer from memory.
#[derive(Clone, Debug)]
pub(crate) struct Hit {
    /// The node, or that there is none.
    pub(crate) found: Found,
    pub(crate) epoch: u64,
    /// The revision that this is as of.
    pub(crate) revision: u64,
    /// How current that is.
    pub(crate) freshness: Freshness,
}

/// What stands in memory.
#[derive(Clone, Debug)]
pub(crate) enum Found {
    /// The node.
    Node(Arc<CachedNode>),
    /// That there is none.
    Missing(Arc<Missing>),
}

/// A branch that is followed, or about to be.
pub(crate) struct Branch {
    pub(crate) address: BranchAddress,
    number: u64,
    cache: NodeCache,
    environment: Environment,
    staleness: StalenessPolicy,
    /// Where following began. The epoch never changes: a new one is a new
    /// `Branch`.
    start: OnceLock<Position>,
    /// The head: everything up to here is applied.
    revision: AtomicU64,
    confirmed_at_ms: AtomicU64,
    /// The gateway said that it cannot confirm the head either.
    unconfirmed: AtomicBool,
    /// The newest own write: no read may be older.
    min_read_revision: AtomicU64,
    used_at_ms: AtomicU64,
    over: AtomicBool,
    ended: CancellationToken,
    head: watch::Sender<u64>,
    /// For local watches, which share the stream that this branch follows.
    events: broadcast::Sender<Arc<Event>>,
    guarded: Mutex<Guarded>,
}

/// What changes together with the cache.
#[derive(Default)]
struct Guarded {
    loads: single_flight::LoadsInFlight,
    /// Own writes whose events have not come yet, by revision.
    own_writes: BTreeMap<u64, NodeId>,
    /// The epoch of an own write that came before the branch had a head.
    floor_epoch: Option<u64>,
}

impl Branch {
    /// A branch of which nothing is known. `number` is used once only.
    pub(crate) fn new(
        address: BranchAddress,
        number: u64,
        cache: NodeCache,
        environment: Environment,
        staleness: StalenessPolicy,
    ) -> Self {
        let now = environment.elapsed_ms();
        Self {
            address,
            number,
            cache,
            environment,
            staleness,
            start: OnceLock::new(),
            revision: AtomicU64::new(0),
            confirmed_at_ms: AtomicU64::new(now),
            unconfirmed: AtomicBool::new(false),
            min_read_revision: AtomicU64::new(0),
            used_at_ms: AtomicU64::new(now),
            over: AtomicBool::new(false),
            ended: CancellationToken::new(),
            head: watch::Sender::new(0),
            events: broadcast::Sender::new(SHARED_EVENTS_MAX),
            guarded: Mutex::default(),
        }
    }

    /// Its number in keys of the cache.
    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// Its head; `None` before the first answer of the gateway.
    pub(crate) fn head(&self) -> Option<Position> {
        let epoch = self.start.get()?.epoch;
        Some(Position { epoch, revision: self.revision.load(Ordering::Acquire) })
    }

    /// What a read must not be older than, as far as the sidecar's own writes
    /// say.
    pub(crate) fn min_read_revision(&self) -> u64 {
        self.min_read_revision.load(Ordering::Acquire)
    }

    /// The answer from memory, where there is one that is good enough.
    pub(crate) fn hit(&self, key: KeyRef<'_>, wanted: Wanted) -> Option<Hit> {
        let least = wanted.revision.max(self.min_read_revision());
        self.look(key, wanted).filter(|hit| hit.revision >= least)
    }

    /// The answer from memory for when the gateway is away: as `hit`, but an own
    /// write only rules out the node that it changed. It says that it is stale.
    pub(crate) fn hit_without_gateway(&self, key: KeyRef<'_>, wanted: Wanted) -> Option<Hit> {
        let mut hit = self.look(key, wanted)?;
        let own_write_is_newer = match &hit.found {
            Found::Node(node) => {
                let guarded = self.guarded.lock();
                guarded
                    .own_writes
                    .range(hit.revision + 1..)
                    .any(|(_, written)| *written == node.node().id)
            }
            Found::Missing(_) => hit.revision < self.min_read_revision(),
        };
        if own_write_is_newer || hit.revision < wanted.revision {
            return None;
        }
        hit.freshness.stale = true;
        Some(hit)
    }

    /// Whether anything is known of a key, however old.
    pub(crate) fn knows(&self, key: KeyRef<'_>) -> bool {
        self.cache.find(key).is_some()
    }

    fn look(&self, key: KeyRef<'_>, wanted: Wanted) -> Option<Hit> {
        let epoch = self.start.get()?.epoch;
        let is_of_other_epoch = wanted.epoch.is_some_and(|wanted| wanted != epoch);
        if is_of_other_epoch || self.over.load(Ordering::Acquire) {
            return None;
        }
        let now = self.environment.elapsed_ms();
        self.used_at_ms.store(now, Ordering::Relaxed);
        // Before the head: a confirmation is published after the head it is of.
        let age_ms = now.saturating_sub(self.confirmed_at_ms.load(Ordering::Acquire));
        let age = Duration::from_millis(age_ms);
        if wanted.max_age_ms.is_some_and(|max| age_ms > max) || age > self.staleness.offline_max {
            return None;
        }
        let stale = self.unconfirmed.load(Ordering::Relaxed) || age > self.staleness.stale_after;
        // Before the cache: see above.
        let head = self.revision.load(Ordering::Acquire);
        let (found, position) = match self.cache.find(key)? {
            Slot::Node(node) => {
                let position = node.position();
                (Found::Node(node), position)
            }
            // That nothing is there is only worth saying while it is known.
            Slot::Missing(_) if stale => return None,
            Slot::Missing(missing) => {
                let position = missing.position;
                (Found::Missing(missing), position)
            }
            Slot::PathHint(_) => return None,
        };
        debug_assert_eq!(position.epoch, epoch);
        Some(Hit {
            found,
            epoch,
            revision: head.max(position.revision),
            freshness: Freshness { age_ms, stale, source: Source::Cache },
        })
    }

    /// Applies a change, then moves the head to it; of a change set, only the
    /// last change moves the head. The caller has checked that none is missing
    /// before it.
    pub(crate) fn apply(&self, event: &ChangeEvent) {
        let change = &*event.change;
        // A set changes each node once: after its change, a node is already as it
        // is at the end of the set.
        let left = change.change_set.map_or(0, |set| set.size.saturating_sub(set.index + 1));
        let at = Position {
            epoch: change.epoch,
            revision: change.revision.saturating_add(u64::from(left)),
        };
        let mut guarded = self.guarded.lock();
        guarded.loads.touch(change, at.revision);
        apply::to_cache(&self.cache, self.number, event, at);
        if event.is_resume_point() {
            self.advance(&mut guarded, change.revision);
        }
    }

    /// What those who watch here are told from now on.
    pub(crate) fn watch(&self) -> broadcast::Receiver<Arc<Event>> {
        self.events.subscribe()
    }

    /// Tells those who watch here, once the event is applied.
    pub(crate) fn tell(&self, event: &Event) {
        if self.events.receiver_count() > 0 {
            // Whoever listened may be gone by now.
            let _ = self.events.send(shared(event));
        }
    }

    /// Takes the gateway's word that `revision`, up to which everything is
    /// applied, was the head so long ago.
    pub(crate) fn confirm(&self, revision: u64, freshness: Freshness) {
        self.advance(&mut self.guarded.lock(), revision);
        self.unconfirmed.store(freshness.stale, Ordering::Relaxed);
        let at = self.environment.elapsed_ms().saturating_sub(freshness.age_ms);
        self.confirmed_at_ms.fetch_max(at, Ordering::Release);
    }

    /// The lock is held until the head has moved: a load that begins now either
    /// was marked by the change or asks for what comes after it.
    fn advance(&self, guarded: &mut Guarded, revision: u64) {
        self.revision.fetch_max(revision, Ordering::Release);
        self.head.send_if_modified(|head| {
            let moved = revision > *head;
            *head = revision.max(*head);
            moved
        });
        if !guarded.own_writes.is_empty() {
            guarded.own_writes = guarded.own_writes.split_off(&(revision + 1));
        }
    }

    /// Begins with the first answer of the gateway: true where this is it.
    fn begin(&self, guarded: &mut Guarded, at: Position, freshness: Freshness) -> bool {
        if self.start.set(at).is_err() {
            return false;
        }
        if guarded.floor_epoch.is_some_and(|epoch| epoch != at.epoch) {
            self.min_read_revision.store(0, Ordering::Release);
        }
        self.advance(guarded, at.revision);
        self.unconfirmed.store(freshness.stale, Ordering::Relaxed);
        let confirmed_at = self.environment.elapsed_ms().saturating_sub(freshness.age_ms);
        self.confirmed_at_ms.store(confirmed_at, Ordering::Release);
        true
    }

    /// Takes note of an own write: from now on no read is older.
    pub(crate) fn wrote(&self, written: &Written) {
        let changed = [(written.revision, written.node_id)];
        self.wrote_up_to(written.epoch, written.revision, changed);
    }

    /// Takes note of an own change set.
    pub(crate) fn wrote_set(&self, set: &SetWritten) {
        let changes = (set.last_revision + 1).saturating_sub(set.first_revision);
        if set.results.len() as u64 != changes && self.head().is_some() {
            // Nobody says which nodes it changed.
            return self.end();
        }
        let changed = set.results.iter().map(|written| (written.revision, written.node_id));
        self.wrote_up_to(set.epoch, set.last_revision, changed);
    }

    fn wrote_up_to(
        &self,
        epoch: u64,
        revision: u64,
        changed: impl IntoIterator<Item = (u64, NodeId)>,
    ) {
        let mut guarded = self.guarded.lock();
        match self.head() {
            None => guarded.floor_epoch = Some(epoch),
            Some(head) if head.epoch != epoch => {
                drop(guarded);
                return self.end();
            }
            Some(head) if revision > head.revision => {
                guarded.own_writes.extend(changed);
                if guarded.own_writes.len() > OWN_WRITES_MAX {
                    drop(guarded);
                    return self.end();
                }
            }
            Some(_) => {}
        }
        self.min_read_revision.fetch_max(revision, Ordering::AcqRel);
        guarded.loads.raise_all(revision);
    }

    /// Waits until the head has reached `revision`; false where the branch ends
    /// or time runs out before.
    pub(crate) async fn reaches(&self, revision: u64, deadline: Instant) -> bool {
        let mut head = self.head.subscribe();
        tokio::select! {
            reached = head.wait_for(|head| *head >= revision) => reached.is_ok(),
            () = self.ended.cancelled() => false,
            () = tokio::time::sleep_until(deadline) => false,
        }
    }

    /// Ends it: nothing is answered from it any more.
    pub(crate) fn end(&self) {
        self.over.store(true, Ordering::Release);
        self.cache.remove_branch(self.number);
        self.ended.cancel();
    }

    /// True once it has ended.
    pub(crate) fn is_over(&self) -> bool {
        self.over.load(Ordering::Acquire)
    }

    /// Done once it has ended.
    pub(crate) async fn over(&self) {
        self.ended.cancelled().await;
    }

    /// Since it was last asked for something; never where somebody watches it.
    pub(crate) fn idle(&self) -> Duration {
        if self.events.receiver_count() > 0 {
            return Duration::ZERO;
        }
        let used = self.used_at_ms.load(Ordering::Relaxed);
        Duration::from_millis(self.environment.elapsed_ms().saturating_sub(used))
    }

    /// Since its head was last confirmed; `None` before it has one.
    pub(crate) fn age(&self) -> Option<Duration> {
        self.start.get()?;
        let confirmed = self.confirmed_at_ms.load(Ordering::Acquire);
        Some(Duration::from_millis(self.environment.elapsed_ms().saturating_sub(confirmed)))
    }

    /// The refusal of a read that wants more than is known here in time.
    pub(crate) fn not_reached(&self, revision: u64) -> Error {
        let head = self.head();
        let at = head.map_or(0, |head| head.revision);
        let error = Error::unavailable(format!(
            "{} is at revision {at}: revision {revision} is not known here yet; try again",
            self.address,
        ))
        .resource(&self.address)
        .retry_after(Duration::from_secs(1));
        match head {
            Some(head) => error.at(head.epoch, head.revision),
            None => error,
        }
    }
}

/// An event as those who watch share it: without its diff.
fn shared(event: &Event) -> Arc<Event> {
    Arc::new(match event {
        Event::Change(change) => {
            let ChangeEvent { change, set, hash, .. } = &**change;
            let (change, set) = (Arc::clone(change), set.clone());
            Event::Change(Box::new(ChangeEvent { change, set, hash: *hash, diff: None }))
        }
        progress @ Event::Progress { .. } => progress.clone(),
    })
}

#[cfg(test)]
mod tests;
