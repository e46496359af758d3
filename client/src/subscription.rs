//! Follows the changes of a branch, also across lost connections.

use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;
use tonic::{Status, Streaming};
use vdom_core::ErrorCode;
use vdom_proto::v1::change_event::Type;
use vdom_proto::v1::{ChangeEvent, SubscribeRequest};

use crate::client::Client;
use crate::error::{Error, Result};

/// A server says at least once a second how far it is; this much silence means
/// that the connection is dead.
const SILENCE_MAX: Duration = Duration::from_secs(10);
const RETRY_DELAY_MIN: Duration = Duration::from_millis(100);
const RETRY_DELAY_MAX: Duration = Duration::from_secs(5);

/// A place in a branch's log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResumePosition {
    /// The incarnation of the log, from 1 on.
    pub epoch: u64,
    /// The revision of the last change before this place.
    pub revision: u64,
    /// The hash of that change; empty where it is not known.
    pub hash: Bytes,
}

/// An event of a subscription, or a gap in time (never in the events).
#[derive(Clone, Debug)]
pub enum Notice {
    /// A change, or how far the server is.
    Event(Box<ChangeEvent>),
    /// The connection broke, or the reader was too slow. The next call of
    /// [`Subscription::next`] waits that long and then goes on without a gap.
    Interrupted {
        /// What broke the stream of events.
        error: Error,
        /// How long the next call waits before it subscribes again.
        retry_in: Duration,
    },
}

/// The changes of a branch in their order: none is left out, and none is told twice,
/// whatever happens to the connection.
///
/// ```no_run
/// use vdom_client::{Client, Notice, Subscription};
/// use vdom_proto::v1::SubscribeRequest;
///
/// # async fn example(client: Client) -> vdom_client::Result<()> {
/// let request = SubscribeRequest {
///     repo: "site".to_owned(),
///     branch: "main".to_owned(),
///     ..SubscribeRequest::default()
/// };
/// let mut subscription = Subscription::new(client, request);
/// loop {
///     match subscription.next().await? {
///         Notice::Event(event) => println!("{} {}", event.revision, event.path),
///         Notice::Interrupted { error, retry_in } => {
///             println!("{error}; going on in {retry_in:?}");
///         }
///     }
/// }
/// # }
/// ```
#[derive(Debug)]
pub struct Subscription {
    client: Client,
    request: SubscribeRequest,
    progress: Progress,
    events: Option<Streaming<ChangeEvent>>,
    delay: Duration,
    /// Not before this may it be tried again.
    wait_until: Option<Instant>,
}

/// How far a subscription is.
#[derive(Debug, Default)]
struct Progress {
    /// Where to go on after a lost connection; `None`: from now on.
    resume: Option<ResumePosition>,
    /// The last change that was told: epoch and revision.
    told: Option<(u64, u64)>,
}

impl Subscription {
    /// Follows what this request asks for, from its point on; without one from now on.
    pub fn new(client: Client, request: SubscribeRequest) -> Self {
        let resume = (request.from_epoch > 0).then(|| ResumePosition {
            epoch: request.from_epoch,
            revision: request.from_revision,
            hash: request.from_hash.clone(),
        });
        Self {
            client,
            request,
            progress: Progress { resume, told: None },
            events: None,
            delay: RETRY_DELAY_MIN,
            wait_until: None,
        }
    }

    /// Where another subscription would go on; `None` where nothing is known yet. It
    /// is never inside a change set.
    pub fn position(&self) -> Option<&ResumePosition> {
        self.progress.resume.as_ref()
    }

    /// The next event. Nothing is lost where the caller stops waiting.
    ///
    /// # Errors
    ///
    /// What waiting does not help against. `EpochChanged`: the branch was restored;
    /// `Compacted`: the changes in between are no longer kept; in both cases it must be
    /// read anew. Called again, it tries to go on all the same.
    pub async fn next(&mut self) -> Result<Notice> {
        loop {
            if let Some(moment) = self.wait_until {
                tokio::time::sleep_until(moment).await;
                self.wait_until = None;
            }
            let error = match self.event().await {
                Ok(event) => {
                    let before = self.progress.resume.clone();
                    let is_new = self.progress.take(&event);
                    if self.progress.resume != before {
                        self.delay = RETRY_DELAY_MIN;
                    }
                    if is_new {
                        return Ok(Notice::Event(Box::new(event)));
                    }
                    continue;
                }
                Err(status) => Error::from(status),
            };
            self.events = None;
            if !error.is_transient() && error.code() != Some(ErrorCode::Lagged) {
                return Err(error);
            }
            let retry_in = self.delay;
            self.delay = (self.delay * 2).min(RETRY_DELAY_MAX);
            self.wait_until = Some(Instant::now() + retry_in);
            return Ok(Notice::Interrupted { error, retry_in });
        }
    }

