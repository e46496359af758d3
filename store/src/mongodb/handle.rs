//! What a connected store holds.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use ::mongodb::bson::Document;
use ::mongodb::bson::oid::ObjectId;
use ::mongodb::{Client, Collection, Database};
use parking_lot::Mutex;
use tokio::sync::broadcast;
use tokio::task::JoinHandle;

use super::errors::Boundary;
use super::linearizable_reads::LinearizableReads;
use crate::commit_hint::CommitHint;
use crate::log::LogId;
use crate::log_chain::LogTail;
use crate::store::Guarantees;

/// A store in a MongoDB deployment.
pub struct MongoStore {
    pub(super) client: Client,
    pub(super) collections: Collections,
    pub(super) boundary: Boundary,
    pub(super) linearizable: LinearizableReads,
    /// What holds as long as the deployment is what it was at the start.
    pub(super) guarantees: Guarantees,
    /// Marks the batches of this process, which are no news to it.
    pub(super) writer: ObjectId,
    /// The ends of logs, as far as they are known to be committed.
    pub(super) tails: Mutex<HashMap<LogId, LogTail>>,
    pub(super) hints: broadcast::Sender<CommitHint>,
    pub(super) watching: JoinHandle<()>,
    /// Whether a change stream is open.
    pub(super) stream_is_open: Arc<AtomicBool>,
}

/// The collections, with majority reads and writes.
#[derive(Clone)]
pub(super) struct Collections {
    pub(super) database: Database,
    pub(super) changes: Collection<Document>,
    pub(super) views: Collection<Document>,
    pub(super) watermarks: Collection<Document>,
    pub(super) chunks: Collection<Document>,
}

impl Drop for MongoStore {
    fn drop(&mut self) {
        self.watching.abort();
    }
}
