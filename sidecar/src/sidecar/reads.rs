//! Reads: from memory while that is good enough, else one load for all who wait,
//! else straight from the gateway.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;
use vdom_core::dom::calls::{ReadAt, ReadSnapshot, Snapshot};
use vdom_core::limits::{MIN_REVISION_WAIT_MAX, UNARY_DEADLINE_DEFAULT};
use vdom_core::{Content, Error, ErrorCode, Result};
use vdom_edge::{Caller, ServiceStream, deadline};

use super::Sidecar;
use crate::authorize;
use crate::branch::{Branch, Found, Hit, Joined, Load, Settled, Wanted};
use crate::cache::{KeyRef, NodeKey};
use crate::upstream::{OnBehalfOf, whole};

/// What is known but too old is usually on its way already: how long to wait for
/// it before asking the gateway.
const FOLLOWER_GRACE: Duration = Duration::from_millis(50);
/// How often a read begins again on a branch that ended under it.
const ATTEMPTS_MAX: u32 = 3;
/// How many answers of the gateway a read looks at.
const LOADS_MAX: u32 = 4;

/// What became of a read on one branch.
enum Outcome {
    Answer(Box<Snapshot>),
    /// The gateway has to answer the caller itself.
    PassThrough,
    /// The branch has ended meanwhile.
    Resync,
}

impl Sidecar {
    /// The answer where it may come from memory; `None` where the gateway has to
    /// answer.
    pub(super) async fn read_cached(
        &self,
        caller: &Caller,
        request: &ReadSnapshot,
    ) -> Result<Option<Snapshot>> {
        if !self.upstream().identity().exists() || !is_cacheable(&request.at) {
            return Ok(None);
        }
        authorize::may_read(caller, &request.address.realm)?;
        let read = Read::new(caller, request);
        for _ in 0..ATTEMPTS_MAX {
            let Some(branch) = self.branches().open(&request.address) else { return Ok(None) };
            match self.read_from(&branch, &read).await? {
                Outcome::Answer(snapshot) => return Ok(Some(*snapshot)),
                Outcome::PassThrough => return Ok(None),
                Outcome::Resync => {}
            }
        }
        Ok(None)
    }

    /// As above, for contents of every size.
    pub(super) async fn read_in_pieces(
        &self,
        caller: &Caller,
        request: ReadSnapshot,
    ) -> Result<(Snapshot, u64, ServiceStream<Bytes>)> {
        let cached = match self.read_cached(caller, &request).await {
            Err(error) if error.code == ErrorCode::TooLarge => None,
            cached => cached?,
        };
        if let Some(mut snapshot) = cached
            && let Content::Inline(content) = &mut snapshot.node.content
        {
            let content = std::mem::take(content);
            return Ok((snapshot, content.len() as u64, whole(content)));
        }
        self.upstream().read_content(OnBehalfOf::Caller(caller), &request).await
    }

    async fn read_from(&self, branch: &Arc<Branch>, read: &Read) -> Result<Outcome> {
        let mut waited = false;
        let mut loads = 0;
        loop {
            if branch.is_over() {
                return Ok(Outcome::Resync);
            }
            let key = read.key_ref(branch);
            if let Some(hit) = branch.hit(key, read.wanted) {
                self.cache().count_hit();
                return answer(hit).map(Outcome::Answer);
            }
            let head = branch.head();
            if let (Some(wanted), Some(head)) = (read.wanted.epoch, head)
                && wanted != head.epoch
            {
                // Only the gateway knows what epochs have in common.
                return Ok(Outcome::PassThrough);
            }
            if let (Some(max), Some(age)) = (read.wanted.max_age_ms, branch.age())
                && age > Duration::from_millis(max)
            {
                return Ok(Outcome::PassThrough);
            }
            if !waited && branch.knows(key) {
                waited = true;
                let until = read.deadline.min(Instant::now() + FOLLOWER_GRACE);
                if branch.reaches(read.wanted.revision.max(branch.min_read_revision()), until).await
                {
                    continue;
                }
            }
            // A revision means nothing before the epoch is known.
            let wanted = head.map_or(0, |_| read.wanted.revision);
            let known = head.map_or(0, |head| head.revision).max(branch.min_read_revision());
            if loads == LOADS_MAX {
                return Err(branch.not_reached(wanted.max(known)));
            }
            loads += 1;
            let load = self.load(branch, &read.key, wanted);
            match deadline::within(read.deadline.into_std(), load).await {
                Ok(snapshot) if head.is_some_and(|head| head.epoch != snapshot.epoch) => {
                    branch.end();
                    return Ok(Outcome::Resync);
                }
                Ok(snapshot) if snapshot.revision >= known.max(read.wanted.revision) => {
                    self.cache().count_miss();
                    return Ok(read.judge(&snapshot));
                }
                // Something newer became known meanwhile.
                Ok(_) => {}
                Err(error) => {
                    if let Some(outcome) = self.without_answer(branch, read, error).await? {
                        return Ok(outcome);
                    }
                }
            }
        }
    }

