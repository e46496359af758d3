//! Logs: how they are named, and how they are listed.

use sha2::{Digest, Sha256};

use crate::hex_id::shown_as_hex;

/// Names a log: a hash of what the log is about and its incarnation.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LogId(pub [u8; 32]);

shown_as_hex!(LogId);

/// What a log is about; carried by its first batch, so that logs can be listed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, minicbor::Encode, minicbor::Decode)]
pub struct LogDescriptor {
    /// The tenant.
    #[n(0)]
    pub realm: String,
    /// The repo; empty for a log of the realm itself.
    #[n(1)]
    pub repo: String,
    /// The branch; empty for a log of the realm itself.
    #[n(2)]
    pub branch: String,
    /// 1 for the first log of that name, then one more after each closing batch.
    #[n(3)]
    pub incarnation: u64,
}

impl LogDescriptor {
    /// The id of the log that this describes: a hash of all that names it.
    pub fn log_id(&self) -> LogId {
        let mut hash = Sha256::new_with_prefix(b"vdom log");
        for name in [&self.realm, &self.repo, &self.branch] {
            hash.update((name.len() as u64).to_be_bytes());
            hash.update(name);
        }
        hash.update(self.incarnation.to_be_bytes());
        LogId(hash.finalize().into())
    }
}

/// Which logs to list.
#[derive(Clone, Debug, Default)]
pub struct LogFilter {
    /// Exactly this realm.
    pub realm: String,
    /// Exactly this repo.
    pub repo: Option<String>,
    /// Exactly this branch.
    pub branch: Option<String>,
}

impl LogFilter {
    /// Whether the filter takes this log in.
    pub fn takes(&self, log: &LogDescriptor) -> bool {
        let is = |wanted: &Option<String>, name: &str| {
            wanted.as_deref().is_none_or(|wanted| wanted == name)
        };
        self.realm == log.realm && is(&self.repo, &log.repo) && is(&self.branch, &log.branch)
    }
}
