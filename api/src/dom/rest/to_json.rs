//! Answers as JSON. Times are RFC 3339, ids and hashes hexadecimal; bytes are
//! text where they are UTF-8, else base64, and `encoding` says which.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde_json::{Map, Value, json};
use vdom_core::dom::calls::{
    AckLevel, BranchSummary, ChangeEvent, Conflict, ConflictHunk, ConflictReason, DiffSource,
    Freshness, RepoSummary, SetWritten, Snapshot, StoredConflict, TreeEntry, Written,
};
use vdom_core::{ChangeKind, Error, Node, NodeKind, NodePath, Result, VectorClock, time};
use vdom_edge::extended_json;

use super::entity_tags::entity_tag;
use super::headers::{kind_name, source_name};

/// A node with its content.
pub(super) fn snapshot(snapshot: &Snapshot, content: &Bytes) -> Result<Value> {
    let mut value = node(&snapshot.node);
    value.insert("metadata".into(), json!(snapshot.node.metadata));
    value.insert("size_bytes".into(), json!(content.len()));
    value.insert("epoch".into(), json!(snapshot.epoch));
    value.insert("revision".into(), json!(snapshot.revision));
    value.insert("freshness".into(), freshness(snapshot.freshness));
    add_content(&mut value, "content", snapshot.node.kind, content)?;
    Ok(Value::Object(value))
}

/// A node of a tree.
pub(super) fn tree_entry(entry: &TreeEntry) -> Result<Value> {
    let mut value = node(&entry.node);
    value.insert("size_bytes".into(), json!(entry.size_bytes));
    if let Some(content) = &entry.content {
        add_content(&mut value, "content", entry.node.kind, content)?;
    }
    Ok(Value::Object(value))
}

pub(super) fn written(written: &Written) -> Value {
    json!({
        "node_id": written.node_id.to_string(),
        "version": written.version,
        "etag": entity_tag(written.node_id, written.version),
        "epoch": written.epoch,
        "revision": written.revision,
        "vector_clock": clock(&written.clock),
        "ack": ack(written.ack),
        "merged": written.merged,
        "timestamp": time::format(written.timestamp_ms),
        "operation_id": written.operation_id.map(|id| id.to_string()),
    })
}

/// An accepted change set.
pub(super) fn set_written(set: &SetWritten) -> Value {
    json!({
        "epoch": set.epoch,
        "first_revision": set.first_revision,
        "last_revision": set.last_revision,
        "ack": ack(set.ack),
        "timestamp": time::format(set.timestamp_ms),
        "operation_id": set.operation_id.map(|id| id.to_string()),
        "results": set.results.iter().map(written).collect::<Vec<_>>(),
    })
}

/// A refused write that was kept.
pub(super) fn stored_conflict(stored: &StoredConflict) -> Result<Value> {
    let request = &stored.request;
    let diff = match &request.diff {
        DiffSource::Bson(bytes) => Some(STANDARD.encode(bytes)),
        DiffSource::Follows => None,
    };
    Ok(json!({
        "id": stored.id.to_string(),
        "subject": stored.subject,
        "timestamp": time::format(stored.timestamp_ms),
        "conflict": conflict(&stored.conflict)?,
        "request": {
            "path": request.path.as_ref().map(NodePath::as_str),
            "node_id": request.node_id.map(|id| id.to_string()),
            "kind": request.kind.map(kind_name),
            "vector_clock": clock(&request.clock),
            "author": request.author,
            "actor": request.actor,
            "message": request.message,
            "metadata": request.metadata,
            "operation_id": request.operation_id.map(|id| id.to_string()),
            "diff_bson": diff,
        },
    }))
}

/// What stands where a write was refused.
pub(super) fn conflict(conflict: &Conflict) -> Result<Value> {
    let mut value = object(json!({
        "reason": match conflict.reason {
            ConflictReason::StaleClock => "stale_clock",
            ConflictReason::PathExists => "path_exists",
            ConflictReason::Deleted => "deleted",
            ConflictReason::TargetExists => "target_exists",
            ConflictReason::Merge => "merge",
        },
        "node_id": conflict.node_id.to_string(),
        "path": conflict.path.as_str(),
        "kind": kind_name(conflict.kind),
        "current_etag": entity_tag(conflict.node_id, conflict.current_version),
        "current_version": conflict.current_version,
        "current_clock": clock(&conflict.current_clock),
        "current_author": conflict.current_author,
        "current_timestamp": time::format(conflict.current_timestamp_ms),
        "content_omitted": conflict.current_content.is_none(),
        "base_missing": conflict.base_content.is_none(),
        "hunks": conflict.hunks.iter().map(hunk).collect::<Vec<_>>(),
        "epoch": conflict.epoch,
        "revision": conflict.revision,
    }));
    if let Some(id) = conflict.conflict_id {
        value.insert("conflict_id".into(), id.to_string().into());
    }
    if let Some(content) = &conflict.current_content {
        add_content(&mut value, "current_content", conflict.kind, content)?;
    }
    if let Some(content) = &conflict.base_content {
        add_content(&mut value, "base_content", conflict.kind, content)?;
    }
    Ok(Value::Object(value))
}

