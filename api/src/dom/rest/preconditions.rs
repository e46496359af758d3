//! `If-Match` and `If-None-Match`.

use std::sync::Arc;

use http::header::{IF_MATCH, IF_NONE_MATCH};
use vdom_core::dom::calls::{
    GetHistory, NodeSelector, OnConflict, ReadAt, ReadSnapshot, Snapshot, WriteContent,
};
use vdom_core::limits::HISTORY_PAGE_MAX_CHANGES;
use vdom_core::{Error, ErrorCode, Result, VectorClock};

use super::entity_tags::{EntityTags, entity_tag};
use super::read::open_node;
use super::request::ApiRequest;
use crate::dom::DocumentService;

/// Puts the conditions of a request into its write. Without any, the write is
/// applied to what is there. True where there is one. With `earlier`, `If-Match`
/// may name a version that is no longer the latest: then the room decides, for a
/// write that had seen that version.
pub(super) async fn apply_preconditions<D: DocumentService>(
    dom: &Arc<D>,
    call: &ApiRequest,
    write: &mut WriteContent,
    earlier: bool,
) -> Result<bool> {
    let wanted = EntityTags::parse(&call.headers, &IF_MATCH);
    let unwanted = EntityTags::parse(&call.headers, &IF_NONE_MATCH);
    match (wanted, unwanted) {
        (None, None) => {
            write.on_conflict = OnConflict::Overwrite;
            Ok(false)
        }
        (None, Some(EntityTags::Any)) => {
            write.on_conflict = OnConflict::Reject;
            write.clock = VectorClock::default();
            Ok(true)
        }
        (None, Some(EntityTags::Of(_))) => {
            Err(Error::invalid("a write takes no If-None-Match but `*`"))
        }
        (Some(_), Some(_)) => Err(Error::invalid("If-Match and If-None-Match exclude each other")),
        (Some(wanted), None) => {
            let current = current(dom, call, write).await?;
            let node = &current.node;
            write.on_conflict = OnConflict::Reject;
            write.node_id = Some(node.id);
            write.clock = if wanted.match_node(node.id, node.version) {
                node.clock.clone()
            } else {
                let seen = wanted.version_of(node.id).filter(|_| earlier);
                let clock = match seen {
                    Some(version) => clock_of(dom, call, write, version).await?,
                    None => None,
                };
                clock.ok_or_else(|| is_other_version(write, &current))?
            };
            Ok(true)
        }
    }
}

/// The clock of the node in an earlier version; `None` where that is not among
/// its latest changes.
async fn clock_of<D: DocumentService>(
    dom: &Arc<D>,
    call: &ApiRequest,
    write: &WriteContent,
    version: u64,
) -> Result<Option<VectorClock>> {
    let request = GetHistory {
        address: write.address.clone(),
        node: write.node_id.map(NodeSelector::Id),
        before_revision: None,
        limit: HISTORY_PAGE_MAX_CHANGES,
        include_diffs: false,
    };
    let page = dom.history(&call.caller, request).await?;
    let change = page.changes.into_iter().find(|event| event.change.version == version);
    Ok(change.map(|event| event.change.clock.clone()))
}

fn is_other_version(write: &WriteContent, current: &Snapshot) -> Error {
    let node = &current.node;
    let tag = entity_tag(node.id, node.version);
    precondition_failed(format!("the node is {tag} now: read it again, then decide"))
        .resource(write.address.node(&node.path))
        .at(current.epoch, current.revision)
}

async fn current<D: DocumentService>(
    dom: &Arc<D>,
    call: &ApiRequest,
    write: &WriteContent,
) -> Result<Snapshot> {
    let path = call.path()?;
    let request = ReadSnapshot {
        address: write.address.clone(),
        node: NodeSelector::Path(path.clone()),
        // What a cache has may be older than what the client saw elsewhere.
        at: ReadAt { max_age_ms: Some(0), ..ReadAt::default() },
    };
    match open_node(dom, &call.caller, request).await {
        Ok((snapshot, _)) => Ok(snapshot),
        Err(error) if error.code == ErrorCode::NotFound => {
            Err(precondition_failed("there is no node here, so If-Match cannot hold".to_owned())
                .resource(write.address.node(path)))
        }
        Err(error) => Err(error),
    }
}

fn precondition_failed(message: String) -> Error {
    Error::new(ErrorCode::FailedPrecondition, message)
}
