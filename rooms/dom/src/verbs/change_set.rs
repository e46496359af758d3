//! `WriteDiffs` and `WriteDiffsStream`: several diffs accepted as one.
//!
//! The diffs are checked and stored as they come; then the branch's writer evaluates
//! all of them against the state before the set, each node at most once and one path
//! per node after it, and one append makes them visible, with other sets that waited.

use std::sync::Arc;

use bytes::Bytes;
use futures::StreamExt;
use sha2::{Digest, Sha256};
use vdom_core::dom::calls::{
    AckLevel, ChangeSetPart, DiffSource, SetOutcome, WriteDiff, WriteDiffs,
};
use vdom_core::dom::change::sha256;
use vdom_core::limits::{CHANGE_SET_MAX_BYTES, CHANGE_SET_MAX_DIFFS, CHUNK_BYTES};
use vdom_core::{
    ChangeSetHeader, ContentChunk, Diff, Error, Hash, NodeKind, Operation, OperationId, Result,
};
use vdom_edge::ServiceStream;
use vdom_security::Permit;

use crate::branch::usage::Usage;
use crate::content::ContentWriter;
use crate::content::packs::PackWriter;
use crate::records::operation_key;
use crate::registry::BranchRegistry;
use crate::uploads::Upload;
use crate::writer::{
    BranchHandle, Command, Growing, SetAdmission, SetItem, SetProposal, located, request_hash,
    store_large_put,
};

/// Takes the diffs in and writes them.
pub(crate) async fn write(
    registry: &BranchRegistry,
    permit: Permit,
    request: WriteDiffs,
    parts: ServiceStream<ChangeSetPart>,
) -> Result<SetOutcome> {
    if request.min_ack == AckLevel::Local {
        return Err(Error::invalid(
            "a gateway promises COMMITTED, never LOCAL: leave min_ack out, or ask a sidecar",
        ));
    }
    let address = request.address.clone();
    let operation_id = request.operation_id;
    let upload = registry.uploads.begin(&permit, &address);
    let received = {
        let handle = if request.expected_revision.is_some() || registry.has_quotas() {
            Some(registry.existing_or_new(&permit, &address).await?)
        } else {
            None
        };
        let admission = handle.as_deref().map(|handle| SetAdmission {
            handle,
            now_ms: registry.environment.now_ms(),
            expected_revision: request.expected_revision,
            key: operation_id.map(|id| operation_key(permit.subject(), id)),
            has_quotas: registry.has_quotas(),
            grown: Usage::default(),
        });
        let reader = ChangeSetReader::new(&upload, admission, &permit, &request);
        reader.take(parts).await?
    };
    let proposal = received.proposal(permit, request, upload);
    // A set may be large: it is handed in once, to the branch that stands now.
    let handle = registry.verified_existing_or_new(&proposal.permit, &address).await?;
    write_proposal(&handle, operation_id, proposal).await
}

/// Has the branch's writer evaluate a set.
pub(crate) async fn write_proposal(
    handle: &BranchHandle,
    operation_id: Option<OperationId>,
    proposal: SetProposal,
) -> Result<SetOutcome> {
    let proposal = Box::new(proposal);
    let mut outcome = handle.ask(|reply| Command::WriteSet { proposal, reply }).await?;
    match &mut outcome {
        SetOutcome::Written(written) => written.operation_id = operation_id,
        SetOutcome::Conflicted(conflicts) => conflicts.operation_id = operation_id,
    }
    Ok(outcome)
}

/// Takes the parts of a set: everything is checked, and what is large is stored,
/// before the next is looked at.
struct ChangeSetReader<'a> {
    upload: &'a Upload,
    /// `None`: nothing bounds the set, or says where it begins.
    admission: Option<SetAdmission<'a>>,
    request: &'a WriteDiffs,
    subject: Arc<str>,
    items: Vec<WriteDiff>,
    hashes: Vec<Hash>,
    diffs: PackWriter<'a>,
    content: Option<ContentWriter<'a>>,
    bytes: u64,
    requests: Vec<Hash>,
}

/// A set that was taken in.
struct ReceivedSet {
    items: Vec<SetItem>,
    packs: Vec<ContentChunk>,
    request: Hash,
}

impl<'a> ChangeSetReader<'a> {
    fn new(
        upload: &'a Upload,
        admission: Option<SetAdmission<'a>>,
        permit: &Permit,
        request: &'a WriteDiffs,
    ) -> Self {
        Self {
            upload,
            admission,
            request,
            subject: permit.subject().clone(),
            items: Vec::new(),
            hashes: Vec::new(),
            diffs: PackWriter::new(upload),
            content: None,
            bytes: 0,
            requests: Vec::new(),
        }
    }

