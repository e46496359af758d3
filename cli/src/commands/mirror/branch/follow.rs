//! Follows the changes of the branch, also across lost connections.

use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tonic::Status;
use vdom_core::ErrorCode;
use vdom_edge::error::from_status;
use vdom_proto::v1::change_event::Type;
use vdom_proto::v1::{ChangeEvent, SubscribeRequest};

use super::{BranchSide, Point};
use crate::client::is_passing;
use crate::commands::change::is_resume_point;
use crate::exit::Failure;

/// A server says at least once a second how far it is; this much silence means
/// that the connection is dead.
const SILENCE_MAX: Duration = Duration::from_secs(10);
const RETRY_DELAY_MIN: Duration = Duration::from_millis(100);
const RETRY_DELAY_MAX: Duration = Duration::from_secs(5);
/// How many events wait; beyond that the server waits.
const QUEUE_EVENTS: usize = 1_024;

/// What is heard of the branch.
#[derive(Debug)]
pub(in crate::commands::mirror) enum Heard {
    /// A change, or how far the stream is.
    Event(Box<ChangeEvent>),
    /// The server cannot be reached; it is tried again.
    Away(Failure),
    /// What was missed cannot be told any more: everything must be read again.
    Lost,
    /// It is of no use to try again.
    Ended(Failure),
}

/// A task that follows a branch; it ends with this.
#[derive(Debug)]
pub(in crate::commands::mirror) struct Follower {
    heard: mpsc::Receiver<Heard>,
    task: JoinHandle<()>,
}

impl Follower {
    /// Follows from this point on.
    pub(in crate::commands::mirror) fn start(branch: BranchSide, from: Point) -> Self {
        let (say, heard) = mpsc::channel(QUEUE_EVENTS);
        let task = tokio::spawn(async move {
            // Nobody listens any more: that is the end as well.
            let _ended = Following { branch, from, hash: Bytes::new(), say }.run().await;
        });
        Self { heard, task }
    }

    /// The next thing; `None` after [`Heard::Lost`] and [`Heard::Ended`].
    pub(in crate::commands::mirror) async fn next(&mut self) -> Option<Heard> {
        self.heard.recv().await
    }

    /// The next thing that is there already.
    pub(in crate::commands::mirror) fn at_hand(&mut self) -> Option<Heard> {
        self.heard.try_recv().ok()
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Following {
    branch: BranchSide,
    /// Where to go on after a lost connection.
    from: Point,
    /// Of the change there, where it is known.
    hash: Bytes,
    say: mpsc::Sender<Heard>,
}

struct NobodyListens;

impl From<mpsc::error::SendError<Heard>> for NobodyListens {
    fn from(_: mpsc::error::SendError<Heard>) -> Self {
        Self
    }
}

impl Following {
    async fn run(mut self) -> Result<(), NobodyListens> {
        let mut delay = RETRY_DELAY_MIN;
        loop {
            let before = self.from;
            let status = self.follow().await?;
            let is_new = self.from == Point::default();
            match from_status(&status).code {
                ErrorCode::Lagged => {}
                // A branch that is not there yet comes with its first write.
                ErrorCode::NotFound if is_new => {}
                ErrorCode::EpochChanged
                | ErrorCode::Compacted
                | ErrorCode::FailedPrecondition
                | ErrorCode::NotFound => {
                    self.say.send(Heard::Lost).await?;
                    return Ok(());
                }
                _ if is_passing(&status) => self.say.send(Heard::Away(status.into())).await?,
                _ => {
                    self.say.send(Heard::Ended(status.into())).await?;
                    return Ok(());
                }
            }
            if self.from != before {
                delay = RETRY_DELAY_MIN;
            }
            tokio::time::sleep(delay).await;
            delay = (delay * 2).min(RETRY_DELAY_MAX);
        }
    }

    /// Passes on what comes, until the stream ends.
    async fn follow(&mut self) -> Result<Status, NobodyListens> {
        let mut dom = self.branch.client.dom();
        let subscribed = dom.subscribe_changes(self.request());
        let mut events = match tokio::time::timeout(SILENCE_MAX, subscribed).await {
            Ok(Ok(answer)) => answer.into_inner(),
            Ok(Err(status)) => return Ok(status),
            Err(_) => return Ok(Status::unavailable("the server does not answer")),
        };
        loop {
            let event = match tokio::time::timeout(SILENCE_MAX, events.message()).await {
                Ok(Ok(Some(event))) => event,
                Ok(Ok(None)) => return Ok(Status::unavailable("the server ended the stream")),
                Ok(Err(status)) => return Ok(status),
                Err(_) => return Ok(Status::unavailable("the server has gone silent")),
            };
            let at = Point { epoch: event.epoch, revision: event.revision };
            if self.from == Point::default() {
                // It came to be while nobody followed it.
                return Ok(Status::failed_precondition("the branch is there now"));
            }
            if is_resume_point(&event) {
                // Progress has no hash: it must not displace one.
                if event.r#type() != Type::Progress || at != self.from {
                    self.hash = event.hash.clone();
                }
                self.from = at;
            }
            self.say.send(Heard::Event(Box::new(event))).await?;
        }
    }

    fn request(&self) -> SubscribeRequest {
        let BranchSide { client, branch, names, .. } = &self.branch;
        let prefix = Some(names.prefix().to_owned()).filter(|prefix| !prefix.is_empty());
        SubscribeRequest {
            realm: client.realm(),
            repo: branch.repo.clone(),
            branch: branch.branch.clone(),
            paths: prefix.into_iter().collect(),
            from_epoch: self.from.epoch,
            from_revision: self.from.revision,
            from_hash: self.hash.clone(),
            include_diffs: false,
        }
    }
}
