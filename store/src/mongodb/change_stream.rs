//! The change stream: it only makes early what polling would bring.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use ::mongodb::Collection;
use ::mongodb::bson::oid::ObjectId;
use ::mongodb::bson::{Document, doc};
use ::mongodb::change_stream::ChangeStream;
use ::mongodb::change_stream::event::ChangeStreamEvent;
use ::mongodb::error::{Error, ErrorKind};
use ::mongodb::options::ReadConcern;
use tokio::sync::broadcast;
use tokio::time::sleep;

use super::documents;
use crate::batch::Batch;
use crate::commit_hint::CommitHint;

/// A server may hold an answer back so long while nothing happens.
const PATIENCE: Duration = Duration::from_secs(1);

/// Some servers answer at once, with nothing: then they are asked no faster than this.
const PACE: Duration = Duration::from_millis(20);

/// Before a lost stream is opened again; doubled up to the second of them.
const REOPEN: [Duration; 2] = [Duration::from_millis(100), Duration::from_secs(5)];

/// The stream's place in the server's history is gone, or an event was too large:
/// where it starts anew does not matter.
const HISTORY_LOST: [i32; 3] = [280, 286, 10334];

pub(super) type EventStream = ChangeStream<ChangeStreamEvent<Document>>;

/// Opens a stream of the batches that others insert.
pub(super) async fn open(
    changes: &Collection<Document>,
    writer: ObjectId,
) -> Result<EventStream, Error> {
    let others =
        doc! { "$match": { "operationType": "insert", "fullDocument.w": { "$ne": writer } } };
    let without_large = doc! { "$project": { format!("fullDocument.{}", documents::LARGE): 0 } };
    changes
        .watch()
        .pipeline([others, without_large])
        .read_concern(ReadConcern::majority())
        .max_await_time(PATIENCE)
        .await
}

/// Keeps one stream open, and passes on what it says.
pub(super) struct ChangeStreamWatcher {
    pub(super) changes: Collection<Document>,
    pub(super) writer: ObjectId,
    pub(super) hints: broadcast::Sender<CommitHint>,
    /// Says whether there is a stream.
    pub(super) is_open: Arc<AtomicBool>,
}

impl ChangeStreamWatcher {
    /// Listens, and opens the stream again when it is lost or was refused, until it is
    /// aborted: a server without streams may give way to one that has them.
    pub(super) async fn run(self, mut stream: Option<EventStream>) {
        let mut pause = REOPEN[0];
        loop {
            if let Some(open) = stream.take() {
                let (since, error) = (Instant::now(), self.listen(open).await);
                if since.elapsed() > REOPEN[1] || lost_history(&error) {
                    pause = REOPEN[0];
                }
                self.is_open.store(false, Ordering::Relaxed);
                tracing::debug!(%error, "change stream lost");
            }
            sleep(pause).await;
            pause = (pause * 2).min(REOPEN[1]);
            match open(&self.changes, self.writer).await {
                Ok(opened) => {
                    self.is_open.store(true, Ordering::Relaxed);
                    stream = Some(opened);
                }
                Err(error) => tracing::debug!(%error, "change stream not opened"),
            }
        }
    }

    /// Passes on what a stream says, until it fails.
    async fn listen(&self, mut stream: EventStream) -> Error {
        loop {
            let asked = Instant::now();
            match stream.next_if_any().await {
                Ok(Some(event)) => self.announce(event),
                Ok(None) if !stream.is_alive() => return Error::custom("the stream has ended"),
                Ok(None) => sleep(PACE.saturating_sub(asked.elapsed())).await,
                Err(error) => return error,
            }
        }
    }

    fn announce(&self, event: ChangeStreamEvent<Document>) {
        let key = event.document_key.as_ref().and_then(|key| key.get_str("_id").ok());
        let Some((log, number)) = key.and_then(documents::log_and_number) else { return };
        let mut document = event.full_document.unwrap_or_default();
        // A batch that cannot be decoded is found out by whoever reads it.
        let batch = documents::take_bytes(&mut document, documents::SMALL)
            .and_then(|encoded| Batch::decode(&encoded).ok());
        // Nobody listening is fine.
        let _ = self.hints.send(CommitHint { log, number, batch });
    }
}

fn lost_history(error: &Error) -> bool {
    matches!(&*error.kind, ErrorKind::Command(error) if HISTORY_LOST.contains(&error.code))
}
