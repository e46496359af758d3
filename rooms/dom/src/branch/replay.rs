//! What changes make of nodes: those that others wrote, and those of a log that is read.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use vdom_core::dom::diff;
use vdom_core::{Change, ChangeKind, Content, Node, NodeId, Result, VectorClock};

use crate::branch::point_in_time::node_at_revision;
use crate::branch::usage::Usage;
use crate::branch::{AppliedChange, Branch};
use crate::content;
use crate::content::ChunkOwner;
use crate::content::packs::PackReader;
use crate::records::LoggedChange;

impl Branch {
    /// Applies changes that somebody else wrote, or that were read from the log
    /// at start, to the nodes they are about.
    pub(crate) async fn apply(&self, entries: Vec<LoggedChange>) -> Result<Vec<AppliedChange>> {
        let mut packs = self.packs();
        let mut latest: HashMap<NodeId, Arc<Node>> = HashMap::new();
        let mut changes: Vec<AppliedChange> = Vec::with_capacity(entries.len());
        for entry in entries {
            let id = entry.change.node_id;
            let before = match latest.get(&id) {
                Some(node) => Some(node.clone()),
                None => self.node_at_head(id, entry.change.revision).await?,
            };
            let before = before.as_deref();
            let node = Arc::new(self.node_after(before, &entry, &mut packs).await?);
            let growth = Usage::growth(before, &node, self.counts_after());
            latest.insert(id, node.clone());
            changes.push(AppliedChange { entry, node, growth });
        }
        Ok(changes)
    }

    /// The node that the change at `revision`, the next one about it, is made of. The views
    /// may be ahead of the head that is known here: then the history tells.
    async fn node_at_head(&self, id: NodeId, revision: u64) -> Result<Option<Arc<Node>>> {
        match self.node(id).await? {
            Some(node) if node.changed_revision >= revision => {
                node_at_revision(self, id, self.head().revision).await
            }
            node => Ok(node),
        }
    }

    /// Reads the packs of the branch's change sets.
    pub(crate) fn packs(&self) -> PackReader<'_> {
        PackReader::new(self.store(), &self.address)
    }

    /// The node that a change makes of the node before it.
    pub(crate) async fn node_after(
        &self,
        before: Option<&Node>,
        entry: &LoggedChange,
        packs: &mut PackReader<'_>,
    ) -> Result<Node> {
        let diff = diff::Diff::parse_stored(&packs.diff(&entry.diff).await?)?;
        let pack = packs.holding(&entry.diff).await?;
        let empty = Content::Inline(Bytes::new());
        let old = before.map_or(&empty, |node| &node.content);
        let bytes = if diff.needs_content() {
            content::load(self.store(), &self.address, old).await?
        } else {
            Bytes::new()
        };
        let no_attributes = std::collections::BTreeMap::new();
        let attributes = before.map_or(&no_attributes, |node| &node.attributes);
        let applied = diff::apply(&diff, entry.change.node_kind, &bytes, attributes)?;
        let content = content::resolve_content(
            ChunkOwner::Log(self.store()),
            &self.address,
            applied.content,
            old,
            pack.as_ref(),
            None,
        )
        .await?;
        Ok(after_change(
            before,
            &entry.change,
            content,
            applied.attributes.unwrap_or_else(|| attributes.clone()),
        ))
    }
}

/// The node after a change, from the record and what the diff made of it.
pub(crate) fn after_change(
    before: Option<&Node>,
    change: &Change,
    content: Content,
    attributes: std::collections::BTreeMap<String, String>,
) -> Node {
    let live = change.kind != ChangeKind::Delete;
    let mut last_used = before.map(|node| node.last_used.clone()).unwrap_or_default();
    last_used.insert(change.actor.clone(), change.version);
    last_used.retain(|actor, _| change.clock.get(actor) > 0);
    Node {
        id: change.node_id,
        path: change.path.clone(),
        kind: change.node_kind,
        live,
        version: change.version,
        clock: change.clock.clone(),
        last_used,
        content: if live { content } else { Content::Inline(Bytes::new()) },
        attributes,
        author: change.author.clone(),
        timestamp_ms: change.timestamp_ms,
        metadata: change.metadata.clone(),
        epoch: change.epoch,
        changed_revision: change.revision,
    }
}

/// The clock of a node after one more change of `actor`.
pub(crate) fn next_clock(before: Option<&Node>, actor: &str) -> VectorClock {
    match before {
        None => VectorClock::default().incremented(actor, |_| 0),
        Some(node) => {
            node.clock.incremented(actor, |name| node.last_used.get(name).copied().unwrap_or(0))
        }
    }
}