    async fn take(mut self, mut parts: ServiceStream<ChangeSetPart>) -> Result<ReceivedSet> {
        while let Some(part) = parts.next().await {
            match part? {
                ChangeSetPart::Diff(diff) => self.diff(*diff).await?,
                ChangeSetPart::Content(piece) => {
                    self.count(piece.len())?;
                    let Some(content) = &self.content else {
                        return Err(Error::invalid(
                            "content comes where no diff waits for it: it follows a `put` \
                             without `v`",
                        ));
                    };
                    if let (Some(size), Some(item)) =
                        (content.size_once_staged(&piece), self.items.last())
                    {
                        let (index, path) = (self.items.len() - 1, item.path.as_ref());
                        let admitted =
                            before_staging(self.admission.as_ref(), Some((item, size))).await;
                        admitted.map_err(|error| located(error, index, path))?;
                    }
                    if let Some(content) = &mut self.content {
                        content.add(&piece).await?;
                    }
                }
            }
        }
        self.end_content().await?;
        if self.items.is_empty() {
            return Err(Error::invalid("the change set has no diff"));
        }
        let (stored, packs) = self.diffs.finish().await?;
        let subject = self.subject;
        let items = self.items.into_iter().zip(stored).zip(self.hashes);
        let items = items.map(|((item, stored), diff_hash)| SetItem {
            node_id: item.node_id,
            path: item.path,
            kind: item.kind,
            stored,
            diff_hash,
            clock: item.clock,
            on_conflict: item.on_conflict,
            actor: item
                .actor
                .filter(|actor| !actor.is_empty())
                .unwrap_or_else(|| subject.to_string()),
            message: item.message,
            metadata: item.metadata,
        });
        Ok(ReceivedSet { items: items.collect(), packs, request: of_set(&self.requests) })
    }

    async fn diff(&mut self, mut diff: WriteDiff) -> Result<()> {
        self.end_content().await?;
        let index = self.items.len();
        if index == CHANGE_SET_MAX_DIFFS {
            return Err(Error::too_large(format!(
                "the change set has more than {CHANGE_SET_MAX_DIFFS} diffs: nothing was written"
            )));
        }
        let path = diff.path.clone();
        let at = |error: Error| located(error, index, path.as_ref());
        if diff.keep_conflict {
            return Err(at(Error::invalid(
                "keep_conflict is for a diff of its own: a change set is all or nothing",
            )));
        }
        match std::mem::replace(&mut diff.diff, DiffSource::Follows) {
            DiffSource::Bson(bytes) => {
                self.count(bytes.len())?;
                let parsed = Diff::parse(&bytes).map_err(at)?;
                self.take_in(&diff, Growing::Diff(&parsed)).await.map_err(at)?;
                if bytes.len() > CHUNK_BYTES {
                    before_staging(self.admission.as_ref(), None).await.map_err(at)?;
                }
                let (upload, address) = (self.upload, &self.request.address);
                let (_, stored) =
                    store_large_put(upload, address, parsed, bytes).await.map_err(at)?;
                self.add(diff, stored).await
            }
            DiffSource::Follows => {
                if diff.kind.is_some_and(NodeKind::is_document) {
                    return Err(at(Error::invalid(
                        "only a FILE takes a streamed content: send a document in a `put` diff",
                    )));
                }
                self.content = Some(ContentWriter::new(self.upload));
                self.items.push(diff);
                Ok(())
            }
        }
    }

    /// The content of the last diff is complete.
    async fn end_content(&mut self) -> Result<()> {
        let Some(content) = self.content.take() else { return Ok(()) };
        let Some(diff) = self.items.pop() else {
            return Err(Error::internal("a content without its diff"));
        };
        self.take_in(&diff, Growing::Bytes(content.size())).await?;
        let (_, stored) = content.finish().await?;
        self.add(diff, stored).await
    }

    async fn add(&mut self, diff: WriteDiff, stored: Bytes) -> Result<()> {
        self.requests.push(request_hash(diff.node_id, diff.path.as_ref(), &stored));
        self.hashes.push(sha256(&stored));
        if self.diffs.is_packed_with(stored.len()) {
            let admitted = before_staging(self.admission.as_ref(), None).await;
            admitted.map_err(|error| located(error, self.items.len(), diff.path.as_ref()))?;
        }
        self.items.push(diff);
        self.diffs.add(stored).await
    }

    async fn take_in(&mut self, diff: &WriteDiff, growing: Growing<'_>) -> Result<()> {
        match &mut self.admission {
            Some(admission) => Box::pin(admission.take(diff, growing)).await,
            None => Ok(()),
        }
    }

    fn count(&mut self, bytes: usize) -> Result<()> {
        self.bytes += bytes as u64;
        if self.bytes > CHANGE_SET_MAX_BYTES {
            return Err(Error::too_large(format!(
                "the change set has more than {CHANGE_SET_MAX_BYTES} bytes: nothing was written"
            )));
        }
        Ok(())
    }
}

/// Judges what is known of a set before anything of it is stored that was not so far.
async fn before_staging(
    admission: Option<&SetAdmission<'_>>,
    current: Option<(&WriteDiff, u64)>,
) -> Result<()> {
    match admission {
        Some(admission) => Box::pin(admission.before_staging(current)).await,
        None => Ok(()),
    }
}

impl ReceivedSet {
    fn proposal(self, permit: Permit, request: WriteDiffs, upload: Upload) -> SetProposal {
        let subject = permit.subject();
        let operation = request
            .operation_id
            .map(|id| (Operation { id, request: self.request }, operation_key(subject, id)));
        let author = request.author.filter(|author| !author.is_empty());
        SetProposal {
            author: author.unwrap_or_else(|| subject.to_string()),
            permit,
            header: Arc::new(ChangeSetHeader {
                message: request.message,
                metadata: request.metadata,
            }),
            authored_at_ms: request.authored_at_ms,
            expected_revision: request.expected_revision,
            operation,
            items: self.items,
            packs: self.packs,
            upload,
        }
    }
}

/// What makes two sets the same. A set of one is a plain write, and is the same as one
/// that came as such.
fn of_set(requests: &[Hash]) -> Hash {
    if let [request] = requests {
        return *request;
    }
    let mut hasher = Sha256::new_with_prefix(b"vdom.change_set.1");
    for request in requests {
        hasher.update(request.as_bytes());
    }
    Hash(hasher.finalize().into())
}