pub(super) fn change(event: &ChangeEvent) -> Value {
    let change = &event.change;
    let mut value = object(json!({
        "type": match change.kind {
            ChangeKind::Create => "create",
            ChangeKind::Update => "update",
            ChangeKind::Delete => "delete",
            ChangeKind::Rename => "rename",
        },
        "path": change.path.as_str(),
        "node_id": change.node_id.to_string(),
        "kind": kind_name(change.node_kind),
        "version": change.version,
        "epoch": change.epoch,
        "revision": change.revision,
        "vector_clock": clock(&change.clock),
        "author": change.author,
        "actor": change.actor,
        "message": event.message(),
        "metadata": event.metadata(),
        "timestamp": time::format(change.timestamp_ms),
        "hash": event.hash.to_string(),
    }));
    if let Some(old_path) = &change.old_path {
        value.insert("old_path".into(), old_path.as_str().into());
    }
    if let Some(operation) = &change.operation {
        value.insert("operation_id".into(), operation.id.to_string().into());
    }
    if let Some(position) = &change.change_set {
        let position = json!({ "id": position.id.to_string(), "index": position.index, "size": position.size });
        value.insert("change_set".into(), position);
    }
    if let Some(authored_at) = change.authored_at_ms {
        value.insert("authored_at".into(), time::format(authored_at).into());
    }
    if let Some(diff) = &event.diff {
        value.insert("diff_bson".into(), STANDARD.encode(diff).into());
    }
    Value::Object(value)
}

/// How current an answer is.
pub(super) fn freshness(freshness: Freshness) -> Value {
    json!({
        "age_ms": freshness.age_ms,
        "stale": freshness.stale,
        "source": source_name(freshness.source),
    })
}

/// A page of a list, and where the next one begins, if there is one.
pub(super) fn page(name: &str, items: &[Value], next_page_token: String) -> Value {
    let mut page = json!({ name: items });
    if !next_page_token.is_empty() {
        page["next_page_token"] = next_page_token.into();
    }
    page
}

pub(super) fn repo(repo: &RepoSummary) -> Value {
    json!({ "name": repo.name, "branches": repo.branches })
}

pub(super) fn branch(branch: &BranchSummary) -> Value {
    json!({
        "name": branch.name,
        "epoch": branch.epoch,
        "revision": branch.revision,
        "head_hash": branch.head_hash.to_string(),
        "from": branch.origin.as_ref().map(|(name, _)| name.as_str()),
        "at_revision": branch.origin.as_ref().map(|(_, revision)| revision),
    })
}

fn ack(ack: AckLevel) -> &'static str {
    match ack {
        AckLevel::Local => "local",
        AckLevel::Committed => "committed",
    }
}

fn node(node: &Node) -> Map<String, Value> {
    object(json!({
        "path": node.path.as_str(),
        "node_id": node.id.to_string(),
        "kind": kind_name(node.kind),
        "version": node.version,
        "etag": entity_tag(node.id, node.version),
        "vector_clock": clock(&node.clock),
        "author": node.author,
        "timestamp": time::format(node.timestamp_ms),
        "attributes": node.attributes,
        "changed_revision": node.changed_revision,
    }))
}

/// Adds `<name>` and `<name>_encoding`, for `content` only `encoding`.
fn add_content(
    value: &mut Map<String, Value>,
    name: &str,
    kind: NodeKind,
    content: &Bytes,
) -> Result<()> {
    let (encoded, encoding) = if kind.is_document() {
        (stored_document(content)?, "extended-json")
    } else {
        match std::str::from_utf8(content) {
            Ok(text) => (text.into(), "utf-8"),
            Err(_) => (STANDARD.encode(content).into(), "base64"),
        }
    };
    let encoding_name =
        if name == "content" { "encoding".to_owned() } else { format!("{name}_encoding") };
    value.insert(encoding_name, encoding.into());
    value.insert(name.to_owned(), encoded);
    Ok(())
}

/// What is stored passed the guard, so that it is a fault of ours where it is no document.
fn stored_document(content: &Bytes) -> Result<Value> {
    extended_json::to_relaxed(content).map_err(|error| Error::internal(error.message))
}

/// A place that cannot be merged.
pub(super) fn hunk(hunk: &ConflictHunk) -> Value {
    let range = |(start, length)| json!({ "start": start, "length": length });
    json!({
        "base": range(hunk.base),
        "current": range(hunk.current),
        "proposed": range(hunk.proposed),
        "field": hunk.field,
    })
}

fn clock(clock: &VectorClock) -> Value {
    json!(clock.entries())
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

/// The text of a JSON value that cannot fail to be written.
pub(super) fn to_bytes(value: &Value) -> Result<Bytes> {
    serde_json::to_vec(value).map(Bytes::from).map_err(Error::internal)
}
