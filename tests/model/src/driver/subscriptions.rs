//! Subscriptions: every change that was asked for comes once, in order.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::StreamExt;
use vdom_api::dom::{DocumentService, one_by_one};
use vdom_core::dom::calls::{Event, ResumePoint, Subscribe};
use vdom_core::{Error, ErrorCode, NodePath};
use vdom_edge::ServiceStream;

use super::gateway::{Gateway, caller};
use super::requests;
use crate::model::World;
use crate::model::answers::Explained;
use crate::steps::Who;

/// How long an event takes at most: progress comes every second.
const EVENT_MAX: Duration = Duration::from_secs(4);

/// A subscriber, and what it was told.
pub(super) struct Subscription {
    events: ServiceStream<Event>,
    /// Whose room it is of.
    pub(super) gateway: u8,
    log: usize,
    /// Everything up to here was told; `None`: nothing yet.
    told: Option<u64>,
    path: Option<NodePath>,
}

/// Those that go on, by number.
pub(super) type Subscriptions = BTreeMap<u8, Subscription>;

/// Subscribes, where that is possible.
pub(super) async fn subscribe(
    world: &World,
    gateway: &Gateway,
    who: Who,
    back: Option<u8>,
    path: Option<u8>,
) -> Result<Option<Subscription>, String> {
    let address = requests::address(who.branch);
    let Some(log) = world.open(&address.branch) else { return Ok(None) };
    let after = back.map(|back| world.head(log).saturating_sub(u64::from(back)));
    let path = path.map(requests::path);
    let from =
        after.map(|revision| ResumePoint { epoch: world.logs[log].epoch, revision, hash: None });
    let paths = path.iter().map(|path| path.as_str().to_owned()).collect();
    let request = Subscribe { address, paths, from, include_diffs: true };
    let caller = caller(&requests::subject(who.client));
    match gateway.room.subscribe(&caller, request).await {
        Ok(events) => {
            let events = one_by_one(events);
            Ok(Some(Subscription { events, gateway: who.gateway, log, told: after, path }))
        }
        Err(error) => may_end(world, log, after, &error).map(|()| None),
    }
}

impl Subscription {
    /// Takes events; false where the stream has ended as it may.
    pub(super) async fn take(&mut self, world: &World, events: u8) -> Result<bool, String> {
        for _ in 0..events {
            match self.next(world).await? {
                Some(_) => {}
                None => return Ok(false),
            }
        }
        Ok(true)
    }

    /// Takes events until all that there is was told.
    pub(super) async fn take_all(&mut self, world: &World) -> Explained {
        let head = world.head(self.log);
        for _ in 0..100 {
            match self.next(world).await? {
                // Progress: nothing waits.
                Some(true) if self.told >= Some(head) => return Ok(()),
                Some(_) => {}
                None => return Ok(()),
            }
        }
        Err(format!("told up to {:?} of {head}", self.told))
    }

    /// Takes an event; whether it was progress.
    async fn next(&mut self, world: &World) -> Result<Option<bool>, String> {
        let next = tokio::time::timeout(EVENT_MAX, self.events.next()).await;
        match next {
            Err(_) => Err(format!("no event for {EVENT_MAX:?}, told up to {:?}", self.told)),
            Ok(None) => Err("the stream ended without a reason".to_owned()),
            Ok(Some(Err(error))) => {
                may_end(world, self.log, self.told, &error)?;
                let closed = world.logs[self.log].closed && error.code == ErrorCode::NotFound;
                match self.missed(world, world.head(self.log)) {
                    Some(missed) if closed => Err(format!("ended before revision {missed}")),
                    _ => Ok(None),
                }
            }
            Ok(Some(Ok(Event::Progress { revision, epoch, .. }))) => {
                self.is_of(world, epoch);
                if epoch != world.logs[self.log].epoch || revision > world.head(self.log) {
                    return Err(format!("progress to {epoch}.{revision}"));
                }
                if let Some(missed) = self.missed(world, revision) {
                    return Err(format!("progress to {revision} without {missed}"));
                }
                self.told = self.told.max(Some(revision));
                Ok(Some(true))
            }
            Ok(Some(Ok(Event::Change(event)))) => {
                let revision = event.change.revision;
                self.is_of(world, event.change.epoch);
                if let Some(missed) = self.missed(world, revision - 1) {
                    return Err(format!("{revision} was told without {missed}"));
                }
                if self.told.is_some_and(|told| revision <= told) {
                    return Err(format!("{revision} was told after {:?}", self.told));
                }
                let changes = world.changes(self.log, revision);
                let Some(change) = changes.last().filter(|last| last.revision == revision) else {
                    return Err(format!("{revision} was told, which is not there"));
                };
                let (node, told) = (&change.node, &event.change);
                let set = told.change_set.map(|place| (place.index, place.size));
                let is_it = (node.id, &node.path, node.version, &node.clock)
                    == (told.node_id, &told.path, told.version, &told.clock)
                    && (change.kind, &change.old_path, change.set)
                        == (told.kind, &told.old_path, set);
                if !is_it {
                    return Err(format!("{told:?} where {change:?} was expected"));
                }
                self.told = Some(revision);
                Ok(Some(false))
            }
        }
    }

    /// A gateway may not have heard that the branch was made again.
    fn is_of(&mut self, world: &World, epoch: u64) {
        let name = &world.logs[self.log].name;
        let ended = world.logs.iter().position(|log| {
            log.closed && log.epoch == epoch && log.name == *name && world.gateways > 1
        });
        self.log = ended.unwrap_or(self.log);
    }

    /// The first change up to a revision that should have been told.
    fn missed(&self, world: &World, upto: u64) -> Option<u64> {
        let told = self.told?;
        let is_wanted = |path: &NodePath| match &self.path {
            Some(wanted) => path.is_covered_by(wanted.as_str()),
            None => true,
        };
        let changes = world.changes(self.log, upto);
        let mut missed = changes.iter().filter(|change| {
            change.revision > told
                && (is_wanted(&change.node.path) || change.old_path.iter().any(is_wanted))
        });
        missed.next().map(|change| change.revision)
    }
}

fn may_end(world: &World, log: usize, told: Option<u64>, error: &Error) -> Explained {
    let may = match error.code {
        ErrorCode::Compacted => told.is_some_and(|told| told < world.oldest(log)),
        ErrorCode::NotFound => {
            let name = &world.logs[log].name;
            let has_ended = world.logs.iter().any(|log| log.name == *name && log.closed);
            world.logs[log].closed || (world.gateways > 1 && has_ended)
        }
        // A gateway that has not heard of a new incarnation, or of the newest revision.
        ErrorCode::EpochChanged => world.gateways > 1,
        // A gateway that has not heard of a compaction, and could not look it up at once.
        ErrorCode::Unavailable => world.is_flaky || (world.gateways > 1 && world.oldest(log) > 0),
        _ => false,
    };
    if may { Ok(()) } else { Err(format!("the subscription ended: {error:?}")) }
}
