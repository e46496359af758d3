//! Follows the changes of the branch, also before there is one.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use vdom_client::{Notice, Subscription};
use vdom_core::ErrorCode;
use vdom_proto::v1::{ChangeEvent, SubscribeRequest};

use super::BranchSide;
use crate::error::Error;
use crate::log_position::LogPosition;

const RETRY_DELAY_MIN: Duration = Duration::from_millis(100);
const RETRY_DELAY_MAX: Duration = Duration::from_secs(5);
/// How many events wait; beyond that the server waits.
const QUEUE_EVENTS: usize = 1_024;

/// What is heard of the branch.
#[derive(Debug)]
pub(crate) enum BranchUpdate {
    /// A change, or how far the stream is.
    Event(Box<ChangeEvent>),
    /// The server cannot be reached; it is tried again.
    Away(Error),
    /// What was missed cannot be told any more: everything must be read again.
    Lost,
    /// It is of no use to try again.
    Ended(Error),
}

/// A task that follows a branch; it ends with this.
#[derive(Debug)]
pub(crate) struct Follower {
    updates: mpsc::Receiver<BranchUpdate>,
    task: JoinHandle<()>,
}

impl Follower {
    /// Follows from this position on.
    pub(crate) fn start(branch: &BranchSide, from: LogPosition) -> Self {
        let (sender, updates) = mpsc::channel(QUEUE_EVENTS);
        let subscription = Subscription::new(branch.client.clone(), request(branch, from));
        let is_new = from == LogPosition::default();
        let task = tokio::spawn(async move {
            // Nobody listens any more: that is the end as well.
            let _ended = Following { subscription, is_new, sender }.run().await;
        });
        Self { updates, task }
    }

    /// The next update; `None` after [`BranchUpdate::Lost`] and [`BranchUpdate::Ended`].
    pub(crate) async fn next(&mut self) -> Option<BranchUpdate> {
        self.updates.recv().await
    }

    /// The next update that is there already.
    pub(crate) fn try_next(&mut self) -> Option<BranchUpdate> {
        self.updates.try_recv().ok()
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Following {
    subscription: Subscription,
    /// The branch was not there when this began.
    is_new: bool,
    sender: mpsc::Sender<BranchUpdate>,
}

struct NobodyListens;

impl From<mpsc::error::SendError<BranchUpdate>> for NobodyListens {
    fn from(_: mpsc::error::SendError<BranchUpdate>) -> Self {
        Self
    }
}

impl Following {
    async fn run(mut self) -> Result<(), NobodyListens> {
        let mut delay = RETRY_DELAY_MIN;
        loop {
            let error = match self.subscription.next().await {
                // It came to be while nobody followed it.
                Ok(Notice::Event(_)) if self.is_new => {
                    self.sender.send(BranchUpdate::Lost).await?;
                    return Ok(());
                }
                Ok(Notice::Event(event)) => {
                    self.sender.send(BranchUpdate::Event(event)).await?;
                    continue;
                }
                Ok(Notice::Interrupted { error, .. }) => {
                    if error.code() != Some(ErrorCode::Lagged) {
                        self.sender.send(BranchUpdate::Away(error.into())).await?;
                    }
                    continue;
                }
                Err(error) => error,
            };
            match error.code() {
                // A branch that is not there yet comes with its first write.
                Some(ErrorCode::NotFound) if self.is_new => {}
                Some(
                    ErrorCode::EpochChanged
                    | ErrorCode::Compacted
                    | ErrorCode::FailedPrecondition
                    | ErrorCode::NotFound,
                ) => {
                    self.sender.send(BranchUpdate::Lost).await?;
                    return Ok(());
                }
                _ => {
                    self.sender.send(BranchUpdate::Ended(error.into())).await?;
                    return Ok(());
                }
            }
            tokio::time::sleep(delay).await;
            delay = (delay * 2).min(RETRY_DELAY_MAX);
        }
    }
}

fn request(side: &BranchSide, from: LogPosition) -> SubscribeRequest {
    let BranchSide { client, branch, names, .. } = side;
    let prefix = Some(names.prefix().to_owned()).filter(|prefix| !prefix.is_empty());
    SubscribeRequest {
        realm: client.realm(),
        repo: branch.repo.clone(),
        branch: branch.branch.clone(),
        paths: prefix.into_iter().collect(),
        from_epoch: from.epoch,
        from_revision: from.revision,
        ..SubscribeRequest::default()
    }
}
