//! Follows a branch: applies its changes, in order and without a gap, and begins
//! again where the stream broke.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use vdom_core::dom::calls::{Event, ResumePoint, Subscribe};
use vdom_core::{Error, ErrorCode, Result};

use crate::branch::Branch;
use crate::upstream::{OnBehalfOf, Upstream};
use vdom_edge::Environment;

/// The pause after the first failure; it doubles with each that follows.
const PAUSE_MIN: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(5);
/// The gateway says how far it is every second: after so long it is not there.
const SILENCE_MAX: Duration = Duration::from_secs(4);

/// Why a branch is no longer followed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// Somebody else ended it.
    Over,
    /// Nobody has read it for a while.
    Idle,
    /// Its log began anew, or what was missed is no longer kept.
    Resync(Error),
    /// The sidecar may not read it any more.
    Denied(Error),
}

/// Follows a branch that has begun, until it ends.
pub(crate) async fn follow(
    branch: Arc<Branch>,
    upstream: Upstream,
    environment: Environment,
    idle_after: Duration,
) -> Ended {
    let Some(start) = branch.head() else { return Ended::Over };
    let mut follower = Follower {
        at: ResumePoint { epoch: start.epoch, revision: start.revision, hash: None },
        next_revision: start.revision + 1,
        branch,
        token: None,
        upstream,
        idle_after,
        failures: 0,
    };
    loop {
        let error = match follower.run().await {
            Ok(ended) => return ended,
            Err(error) => error,
        };
        match error.code {
            // A token that was replaced in time is no right that was taken away.
            ErrorCode::Unauthenticated if follower.has_new_token().await => continue,
            ErrorCode::Unauthenticated | ErrorCode::PermissionDenied => {
                return Ended::Denied(error);
            }
            ErrorCode::EpochChanged
            | ErrorCode::Compacted
            | ErrorCode::FailedPrecondition
            | ErrorCode::NotFound => return Ended::Resync(error),
            _ => {}
        }
        let pause = PAUSE_MIN.saturating_mul(1 << follower.failures.min(16)).min(PAUSE_MAX);
        let pause = environment.jittered(pause);
        follower.failures += 1;
        tracing::info!(
            branch = %follower.branch.address,
            revision = follower.at.revision,
            context = error.context.as_deref(),
            "no longer following, trying again in {pause:?}: {error}"
        );
        if let Some(ended) = follower.rest(pause).await {
            return ended;
        }
    }
}

struct Follower {
    branch: Arc<Branch>,
    upstream: Upstream,
    /// What the stream was begun with.
    token: Option<Arc<str>>,
    idle_after: Duration,
    /// Everything up to here is applied.
    at: ResumePoint,
    /// What the stream must bring next; inside a change set beyond `at`.
    next_revision: u64,
    /// Since the stream last brought something.
    failures: u32,
}

impl Follower {
    async fn run(&mut self) -> Result<Ended> {
        self.next_revision = self.at.revision + 1;
        let request = Subscribe {
            address: self.branch.address.clone(),
            paths: Vec::new(),
            from: Some(self.at),
            include_diffs: true,
        };
        let upstream = self.upstream.clone();
        self.token = upstream.identity().token();
        let branch = Arc::clone(&self.branch);
        let mut events = tokio::select! {
            () = branch.over() => return Ok(Ended::Over),
            events = upstream.subscribe(OnBehalfOf::Sidecar, &request) => events?,
        };
        loop {
            let event = tokio::select! {
                () = branch.over() => return Ok(Ended::Over),
                event = tokio::time::timeout(SILENCE_MAX, events.next()) => event,
            };
            let event = match event {
                Ok(Some(event)) => event?,
                Ok(None) => return Err(Error::unavailable("the gateway ended the stream")),
                Err(_) => {
                    return Err(Error::unavailable(format!(
                        "the gateway said nothing for {SILENCE_MAX:?}"
                    )));
                }
            };
            self.take(&event)?;
            branch.tell(&event);
            self.failures = 0;
            if branch.idle() > self.idle_after {
                return Ok(Ended::Idle);
            }
        }
    }

    fn take(&mut self, event: &Event) -> Result<()> {
        match event {
            Event::Change(event) => {
                self.check_epoch(event.change.epoch)?;
                let revision = event.change.revision;
                if revision < self.next_revision {
                    return Ok(());
                }
                if revision > self.next_revision {
                    return Err(self.gap(revision));
                }
                self.branch.apply(event);
                self.next_revision = revision + 1;
                if event.is_resume_point() {
                    self.at.revision = revision;
                    self.at.hash = Some(event.hash);
                }
            }
            Event::Progress { epoch, revision, freshness } => {
                self.check_epoch(*epoch)?;
                if *revision >= self.next_revision {
                    return Err(self.gap(*revision));
                }
                // Said before the last changes were: they are the newer head.
                self.branch.confirm(self.at.revision, *freshness);
            }
        }
        Ok(())
    }

    fn check_epoch(&self, epoch: u64) -> Result<()> {
        if epoch == self.at.epoch {
            return Ok(());
        }
        let message = format!("{} is in epoch {epoch} now", self.branch.address);
        Err(Error::new(ErrorCode::EpochChanged, message))
    }

    /// Nothing was applied from beyond the gap, so beginning again heals it.
    fn gap(&self, revision: u64) -> Error {
        Error::internal(format_args!(
            "the stream of {} is at revision {revision}, where {} comes next",
            self.branch.address, self.next_revision
        ))
    }

    /// Whether the sidecar has another token by now than the stream had.
    async fn has_new_token(&self) -> bool {
        let identity = self.upstream.identity();
        identity.read_again().await;
        identity.token() != self.token
    }

    /// Waits, but not longer than the gateway is away; says so where the branch
    /// ends meanwhile.
    async fn rest(&self, pause: Duration) -> Option<Ended> {
        tokio::select! {
            () = self.branch.over() => return Some(Ended::Over),
            () = tokio::time::sleep(pause) => {}
            () = self.upstream.back() => {}
        }
        (self.branch.idle() > self.idle_after).then_some(Ended::Idle)
    }
}
