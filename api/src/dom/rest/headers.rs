//! What a node's headers say: `ETag` and `x-vdom-…`.

use http::header::ETAG;
use http::{HeaderMap, HeaderName, HeaderValue};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use vdom_core::dom::calls::{Snapshot, Source, Written};
use vdom_core::{NodeId, NodeKind};

use super::entity_tags::{EntityTag, Form, entity_tag};

/// What is escaped in a header: all that is not printable ASCII, and the escape.
const ESCAPED: &AsciiSet = &CONTROLS.add(b'%');

/// Of answers that differ by what is accepted and by who asks.
pub(super) const BY_CALLER: HeaderValue = HeaderValue::from_static("accept, authorization");

/// The headers of a node that was read.
pub(super) fn of_snapshot(headers: &mut HeaderMap, snapshot: &Snapshot, form: Form) {
    let node = &snapshot.node;
    let tag = EntityTag { node: node.id, version: node.version, form };
    set(headers, ETAG, &tag.to_string());
    of_place(headers, node.id, node.version, snapshot.epoch, snapshot.revision);
    let changed = node.changed_revision.to_string();
    set(headers, HeaderName::from_static("x-vdom-changed-revision"), &changed);
    set(headers, HeaderName::from_static("x-vdom-kind"), kind_name(node.kind));
    let author = utf8_percent_encode(&node.author, ESCAPED).to_string();
    set(headers, HeaderName::from_static("x-vdom-author"), &author);
    let age = snapshot.freshness.age_ms.to_string();
    set(headers, HeaderName::from_static("x-vdom-freshness-age-ms"), &age);
    let stale = if snapshot.freshness.stale { "true" } else { "false" };
    set(headers, HeaderName::from_static("x-vdom-freshness-stale"), stale);
    let source = source_name(snapshot.freshness.source);
    set(headers, HeaderName::from_static("x-vdom-freshness-source"), source);
}

/// The headers of a node that was written.
pub(super) fn of_written(headers: &mut HeaderMap, written: &Written) {
    set(headers, ETAG, &entity_tag(written.node_id, written.version));
    of_place(headers, written.node_id, written.version, written.epoch, written.revision);
}

/// A kind as the REST API names it.
pub(super) fn kind_name(kind: NodeKind) -> &'static str {
    match kind {
        NodeKind::File => "file",
        NodeKind::Intent => "intent",
        NodeKind::Meta => "meta",
    }
}

/// A source as the REST API names it.
pub(super) fn source_name(source: Source) -> &'static str {
    match source {
        Source::Store => "store",
        Source::Cache => "cache",
    }
}

fn of_place(headers: &mut HeaderMap, id: NodeId, version: u64, epoch: u64, revision: u64) {
    set(headers, HeaderName::from_static("x-vdom-node-id"), &id.to_string());
    set(headers, HeaderName::from_static("x-vdom-version"), &version.to_string());
    set(headers, HeaderName::from_static("x-vdom-epoch"), &epoch.to_string());
    set(headers, HeaderName::from_static("x-vdom-revision"), &revision.to_string());
}

fn set(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    // All values are printable ASCII by now.
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}
