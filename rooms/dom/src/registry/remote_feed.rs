//! What other gateways append: asked for once a second, and at once where the
//! store gives a commit hint.

use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::Instant;
use vdom_security::Duty;
use vdom_store::CommitHint;

use crate::registry::BranchRegistry;
use crate::writer::BranchHandle;

const POLL_EVERY: Duration = Duration::from_secs(1);

/// Runs until the registry is dropped.
pub(crate) async fn run(registry: Weak<BranchRegistry>) {
    let Some(strong) = registry.upgrade() else { return };
    let shared = strong.store.guarantees().shared;
    let store = strong.store.with(strong.permits.of(Duty::FollowFeed));
    let mut hints = shared.then(|| store.commit_hints());
    drop(strong);
    let mut poll = tokio::time::interval(POLL_EVERY);
    poll.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        let hint = tokio::select! {
            _ = poll.tick() => None,
            hint = next_hint(&mut hints) => hint,
        };
        let Some(registry) = registry.upgrade() else { return };
        if let Some(hint) = hint {
            let is_behind = |handle: &&Arc<BranchHandle>| {
                handle.branch.log == hint.log && handle.branch.head().number < hint.number
            };
            registry.opened().iter().filter(is_behind).for_each(wake);
            continue;
        }
        registry.close_idle();
        if shared {
            poll_all(&registry).await;
        }
    }
}

/// Asks for the next batch of every open branch; where there is none, its head
/// was verified by that.
async fn poll_all(registry: &BranchRegistry) {
    let handles = registry.opened();
    let wanted: Vec<_> =
        handles.iter().map(|handle| (handle.branch.log, handle.branch.head().number + 1)).collect();
    if wanted.is_empty() {
        return;
    }
    let begun = Instant::now();
    let found = match registry
        .store
        .with(registry.permits.of(Duty::FollowFeed))
        .next_batches(&wanted)
        .await
    {
        Ok(found) => found,
        Err(error) => {
            tracing::warn!(%error, "the feed cannot be read: heads grow old until it can");
            return;
        }
    };
    for (handle, (log, _)) in handles.iter().zip(&wanted) {
        if found.iter().any(|(changed, _)| changed == log) {
            wake(handle);
        } else {
            handle.branch.head_verified(begun);
        }
    }
}

/// Makes the writer read on. A full queue needs no command: its next append reads
/// on by itself.
fn wake(handle: &Arc<BranchHandle>) {
    handle.writer.request_verification();
}

/// The next commit hint; `None` where some were missed, which a poll makes good.
/// Polling alone is complete, so an end of the hints is no end of the feed.
async fn next_hint(hints: &mut Option<Receiver<CommitHint>>) -> Option<CommitHint> {
    let Some(receiver) = hints else {
        return std::future::pending().await;
    };
    match receiver.recv().await {
        Ok(hint) => Some(hint),
        Err(RecvError::Lagged(_)) => None,
        Err(RecvError::Closed) => {
            *hints = None;
            None
        }
    }
}
