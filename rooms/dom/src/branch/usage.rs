//! Quotas: how many live nodes, and bytes of contents, a realm may hold.
//!
//! A branch counts the nodes that it has changed itself; what it continues counts
//! where it was written. What is in flight may overrun a quota.

use std::ops::{Add, AddAssign};

use minicbor::{Decode, Encode};
use parking_lot::Mutex;
use vdom_core::{Error, ErrorCode, Node, RealmName, Result};

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
        Self { nodes: 1, bytes: i64::try_from(node.content.len()).unwrap_or(i64::MAX) }
    }

    /// By how much a change makes a branch grow that continues another up to a revision.
    pub(crate) fn growth(before: Option<&Node>, after: &Node, inherited: u64) -> Self {
        let own = before.filter(|node| node.changed_revision > inherited);
        let (before, after) = (own.map(Self::of).unwrap_or_default(), Self::of(after));
        Self { nodes: after.nodes - before.nodes, bytes: after.bytes - before.bytes }
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

/// What a realm holds, as far as it is known here.
#[derive(Debug)]
pub(crate) struct RealmUsage {
    realm: RealmName,
    quotas: Quotas,
    used: Mutex<Usage>,
}

impl RealmUsage {
    /// Of a realm that holds nothing yet.
    pub(crate) fn new(realm: RealmName, quotas: Quotas) -> Self {
        Self { realm, quotas, used: Mutex::default() }
    }

    /// Counts what was committed.
    pub(crate) fn grow(&self, growth: Usage) {
        *self.used.lock() += growth;
    }

    /// Replaces the count by one that was made anew.
    pub(crate) fn set(&self, used: Usage) {
        *self.used.lock() = used;
    }

    /// Refuses growth that a quota has no room for, after what is staged.
    pub(crate) fn check(&self, staged: Usage, growth: Usage) -> Result<()> {
        let Quotas { nodes, bytes } = self.quotas;
        if nodes.is_none() && bytes.is_none() {
            return Ok(());
        }
        let used = *self.used.lock() + staged;
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