    async fn event(&mut self) -> std::result::Result<ChangeEvent, Status> {
        let events = if let Some(events) = &mut self.events {
            events
        } else {
            let mut raw = self.client.raw();
            let subscribed = raw.subscribe_changes(self.resumed_request());
            let answer = tokio::time::timeout(SILENCE_MAX, subscribed)
                .await
                .map_err(|_| Status::unavailable("the server does not answer"))??;
            self.events.insert(answer.into_inner())
        };
        match tokio::time::timeout(SILENCE_MAX, events.message()).await {
            Ok(Ok(Some(event))) => Ok(event),
            Ok(Ok(None)) => Err(Status::unavailable("the server ended the stream")),
            Ok(Err(status)) => Err(status),
            Err(_) => Err(Status::unavailable("the server has gone silent")),
        }
    }

    fn resumed_request(&self) -> SubscribeRequest {
        let ResumePosition { epoch, revision, hash } =
            self.progress.resume.clone().unwrap_or_default();
        SubscribeRequest {
            from_epoch: epoch,
            from_revision: revision,
            from_hash: hash,
            from_earliest: self.request.from_earliest && epoch == 0,
            ..self.request.clone()
        }
    }
}

impl Progress {
    /// Notes an event; true where it was not told before.
    fn take(&mut self, event: &ChangeEvent) -> bool {
        let is_progress = event.r#type() == Type::Progress;
        let (epoch, revision) = (event.epoch, event.revision);
        if is_resume_point(event) {
            let is_known = self
                .resume
                .as_ref()
                .is_some_and(|known| (known.epoch, known.revision) == (epoch, revision));
            // Progress has no hash: it must not displace one.
            if !(is_progress && is_known) {
                let hash = event.hash.clone();
                self.resume = Some(ResumePosition { epoch, revision, hash });
            }
        }
        if is_progress {
            return true;
        }
        // A change set that was cut off is delivered again from its beginning.
        let is_new = self.told.is_none_or(|(told_epoch, told_revision)| {
            epoch != told_epoch || revision > told_revision
        });
        if is_new {
            self.told = Some((epoch, revision));
        }
        is_new
    }
}

/// Whether a subscription may begin after this event: not inside a change set.
pub fn is_resume_point(event: &ChangeEvent) -> bool {
    event.change_set.as_ref().is_none_or(|position| position.index + 1 >= position.size)
}

#[cfg(test)]
mod tests {
    use vdom_proto::v1::ChangeSetPosition;

    use super::*;

    fn change(revision: u64, position: Option<(u32, u32)>) -> ChangeEvent {
        ChangeEvent {
            r#type: Type::Update.into(),
            epoch: 5,
            revision,
            hash: Bytes::from(vec![revision as u8; 32]),
            change_set: position.map(|(index, size)| ChangeSetPosition {
                id: Bytes::from_static(&[1; 16]),
                index,
                size,
            }),
            ..ChangeEvent::default()
        }
    }

    fn progress(revision: u64) -> ChangeEvent {
        ChangeEvent { r#type: Type::Progress.into(), epoch: 5, revision, ..ChangeEvent::default() }
    }

    fn resumes_at(progress: &Progress) -> Option<u64> {
        progress.resume.as_ref().map(|resume| resume.revision)
    }

    #[test]
    fn a_cut_change_set_is_resumed_from_its_beginning_and_told_once() {
        let mut followed = Progress::default();
        assert!(followed.take(&change(3, None)));
        assert!(followed.take(&change(4, Some((0, 2)))));
        assert_eq!(resumes_at(&followed), Some(3));
        assert!(!followed.take(&change(4, Some((0, 2)))), "told before the cut");
        assert!(followed.take(&change(5, Some((1, 2)))));
        assert_eq!(resumes_at(&followed), Some(5));
    }

    #[test]
    fn progress_moves_the_resume_point_and_keeps_a_known_hash() {
        let mut followed = Progress::default();
        followed.take(&progress(2));
        assert_eq!(resumes_at(&followed), Some(2));
        assert!(followed.take(&change(3, None)));
        followed.take(&progress(3));
        assert_eq!(followed.resume.map(|resume| resume.hash.len()), Some(32));
    }
}
