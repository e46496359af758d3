//! `ReadSnapshot`: one node, latest or at a revision.

use std::sync::Arc;

use bytes::Bytes;
use futures::{StreamExt, stream};
use vdom_core::dom::calls::{
    Freshness, NodeSelector, ReadAt, ReadSnapshot, ReadSnapshots, Snapshot, Source,
};
use vdom_core::limits::{READ_SNAPSHOTS_MAX_NODES, UNARY_MESSAGE_MAX_BYTES};
use vdom_core::{Content, Error, Result};
use vdom_edge::ServiceStream;

use crate::branch::Branch;
use crate::branch::point_in_time;
use crate::content;
use crate::writer::BranchHandle;

/// What an answer may need besides the content.
const ANSWER_HEAD_MAX_BYTES: usize = 64 << 10;

/// Reads a node with its content inline.
pub(crate) async fn read(handle: &BranchHandle, request: &ReadSnapshot) -> Result<Snapshot> {
    let mut snapshot = find(handle, request).await?;
    let branch = &handle.branch;
    if snapshot.node.content.len() > (UNARY_MESSAGE_MAX_BYTES - ANSWER_HEAD_MAX_BYTES) as u64 {
        return Err(Error::too_large(format!(
            "`{}` has {} bytes, more than a unary answer takes: use ReadSnapshotStream or REST",
            snapshot.node.path,
            snapshot.node.content.len()
        ))
        .resource(branch.address.node(&snapshot.node.path)));
    }
    let bytes = content::load(branch.store(), &branch.address, &snapshot.node.content).await?;
    snapshot.node.content = Content::Inline(bytes);
    Ok(snapshot)
}

/// Reads a node whose content follows in pieces.
pub(crate) async fn read_content(
    handle: Arc<BranchHandle>,
    request: &ReadSnapshot,
) -> Result<(Snapshot, u64, ServiceStream<Bytes>)> {
    let mut snapshot = find(&handle, request).await?;
    let empty = Content::Inline(Bytes::new());
    let content = std::mem::replace(&mut snapshot.node.content, empty);
    let size = content.len();
    let pieces: ServiceStream<Bytes> = match content {
        Content::Inline(bytes) if bytes.is_empty() => stream::empty().boxed(),
        Content::Inline(bytes) => stream::once(async { Ok(bytes) }).boxed(),
        part @ Content::Part(_) => stream::once(async move {
            let branch = &handle.branch;
            content::load(branch.store(), &branch.address, &part).await
        })
        .boxed(),
        Content::Chunked(chunks) => stream::iter(chunks)
            .then(move |chunk| {
                let branch = handle.branch.clone();
                async move { content::load_chunk(branch.store(), &branch.address, &chunk).await }
            })
            .boxed(),
    };
    Ok((snapshot, size, pieces))
}

/// Reads many nodes as of one revision.
pub(crate) async fn read_many(
    handle: Arc<BranchHandle>,
    request: ReadSnapshots,
) -> Result<ServiceStream<Snapshot>> {
    if request.nodes.len() > READ_SNAPSHOTS_MAX_NODES {
        return Err(Error::too_large(format!(
            "{} nodes are asked for, at most {READ_SNAPSHOTS_MAX_NODES} are allowed: ask again for \
             the rest, at the same revision",
            request.nodes.len()
        )));
    }
    let revision = readable_revision(&handle, request.at.revision).await?;
    let (address, at) = (request.address, ReadAt { revision: Some(revision), ..ReadAt::default() });
    let snapshots = stream::iter(request.nodes).then(move |node| {
        let (address, at) = (address.clone(), at.clone());
        let (handle, one) = (handle.clone(), ReadSnapshot { address, node, at });
        async move { read(&handle, &one).await }
    });
    Ok(snapshots.boxed())
}

/// How sure the head is.
pub(crate) fn freshness(handle: &BranchHandle) -> Freshness {
    Freshness {
        age_ms: u64::try_from(handle.age().as_millis()).unwrap_or(u64::MAX),
        stale: false,
        source: Source::Store,
    }
}

/// The revision that a read is as of, once it is known to exist.
pub(crate) async fn revision_as_of(handle: &BranchHandle, wanted: Option<u64>) -> Result<u64> {
    let branch = &handle.branch;
    let Some(revision) = wanted else {
        return Ok(branch.head().revision);
    };
    if revision > branch.head().revision {
        handle.verify_head().await?;
    }
    let head = branch.head();
    if revision > head.revision {
        return Err(Error::not_found(format!(
            "{} has no revision {revision} yet: it is at {}",
            branch.address, head.revision
        ))
        .resource(&branch.address)
        .at(head.epoch, head.revision));
    }
    Ok(revision)
}

/// A revision about which a read without one of its own can be answered. Where another
/// gateway has compacted the newest one that is known here, that is one further on.
pub(crate) async fn readable_revision(handle: &BranchHandle, wanted: Option<u64>) -> Result<u64> {
    if wanted.is_some() {
        return revision_as_of(handle, wanted).await;
    }
    handle
        .at_newest(|| async {
            let revision = handle.branch.head().revision;
            handle.branch.check_rows_at(revision).await?;
            Ok(revision)
        })
        .await
}

async fn find(handle: &BranchHandle, request: &ReadSnapshot) -> Result<Snapshot> {
    match request.at.revision {
        None => handle.at_newest(|| find_at(handle, request, None)).await,
        revision => find_at(handle, request, revision).await,
    }
}

async fn find_at(
    handle: &BranchHandle,
    request: &ReadSnapshot,
    wanted: Option<u64>,
) -> Result<Snapshot> {
    let branch = &*handle.branch;
    let as_of = revision_as_of(handle, wanted).await?;
    let freshness = freshness(handle);
    let found = match &request.node {
        NodeSelector::Id(id) => branch.node(*id).await?,
        NodeSelector::Path(path) => branch.node_at(path).await?,
    };
    // The views may have more than the log as this gateway knows it.
    let known = wanted.unwrap_or_else(|| branch.head().revision);
    let (node, revision) = match found {
        // What has not changed since is as it was; a change may have come after the first
        // look at the head.
        Some(node) if node.changed_revision <= known => {
            let revision = as_of.max(node.changed_revision);
            (Some(node), revision)
        }
        _ => {
            let node = match &request.node {
                NodeSelector::Id(id) => point_in_time::node_at_revision(branch, *id, known).await?,
                NodeSelector::Path(path) => {
                    point_in_time::path_at_revision(branch, path, known).await?
                }
            };
            (node, known)
        }
    };
    let node = node.filter(|node| node.live);
    let node = node.ok_or_else(|| no_such_node(branch, &request.node, revision))?;
    Ok(Snapshot {
        epoch: branch.head().epoch,
        revision,
        freshness,
        node: Arc::unwrap_or_clone(node),
    })
}

/// The refusal of a node that is not there.
pub(crate) fn no_such_node(branch: &Branch, node: &NodeSelector, revision: u64) -> Error {
    let (name, resource) = match node {
        NodeSelector::Id(id) => (format!("node {id}"), branch.address.node(id)),
        NodeSelector::Path(path) => (format!("`{path}`"), branch.address.node(path)),
    };
    Error::not_found(format!("{name} does not exist in {} at revision {revision}", branch.address))
        .resource(resource)
        .at(branch.head().epoch, revision)
}