    /// What to do where the gateway did not answer a load; `None`: try again.
    async fn without_answer(
        &self,
        branch: &Arc<Branch>,
        read: &Read,
        error: Error,
    ) -> Result<Option<Outcome>> {
        match error.code {
            ErrorCode::EpochChanged => {
                branch.end();
                Ok(Some(Outcome::Resync))
            }
            ErrorCode::Unauthenticated | ErrorCode::PermissionDenied => {
                self.branches().deny(branch);
                Ok(Some(Outcome::PassThrough))
            }
            ErrorCode::Unavailable | ErrorCode::DeadlineExceeded => {
                let hit = branch.hit_without_gateway(read.key_ref(branch), read.wanted);
                if let Some(hit) = hit {
                    self.cache().count_hit();
                    return answer(hit).map(|answer| Some(Outcome::Answer(answer)));
                }
                let revision = read.wanted.revision;
                if revision == 0 || branch.head().is_none() {
                    return Err(error);
                }
                if branch.reaches(revision, read.deadline).await {
                    return Ok(None);
                }
                if branch.is_over() {
                    return Ok(Some(Outcome::Resync));
                }
                Err(branch.not_reached(revision))
            }
            _ => Err(error),
        }
    }

    /// One load for all who ask for a key at the same time.
    async fn load(
        &self,
        branch: &Arc<Branch>,
        key: &NodeKey,
        at_least: u64,
    ) -> Result<Arc<Snapshot>> {
        let mut answer = match branch.join(key, at_least) {
            Joined::Waiting(answer) => answer,
            Joined::First(load, answer) => {
                // Not of the caller that happened to be first: it may go away.
                self.inner.runtime.spawn(self.clone().carry_out(load));
                answer
            }
        };
        let gone = || Error::unavailable("the sidecar is shutting down: try again");
        let answer = answer.wait_for(Option::is_some).await.map_err(|_| gone())?;
        answer.clone().unwrap_or_else(|| Err(gone()))
    }

    async fn carry_out(self, mut load: Load) {
        let branch = Arc::clone(load.branch());
        loop {
            let from = load.ask();
            let request = ReadSnapshot {
                address: branch.address.clone(),
                node: load.key().clone().into(),
                at: ReadAt {
                    min_revision: from.map(|from| from.revision),
                    min_epoch: from.and_then(|from| from.epoch),
                    ..ReadAt::default()
                },
            };
            let answer = self.upstream().read_snapshot(OnBehalfOf::Sidecar, &request).await;
            let settled = load.settle(answer);
            let (Settled::Given { began } | Settled::Overtaken { began }) = settled;
            if began {
                self.follow(&branch);
            }
            if let Settled::Given { .. } = settled {
                break;
            }
        }
        if branch.head().is_none() && branch.min_read_revision() == 0 {
            // A branch that cannot be read must not take the place of another.
            branch.end();
        }
    }
}

/// A read, in the cache's words.
struct Read {
    key: NodeKey,
    wanted: Wanted,
    deadline: Instant,
}

impl Read {
    fn new(caller: &Caller, request: &ReadSnapshot) -> Self {
        let at = &request.at;
        let longest = match at.min_revision {
            Some(_) => MIN_REVISION_WAIT_MAX,
            None => UNARY_DEADLINE_DEFAULT,
        };
        let own = Instant::now() + longest;
        Self {
            key: NodeKey::from(&request.node),
            wanted: Wanted {
                revision: at.min_revision.unwrap_or(0),
                epoch: at.min_revision.and(at.min_epoch),
                max_age_ms: at.max_age_ms,
            },
            deadline: caller.deadline.map_or(own, |deadline| own.min(deadline.into())),
        }
    }

    fn key_ref(&self, branch: &Branch) -> KeyRef<'_> {
        match &self.key {
            NodeKey::Path(path) => KeyRef::Path(branch.number(), path.as_str()),
            NodeKey::Id(id) => KeyRef::Id(branch.number(), *id),
        }
    }

    /// What an answer of the gateway to the sidecar is worth to the caller.
    fn judge(&self, snapshot: &Snapshot) -> Outcome {
        let is_of_other_epoch = self.wanted.epoch.is_some_and(|epoch| epoch != snapshot.epoch);
        let is_old = self.wanted.max_age_ms.is_some_and(|max| snapshot.freshness.age_ms > max);
        if is_of_other_epoch || is_old {
            return Outcome::PassThrough;
        }
        Outcome::Answer(Box::new(snapshot.clone()))
    }
}

/// Whether an answer from memory can be what is asked for.
fn is_cacheable(at: &ReadAt) -> bool {
    at.revision.is_none()
        && at.epoch.is_none()
        && at.after_operation.is_none()
        && at.max_age_ms != Some(0)
}

fn answer(hit: Hit) -> Result<Box<Snapshot>> {
    match hit.found {
        Found::Node(node) => Ok(Box::new(Snapshot {
            node: node.node().clone(),
            epoch: hit.epoch,
            revision: hit.revision,
            freshness: hit.freshness,
        })),
        Found::Missing(missing) => Err(missing.error.clone().at(hit.epoch, hit.revision)),
    }
}
