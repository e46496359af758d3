//! The shortest way to a cached node: a prepared message and the few bytes that change. Each
//! serving thread has a way of its own, so nothing here is contended.

use std::sync::Arc;

use bytes::Bytes;
use http::HeaderMap;
use parking_lot::Mutex;
use vdom_api::dom::grpc::fast_path::{FRAME_HEAD_BYTES, ReadyAnswer, ReadyReads};
use vdom_api::dom::grpc::protobuf::{CachedReadRequest, READ_STATE_MAX_BYTES, put_read_state};
use vdom_core::access::{Action, Resource, decide};
use vdom_core::dom::calls::Freshness;
use vdom_core::{BranchAddress, NodeId, RealmName};
use vdom_edge::serve::Entered;

use crate::branch::{Branch, Found, Wanted};
use crate::cache::{CachedNode, KeyRef};
use crate::sidecar::Sidecar;

/// Below this, copying an answer into one piece is cheaper than sending two.
const ONE_PIECE_MAX_BYTES: usize = 8 << 10;
/// How many branches a thread remembers.
const BRANCHES_MAX: usize = 32;

/// One serving thread's way to the cache.
pub(crate) struct CachedReads {
    sidecar: Sidecar,
    branches: Mutex<Vec<Arc<Branch>>>,
}

impl CachedReads {
    /// To this sidecar's cache.
    pub(crate) fn new(sidecar: Sidecar) -> Self {
        Self { sidecar, branches: Mutex::default() }
    }

    fn branch(&self, realm: &str, repo: &str, branch: &str) -> Option<Arc<Branch>> {
        let is_it = |known: &Arc<Branch>| {
            let address = &known.address;
            address.branch.as_str() == branch
                && address.repo.as_str() == repo
                && address.realm.as_str() == realm
        };
        let mut branches = self.branches.lock();
        if let Some(at) = branches.iter().position(is_it) {
            if !branches[at].is_over() {
                return Some(Arc::clone(&branches[at]));
            }
            branches.swap_remove(at);
        }
        let address = BranchAddress::parse(realm, repo, branch).ok()?;
        let found = self.sidecar.branches().get(&address)?;
        if branches.len() == BRANCHES_MAX {
            branches.clear();
        }
        branches.push(Arc::clone(&found));
        Some(found)
    }
}

impl ReadyReads for CachedReads {
    /// Where memory has it and the caller may read it.
    fn answer(&self, entered: &Entered, _: &HeaderMap, message: &[u8]) -> Option<ReadyAnswer> {
        let request = CachedReadRequest::decode(message)?;
        // A refusal is worth the usual way, here as below.
        let identity = &entered.token.as_ref().ok()?.identity;
        entered.deadline.as_ref().ok()?;
        let own_realm = identity.realm.as_ref().map(RealmName::as_str);
        let realm = match request.realm {
            "" => own_realm.unwrap_or(RealmName::DEFAULT),
            realm => realm,
        };
        let branch = self.branch(realm, request.repo, request.branch)?;
        let resource = Resource { realm: &branch.address.realm, repo: Some(&branch.address.repo) };
        decide(identity.grant(), Action::Read, resource).ok()?;
        let key = match request.node_id {
            [] => KeyRef::Path(branch.number(), request.path),
            id => KeyRef::Id(branch.number(), NodeId::from_slice(id).ok()?),
        };
        let names_epoch = request.min_revision != 0 && request.min_epoch != 0;
        let wanted = Wanted {
            revision: request.min_revision,
            epoch: names_epoch.then_some(request.min_epoch),
            max_age_ms: request.max_age_ms,
        };
        let hit = branch.hit(key, wanted)?;
        let Found::Node(node) = hit.found else { return None };
        self.sidecar.cache().count_hit();
        Some(prepared(&node, hit.revision, hit.freshness))
    }
}

/// What changes comes first: protobuf takes fields in any order, and what is
/// constant need not be copied.
fn prepared(node: &CachedNode, revision: u64, freshness: Freshness) -> ReadyAnswer {
    let constant = node.constant();
    let in_one_piece = constant.len() <= ONE_PIECE_MAX_BYTES;
    let rest = if in_one_piece { constant.len() } else { 0 };
    let mut first = Vec::with_capacity(FRAME_HEAD_BYTES + READ_STATE_MAX_BYTES + rest);
    first.extend_from_slice(&[0; FRAME_HEAD_BYTES]);
    put_read_state(revision, freshness, &mut first);
    let second = if in_one_piece {
        first.extend_from_slice(constant);
        Bytes::new()
    } else {
        constant.clone()
    };
    ReadyAnswer::new(first, second)
}

#[cfg(test)]
mod tests;
