//! Quotas: how many live nodes, and bytes of contents, a realm may hold.
//!
//! A branch counts the nodes that it has changed itself; what it continues counts
//! where it was written. The log with which a branch goes on after a restore counts by how
//! much it grew since. What is in flight may overrun a quota.

use std::collections::HashMap;
use std::ops::{Add, AddAssign, Sub, SubAssign};

use minicbor::{Decode, Encode};
use parking_lot::Mutex;
use tokio::sync::OnceCell;
use vdom_core::{Error, ErrorCode, Node, RealmName, Result};
use vdom_store::LogId;

/// What each realm may hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Quotas {
    /// Live nodes of all branches; `None`: any number.
    pub nodes: Option<u64>,
    /// Bytes of their contents; `None`: any number.
    pub bytes: Option<u64>,
}

/// Live nodes and the bytes of their contents; or by how much they grow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub(crate) struct Usage {
    #[n(0)]
    pub nodes: i64,
    #[n(1)]
    pub bytes: i64,
}

/// The id of the one row of kind Usage.
pub(crate) const USAGE_ID: &[u8] = b"usage";

impl Usage {
    /// What a node takes.
    pub(crate) fn of(node: &Node) -> Self {
        if !node.live {
            return Self::default();
        }
        Self::of_live(node.content.len())
    }

    /// What a live node takes that has so many bytes.
    pub(crate) fn of_live(bytes: u64) -> Self {
        Self { nodes: 1, bytes: i64::try_from(bytes).unwrap_or(i64::MAX) }
    }

    /// What of a node is counted in a branch that counts what changed after a revision.
    pub(crate) fn counted(node: Option<&Node>, counts_after: u64) -> Self {
        let counted = node.filter(|node| node.changed_revision > counts_after);
        counted.map(Self::of).unwrap_or_default()
    }

    /// By how much a change makes a branch grow that counts what changed after a revision.
    pub(crate) fn growth(before: Option<&Node>, after: &Node, counts_after: u64) -> Self {
        Self::of(after) - Self::counted(before, counts_after)
    }
}

impl Add for Usage {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { nodes: self.nodes + other.nodes, bytes: self.bytes + other.bytes }
    }
}

impl AddAssign for Usage {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl Sub for Usage {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self { nodes: self.nodes - other.nodes, bytes: self.bytes - other.bytes }
    }
}

impl SubAssign for Usage {
    fn sub_assign(&mut self, other: Self) {
        *self = *self - other;
    }
}

/// What a realm holds, as far as it is known here.
#[derive(Debug)]
pub(crate) struct RealmUsage {
    /// Its logs were all counted, once.
    pub counted: OnceCell<()>,
    realm: RealmName,
    quotas: Quotas,
    held: Mutex<Held>,
}

#[derive(Debug, Default)]
struct Held {
    logs: HashMap<LogId, HeldByLog>,
    /// The sum over all logs.
    used: Usage,
    /// How often anything changed.
    changes: u64,
}

#[derive(Debug, Default)]
struct HeldByLog {
    usage: Usage,
    /// Which of all changes was the last to this log.
    changed: u64,
}

impl Held {
    fn set(&mut self, log: LogId, usage: Usage) {
        self.changes += 1;
        let of_log = self.logs.entry(log).or_default();
        self.used += usage - of_log.usage;
        *of_log = HeldByLog { usage, changed: self.changes };
    }

    fn remove(&mut self, log: LogId) {
        if let Some(of_log) = self.logs.remove(&log) {
            self.used -= of_log.usage;
        }
    }
}

impl RealmUsage {
    /// Of a realm that holds nothing yet.
    pub(crate) fn new(realm: RealmName, quotas: Quotas) -> Self {
        Self { counted: OnceCell::new(), realm, quotas, held: Mutex::default() }
    }

    /// A log holds that much more.
    pub(crate) fn grow(&self, log: LogId, growth: Usage) {
        let mut held = self.held.lock();
        let usage = held.logs.get(&log).map(|of_log| of_log.usage).unwrap_or_default();
        held.set(log, usage + growth);
    }

    /// A log holds so much.
    pub(crate) fn set(&self, log: LogId, usage: Usage) {
        self.held.lock().set(log, usage);
    }

    /// A log no longer counts.
    pub(crate) fn remove(&self, log: LogId) {
        self.held.lock().remove(log);
    }

    /// When each log changed last: what [`Self::take_count`] is told of a count that begins.
    pub(crate) fn changes(&self) -> HashMap<LogId, u64> {
        let held = self.held.lock();
        held.logs.iter().map(|(log, of_log)| (*log, of_log.changed)).collect()
    }

    /// Takes over what was counted, log by log; what has changed since the count began is
    /// known better here.
    pub(crate) fn take_count(&self, begun: &HashMap<LogId, u64>, counted: &HashMap<LogId, Usage>) {
        let mut held = self.held.lock();
        for log in begun.keys().chain(counted.keys()) {
            let changed = held.logs.get(log).map(|of_log| of_log.changed);
            if changed != begun.get(log).copied() {
                continue;
            }
            match counted.get(log) {
                Some(usage) => held.set(*log, *usage),
                None => held.remove(*log),
            }
        }
    }

    /// Refuses growth that a quota has no room for, after what is staged.
    pub(crate) fn check(&self, staged: Usage, growth: Usage) -> Result<()> {
        let Quotas { nodes, bytes } = self.quotas;
        if nodes.is_none() && bytes.is_none() {
            return Ok(());
        }
        let used = self.held.lock().used + staged;
        self.check_one("nodes", nodes, used.nodes, growth.nodes)?;
        self.check_one("bytes", bytes, used.bytes, growth.bytes)
    }

    fn check_one(&self, what: &str, quota: Option<u64>, used: i64, growth: i64) -> Result<()> {
        let after = used.saturating_add(growth);
        let Some(quota) = quota
            .filter(|quota| growth > 0 && u64::try_from(after).is_ok_and(|after| after > *quota))
        else {
            return Ok(());
        };
        Err(Error::new(
            ErrorCode::Exhausted,
            format!(
                "realm `{}` would hold {after} {what}, its quota is {quota}: delete what is not \
                 needed, or have the quota raised",
                self.realm
            ),
        )
        .resource(&self.realm)
        .rule(format!("quotas.{what}")))
    }
}
