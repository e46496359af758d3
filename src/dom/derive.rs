//! Derives a branch's views from its log, behind the writer's back.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use vdom_core::limits::FULL_COPY_EVERY_CHANGES;
use vdom_core::{ChangeKind, Result};
use vdom_store::{Position, View, ViewKind, ViewWrite, Watermark};

use super::branch::{Applied, AppliedBatch, Branch};
use super::error::from_store;
use super::records::{
    HistoryRecord, PlaceRecord, encode_history, encode_node, history_id, place_id,
};

const ROWS_PER_WRITE_MAX: usize = 8_192;
const RETRY_PAUSE: Duration = Duration::from_millis(100);
const RETRY_PAUSE_MAX: Duration = Duration::from_secs(5);

/// Runs until it is aborted; the next run goes on from the watermark.
pub(crate) async fn run(branch: Arc<Branch>) {
    let mut pause = RETRY_PAUSE;
    loop {
        match write_some(&branch).await {
            Ok(true) => pause = RETRY_PAUSE,
            Ok(false) => branch.derive.notified().await,
            Err(error) => {
                let why = error.context.as_deref().unwrap_or(&error.message);
                tracing::warn!(branch = %branch.address, why, "views cannot be written: trying on");
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(RETRY_PAUSE_MAX);
            }
        }
    }
}

/// Writes the views of the oldest batches that lack them; false for none.
async fn write_some(branch: &Branch) -> Result<bool> {
    let batches = branch.underived();
    let mut rows = Vec::new();
    let mut nodes: HashMap<_, &Applied> = HashMap::new();
    let mut watermark = None;
    for batch in &batches {
        for (index, applied) in batch.changes.iter().enumerate() {
            add_rows(&mut rows, batch, index, applied)?;
            nodes.insert(applied.node.id, applied);
        }
        let position = Position { epoch: batch.head.epoch, revision: batch.head.revision };
        watermark = Some(Watermark { position, number: batch.head.number });
        if rows.len() >= ROWS_PER_WRITE_MAX {
            break;
        }
    }
    let Some(watermark) = watermark else {
        return Ok(false);
    };
    for applied in nodes.values() {
        let node = &applied.node;
        rows.push(ViewWrite {
            kind: ViewKind::Node,
            view: View {
                id: Bytes::copy_from_slice(node.id.as_bytes()),
                path: Some(node.path.to_string()),
                live: node.live,
                position: position(applied),
                value: encode_node(node)?,
            },
        });
    }
    let written = branch.store.write_views(branch.log, &rows, Some(watermark)).await;
    written.map_err(|error| from_store(error, &branch.address))?;
    branch.views_written(watermark);
    Ok(true)
}

fn add_rows(
    rows: &mut Vec<ViewWrite>,
    batch: &AppliedBatch,
    index: usize,
    applied: &Applied,
) -> Result<()> {
    let change = &applied.entry.change;
    let copy = change.version.is_multiple_of(FULL_COPY_EVERY_CHANGES);
    let record = HistoryRecord {
        number: batch.head.number,
        index: index as u32,
        copy: copy.then(|| (*applied.node).clone()),
    };
    let mut add = |kind, id, value| {
        let view = View { id, path: None, live: true, position: position(applied), value };
        rows.push(ViewWrite { kind, view });
    };
    let id = history_id(change.node_id, change.revision);
    add(ViewKind::History, id, encode_history(&record)?);
    if change.kind != ChangeKind::Update {
        let holder = applied.node.live.then_some(change.node_id);
        let id = place_id(&change.path, change.revision);
        add(ViewKind::Place, id, PlaceRecord { holder }.encode()?);
    }
    if let Some(old_path) = &change.old_path {
        let id = place_id(old_path, change.revision);
        add(ViewKind::Place, id, PlaceRecord { holder: None }.encode()?);
    }
    if change.actor != change.subject {
        let id = Bytes::copy_from_slice(change.actor.as_bytes());
        add(ViewKind::Actor, id, Bytes::copy_from_slice(change.subject.as_bytes()));
    }
    Ok(())
}

fn position(applied: &Applied) -> Position {
    let change = &applied.entry.change;
    Position { epoch: change.epoch, revision: change.revision }
}
