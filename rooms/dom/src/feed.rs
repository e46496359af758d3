//! What other gateways append: asked for once a second, and at once where the
//! store gives an early word.

use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::Instant;
use vdom_store::Early;

use super::branch::BranchHandle;
use super::shared::Shared;
use super::writer::Command;

const POLL_EVERY: Duration = Duration::from_secs(1);
const COUNT_USAGE_EVERY: Duration = Duration::from_secs(10);

/// Runs until the room is dropped.
pub(crate) async fn run(room: Weak<Shared>) {
    let Some(strong) = room.upgrade() else { return };
    let shared = strong.store.promises().shared;
    let mut early = shared.then(|| strong.store.early());
    drop(strong);
    let mut poll = tokio::time::interval(POLL_EVERY);
    let mut counted_at = Instant::now();
    poll.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        let word = tokio::select! {
            _ = poll.tick() => None,
            word = next_word(&mut early) => word,
        };
        let Some(room) = room.upgrade() else { return };
        if let Some(word) = word {
            let is_behind = |handle: &&Arc<BranchHandle>| {
                handle.branch.log == word.log && handle.branch.head().number < word.number
            };
            room.opened().iter().filter(is_behind).for_each(wake);
            continue;
        }
        room.close_idle();
        if counted_at.elapsed() >= COUNT_USAGE_EVERY {
            counted_at = Instant::now();
            if let Err(error) = room.count_all_usage().await {
                tracing::warn!(%error, "what realms hold cannot be counted: the last count stands");
            }
        }
        if shared {
            poll_all(&room).await;
        }
    }
}

/// Asks for the next batch of every open branch; where there is none, its head
/// was confirmed by that.
async fn poll_all(room: &Shared) {
    let handles = room.opened();
    let wanted: Vec<_> =
        handles.iter().map(|handle| (handle.branch.log, handle.branch.head().number + 1)).collect();
    if wanted.is_empty() {
        return;
    }
    let begun = Instant::now();
    let found = match room.store.next_of(&wanted).await {
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
            handle.branch.confirmed(begun);
        }
    }
}

/// Makes the writer read on. A full queue needs no word: its next append reads
/// on by itself.
fn wake(handle: &Arc<BranchHandle>) {
    let (reply, _) = tokio::sync::oneshot::channel();
    let _ = handle.writer.try_send(Command::Confirm { reply });
}

/// The next early word; `None` where some were missed, which a poll makes good.
/// Polling alone is complete, so an end of the words is no end of the feed.
async fn next_word(early: &mut Option<Receiver<Early>>) -> Option<Early> {
    let Some(words) = early else {
        return std::future::pending().await;
    };
    match words.recv().await {
        Ok(word) => Some(word),
        Err(RecvError::Lagged(_)) => None,
        Err(RecvError::Closed) => {
            *early = None;
            None
        }
    }
}
