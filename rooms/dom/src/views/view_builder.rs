//! Derives a branch's views from its log, behind the writer's back.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::task::AbortHandle;
use vdom_core::limits::FULL_COPY_EVERY_CHANGES;
use vdom_core::{ChangeKind, Content, Node, NodeId, NodePath, OperationId, Result};
use vdom_security::Permit;
use vdom_store::{Position, View, ViewWrite, Watermark};

use crate::branch::usage::{USAGE_ID, Usage};
use crate::branch::{AppliedBatch, AppliedChange, Branch};
use crate::content::packs::PackReader;
use crate::error::from_store;
use crate::records::{
    CHECKPOINT_ID, Checkpoint, ControlRecord, DocumentView, HistoryRecord, LIMIT_ID,
    PathHistoryRecord, encode_history, encode_pin, encode_record, history_id, node_row,
    path_history_id, pin_id,
};

const ROWS_PER_WRITE_MAX: usize = 8_192;
/// A batch with more changes is written in parts.
const CHANGES_AT_ONCE: usize = 2_048;
/// How long views wait for more to be written with them, unless somebody waits for them or there
/// are many: of a node that changes often, the newest row is written alone.
const GATHER: Duration = Duration::from_millis(50);
/// After so many changes, whoever waits for the same thread comes first.
const CHANGES_WITHOUT_PAUSE: usize = 32;
const RETRY_PAUSE: Duration = Duration::from_millis(100);
const RETRY_PAUSE_MAX: Duration = Duration::from_secs(5);

/// Builds the views of a branch until it is dropped; the next one goes on from the watermark.
pub(crate) struct ViewBuilder(AbortHandle);

impl ViewBuilder {
    /// Begins to build.
    pub(crate) fn start(branch: Arc<Branch>, permit: Permit) -> Self {
        Self(tokio::spawn(run(branch, permit)).abort_handle())
    }

    /// Ends, whoever still holds it.
    pub(crate) fn end(&self) {
        self.0.abort();
    }
}

impl Drop for ViewBuilder {
    fn drop(&mut self) {
        self.end();
    }
}

async fn run(branch: Arc<Branch>, permit: Permit) {
    let mut pause = RETRY_PAUSE;
    loop {
        // On the heap, so that a branch takes little memory while its views are complete.
        match Box::pin(write_some(&branch, &permit)).await {
            Ok(true) => pause = RETRY_PAUSE,
            Ok(false) => {
                branch.wake_view_builder.notified().await;
                // What comes in the meantime is written with it.
                let _ = tokio::time::timeout(GATHER, branch.flush_requested.notified()).await;
            }
            Err(error) => {
                let why = error.context.as_deref().unwrap_or(&error.message);
                tracing::warn!(branch = %branch.address, why, "views cannot be written: trying on");
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(RETRY_PAUSE_MAX);
            }
        }
    }
}

/// Writes all views that are missing; where [`run`] does not.
pub(crate) async fn complete(branch: &Branch, permit: &Permit) -> Result<()> {
    while write_some(branch, permit).await? {}
    Ok(())
}

/// Writes the views of the oldest batches that lack them; false for none.
async fn write_some(branch: &Branch, permit: &Permit) -> Result<bool> {
    let (_, batches) = branch.unwritten();
    let mut rows = Rows::new(branch, permit);
    let mut watermark = None;
    let mut added = 0_usize;
    let mut usage = branch.usage_in_views();
    for batch in &batches {
        let arrivals = arrivals(&batch.changes);
        for (index, applied) in batch.changes.iter().enumerate() {
            if rows.written.len() >= ROWS_PER_WRITE_MAX && batch.changes.len() > CHANGES_AT_ONCE {
                // A large set goes in parts; the watermark follows the last.
                rows.write(None).await?;
            }
            rows.add(batch, index, applied, &arrivals).await?;
            added += 1;
            if added.is_multiple_of(CHANGES_WITHOUT_PAUSE) {
                tokio::task::yield_now().await;
            }
        }
        rows.add_control_records(batch)?;
        let position = Position { epoch: batch.head.epoch, revision: batch.head.revision };
        watermark = Some(Watermark { position, number: batch.head.number });
        usage = branch.usage_after(usage, &batch.changes);
        if rows.written.len() >= ROWS_PER_WRITE_MAX {
            break;
        }
    }
    let Some(watermark) = watermark else {
        return Ok(false);
    };
    rows.add_usage(usage, watermark.position)?;
    rows.write(Some(watermark)).await?;
    branch.views_written(watermark, usage);
    Ok(true)
}

/// The paths at which a change set lets a node arrive: who leaves them leaves nothing
/// behind, in whichever order the set says it.
fn arrivals(changes: &[AppliedChange]) -> HashSet<(OperationId, &NodePath)> {
    changes
        .iter()
        .filter(|applied| applied.node.live && applied.entry.change.kind != ChangeKind::Update)
        .filter_map(|applied| {
            Some((applied.entry.change.change_set?.id, &applied.entry.change.path))
        })
        .collect()
}

/// The rows of some changes, and of their nodes the newest.
struct Rows<'a> {
    branch: &'a Branch,
    permit: &'a Permit,
    packs: PackReader<'a>,
    written: Vec<ViewWrite>,
    nodes: HashMap<NodeId, Arc<Node>>,
    /// When each wrote last, and for whom.
    actors: HashMap<String, (Position, String)>,
}

