//! The branches that are followed: bounded in number, by name.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::RwLock;
use vdom_core::BranchAddress;

use crate::branch::{Branch, StalenessPolicy};
use crate::cache::NodeCache;
use vdom_edge::Environment;

/// A branch that was asked for so recently makes no room for another.
const IN_USE: Duration = Duration::from_secs(30);
/// How long the sidecar does not ask again for a branch that it may not read.
const DENIED_FOR: Duration = Duration::from_secs(5);

/// How branches are kept.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BranchSettings {
    /// How many at most.
    pub(crate) max_branches: usize,
    /// How long answers from memory are good without the gateway.
    pub(crate) staleness: StalenessPolicy,
}

pub(crate) struct Branches {
    known: RwLock<HashMap<BranchAddress, Known>>,
    next_number: AtomicU64,
    cache: NodeCache,
    environment: Environment,
    settings: BranchSettings,
}

enum Known {
    Open(Arc<Branch>),
    /// The sidecar itself may not read it; until then, in ms.
    Denied(u64),
}

impl Branches {
    pub(crate) fn new(
        cache: NodeCache,
        environment: Environment,
        settings: BranchSettings,
    ) -> Self {
        Self {
            known: RwLock::default(),
            next_number: AtomicU64::new(1),
            cache,
            environment,
            settings,
        }
    }

    /// A branch that is there.
    pub(crate) fn get(&self, address: &BranchAddress) -> Option<Arc<Branch>> {
        match self.known.read().get(address)? {
            Known::Open(branch) if !branch.is_over() => Some(Arc::clone(branch)),
            _ => None,
        }
    }

    /// A branch that is there, or a new one. `None` where the sidecar may not
    /// read it, or keeps too many that are in use.
    pub(crate) fn open(&self, address: &BranchAddress) -> Option<Arc<Branch>> {
        if let Some(branch) = self.get(address) {
            return Some(branch);
        }
        let now = self.environment.elapsed_ms();
        let mut known = self.known.write();
        match known.get(address) {
            Some(Known::Open(branch)) if !branch.is_over() => return Some(Arc::clone(branch)),
            Some(Known::Denied(until)) if now < *until => return None,
            _ => {}
        }
        known.retain(|_, entry| match entry {
            Known::Open(branch) => !branch.is_over(),
            Known::Denied(until) => now < *until,
        });
        if known.len() >= self.settings.max_branches && !make_room(&mut known) {
            return None;
        }
        let branch = Arc::new(Branch::new(
            address.clone(),
            self.next_number.fetch_add(1, Ordering::Relaxed),
            self.cache.clone(),
            self.environment.clone(),
            self.settings.staleness,
        ));
        known.insert(address.clone(), Known::Open(Arc::clone(&branch)));
        Some(branch)
    }

    /// Ends a branch that the sidecar itself may not read, for a while.
    pub(crate) fn deny(&self, branch: &Branch) {
        branch.end();
        let until = self.environment.elapsed_ms().saturating_add(DENIED_FOR.as_millis() as u64);
        self.known.write().insert(branch.address.clone(), Known::Denied(until));
    }

    /// Those that are open.
    pub(crate) fn all(&self) -> Vec<Arc<Branch>> {
        let known = self.known.read();
        let open = known.values().filter_map(|entry| match entry {
            Known::Open(branch) if !branch.is_over() => Some(Arc::clone(branch)),
            _ => None,
        });
        open.collect()
    }
}

/// Ends the branch that was idle for the longest; false where all are in use.
fn make_room(known: &mut HashMap<BranchAddress, Known>) -> bool {
    let idle = |entry: &Known| match entry {
        Known::Open(branch) => branch.idle(),
        Known::Denied(_) => Duration::MAX,
    };
    let longest = known.iter().max_by_key(|(_, entry)| idle(entry));
    let Some((address, entry)) = longest.filter(|(_, entry)| idle(entry) > IN_USE) else {
        return false;
    };
    if let Known::Open(branch) = entry {
        branch.end();
    }
    let address = address.clone();
    known.remove(&address);
    true
}