impl<'a> Rows<'a> {
    fn new(branch: &'a Branch, permit: &'a Permit) -> Self {
        Self {
            branch,
            permit,
            packs: branch.packs(),
            written: Vec::new(),
            nodes: HashMap::new(),
            actors: HashMap::new(),
        }
    }

    async fn write(&mut self, watermark: Option<Watermark>) -> Result<()> {
        let mut rows = std::mem::take(&mut self.written);
        for node in std::mem::take(&mut self.nodes).into_values() {
            let node = self.with_inline_content(node).await?;
            rows.push(ViewWrite { kind: DocumentView::Node.kind(), view: node_row(&node)? });
        }
        for (actor, (position, subject)) in std::mem::take(&mut self.actors) {
            let (id, value) = (Bytes::from(actor), Bytes::from(subject));
            let view = View { id, path: None, live: true, position, value };
            rows.push(ViewWrite { kind: DocumentView::Actor.kind(), view });
        }
        let written = self
            .branch
            .store_with(self.permit)
            .write_views(self.branch.log, &rows, watermark)
            .await;
        written.map_err(|error| from_store(error, &self.branch.address))
    }

    /// What the batch says besides changes. It may hold none, so its number says which
    /// row is the newer one.
    fn add_control_records(&mut self, batch: &AppliedBatch) -> Result<()> {
        let position = Position { epoch: batch.head.epoch, revision: batch.head.number };
        for control in &batch.control_records {
            let pin;
            let (kind, id, live, value) = match control {
                ControlRecord::Conflict(conflict) => {
                    let value = encode_record(conflict)?;
                    (DocumentView::Conflict, conflict.id.as_bytes(), true, value)
                }
                ControlRecord::Resolved(id) => {
                    (DocumentView::Conflict, id.as_bytes(), false, Bytes::new())
                }
                ControlRecord::Pin { log, revision, made_at_ms } => {
                    pin = pin_id(log, *revision);
                    (DocumentView::Pin, &pin[..], true, encode_pin(*revision, *made_at_ms)?)
                }
                ControlRecord::Limit(revision) => {
                    (DocumentView::Compaction, LIMIT_ID, true, encode_record(revision)?)
                }
                // Of two up to one revision, the first was written from all rows.
                ControlRecord::Checkpoint(checkpoint) if !self.is_standing(checkpoint) => continue,
                ControlRecord::Checkpoint(checkpoint) => {
                    (DocumentView::Compaction, CHECKPOINT_ID, true, encode_record(checkpoint)?)
                }
                // Found in its batch, by the operation.
                ControlRecord::Answered { .. } | ControlRecord::Parent { .. } => continue,
            };
            let id = Bytes::copy_from_slice(id);
            let view = View { id, path: None, live, position, value };
            self.written.push(ViewWrite { kind: kind.kind(), view });
        }
        Ok(())
    }

    /// Whether a checkpoint is the newest, or was when it came.
    fn is_standing(&self, checkpoint: &Checkpoint) -> bool {
        let newest = self.branch.compaction().checkpoint;
        newest.is_none_or(|newest| newest.revision > checkpoint.revision || *newest == *checkpoint)
    }

    /// How much the nodes take.
    fn add_usage(&mut self, usage: Usage, position: Position) -> Result<()> {
        let (id, value) = (Bytes::from_static(USAGE_ID), encode_record(&usage)?);
        let view = View { id, path: None, live: true, position, value };
        self.written.push(ViewWrite { kind: DocumentView::Usage.kind(), view });
        Ok(())
    }

    /// The node with its content out of its pack.
    async fn with_inline_content(&mut self, node: Arc<Node>) -> Result<Arc<Node>> {
        let Content::Part(part) = &node.content else { return Ok(node) };
        let content = Content::Inline(self.packs.part(part).await?);
        Ok(Arc::new(Node { content, ..Node::clone(&node) }))
    }

    async fn add(
        &mut self,
        batch: &AppliedBatch,
        index: usize,
        applied: &AppliedChange,
        arrivals: &HashSet<(OperationId, &NodePath)>,
    ) -> Result<()> {
        let change = &applied.entry.change;
        let copy = if change.version.is_multiple_of(FULL_COPY_EVERY_CHANGES) {
            Some(Node::clone(&*self.with_inline_content(applied.node.clone()).await?))
        } else {
            None
        };
        let record = HistoryRecord { number: batch.head.number, index: index as u32, copy };
        let position = Position { epoch: change.epoch, revision: change.revision };
        let mut add = |kind: DocumentView, id, value| {
            let view = View { id, path: None, live: true, position, value };
            self.written.push(ViewWrite { kind: kind.kind(), view });
        };
        let id = history_id(change.node_id, change.revision);
        add(DocumentView::History, id, encode_history(&record)?);
        let is_taken_over = |path| {
            change.change_set.is_some_and(|position| arrivals.contains(&(position.id, path)))
        };
        if change.kind != ChangeKind::Update && (applied.node.live || !is_taken_over(&change.path))
        {
            let holder = applied.node.live.then_some(change.node_id);
            let id = path_history_id(&change.path, change.revision);
            add(DocumentView::PathHistory, id, encode_record(&PathHistoryRecord { holder })?);
        }
        if let Some(old_path) = change.old_path.as_ref().filter(|path| !is_taken_over(path)) {
            let id = path_history_id(old_path, change.revision);
            add(DocumentView::PathHistory, id, encode_record(&PathHistoryRecord { holder: None })?);
        }
        self.actors.insert(change.actor.clone(), (position, change.subject.clone()));
        self.nodes.insert(change.node_id, applied.node.clone());
        Ok(())
    }
}
